"""Column ``rejections`` of the table ``decisions``: how many nodes each plugin rejected for which reason.

A waiting pod is tried again and again and told the same: what is equal is kept once. A pod that was placed was told
nothing, and every one has other numbers: they stay the tally of verdicts they are until the table is made, and then all
are spelled out together.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ksched.framework import Decision, Rejection
from ksched.framework.decisions import Tally
from ksched.framework.verdicts import Verdicts

REJECTION_TYPE = pa.struct(
    [pa.field("plugin", pa.string()), pa.field("reason", pa.string()), pa.field("nodes", pa.int32())]
)

Ints = npt.NDArray[np.int64]

_TALLIED = -1


class RejectionLog:
    """The rejections of one decision after another."""

    def __init__(self) -> None:
        self._told: dict[tuple[Rejection, ...], int] = {(): 0}
        self._which = array("q")
        """By decision, the number of what was told, or _TALLIED."""
        self._tallies = TallyLog()

    def extend(self, decisions: Iterable[Decision]) -> None:
        """Record the rejections of some decisions."""
        tallies = []
        for decision in decisions:
            if decision.node is not None and decision.tally is not None:
                tallies.append(decision.tally)
                self._which.append(_TALLIED)
            else:
                self._which.append(self._told.setdefault(decision.rejections, len(self._told)))
        self._tallies.extend(tallies)

    def to_arrow(self) -> pa.Array:
        """list<struct<plugin, reason, nodes>> by decision."""
        told = list(self._told)
        flat = list(chain.from_iterable(told))
        told_lists = _lists(
            np.array([0, *accumulate(map(len, told))], dtype=np.int64),
            pa.array([rejection.plugin for rejection in flat], pa.string()),
            pa.array([rejection.reason for rejection in flat], pa.string()),
            np.array([rejection.nodes for rejection in flat], dtype=np.int64),
        )
        which = np.array(self._which, dtype=np.int64)
        which[which == _TALLIED] = np.arange(len(told), len(told) + len(self._tallies))
        return pa.concat_arrays([told_lists, self._tallies.to_arrow()]).take(pa.array(which))


class TallyLog:
    """Tallies of verdicts, kept as the flat numbers they are."""

    def __init__(self) -> None:
        self._tables: dict[Verdicts, int] = {}
        self._table_of = array("q")
        self._lengths = array("q")
        self._ids = array("q")
        self._nodes = array("q")

    def __len__(self) -> int:
        return len(self._table_of)

    def extend(self, tallies: Sequence[Tally]) -> None:
        """Record some."""
        tables, counts = self._tables, [tally.nodes for tally in tallies]
        self._table_of.extend([tables.setdefault(tally.verdicts, len(tables)) for tally in tallies])
        self._lengths.extend(map(len, counts))
        self._ids.extend(chain.from_iterable(counts))
        self._nodes.extend(chain.from_iterable([nodes.values() for nodes in counts]))

    def to_arrow(self) -> pa.Array:
        """list<struct<plugin, reason, nodes>> by tally: in each most nodes first, then by plugin and reason."""
        reasons = _Reasons(list(self._tables))
        tally = np.repeat(np.arange(len(self)), np.array(self._lengths, dtype=np.int64))
        verdict = reasons.base[np.array(self._table_of, dtype=np.int64)[tally]] + np.array(self._ids, dtype=np.int64)
        nodes = np.array(self._nodes, dtype=np.int64)
        # A verdict with several reasons counts under each, and several verdicts may share one.
        times = np.where(nodes > 0, reasons.count[verdict], 0)
        tally, nodes = np.repeat(tally, times), np.repeat(nodes, times)
        reason = reasons.flat[np.repeat(reasons.start[verdict], times) + _places(times)]
        tally, reason, nodes = _summed(tally, reason, nodes, len(reasons.whys))
        order = np.argsort(tally * (nodes.max(initial=0) + 1) - nodes, kind="stable")
        ends = np.searchsorted(tally, np.arange(len(self) + 1))  # sorting within tallies moves no end
        plugins = pa.array([plugin for plugin, _, _ in reasons.whys], pa.string())
        texts = pa.array([text for _, text, _ in reasons.whys], pa.string())
        chosen = pa.array(reason[order])
        return _lists(ends, plugins.take(chosen), texts.take(chosen), nodes[order])


class _Reasons:
    """What verdicts are counted as, numbered so that numbers sort as (plugin, reason, resolvable) does.

    Verdict ``id`` of table ``t`` is number ``base[t] + id``; its reasons are ``count`` ones in ``flat`` from ``start``.
    """

    def __init__(self, tables: list[Verdicts]) -> None:
        counted = [verdict.counted_as if verdict else () for table in tables for verdict in table.table]
        self.base: Ints = np.array([0, *accumulate(len(table.table) for table in tables)], dtype=np.int64)
        self.whys = sorted(set(chain.from_iterable(counted)))
        number = {why: i for i, why in enumerate(self.whys)}
        self.count: Ints = np.array([len(whys) for whys in counted], dtype=np.int64)
        self.start: Ints = np.cumsum(self.count) - self.count
        self.flat: Ints = np.array([number[why] for whys in counted for why in whys], dtype=np.int64)


def _places(times: Ints) -> Ints:
    """0, 1, ... for each of ``times`` repetitions."""
    places: Ints = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    return places


def _summed(tally: Ints, reason: Ints, nodes: Ints, reasons: int) -> tuple[Ints, Ints, Ints]:
    """``nodes``, none of them 0, added up by tally and reason, in that order."""
    total = np.bincount(tally * max(reasons, 1) + reason, nodes)
    keys = total.nonzero()[0]
    return keys // max(reasons, 1), keys % max(reasons, 1), total[keys].astype(np.int64)


def _lists(offsets: Ints, plugins: pa.Array, reasons: pa.Array, nodes: Ints) -> pa.Array:
    columns = [plugins, reasons, pa.array(nodes, pa.int32())]
    return pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.StructArray.from_arrays(columns, fields=list(REJECTION_TYPE))
    )
