"""Framework: one profile's plugins run over a NodeTable, in upstream's order.

``schedule`` finds a node (PreFilter to Score and the choice); the binding cycle is inherited.
Upstream: pkg/scheduler/schedule_one.go and framework/runtime/framework.go.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ksched.framework import selection
from ksched.framework.binding_cycle import Asked, BindingCycle, failure
from ksched.framework.cycle import Cycle
from ksched.framework.decisions import Candidate, Decision, Outcome, Tally
from ksched.framework.evaluation import (
    NO_OPINION,
    Ask,
    Evaluated,
    Scored,
    SignatureEntry,
    counts_of,
    filter_rows,
    score_feasible,
    score_view,
    wants_score,
)
from ksched.framework.events import EventToRegister
from ksched.framework.extender_transport import ExtenderError
from ksched.framework.extenders import EXTENDER, Scores
from ksched.framework.invoke import guarded, judging
from ksched.framework.listers import Listers
from ksched.framework.node_order import NodeOrder
from ksched.framework.nominated_pass import NominatedPass, nominated_rows
from ksched.framework.nominator import Nominator
from ksched.framework.pre_filter import PreFilterOutcome, merge
from ksched.framework.preemption import Failure, Rejected, RowMemory
from ksched.framework.profile import Profile
from ksched.framework.protocols import PostFilterResult
from ksched.framework.score_part import ScorePart
from ksched.framework.selection import TieBreak
from ksched.framework.signatures import SignatureCache, is_local
from ksched.framework.status import Code, Status
from ksched.framework.verdicts import PASSES, Rejection, Verdict, Verdicts
from ksched.framework.what_if import WhatIf
from ksched.tables import ExpectedPod, Memo, NodeTable, NodeView, PodView
from ksched.tables.arrays import Int32Array, Int64Array, IntArray

_MEMORIES = 8
"""Memories that PostFilter plugins share between signatures; each may hold a line of pods for every node."""


class Framework(BindingCycle):
    """The plugins of one profile and their caches over one table.

    ``seed`` keys every draw. ``tie_break`` says how one of several best nodes is chosen. ``plugins`` are instances by
    name where they are not to be made anew. One framework serves one run.
    """

    def __init__(
        self,
        profile: Profile,
        table: NodeTable,
        *,
        seed: int = 0,
        tie_break: TieBreak = TieBreak.RANDOM,
        objects: Listers | None = None,
        nominator: Nominator | None = None,
        order: NodeOrder | None = None,
        plugins: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(profile, plugins)
        self.table = table
        self.seed = seed
        self.tie_break = tie_break
        self.objects = objects if objects is not None else Listers()
        self.nominator = nominator if nominator is not None else Nominator(table)
        self.verdicts = Verdicts()
        self._filters = list(enumerate(self._at["filter"]))
        self._scores = [(self.plugins[enabled.plugin.name], enabled.weight) for enabled in profile.points["score"]]
        self._pre_filters = self._at["preFilter"]
        self._enqueuing: Asked = Memo()
        self.queue_sort_key: Callable[[PodView, int], Any] = partial(
            guarded, self._at["queueSort"][0], "queue_sort_key"
        )
        """The active queue's key: smallest first."""
        self.base = 0 if self._scores else NO_OPINION
        """Where totals start."""
        # Those that are asked anew every time, because what they say depends on the moment.
        self._moment_filters = [(order, plugin) for order, plugin in self._filters if not is_local(plugin)]
        self.signatures = SignatureCache(
            table, self._pre_filters, self._at["filter"], self._scores, self.verdicts, self.base
        )
        self._memories: OrderedDict[Hashable, RowMemory] = OrderedDict()
        self._order = order if order is not None else NodeOrder(table)

    def expect(self, pods: Sequence[ExpectedPod]) -> None:
        """Tell the plugins that want to know which pods are usual; before the first pod is scheduled."""
        for plugin in self.plugins.values():
            if hasattr(plugin, "expect"):
                guarded(plugin, "expect", pods)

    # -- scheduling cycle -----------------------------------------------------------------------------------

    def new_cycle(self, pod: PodView, *, now: int = 0, attempt: int = 1, incarnation: int = 0) -> Cycle:
        """The cycle handed to plugins for one attempt to place ``pod``."""
        return Cycle(self.table, pod, now, self.seed, attempt, incarnation, self.objects)

    def schedule(self, pod: PodView, cycle: Cycle | None = None, *, top: int = 0) -> Decision:
        """Decide where ``pod`` goes; ``top`` asks for that many best candidates in the record."""
        if not judging.entered:
            with judging:
                return self.schedule(pod, cycle, top=top)
        cycle = cycle or self.new_cycle(pod)
        if not self.table.n:
            return Decision(pod, Outcome.UNSCHEDULABLE, cycle.now, cycle.attempt, 0, 0)
        start, state, version = self._order.start, dict(cycle.state), self.signatures.labels_read.version
        try:
            decision = self._schedule(pod, cycle, top)
        except BaseException:
            self.signatures.forget()  # a plugin failed half-way: what it left in the caches cannot be trusted
            raise
        if self.signatures.labels_read.version == version:
            return decision
        # A plugin read a label it never read before: pods that shared a signature may not share it any more.
        self.signatures.forget()
        self._order.start, cycle.state = start, state
        return self.schedule(pod, cycle, top=top)

    def _schedule(self, pod: PodView, cycle: Cycle, top: int) -> Decision:
        entry = self.signatures.entry(pod)
        outcome = self._pre_filter(entry, cycle, pod)
        decision = Decision(pod, Outcome.UNSCHEDULABLE, cycle.now, cycle.attempt, self.table.n, 0)
        if outcome.status is not None:
            cycle.failure = Failure(entry, outcome, None, None)
            return self._rejected_everywhere(decision, outcome.status)
        try:
            nominated = None
            if pod.pod.status.nominated_node_name:
                nominated = self._evaluate_nominated_node(entry, cycle, pod, outcome)
            if nominated is not None and nominated.count:
                evaluated, looked_at = nominated, 1
            else:
                evaluated, looked_at = self._evaluate(entry, cycle, pod, outcome)
        except ExtenderError as error:
            return self._rejected_everywhere(decision, Status.error(str(error)))
        decision.evaluated = looked_at
        decision.feasible = evaluated.count
        decision.tally = Tally(self.verdicts, evaluated.rejected)
        if evaluated.count:
            self._choose(decision, evaluated, cycle, top)
        else:
            cycle.failure = Failure(entry, outcome, evaluated, nominated)
            if nominated is not None:
                # It may be outside what PreFilter left, but was asked: its plugin's events may help too.
                decision.plugins |= {self.verdicts[int(nominated.first[0])].plugin}
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
        """Ask those PreFilters whose answer was not kept with the signature, and merge what all of them say."""
        kept = entry.local_answers
        if entry.outcome is None:
            entry.outcome = merge((p, kept[p.name]) for p in self._pre_filters if p.name in kept)
        answers: dict[str, Any] = {}
        skipping: tuple[str, ...] = ()
        if entry.outcome.status is None:
            for plugin in entry.moment_pre_filters:
                name = cycle.plugin = plugin.name
                answer = answers[name] = guarded(plugin, "pre_filter", cycle, pod)
                if isinstance(answer, Status) and answer.code is Code.SKIP:
                    skipping += (name,)
                elif answer is not None:
                    break
            else:
                return entry.outcome_without(skipping)
        return merge(self._pre_filter_answers(kept | answers, cycle, pod))

    def _pre_filter_answers(self, known: dict[str, Any], cycle: Cycle, pod: PodView) -> Iterator[tuple[Any, Any]]:
        for plugin in self._pre_filters:
            if plugin.name in known:
                yield plugin, known[plugin.name]
            else:
                cycle.plugin = plugin.name
                yield plugin, guarded(plugin, "pre_filter", cycle, pod)

    def _evaluate(
        self, entry: SignatureEntry, cycle: Cycle, pod: PodView, outcome: PreFilterOutcome
    ) -> tuple[Evaluated, int]:
        """Filter and score; also how many nodes were looked at."""
        if outcome.node_names is not None:
            rows = self._rows_of(outcome.node_names)
            self._order.advance(len(rows))
            return self._evaluate_rows(rows, entry, cycle, pod, outcome), len(rows)
        entry.filter()
        first, feasible, count, rejected = entry.first, entry.feasible, entry.count, dict(entry.rejected)
        exact = True  # feasible is the entry's own, so its masked totals hold
        moment_filters = entry.moment_filters.get(outcome.skipped)
        if moment_filters is None:
            moment_filters = [filter_ for filter_ in self._moment_filters if filter_[1].name not in outcome.skipped]
            entry.moment_filters[outcome.skipped] = moment_filters
        if moment_filters:
            first = self._ask_moment_filters(entry, moment_filters, self._ask(entry, cycle, pod))
        if self.nominator.concerns(pod):
            first = self._yield_to_nominated(first, self.what_if(entry, cycle, pod, outcome), entry)
        if first is not entry.first:
            feasible = first == PASSES
            rejected = counts_of(first)
            count, exact = rejected.get(PASSES, 0), False
        looked_at = self.table.n
        wanted = selection.nodes_to_find(self.table.n, self.profile.percentage_of_nodes_to_score)
        if wanted < count:
            seen = self._order.sample(feasible, wanted)
            looked_at = len(seen)
            feasible = np.zeros(self.table.n, dtype=np.bool_)
            feasible[seen] = first[seen] == PASSES
            rejected = counts_of(first[seen])
            count, exact = wanted, False
        if self._extending and count:
            asked = np.flatnonzero(feasible)
            first = first.copy()
            first[asked] = left = self._ask_extenders(pod, asked)
            feasible = feasible & (first == PASSES)
            rejected = {verdict: n for verdict, n in rejected.items() if verdict != PASSES} | Counter(left.tolist())
            count, exact = rejected.get(PASSES, 0), False
        if not count:
            return Evaluated(None, first, feasible, 0, _NO_TOTALS, [], rejected), looked_at
        entry.score(feasible)
        parts: list[Scored | ScorePart] = [*entry.parts]
        if exact and entry.ranked is None and not entry.moment_scores and not self._extending:
            return Evaluated(None, first, feasible, count, entry.totals, parts, rejected), looked_at
        rows, totals = entry.ranking(feasible)
        if entry.moment_scores:
            totals = self._add_moment_scores(entry, rows, totals, parts, self._ask(entry, cycle, pod))
        if self._extending and count > 1:
            for given in self._extender_points(pod, rows):
                totals = totals + given.points
                parts.append(Scored(given.name, 1, given.points, rows, self.table.n))
        return Evaluated(None, first, feasible, count, totals, parts, rejected, rows), looked_at

    def _rows_of(self, names: frozenset[str]) -> IntArray:
        index = self.table.index
        return np.array(sorted(index[name] for name in names if name in index), dtype=np.intp)

    def _evaluate_rows(
        self, rows: IntArray, entry: SignatureEntry, cycle: Cycle, pod: PodView, outcome: PreFilterOutcome
    ) -> Evaluated:
        what_if = self.what_if(entry, cycle, pod, outcome)
        first = filter_rows(self.table, rows, what_if.filters, self.verdicts, what_if.ask)
        if self.nominator.concerns(pod):
            yielding = what_if.with_nominated(rows)
            first = np.where(yielding == PASSES, first, yielding)
        if self._extenders:
            passing = np.flatnonzero(first == PASSES)
            first[passing] = self._ask_extenders(pod, rows[passing])
        feasible = rows[first == PASSES]
        scores = self.wanted_scores(entry, what_if.ask, feasible) if len(feasible) else []
        found = score_feasible(self.table, rows, first, scores, what_if.ask, self.base)
        if self._extenders and found.count > 1:
            positions = np.flatnonzero(found.feasible)
            for given in self._extender_points(pod, rows[positions]):
                part = Scored(given.name, 1, given.points, positions, len(rows))
                found.totals = found.totals + part.normalized
                found.parts.append(part)
        return found

    # -- extenders ------------------------------------------------------------------------------------------

    def _ask_extenders(self, pod: PodView, rows: IntArray) -> Int32Array:
        """Verdict ids int32 of ``rows``, which pass all filters, once the extenders have narrowed them."""
        said = self._extenders.narrow(pod, [self.table.nodes[row] for row in rows.tolist()])
        order = len(self._filters)
        ids = [
            PASSES if status is None else self.verdicts.id(Verdict(EXTENDER, status.code, status.reasons, order))
            for status in said
        ]
        return np.array(ids, dtype=np.int32)

    def _extender_points(self, pod: PodView, rows: IntArray) -> list[Scores]:
        """What each extender has to say of the feasible ``rows``."""
        return self._extenders.scores(pod, [self.table.nodes[row] for row in rows.tolist()])

    def wanted_scores(
        self, entry: SignatureEntry, ask: Callable[[Any], Ask], feasible: IntArray
    ) -> list[tuple[Any, int]]:
        """(plugin, weight) of the Score plugins that do not skip this pod, given its feasible rows."""
        local = {part.name for part in entry.parts}
        nodes = NodeView(self.table, feasible)
        return [
            (plugin, weight)
            for plugin, weight in self._scores
            if (plugin.name in local if is_local(plugin) else wants_score(plugin, ask(plugin), nodes))
        ]

    def _ask_moment_filters(
        self, entry: SignatureEntry, filters: list[tuple[int, Any]], ask: Callable[[Any], Ask]
    ) -> Int32Array:
        """Cached verdicts combined with those of filters that are asked every time; the earliest gets the blame."""
        first, latest = entry.first, None
        nodes = NodeView(self.table)
        for order, plugin in filters:
            result = guarded(plugin, "filter", *ask(plugin), nodes)
            codes = self.verdicts.encode(plugin.name, order, result, self.table.n)
            if codes is None:
                continue
            if latest is None:
                latest = entry.latest_filter(self.verdicts)
            if latest < 0:
                first = codes
            elif latest < order:
                first = np.where(first == PASSES, codes, first)
            else:
                orders = self.verdicts.orders()
                first = np.where(orders[codes] < orders[first], codes, first)
            latest = max(latest, order)
        return first

    def _add_moment_scores(
        self,
        entry: SignatureEntry,
        rows: IntArray,
        totals: Int64Array,
        parts: list[Scored | ScorePart],
        ask: Callable[[Any], Ask],
    ) -> Int64Array:
        """``totals`` of the feasible ``rows`` with the points of Score plugins that are asked every time.

        ``parts`` grows by theirs.
        """
        n = self.table.n
        nodes = NodeView(self.table, None if len(rows) == n else rows)
        for plugin, weight in entry.moment_scores:
            asked = ask(plugin)
            if not wants_score(plugin, asked, nodes):
                continue
            points = score_view(nodes, plugin, asked)
            totals = totals + (points if weight == 1 else points * weight)
            parts.append(Scored(plugin.name, weight, points, rows, n))
        return totals

    # -- nominated pods -------------------------------------------------------------------------------------

    def what_if(self, entry: SignatureEntry, cycle: Cycle, pod: PodView, outcome: PreFilterOutcome) -> WhatIf:
        """The filters that do not skip the pod, for asking about a table that is changed in a fork."""
        filters = [(order, plugin) for order, plugin in self._filters if plugin.name not in outcome.skipped]
        ask = self._ask(entry, cycle, pod)
        return WhatIf(self.table, filters, self.verdicts, ask, cycle, pod, self.nominator, entry.filters)

    def _evaluate_nominated_node(
        self, entry: SignatureEntry, cycle: Cycle, pod: PodView, outcome: PreFilterOutcome
    ) -> Evaluated | None:
        """The node the pod is nominated to, alone; None if there is none (upstream: evaluateNominatedNode)."""
        row = self.table.index.get(pod.pod.status.nominated_node_name or "")
        if row is None:
            return None
        return self._evaluate_rows(np.array([row], dtype=np.intp), entry, cycle, pod, outcome)

    def _yield_to_nominated(self, first: Int32Array, what_if: WhatIf, entry: SignatureEntry) -> Int32Array:
        """``first`` with the verdicts of nodes that reject the pod once their nominated pods are counted."""
        ids = self.nominated_verdicts(what_if, entry)
        return np.where(ids == PASSES, first, ids) if ids.any() else first

    def nominated_verdicts(self, what_if: WhatIf, entry: SignatureEntry) -> Int32Array:
        """Verdict ids int32[n] while the nominated pods the pod must yield to run; 0 where there are none."""
        if what_if.is_local:
            if entry.nominated is None:
                entry.nominated = NominatedPass(self.table, self.nominator)
            column: NominatedPass = entry.nominated
            return column.refresh(what_if)
        ids = np.zeros(self.table.n, dtype=np.int32)
        rows = nominated_rows(self.table, self.nominator)
        ids[rows] = what_if.with_nominated(rows)
        return ids

    # -- post filter ----------------------------------------------------------------------------------------

    @judging
    def post_filter(self, cycle: Cycle, pod: PodView, decision: Decision) -> PostFilterResult:
        """Try to make room for a pod that ``schedule`` found no node for in this ``cycle``; notes it in ``decision``.

        The first plugin that succeeds, or says that nothing can help, ends it; otherwise all are asked (upstream:
        RunPostFilterPlugins). An ERROR status means that something went wrong.
        """
        plugins = self._at["postFilter"]
        nominated: str | None = None
        reasons: list[str] = []
        rejected = self.rejected(cycle, pod) if plugins and self.table.n else None
        for plugin in plugins if rejected is not None else ():
            cycle.plugin = plugin.name
            answer = guarded(plugin, "post_filter", cycle, pod, rejected)
            result = answer if isinstance(answer, PostFilterResult) else PostFilterResult(answer)
            status = result.status
            if status is None or status.code is not Code.UNSCHEDULABLE or len(plugins) == 1:
                return self._noted(decision, result)
            reasons += status.reasons
            if result.nominated_node is not None:
                nominated = result.nominated_node
        return self._noted(decision, PostFilterResult(Status.unschedulable(*reasons), nominated))

    def _noted(self, decision: Decision, result: PostFilterResult) -> PostFilterResult:
        if result.status is None:
            decision.nominated_node = result.nominated_node
            decision.victims = tuple(victim.key for victim in result.victims)
        else:
            decision.post_filter = ", ".join(result.status.reasons)
        return result

    def rejected(self, cycle: Cycle, pod: PodView) -> Rejected:
        """Why ``schedule`` found no node for ``pod`` in this ``cycle``, and the means to try what would help."""
        failure = cycle.failure
        if failure is None:
            raise RuntimeError("PostFilter is for a cycle in which schedule found no node")
        return Rejected(
            failure,
            self.table,
            self.verdicts,
            what_if=partial(self.what_if, failure.entry, cycle, pod, failure.outcome),
            memory=partial(self._memory_of, failure.entry, pod),
            shared=self._shared_memory,
            choose=partial(self._choose_row, cycle),
            extenders=self._extenders,
        )

    def _memory_of(self, entry: SignatureEntry, pod: PodView, what_if: WhatIf) -> RowMemory:
        memory = entry.memory if what_if.is_local else None
        if memory is None:
            memory = RowMemory(self.table, self.nominator)
            entry.memory = memory if what_if.is_local else None
        own = self.table.index.get(self.nominator.node_of(pod.uid) or "")
        if own is not None:
            # A pod does not yield to itself: what others of its signature find on that node does not hold for it.
            memory.never(own)
        return memory

    def _shared_memory(self, key: Hashable) -> RowMemory:
        found = self._memories.get(key)
        if found is None:
            found = self._memories[key] = RowMemory(self.table, self.nominator)
        self._memories.move_to_end(key)
        if len(self._memories) > _MEMORIES:
            self._memories.popitem(last=False)
        return found

    def _choose_row(self, cycle: Cycle, rows: IntArray) -> int:
        return int(rows[self._tie(np.arange(len(rows)), rows, cycle)])

    # -- the choice and its record --------------------------------------------------------------------------

    def _choose(self, decision: Decision, evaluated: Evaluated, cycle: Cycle, top: int) -> None:
        totals = evaluated.totals
        rows = evaluated.rows if evaluated.ranked is None else evaluated.ranked
        tied = selection.best(totals)
        place = tied.item(0) if len(tied) == 1 else tied.item(self._tie(tied, rows, cycle))
        row = place if rows is None else rows.item(place)
        decision.outcome = Outcome.SCHEDULED
        decision.node = self.table.nodes[row].metadata.name or ""
        decision.score = totals.item(place)
        decision.tied = len(tied)
        if top:
            places = selection.top(totals, tied, top).tolist()
            # The chosen node leads its record even when more than ``top`` nodes were as good.
            ordered = [place, *(other for other in places if other != place)][:top]
            decision.top = tuple(self._candidate(evaluated, rows, place) for place in ordered)

    def _tie(self, tied: IntArray, rows: IntArray | None, cycle: Cycle) -> int:
        if self.tie_break is TieBreak.NAME:
            return int(self.table.name_ranks()[tied if rows is None else rows[tied]].argmin())
        cycle.plugin = "selectHost"
        return cycle.random() % len(tied)

    def _candidate(self, evaluated: Evaluated, rows: IntArray | None, place: int) -> Candidate:
        row = place if rows is None else int(rows[place])
        position = place if evaluated.ranked is None else row  # in what is aligned with evaluated.rows
        return Candidate(
            self.table.nodes[row].metadata.name or "",
            int(evaluated.totals[place]),
            {part.name: int(part.normalized[position]) * part.weight for part in evaluated.parts},
        )

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

    # -- other points ---------------------------------------------------------------------------------------

    def pre_enqueue(self, pod: PodView) -> Status | None:
        """What the first PreEnqueue plugin said that did not succeed, None if the pod may be queued."""
        plugins = self._enqueuing.get(pod.info)
        if plugins is None:
            plugins = self._enqueuing[pod.info] = self.asked("preEnqueue", pod)
        for plugin in plugins:
            status = guarded(plugin, "pre_enqueue", pod)
            if status is not None and (status := failure(plugin, "pre_enqueue", status)) is not None:
                return status
        return None

    def events(self) -> dict[str, list[EventToRegister]]:
        """Per plugin that says so, the cluster events that may help a pod it rejected."""
        return {
            name: list(guarded(plugin, "events_to_register"))
            for name, plugin in self.plugins.items()
            if hasattr(plugin, "events_to_register")
        }


_NO_TOTALS: Int64Array = np.array([], dtype=np.int64)
