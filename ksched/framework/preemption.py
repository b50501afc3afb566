"""What PostFilter has to work with: why each node was rejected, and dry runs of evicting pods.

The machinery of preemption (upstream: pkg/scheduler/framework/preemption/preemption.go DryRunPreemption and
default_preemption.go SelectVictimsOnNode). Who may be evicted, in which order pods are spared and which node is best
are rules of the plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ksched.framework.columns import Watermark
from ksched.framework.evaluation import Evaluated, SignatureEntry
from ksched.framework.extenders import Extenders
from ksched.framework.lineups import Lineups
from ksched.framework.nominator import Nominator
from ksched.framework.pre_filter import PreFilterOutcome
from ksched.framework.status import Code, Status
from ksched.framework.verdicts import PASSES, Verdict, Verdicts
from ksched.framework.what_if import NodeTrial, WhatIf
from ksched.tables import COUNTED, NodeTable, PlacedPod
from ksched.tables.arrays import BoolArray, Int32Array, IntArray

NOT_ASKED = -1
"""Verdict id of a node PreFilter left out of the search."""


class Failure(NamedTuple):
    """A scheduling cycle that found no node: PreFilter's rejection, or what the filters said of which nodes.

    ``nominated`` is what they said of the node the pod was nominated to, looked at first and for itself.
    """

    entry: SignatureEntry
    outcome: PreFilterOutcome
    evaluated: Evaluated | None
    nominated: Evaluated | None

    def verdict_ids(self, n: int, verdicts: Verdicts) -> Int32Array:
        """Verdict id per row, int32[n]; ``NOT_ASKED`` where PreFilter left the node out."""
        if self.evaluated is None:
            status = self.outcome.status
            assert status is not None
            return np.full(n, verdicts.id(Verdict(status.plugin, status.code, status.reasons, -1)), dtype=np.int32)
        if self.evaluated.rows is None:
            return self.evaluated.first
        ids = np.full(n, NOT_ASKED, dtype=np.int32)
        for evaluated in (self.nominated, self.evaluated):
            if evaluated is not None:
                ids[evaluated.rows] = evaluated.first
        return ids


class Trials(NamedTuple):
    """What came of evicting pods from some rows, aligned with the rows.

    ``verdicts`` int32 is why the pod does not fit even so, 0 if it does; ``evicted`` bool[rows, width] are then the
    places in the line whose pods cannot be spared.
    """

    verdicts: Int32Array
    evicted: BoolArray


class RowMemory:
    """What a plugin found out about single rows, forgotten row by row as they change.

    ``known`` bool[n]: rows whose findings in ``found`` (arrays and lists of n entries, the plugin's own) still hold.
    """

    def __init__(self, table: NodeTable, nominator: Nominator) -> None:
        self.known: BoolArray = np.zeros(0, dtype=np.bool_)
        self.found: Any = None
        self._table = table
        self._nominator = nominator
        self._watermark = Watermark(table)
        self._positions = (-1, -1)
        self._basis: Hashable = None
        self._special: list[int] = []
        self._wanted_special: list[int] = []

    def refresh(self, basis: Hashable, make: Callable[[int], Any]) -> None:
        """Forget rows that changed since the last time, everything if ``basis`` is another; ``make(n)`` starts anew."""
        rows = self._touched()
        if rows is None or basis != self._basis or len(self.known) != self._table.n:
            self._basis = basis
            self.known = np.zeros(self._table.n, dtype=np.bool_)
            self.found = make(self._table.n)
        else:
            self.known[rows] = False
            self.known[self._special] = False
        self._special = self._wanted_special
        self.known[self._special] = False
        self._wanted_special = []

    def never(self, row: int) -> None:
        """What is found about ``row`` from now on holds for the present decision only."""
        self._wanted_special = [row]

    def _touched(self) -> IntArray | None:
        logs = (self._nominator.log, self._table.renewed)
        others = [log.since(position) for log, position in zip(logs, self._positions, strict=True)]
        self._positions = (logs[0].position, logs[1].position)
        rows = self._watermark.advance()
        if rows is None:
            return None
        for other in others:
            if other is None:
                return None
            if len(other):
                rows = np.union1d(rows, other)
        return rows


class Rejected:
    """Why a pod fits on no node, and the means to try what would help.

    Mostly nothing would and little is asked, so whatever costs something is made when it is first asked for.
    """

    def __init__(
        self,
        failure: Failure,
        table: NodeTable,
        verdicts: Verdicts,
        *,
        what_if: Callable[[], WhatIf],
        memory: Callable[[WhatIf], RowMemory],
        shared: Callable[[Hashable], RowMemory],
        choose: Callable[[IntArray], int],
        extenders: Extenders,
    ) -> None:
        self.choose = choose
        """Which of several equally good rows to take: the profile's way to break ties."""
        self.extenders = extenders
        """Who may have a say in which nodes are cleared of which pods."""
        self._failure = failure
        self._table = table
        self._verdicts = verdicts
        self._make_what_if = what_if
        self._make_memory = memory
        self._shared = shared

    @cached_property
    def _what_if(self) -> WhatIf:
        return self._make_what_if()

    @cached_property
    def memory(self) -> RowMemory:
        """Outlives the decision where findings about a row follow from that row and the pod's signature alone."""
        return self._make_memory(self._what_if)

    @cached_property
    def verdict_ids(self) -> Int32Array:
        """The verdict id per row, int32[n]; ``NOT_ASKED`` where PreFilter left the node out."""
        return self._failure.verdict_ids(self._table.n, self._verdicts)

    @property
    def rows(self) -> IntArray:
        """Rows where evicting pods might help, ascending: those rejected as Unschedulable."""
        return np.flatnonzero(self._verdicts.resolvable()[self.verdict_ids])

    @property
    def n(self) -> int:
        """The number of nodes."""
        return self._table.n

    @property
    def row_count(self) -> int:
        """The number of ``rows``; mostly known without making them."""
        evaluated = self._failure.evaluated
        if evaluated is None or evaluated.rows is not None:
            return len(self.rows)
        resolvable = self._verdicts.resolvable()
        return sum([count for verdict, count in evaluated.rejected.items() if resolvable[verdict]])

    def status(self, row: int) -> Status:
        """Why the node of ``row`` was rejected; nodes left out of the search count as unresolvable."""
        found = int(self.verdict_ids[row])
        return _LEFT_OUT if found == NOT_ASKED else self.status_of(found)

    def status_of(self, verdict: int) -> Status:
        """The status a verdict id stands for."""
        return self._verdicts[verdict].status

    def row(self, node_name: str) -> int | None:
        """The row of a node, None if there is no such node."""
        return self._table.index.get(node_name)

    def name(self, row: int) -> str:
        """The name of a row's node."""
        return self._table.nodes[row].metadata.name or ""

    def pods_on(self, row: int) -> Iterable[PlacedPod]:
        """Pods on a node in the order they came."""
        return self._table.pods_on(self.name(row))

    def lower_priority_anywhere(self, priority: int) -> bool:
        """Whether any pod on any node has a lower priority: mostly none has, and no node need be looked at."""
        return any(count and held < priority for held, count in self._table.priorities.items())

    def remember(self, key: Hashable) -> RowMemory:
        """A memory all pods share that use the same ``key``, whatever their signature."""
        return self._shared(key)

    def lineups(self, n: int) -> Lineups:
        """Empty lines for ``n`` rows."""
        return Lineups(self._table, n)

    def dry_run(self, rows: IntArray, lineups: Lineups) -> Trials:
        """Evict the pods lined up on ``rows``; where the pod then fits, spare them again in order as long as it does.

        Nothing is changed in the end.
        """
        trials = Trials(np.zeros(len(rows), dtype=np.int32), np.zeros((len(rows), lineups.width), dtype=np.bool_))
        self._what_if.prepare()
        if self._what_if.is_local:
            plain = lineups.plain[rows]
            if not self._in_columns(rows, np.flatnonzero(plain), lineups, trials):
                plain[:] = False
        else:
            plain = np.zeros(len(rows), dtype=np.bool_)
        for place in np.flatnonzero(~plain).tolist():
            self._try_node(int(rows[place]), place, lineups, trials)
        return trials

    def _in_columns(self, all_rows: IntArray, places: IntArray, lineups: Lineups, trials: Trials) -> bool:
        """Many rows at once, in the table's columns alone; False if some filter reads more than that."""
        rows = all_rows[places]
        what_if, table = self._what_if, self._table
        with columns_restored(table, rows, devices=bool(lineups.has_devices[rows].any())):
            lineups.evict_all(rows)
            verdicts = what_if.verdict_ids(rows)
            fitting = np.flatnonzero(verdicts == PASSES)
            evicted = trials.evicted
            for turn in range(int(lineups.count[rows[fitting]].max(initial=0))):
                fitting = fitting[lineups.count[rows[fitting]] > turn]
                lineups.hold(rows[fitting], turn, 1)
                failing = fitting[what_if.verdict_ids(rows[fitting]) != PASSES]
                lineups.hold(rows[failing], turn, -1)
                evicted[places[failing], turn] = True
        trials.verdicts[places] = verdicts
        if what_if.reads & COUNTED:
            evicted[places] = False
            return False
        return True

    def _try_node(self, row: int, place: int, lineups: Lineups, trials: Trials) -> None:
        """One row, pod by pod: for filters that look at more than columns of the row."""
        with self._table.fork(quiet=True):
            trial = NodeTrial(self._what_if, row)
            for placed in lineups.pods[row]:
                trial.remove(placed.pod.uid)
            trials.verdicts[place] = verdict = trial.verdict_id()
            for turn, placed in enumerate(lineups.pods[row] if verdict == PASSES else ()):
                trial.add(placed)
                if trial.verdict_id():
                    trial.remove(placed.pod.uid)
                    trials.evicted[place, turn] = True


@contextmanager
def columns_restored(table: NodeTable, rows: IntArray, *, devices: bool) -> Iterator[None]:
    """What pods hold on ``rows`` is afterwards what it was before, as far as :meth:`NodeTable.shift` changes it."""
    held = table.held[:, rows]
    devices_held = table.devices.held(rows) if devices else None
    try:
        yield
    finally:
        table.shift(rows, (held - table.held[:, rows]).T)
        if devices_held is not None:
            table.devices.restore(rows, devices_held)


_LEFT_OUT = Status(Code.UNSCHEDULABLE_AND_UNRESOLVABLE, ("node is filtered out by the prefilter result",))
