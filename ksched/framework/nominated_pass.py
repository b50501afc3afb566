"""The first of the two filter passes, with nominated pods counted as running, remembered per signature.

A full cluster may have hundreds of nominated pods; between two decisions only a few of their nodes change.
"""

from __future__ import annotations

import numpy as np

from ksched.framework.columns import Watermark
from ksched.framework.nominator import Nominator
from ksched.framework.what_if import WhatIf
from ksched.tables import NodeTable
from ksched.tables.arrays import Int32Array, IntArray

_NO_ROWS: IntArray = np.array([], dtype=np.intp)


class NominatedPass:
    """Verdict ids int32[n] of node-local filters with nominated pods in place; 0 where a row passes or has none."""

    def __init__(self, table: NodeTable, nominator: Nominator) -> None:
        self._table = table
        self._nominator = nominator
        self._watermark = Watermark(table)
        self._position = -1
        self._own = _NO_ROWS
        self._ids: Int32Array = np.array([], dtype=np.int32)

    def refresh(self, what_if: WhatIf) -> Int32Array:
        """The column for the pod of ``what_if``; must not be written to."""
        rows = self._touched()
        if rows is None or len(self._ids) != self._table.n:
            self._ids = np.zeros(self._table.n, dtype=np.int32)
            rows, self._own = nominated_rows(self._table, self._nominator), _NO_ROWS
        # A pod does not yield to itself: on the node it is nominated to, others of its signature get other answers.
        own = self._own_row(what_if)
        rows = np.union1d(np.union1d(rows, self._own), own) if len(own) or len(self._own) else rows
        self._own = own
        if len(rows):
            self._ids[rows] = what_if.with_nominated(rows)
        return self._ids

    def _touched(self) -> IntArray | None:
        rows = self._watermark.advance()
        nominated = self._nominator.log.since(self._position)
        self._position = self._nominator.log.position
        if rows is None or nominated is None:
            return None
        return np.union1d(rows, nominated) if len(nominated) else rows

    def _own_row(self, what_if: WhatIf) -> IntArray:
        row = self._table.index.get(self._nominator.node_of(what_if.pod.uid) or "")
        return _NO_ROWS if row is None else np.array([row], dtype=np.intp)


def nominated_rows(table: NodeTable, nominator: Nominator) -> IntArray:
    """Rows of ``table`` with nominated pods, ascending."""
    found = sorted(table.index[name] for name in nominator.nodes() if name in table.index)
    return np.array(found, dtype=np.intp)
