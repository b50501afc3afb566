"""Cached results of node-local plugins, one column per plugin and signature, refreshed row by row.

A column remembers which column groups its plugin read and where the change logs stood; refreshing asks the plugin
again only about rows that were touched since in one of those groups.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ksched.errors import KschedError, PluginError
from ksched.framework.cycle import LabelsRead, NodeLocalCycle, NodeLocalPod
from ksched.framework.invoke import Raw, blamed, raw_scores
from ksched.framework.verdicts import PASSES, Verdicts
from ksched.tables import ALL_GROUPS, ELSEWHERE, GROUPS, IMAGES, NODE, USAGE, NodeTable, NodeView
from ksched.tables.arrays import BoolArray, Int32Array, IntArray

_NO_ROWS: IntArray = np.array([], dtype=np.intp)


Positions = tuple[int, int, int]
"""Where the change logs of all column groups stood, in the order of GROUPS."""


class Change(NamedTuple):
    """The ``rows`` (None: all) that changed in the ``moved`` column groups from one moment to another.

    ``nodes`` shows them, to one plugin after another.
    """

    before: Positions
    after: Positions
    moved: int
    rows: IntArray | None
    nodes: NodeView


class Watermark:
    """Where the change logs stood when something was computed from some column groups.

    ``groups``: bit set of the groups watched. ``moved``: those that had changed at the last :meth:`advance`.
    """

    __slots__ = ("_logs", "groups", "moved", "positions")

    def __init__(self, table: NodeTable, groups: int = ALL_GROUPS) -> None:
        self.groups = groups
        self.moved = 0
        self._logs = (table.logs[NODE], table.logs[USAGE], table.logs[IMAGES])
        self.positions: Positions = (-1, -1, -1)

    def advance(self) -> IntArray | None:
        """Rows touched in the watched groups since the last call (intp[k]); None means all rows."""
        node, usage, images = self._logs
        before, after = self.positions, (node.position, usage.position, images.position)
        self.moved = 0
        if before == after:
            return _NO_ROWS
        self.positions = after
        if before[0] == after[0] and before[2] == after[2]:
            # Pods come and go all the time, nodes hardly ever.
            self.moved = USAGE & self.groups
            return usage.since(before[1]) if self.moved else _NO_ROWS
        rows: IntArray | None = _NO_ROWS
        for group, log, then, now in zip(GROUPS, self._logs, before, after, strict=True):
            if then == now or not group & self.groups:
                continue
            self.moved |= group
            touched = log.since(then)
            if touched is None or rows is None:
                rows = None
            elif rows is _NO_ROWS:
                rows = touched
            else:
                rows = np.union1d(rows, touched)
        return rows


class Column:
    """What filter and score columns share: when to recompute which rows.

    ``version`` counts the times anything was recomputed. ``watched``: bit set of the column groups whose changes may
    change the column; while none of them moves there is nothing to refresh.
    """

    __slots__ = ("_reads", "_table", "_watermark", "cycle", "plugin", "pod", "version", "watched")

    def __init__(self, table: NodeTable, plugin: Any, pod: NodeLocalPod, cycle: NodeLocalCycle) -> None:
        self.plugin = plugin
        self.pod = pod
        self.cycle = cycle
        self.version = 0
        self._table = table
        self._reads = 0
        # A plugin that reads no column is a constant; NODE keeps it as long as the table when rows come and go.
        self._watermark = Watermark(table, NODE)
        self.watched = NODE

    @property
    def reads_usage(self) -> bool:
        """Whether what pods hold enters; if not, pods that come and go change nothing."""
        return bool(self._reads & USAGE)

    def refresh(self, change: Change | None = None) -> None:
        """Bring the column up to the table's present state; ``change`` is the last there was, if somebody knows."""
        rows, nodes = self._changed(change)
        if rows is None or len(rows):
            self._ask(rows, nodes)

    def _changed(self, change: Change | None) -> tuple[IntArray | None, NodeView | None]:
        """The rows that changed since the last time (None: all, or so many that it is the same), and their view."""
        watermark, nodes = self._watermark, None
        if change is not None and watermark.positions == change.before and not change.moved & ~watermark.groups:
            # Who asks stood where the column does and has looked into the logs already.
            watermark.positions, rows, nodes = change.after, change.rows, change.nodes
        else:
            rows = watermark.advance()
        if rows is not None and 2 * len(rows) > self._table.n:
            return None, None
        return rows, nodes

    def _ask(self, rows: IntArray | None, nodes: NodeView | None = None) -> None:
        """Compute ``rows``, seen through ``nodes`` if there is such a view, and note what the plugin reads for that."""
        if nodes is None:
            nodes = NodeView(self._table, rows)
        nodes.reads = 0
        self._compute(nodes, rows)
        self.version += 1
        if nodes.reads & ~self._reads:
            self._note_reads(nodes.reads)

    def _note_reads(self, reads: int) -> None:
        if reads & ELSEWHERE:
            raise PluginError(
                f"plugin {self.plugin.name} is node_local but reads what other nodes hold",
                hint="topology domains span nodes; drop node_local = True to be asked every time",
            )
        self._reads |= reads
        self._watermark.groups |= reads & ALL_GROUPS
        self.watched = self._watermark.groups

    def _compute(self, nodes: NodeView, rows: IntArray | None) -> None:
        raise NotImplementedError


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

    def _compute(self, nodes: NodeView, rows: IntArray | None) -> None:
        try:
            result = self.plugin.filter(self.cycle, self.pod, nodes)
        except KschedError:
            raise
        except Exception as error:
            raise blamed(self.plugin, "filter", (self.pod,), error) from error
        if result is None and rows is not None:
            if self.rejects:
                self.codes[rows] = PASSES
            return
        n = self._table.n if rows is None else len(rows)
        codes = self._verdicts.encode(self.plugin.name, self._order, result, n)
        if rows is None:
            self.codes, self.rejects = codes, bool(np.count_nonzero(codes))
        elif self.rejects or np.count_nonzero(codes):
            self.codes[rows], self.rejects = codes, True


class ScoreColumn(Column):
    """Raw scores int64[n] or float64[n] of one Score for one signature.

    Only feasible rows are ever looked at, and of those that change few are: :meth:`refresh_where` leaves the others
    stale until somebody for whom they are feasible asks. ``uniform`` is True while ``raw`` is known to be the same in
    all rows, stale ones included: then any normaliser's inputs are known without a look.
    """

    __slots__ = ("_any_stale", "_stale", "raw", "uniform")

    def __init__(self, table: NodeTable, plugin: Any, pod: NodeLocalPod, cycle: NodeLocalCycle) -> None:
        super().__init__(table, plugin, pod, cycle)
        self._start()

    def _start(self) -> None:
        self.raw: Raw = np.array([], dtype=np.int64)
        self.uniform = False
        self._stale: BoolArray = np.ones(self._table.n, dtype=np.bool_)
        self._any_stale = True

    def refresh(self, change: Change | None = None) -> None:
        """Bring all rows up to the table's present state."""
        self.refresh_where(np.ones(self._table.n, dtype=np.bool_), change)

    def refresh_where(self, feasible: BoolArray, change: Change | None, moved: int = ALL_GROUPS) -> None:
        """Bring the ``feasible`` rows up to the table's present state; nothing but ``moved`` can have changed."""
        if self.watched & moved:
            rows, _ = self._changed(change)
            if rows is None:
                self._start()
            elif len(rows):
                self._stale[rows] = self._any_stale = True
        if self._any_stale:
            wanted = (self._stale & feasible).nonzero()[0]
            if len(wanted):
                self._ask(wanted)
                self._stale[wanted] = False
                self._any_stale = bool(np.count_nonzero(self._stale))

    def _compute(self, nodes: NodeView, rows: IntArray | None) -> None:
        try:
            given = self.plugin.score(self.cycle, self.pod, nodes)
        except KschedError:
            raise
        except Exception as error:
            raise blamed(self.plugin, "score", (self.pod,), error) from error
        raw = raw_scores(self.plugin, given, len(nodes))
        if not len(self.raw):
            self.raw, self.uniform = np.full(self._table.n, raw[0]), True
        elif raw.dtype != self.raw.dtype:
            self.raw = self.raw.astype(np.float64)
        # Judged before writing: afterwards row 0 may itself be one of the new values.
        self.uniform = self.uniform and bool((raw == self.raw[0]).all())
        self.raw[rows] = raw


def relevant_labels(labels: Mapping[str, str], read: LabelsRead) -> tuple[tuple[str, str], ...]:
    """Those of ``labels`` that belong to a signature, sorted by key."""
    if read.everything:
        return tuple(sorted(labels.items()))
    if not read.keys:
        return ()
    return tuple([(key, labels[key]) for key in read.keys if key in labels])
