"""Topology domains: nodes grouped by the value of one label, as dense ids, so that sums per domain are small arrays."""

from __future__ import annotations

import numpy as np

from ksched.tables.arrays import AnyArray, BoolArray, Int64Array, IntArray
from ksched.tables.label_columns import ABSENT, LabelColumn


class Domains:
    """Which domain each node of the table is in. Compared by identity: a changed node makes new ones.

    ``ids`` intp[n] are below ``size``, 0 for a node without the label (or left out); ``empty`` is the id of "".
    """

    __slots__ = ("empty", "ids", "size")

    def __init__(self, ids: IntArray, size: int, empty: int | None) -> None:
        self.ids = ids
        self.size = size
        self.empty = empty

    @property
    def labelled(self) -> BoolArray:
        """bool[n]: the node is in a domain."""
        labelled: BoolArray = self.ids != ABSENT
        return labelled

    def only(self, nodes: BoolArray) -> Domains:
        """The same ids, with nodes outside ``nodes`` in no domain."""
        return self if nodes.all() else Domains(np.where(nodes, self.ids, ABSENT), self.size, self.empty)

    def members(self) -> Int64Array:
        """int64[size]: number of nodes per domain; the first entry counts nodes in none."""
        return np.bincount(self.ids, minlength=self.size)

    def sums(self, per_node: AnyArray) -> Int64Array:
        """int64[size]: ``per_node`` summed by domain; the first entry is the sum over nodes in none."""
        return np.bincount(self.ids, weights=per_node, minlength=self.size).astype(np.int64)


def domains_of(column: LabelColumn, n: int) -> Domains:
    """The domains of the first ``n`` rows of a label column."""
    ids = column.ids[:n].astype(np.intp)
    values = column.values
    empty = values.get("")
    if len(values) <= 2 * n + 8:
        return Domains(ids, len(values), empty)
    # Values of nodes long gone keep their ids: number those in use anew, so that sums stay as small as the cluster.
    used, compact = np.unique(np.append(ids, ABSENT), return_inverse=True)
    at = used.tolist().index(empty) if empty is not None and empty in used else None
    return Domains(compact[:n].astype(np.intp), len(used), at)
