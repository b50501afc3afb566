"""Framework: one profile's plugins run over a NodeTable, in upstream's order.

``schedule`` finds a node (PreFilter to Score and the choice); ``reserve`` .. ``post_bind`` are the binding cycle,
called by whoever owns time and the api-server.
Upstream: pkg/scheduler/schedule_one.go and framework/runtime/framework.go.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ksched.errors import PluginError
from ksched.framework import selection
from ksched.framework.columns import Column, FilterColumn, ScoreColumn, relevant_labels
from ksched.framework.cycle import Cycle, LabelsRead, NodeLocalCycle, NodeLocalPod, NotedLabels
from ksched.framework.decisions import Candidate, Decision, Outcome, Rejection
from ksched.framework.evaluation import (
    NO_OPINION,
    Ask,
    Evaluated,
    Scored,
    SignatureEntry,
    counts_of,
    filter_rows,
    local_wants_score,
    score_feasible,
    score_rows,
    wants_score,
)
from ksched.framework.events import EventToRegister
from ksched.framework.invoke import guarded
from ksched.framework.pre_filter import PreFilterOutcome, merge
from ksched.framework.profile import Profile
from ksched.framework.protocols import Handle
from ksched.framework.score_part import ScorePart
from ksched.framework.selection import INFEASIBLE, TieBreak
from ksched.framework.status import Code, Status
from ksched.framework.verdicts import PASSES, Verdicts
from ksched.tables import NodeTable, NodeView, PodView
from ksched.tables.arrays import Int32Array, Int64Array, IntArray

_CACHE_BYTES = 256 << 20
_BYTES_PER_ROW = 48
"""About what one signature's arrays take per node."""
_MIN_ENTRIES = 64
_MAX_PERMIT_WAIT_S = 15 * 60


class Framework:
    """The plugins of one profile and their caches over one table.

    ``seed`` keys every draw. ``tie_break`` says how one of several best nodes is chosen. One instance serves one run.
    """

    def __init__(
        self, profile: Profile, table: NodeTable, *, seed: int = 0, tie_break: TieBreak = TieBreak.RANDOM
    ) -> None:
        self.profile = profile
        self.table = table
        self.seed = seed
        self.tie_break = tie_break
        self.plugins: dict[str, Any] = profile.instances()
        self.verdicts = Verdicts()
        self._labels_read = LabelsRead()
        self._filters = list(enumerate(self._at("filter")))
        self._scores = [(self.plugins[enabled.plugin.name], enabled.weight) for enabled in profile.points["score"]]
        self._pre_filters = self._at("preFilter")
        self.base = 0 if self._scores else NO_OPINION
        """Where totals start."""
        self._moment_filters = any(not _is_local(plugin) for _, plugin in self._filters)
        self._moment_scores = any(not _is_local(plugin) for plugin, _ in self._scores)
        self._moment_pre_filters = any(not _is_local(plugin) for plugin in self._pre_filters)
        self._entries: OrderedDict[Hashable, SignatureEntry] = OrderedDict()
        self._columns: OrderedDict[Hashable, Column] = OrderedDict()
        self._start = 0
        self._name_ranks: tuple[int, IntArray] = (-1, np.array([], dtype=np.intp))

    def _at(self, point: str) -> list[Any]:
        return [self.plugins[enabled.plugin.name] for enabled in self.profile.points[point]]

    # -- scheduling cycle -----------------------------------------------------------------------------------

    def new_cycle(self, pod: PodView, *, now: int = 0, attempt: int = 1, incarnation: int = 0) -> Cycle:
        """The cycle handed to plugins for one attempt to place ``pod``."""
        return Cycle(self.table, pod, now=now, seed=self.seed, attempt=attempt, incarnation=incarnation)

    def schedule(self, pod: PodView, cycle: Cycle | None = None, *, top: int = 0) -> Decision:
        """Decide where ``pod`` goes; ``top`` asks for that many best candidates in the record."""
        cycle = cycle or self.new_cycle(pod)
        if not self.table.n:
            return Decision(pod, Outcome.UNSCHEDULABLE, cycle.now, cycle.attempt, 0, 0)
        start, state, version = self._start, dict(cycle.state), self._labels_read.version
        try:
            decision = self._schedule(pod, cycle, top)
        except BaseException:
            self._forget()  # a plugin failed half-way: what it left in the caches cannot be trusted
            raise
        if self._labels_read.version == version:
            return decision
        # A plugin read a label it never read before: pods that shared a signature may not share it any more.
        self._forget()
        self._start, cycle.state = start, state
        return self.schedule(pod, cycle, top=top)

    def _forget(self) -> None:
        self._entries.clear()
        self._columns.clear()

    def _schedule(self, pod: PodView, cycle: Cycle, top: int) -> Decision:
        entry = self._entry(pod)
        outcome = self._pre_filter(entry, cycle, pod)
        decision = Decision(pod, Outcome.UNSCHEDULABLE, cycle.now, cycle.attempt, self.table.n, 0)
        if outcome.status is not None:
            return self._rejected_everywhere(decision, outcome.status)
        evaluated, looked_at = self._evaluate(entry, cycle, pod, outcome)
        decision.evaluated = looked_at
        decision.feasible = evaluated.count
        self._explain_rejections(decision, evaluated)
        if evaluated.count:
            self._choose(decision, evaluated, cycle, top)
        return decision

    def _ask(self, entry: SignatureEntry, cycle: Cycle, pod: PodView) -> Callable[[Any], Ask]:
        def ask(plugin: Any) -> Ask:
            local = entry.local.get(plugin.name)
            if local is not None:
                return Ask(*local)
            cycle.plugin = plugin.name
            return Ask(cycle, pod)

        return ask

    def _pre_filter(self, entry: SignatureEntry, cycle: Cycle, pod: PodView) -> PreFilterOutcome:
        if not self._moment_pre_filters:
            if entry.outcome is None:
                entry.outcome = merge((p, entry.local_answers[p.name]) for p in self._pre_filters)
            return entry.outcome
        return merge(self._pre_filter_answers(entry, cycle, pod))

    def _pre_filter_answers(self, entry: SignatureEntry, cycle: Cycle, pod: PodView) -> Iterator[tuple[Any, Any]]:
        for plugin in self._pre_filters:
            if plugin.name in entry.local_answers:
                yield plugin, entry.local_answers[plugin.name]
            else:
                cycle.plugin = plugin.name
                yield plugin, guarded(plugin, "pre_filter", cycle, pod)

    def _evaluate(
        self, entry: SignatureEntry, cycle: Cycle, pod: PodView, outcome: PreFilterOutcome
    ) -> tuple[Evaluated, int]:
        """Filter and score; also how many nodes were looked at."""
        ask = self._ask(entry, cycle, pod)
        if outcome.node_names is not None:
            rows = self._rows_of(outcome.node_names)
            return self._evaluate_rows(rows, outcome, ask, entry), len(rows)
        entry.filter()
        first, feasible, count, rejected = entry.first, entry.feasible, entry.count, dict(entry.rejected)
        exact = True  # feasible is the entry's own, so its masked totals hold
        if self._moment_filters:
            first = self._ask_moment_filters(first, outcome, ask)
            if first is not entry.first:
                feasible = first == PASSES
                rejected = counts_of(first)
                count, exact = rejected.get(PASSES, 0), False
        looked_at = self.table.n
        wanted = selection.nodes_to_find(self.table.n, self.profile.percentage_of_nodes_to_score)
        if wanted < count:
            seen = selection.sample(feasible, self._start, wanted)
            looked_at = len(seen)
            self._start = (self._start + looked_at) % self.table.n
            feasible = np.zeros(self.table.n, dtype=np.bool_)
            feasible[seen] = first[seen] == PASSES
            rejected = counts_of(first[seen])
            count, exact = wanted, False
        if not count:
            return Evaluated(None, first, feasible, 0, _NO_TOTALS, [], rejected), looked_at
        exact = exact and not self._moment_scores
        entry.score(feasible, exact, ask)
        totals, parts = entry.totals, entry.scored()
        if not exact:
            totals, parts = self._add_moment_scores(totals, parts, feasible, ask)
        return Evaluated(None, first, feasible, count, totals, parts, rejected), looked_at

    def _rows_of(self, names: frozenset[str]) -> IntArray:
        index = self.table.index
        return np.array(sorted(index[name] for name in names if name in index), dtype=np.intp)

    def _evaluate_rows(
        self, rows: IntArray, outcome: PreFilterOutcome, ask: Callable[[Any], Ask], entry: SignatureEntry
    ) -> Evaluated:
        filters = [(order, p) for order, p in self._filters if p.name not in outcome.skipped]
        first = filter_rows(self.table, rows, filters, self.verdicts, ask)
        feasible = rows[first == PASSES]
        scores = self.wanted_scores(entry, ask, feasible) if len(feasible) else []
        return score_feasible(self.table, rows, first, scores, ask, self.base)

    def wanted_scores(
        self, entry: SignatureEntry, ask: Callable[[Any], Ask], feasible: IntArray
    ) -> list[tuple[Any, int]]:
        """(plugin, weight) of the Score plugins that do not skip this pod, given its feasible rows."""
        local = {part.plugin.name for part in entry.parts}
        nodes = NodeView(self.table, feasible)
        return [
            (plugin, weight)
            for plugin, weight in self._scores
            if (plugin.name in local if _is_local(plugin) else wants_score(plugin, ask(plugin), nodes))
        ]

    def _ask_moment_filters(
        self, first: Int32Array, outcome: PreFilterOutcome, ask: Callable[[Any], Ask]
    ) -> Int32Array:
        """Combine cached verdicts with those of filters asked every time; the earliest filter gets the blame."""
        nodes = NodeView(self.table)
        for order, plugin in self._filters:
            if _is_local(plugin) or plugin.name in outcome.skipped:
                continue
            result = guarded(plugin, "filter", *ask(plugin), nodes)
            codes = self.verdicts.encode(plugin.name, order, result, self.table.n)
            if codes.any():
                orders = self.verdicts.orders()
                first = np.where(orders[codes] < orders[first], codes, first)
        return first

    def _add_moment_scores(
        self, totals: Int64Array, parts: list[Scored], feasible: Any, ask: Callable[[Any], Ask]
    ) -> tuple[Int64Array, list[Scored]]:
        rows = np.flatnonzero(feasible)
        masked = np.full(len(totals), INFEASIBLE, dtype=np.int64)
        masked[rows] = totals[rows]
        for plugin, weight in self._scores:
            if _is_local(plugin) or not wants_score(plugin, ask(plugin), NodeView(self.table, rows)):
                continue
            normalized = np.zeros(len(totals), dtype=np.int64)
            normalized[rows] = score_rows(self.table, rows, plugin, ask(plugin))
            masked[rows] += normalized[rows] * weight
            parts.append(Scored(plugin.name, weight, normalized))
        return masked, parts

    # -- the choice and its record --------------------------------------------------------------------------

    def _choose(self, decision: Decision, evaluated: Evaluated, cycle: Cycle, top: int) -> None:
        tied = selection.best(evaluated.totals)
        position = int(tied[0] if len(tied) == 1 else tied[self._tie(tied, evaluated.rows, cycle)])
        decision.outcome = Outcome.SCHEDULED
        decision.node = self._node_name(evaluated.rows, position)
        decision.score = int(evaluated.totals[position])
        decision.tied = len(tied)
        if top:
            rows = selection.top(evaluated.totals, tied, top).tolist()
            # The chosen node leads its record even when more than ``top`` nodes were as good.
            ordered = [position, *(row for row in rows if row != position)][:top]
            decision.top = tuple(self._candidate(evaluated, row) for row in ordered)

    def _tie(self, tied: IntArray, rows: IntArray | None, cycle: Cycle) -> int:
        if self.tie_break is TieBreak.NAME:
            return int(np.argmin(self._ranks()[tied if rows is None else rows[tied]]))
        cycle.plugin = "selectHost"
        return cycle.random() % len(tied)

    def _ranks(self) -> IntArray:
        if self._name_ranks[0] != self.table.structure:
            order = np.argsort(self.table.names(), kind="stable")
            ranks = np.empty(len(order), dtype=np.intp)
            ranks[order] = np.arange(len(order))
            self._name_ranks = (self.table.structure, ranks)
        return self._name_ranks[1]

    def _node_name(self, rows: IntArray | None, position: int) -> str:
        return self.table.nodes[position if rows is None else int(rows[position])].metadata.name or ""

    def _candidate(self, evaluated: Evaluated, position: int) -> Candidate:
        return Candidate(
            self._node_name(evaluated.rows, position),
            int(evaluated.totals[position]),
            {part.plugin: int(part.normalized[position]) * part.weight for part in evaluated.parts},
        )

    def _explain_rejections(self, decision: Decision, evaluated: Evaluated) -> None:
        counts: Counter[tuple[str, str, bool]] = Counter()
        for verdict_id, count in evaluated.rejected.items():
            if verdict_id == PASSES or not count:
                continue
            verdict = self.verdicts[verdict_id]
            resolvable = verdict.code is Code.UNSCHEDULABLE
            for reason in verdict.reasons:
                counts[verdict.plugin, reason, resolvable] += count
        rejections = [Rejection(plugin, reason, n, resolvable) for (plugin, reason, resolvable), n in counts.items()]
        # The order verdicts were first met in depends on history; the record must not.
        rejections.sort(key=lambda r: (-r.nodes, r.plugin, r.reason, r.resolvable))
        decision.rejections = tuple(rejections)
        decision.plugins = frozenset(rejection.plugin for rejection in rejections)

    def _rejected_everywhere(self, decision: Decision, status: Status) -> Decision:
        if not status.rejected:
            decision.outcome = Outcome.ERROR
        decision.pre_filter_reasons = status.reasons
        resolvable = status.code is Code.UNSCHEDULABLE
        decision.rejections = tuple(
            Rejection(status.plugin, reason, self.table.n, resolvable) for reason in status.reasons
        )
        decision.plugins = frozenset({status.plugin} if status.plugin else ())
        return decision

    # -- cached columns -------------------------------------------------------------------------------------

    def signature(self, pod: PodView) -> Hashable:
        """What pods must share to share cached results: spec, namespace and the labels some selector reads."""
        return (pod.info, pod.namespace, relevant_labels(pod.labels, self._labels_read))

    def _entry(self, pod: PodView) -> SignatureEntry:
        key = self.signature(pod)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = self._new_entry(pod, key)
            self._trim()
        self._entries.move_to_end(key)
        return entry

    def _trim(self) -> None:
        limit = max(_MIN_ENTRIES, _CACHE_BYTES // (_BYTES_PER_ROW * max(self.table.n, 1)))
        while len(self._entries) > limit:
            self._entries.popitem(last=False)
        while len(self._columns) > 4 * limit:
            self._columns.popitem(last=False)

    def _new_entry(self, pod: PodView, key: Hashable) -> SignatureEntry:
        labels = NotedLabels(pod.labels, self._labels_read)
        local = {
            name: (NodeLocalCycle(name), NodeLocalPod(pod, name, labels))
            for name, plugin in self.plugins.items()
            if _is_local(plugin)
        }
        answers = {
            plugin.name: guarded(plugin, "pre_filter", *local[plugin.name])
            for plugin in self._pre_filters
            if _is_local(plugin)
        }
        skipped = {n for n, answer in answers.items() if isinstance(answer, Status) and answer.code is Code.SKIP}
        filters = [
            self._filter_column(key, plugin, order, *local[plugin.name])
            for order, plugin in self._filters
            if _is_local(plugin) and plugin.name not in skipped
        ]
        parts = [
            ScorePart(plugin, weight, self._score_column(key, plugin, *local[plugin.name]))
            for plugin, weight in self._scores
            if _is_local(plugin) and local_wants_score(plugin, *local[plugin.name], self.table)
        ]
        return SignatureEntry(self.table, local, filters, parts, answers, self.base)

    def _filter_column(
        self, key: Hashable, plugin: Any, order: int, cycle: NodeLocalCycle, pod: NodeLocalPod
    ) -> FilterColumn:
        own = ("filter", plugin.name, _narrowed(plugin, pod, key))
        column = self._columns.get(own)
        if column is None:
            column = self._columns[own] = FilterColumn(self.table, plugin, pod, cycle, self.verdicts, order)
        self._columns.move_to_end(own)
        assert isinstance(column, FilterColumn)
        return column

    def _score_column(self, key: Hashable, plugin: Any, cycle: NodeLocalCycle, pod: NodeLocalPod) -> ScoreColumn:
        own = ("score", plugin.name, _narrowed(plugin, pod, key))
        column = self._columns.get(own)
        if column is None:
            column = self._columns[own] = ScoreColumn(self.table, plugin, pod, cycle)
        self._columns.move_to_end(own)
        assert isinstance(column, ScoreColumn)
        return column

    # -- other points ---------------------------------------------------------------------------------------

    def queue_sort_key(self, pod: PodView, queued_at: int) -> Any:
        """The active queue's key: smallest first."""
        return guarded(self._at("queueSort")[0], "queue_sort_key", pod, queued_at)

    def pre_enqueue(self, pod: PodView) -> Status | None:
        """What the first PreEnqueue plugin said that did not succeed, None if the pod may be queued."""
        for plugin in self._at("preEnqueue"):
            status = _failure(plugin, "pre_enqueue", guarded(plugin, "pre_enqueue", pod))
            if status is not None:
                return status
        return None

    def events(self) -> dict[str, list[EventToRegister]]:
        """Per plugin that says so, the cluster events that may help a pod it rejected."""
        return {
            name: list(guarded(plugin, "events_to_register"))
            for name, plugin in self.plugins.items()
            if hasattr(plugin, "events_to_register")
        }

    def reserve(self, cycle: Cycle, pod: PodView, node_name: str) -> Status | None:
        """Run Reserve; on a failure all plugins are told to undo it, as upstream does, and the failure is returned."""
        for plugin in self._at("reserve"):
            status = self._run(plugin, "reserve", cycle, pod, node_name)
            if status is not None:
                self.unreserve(cycle, pod, node_name)
                return status
        return None

    def unreserve(self, cycle: Cycle, pod: PodView, node_name: str) -> None:
        """Undo Reserve in reverse order; a plugin may be asked to undo what it never did."""
        self._undo(self._at("reserve"), cycle, pod, node_name)

    def _undo(self, plugins: list[Any], cycle: Cycle, pod: PodView, node_name: str) -> None:
        for plugin in reversed(plugins):
            if hasattr(plugin, "unreserve"):
                cycle.plugin = plugin.name
                guarded(plugin, "unreserve", cycle, pod, node_name)

    def permit(self, cycle: Cycle, pod: PodView, node_name: str) -> Status | None:
        """None: go on. A WAIT status carries the shortest timeout asked for, at most upstream's 15 minutes.

        Anything else rejects the pod.
        """
        waiting: Status | None = None
        for plugin in self._at("permit"):
            status = self._run(plugin, "permit", cycle, pod, node_name)
            if status is None:
                continue
            if status.code is not Code.WAIT:
                return status
            timeout_s = min(status.timeout_s, _MAX_PERMIT_WAIT_S)
            if waiting is None or timeout_s < waiting.timeout_s:
                waiting = replace(status, timeout_s=timeout_s)
        return waiting

    def pre_bind(self, cycle: Cycle, pod: PodView, node_name: str) -> Status | None:
        """Run PreBind; the first failure ends it."""
        for plugin in self._at("preBind"):
            status = self._run(plugin, "pre_bind", cycle, pod, node_name)
            if status is not None:
                return status
        return None

    def bind(self, cycle: Cycle, pod: PodView, node_name: str, handle: Handle) -> Status | None:
        """Let the first Bind plugin that does not skip bind the pod through ``handle``."""
        for plugin in self._at("bind"):
            cycle.plugin = plugin.name
            status = _failure(plugin, "bind", guarded(plugin, "bind", cycle, pod, node_name, handle))
            if status is None or status.code is not Code.SKIP:
                return status
        return Status.error("no bind plugin took the pod")

    def post_bind(self, cycle: Cycle, pod: PodView, node_name: str) -> None:
        """Tell PostBind plugins."""
        for plugin in self._at("postBind"):
            cycle.plugin = plugin.name
            guarded(plugin, "post_bind", cycle, pod, node_name)

    def _run(self, plugin: Any, method: str, cycle: Cycle, pod: PodView, node_name: str) -> Status | None:
        cycle.plugin = plugin.name
        return _failure(plugin, method, guarded(plugin, method, cycle, pod, node_name))


def _failure(plugin: Any, method: str, status: Any) -> Status | None:
    """The status a plugin returned, None for success."""
    if status is None or (isinstance(status, Status) and status.code is Code.SUCCESS):
        return None
    if not isinstance(status, Status):
        raise PluginError(
            f"plugin {plugin.name}: {method} returned {type(status).__name__}", hint="return None or a Status"
        )
    return status.by(plugin.name)


_NO_TOTALS: Int64Array = np.array([], dtype=np.int64)


def _is_local(plugin: Any) -> bool:
    return bool(getattr(plugin, "node_local", False))


def _narrowed(plugin: Any, pod: NodeLocalPod, key: Hashable) -> Hashable:
    """What pods must share to share this plugin's columns: its own signature, else the pod's."""
    if not hasattr(plugin, "signature"):
        return key
    narrowed: Hashable = guarded(plugin, "signature", pod)
    try:
        hash(narrowed)
    except TypeError as error:
        raise PluginError(
            f"plugin {plugin.name}: signature returned a {type(narrowed).__name__} that cannot be hashed: {error}",
            hint="return a tuple, a string or a number",
        ) from error
    return narrowed
