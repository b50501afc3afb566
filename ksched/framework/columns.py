"""Cached results of node-local plugins, one column per plugin and signature, refreshed row by row.

A column remembers which column groups its plugin read and where the change logs stood; refreshing asks the plugin
again only about rows that were touched since in one of those groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ksched.errors import KschedError, PluginError
from ksched.framework.cycle import LabelsRead, NodeLocalCycle, NodeLocalPod
from ksched.framework.invoke import Raw, blamed, raw_scores
from ksched.framework.verdicts import PASSES, Verdicts
from ksched.tables import ALL_GROUPS, ELSEWHERE, GROUPS, IMAGES, NODE, USAGE, NodeTable, NodeView
from ksched.tables.arrays import BoolArray, Int32Array, IntArray

_FEW = 8
"""So few rows are asked about again sooner than it is known which of them need be."""

Positions = tuple[int, int, int]
"""Where the change logs of all column groups stood, in the order of GROUPS."""


class Watermark:
    """Where the change logs stood when something was computed from some column groups.

    ``groups``: bit set of the groups watched. ``moved``: those that had changed at the last :meth:`touched`.
    ``before`` and ``positions``: where the logs stood before and after the last time any of them moved. ``nodes``: the
    rows touched in between, kept by those whose columns are to follow them.
    """

    __slots__ = ("_logs", "before", "groups", "moved", "nodes", "positions")

    def __init__(self, table: NodeTable, groups: int = ALL_GROUPS) -> None:
        self.groups = groups
        self.moved = 0
        self._logs = (table.logs[NODE], table.logs[USAGE], table.logs[IMAGES])
        self.before: Positions = (-1, -1, -1)
        self.positions: Positions = (-1, -1, -1)
        self.nodes: NodeView

    def touched(self) -> list[int] | IntArray | None:
        """Rows touched in the watched groups since the last call, as the logs tell them; None means all rows."""
        node, usage, images = self._logs
        before, after = self.positions, (node.position, usage.position, images.position)
        self.moved = 0
        if before == after:
            return []
        self.before, self.positions = before, after
        if before[0] == after[0] and before[2] == after[2]:
            # Pods come and go all the time, nodes hardly ever.
            self.moved = USAGE & self.groups
            return usage.touched(before[1]) if self.moved else []
        rows: list[int] | IntArray | None = []
        for group, log, then, now in zip(GROUPS, self._logs, before, after, strict=True):
            if then == now or not group & self.groups:
                continue
            self.moved |= group
            of_group = log.since(then)
            rows = None if rows is None or of_group is None else np.union1d(np.asarray(rows, dtype=np.intp), of_group)
        return rows

    def advance(self) -> IntArray | None:
        """:meth:`touched` as an array, intp[k]."""
        rows = self.touched()
        return None if rows is None else np.asarray(rows, dtype=np.intp)


class Column(Watermark):
    """What filter and score columns share: when to recompute which rows.

    ``groups`` are those the plugin was seen to read: while none of them moves there is nothing to refresh.
    """

    __slots__ = ("_reads", "_table", "cycle", "plugin", "pod")

    def __init__(self, table: NodeTable, plugin: Any, pod: NodeLocalPod, cycle: NodeLocalCycle) -> None:
        # A plugin that reads no column is a constant; NODE keeps it as long as the table when rows come and go.
        super().__init__(table, NODE)
        self.plugin = plugin
        self.pod = pod
        self.cycle = cycle
        self._table = table
        self._reads = 0

    @property
    def reads_usage(self) -> bool:
        """Whether what pods hold enters; if not, pods that come and go change nothing."""
        return bool(self._reads & USAGE)

    def _changed(self, leader: Watermark | None) -> NodeView:
        """The rows that changed since the last time; mostly ``leader``, whose columns are asked together, knows.

        A column that another signature shares may have been refreshed meanwhile: of the few rows that the leader knows
        all are asked about again, which takes less than finding out which of them changed since.
        """
        if leader is not None and not leader.moved & ~self.groups:
            before, now = leader.before, leader.positions
            if self.positions == before or (leader.nodes.n <= _FEW and before < self.positions < now):
                self.positions = now
                return leader.nodes
        return NodeView(self._table, self.touched())

    def _note_reads(self, reads: int) -> None:
        if reads & ELSEWHERE:
            raise PluginError(
                f"plugin {self.plugin.name} is node_local but reads what other nodes hold",
                hint="topology domains span nodes; drop node_local = True to be asked every time",
            )
        self._reads |= reads
        self.groups |= reads & ALL_GROUPS


class FilterColumn(Column):
    """Verdict ids int32[n] of one Filter for one signature.

    ``rejects`` is False while every row is known to pass: then nobody needs to look at them.
    """

    __slots__ = ("_order", "_verdicts", "codes", "rejects")

    def __init__(
        self,
        table: NodeTable,
        plugin: Any,
        pod: NodeLocalPod,
        cycle: NodeLocalCycle,
        verdicts: Verdicts,
        order: int,
    ) -> None:
        super().__init__(table, plugin, pod, cycle)
        self._verdicts = verdicts
        self._order = order
        self.codes: Int32Array = np.array([], dtype=np.int32)
        self.rejects = False

    def refresh(self, leader: Watermark | None = None) -> None:
        """Bring the column up to the table's present state, by what ``leader`` just learned if it is where it was."""
        nodes = self._changed(leader)
        if not nodes.n:
            return
        if 2 * nodes.n > self._table.n and not nodes.everything:
            nodes = NodeView(self._table)  # so many that all are no more
        nodes.reads = 0
        try:
            result = self.plugin.filter(self.cycle, self.pod, nodes)
        except KschedError:
            raise
        except Exception as error:
            raise blamed(self.plugin, "filter", (self.pod,), error) from error
        codes = None if result is None else self._verdicts.encode(self.plugin.name, self._order, result, nodes.n)
        if nodes.everything:
            self.codes = np.zeros(nodes.n, dtype=np.int32) if codes is None else codes
            self.rejects = codes is not None
        elif codes is not None:
            self.codes[nodes.select], self.rejects = codes, True
        elif self.rejects:
            self.codes[nodes.select] = PASSES
        if nodes.reads & ~self._reads:
            self._note_reads(nodes.reads)


class ScoreColumn(Column):
    """Raw scores int64[n] or float64[n] of one Score for one signature.

    Only feasible rows are ever looked at, and of those that change few are: :meth:`refresh_where` leaves the others
    stale until somebody for whom they are feasible asks. ``uniform`` is True while ``raw`` is known to be the same in
    all rows, stale ones included: then any normaliser's inputs are known without a look.
    """

    __slots__ = ("_stale", "raw", "shared", "uniform", "version")

    def __init__(self, table: NodeTable, plugin: Any, pod: NodeLocalPod, cycle: NodeLocalCycle) -> None:
        super().__init__(table, plugin, pod, cycle)
        self.version = 0
        """Counts the times anything was recomputed."""
        self.shared = False
        """Whether several signatures have this column."""
        self._start()

    def _start(self) -> None:
        self.raw: Raw = np.array([], dtype=np.int64)
        self.uniform = False
        self._stale: BoolArray = np.ones(self._table.n, dtype=np.bool_)

    def refresh(self) -> None:
        """Bring all rows up to the table's present state."""
        self.refresh_where(np.ones(self._table.n, dtype=np.bool_))

    def refresh_where(
        self,
        feasible: BoolArray,
        leader: Watermark | None = None,
        moved: int = ALL_GROUPS,
        among: NodeView | None = None,
    ) -> None:
        """Bring the ``feasible`` rows up to the table's present state; nothing but ``moved`` can have changed.

        ``among``: rows, all of them feasible, outside which no feasible row can be stale (None: nobody knows).
        """
        if self.groups & moved:
            changed = self._changed(leader)
            if changed.everything:
                self._start()
                among = None
            elif changed.n:
                self._stale[changed.select] = True
        stale = self._stale
        if among is None:
            among = NodeView(self._table, (stale & feasible).nonzero()[0])
        elif self.shared or moved & ~self.groups:  # else all of them have just become stale
            among = NodeView(self._table, [row for row in among.numbers if stale[row]])
        if among.n:
            self._ask(among)
            stale[among.select] = False

    def _ask(self, nodes: NodeView) -> None:
        nodes.reads = 0
        try:
            given = self.plugin.score(self.cycle, self.pod, nodes)
        except KschedError:
            raise
        except Exception as error:
            raise blamed(self.plugin, "score", (self.pod,), error) from error
        raw = raw_scores(self.plugin, given, nodes.n)
        if not len(self.raw):
            self.raw, self.uniform = np.full(self._table.n, raw[0]), True
        elif raw.dtype != self.raw.dtype:
            self.raw = self.raw.astype(np.float64)
        # Judged before writing: afterwards row 0 may itself be one of the new values.
        self.uniform = self.uniform and bool((raw == self.raw[0]).all())
        self.raw[nodes.select] = raw
        self.version += 1
        if nodes.reads & ~self._reads:
            self._note_reads(nodes.reads)


def relevant_labels(labels: Mapping[str, str], read: LabelsRead) -> tuple[tuple[str, str], ...]:
    """Those of ``labels`` that belong to a signature, sorted by key."""
    if read.everything:
        return tuple(sorted(labels.items()))
    if not read.keys:
        return ()
    return tuple([(key, labels[key]) for key in read.keys if key in labels])
