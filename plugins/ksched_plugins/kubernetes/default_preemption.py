"""DefaultPreemption: make room for a pod by evicting pods of lower priority.

Upstream, v1.30: pkg/scheduler/framework/plugins/defaultpreemption/default_preemption.go (who, in which order) and
pkg/scheduler/framework/preemption/preemption.go (which node).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from pydantic import Field, model_validator

from ksched.framework import Code, Cycle, EventToRegister, PostFilterResult, Status
from ksched.framework.extender_transport import ExtenderError
from ksched.framework.extenders import Victims
from ksched.framework.lineups import Lineups, padded
from ksched.framework.preemption import Rejected
from ksched.framework.verdicts import PASSES
from ksched.objects import LabelSelectorMatcher, Pod, PodDisruptionBudget
from ksched.tables import Interner, PlacedPod, PodView
from ksched.tables.arrays import BoolArray, Int64Array, IntArray
from ksched_plugins.plugin_args import PluginArgs

_NEVER = "Never"
_DISRUPTION_TARGET = "DisruptionTarget"
_BY_SCHEDULER = "PreemptionByScheduler"
_NOT_STARTED = np.iinfo(np.int64).max
"""Start of a pod that has not started: upstream takes the present moment, later than any start."""
_NO_PRIORITY = np.iinfo(np.int64).min
_OFFSET = 1 << 31
"""Added to each victim's priority, so that few victims of negative priority are not worse than many."""

_NOT_HELPFUL = Status.unschedulable("Preemption is not helpful for scheduling", resolvable=False)
_NEEDLESS = Status.error("expected at least one victim pod on the node")
_NO_VICTIMS = Status.unschedulable("No preemption victims found for incoming pod", resolvable=False)


class DefaultPreemptionArgs(PluginArgs):
    """How many candidates are enough, the larger of the two.

    ``minCandidateNodesPercentage``: of the nodes where eviction might help. ``minCandidateNodesAbsolute``: a number.
    """

    min_candidate_nodes_percentage: int = Field(default=10, ge=0, le=100)
    min_candidate_nodes_absolute: int = Field(default=100, ge=0)

    @model_validator(mode="after")
    def _not_none(self) -> DefaultPreemptionArgs:
        if not self.min_candidate_nodes_percentage and not self.min_candidate_nodes_absolute:
            raise ValueError("minCandidateNodesPercentage and minCandidateNodesAbsolute cannot both be zero")
        return self


class Candidate(NamedTuple):
    """A node that can be had for evicting ``victims``, of which ``violations`` break a disruption budget."""

    row: int
    victims: tuple[PodView, ...]
    violations: int


@dataclass(frozen=True)
class Analysis:
    """What preemption could do for a pod.

    ``ineligible`` says why it may not preempt at all. ``rows`` are those where it might have helped, ``statuses`` say
    for rows that are no candidates why, ``best`` are the best candidates' rows and ``decided_by`` is the number of the
    criterion (1 to 5) after which one was left, 6 if several are, 0 without candidates.
    """

    ineligible: str | None = None
    rows: tuple[int, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    statuses: tuple[tuple[int, Status], ...] = ()
    best: tuple[int, ...] = ()
    decided_by: int = 0


class _Potential:
    """By row, pods that may be evicted for a pod of some priority, in the order they are spared.

    ``breaking`` int64[n] is how many of them, the first ones, would break a disruption budget; ``priority`` and
    ``start`` int64[n, width] are theirs.
    """

    def __init__(self, n: int, lineups: Lineups) -> None:
        self.lineups = lineups
        self.breaking: Int64Array = np.zeros(n, dtype=np.int64)
        self.priority: Int64Array = np.zeros((n, 0), dtype=np.int64)
        self.start: Int64Array = np.zeros((n, 0), dtype=np.int64)

    def look_at(self, rows: IntArray, rejected: Rejected, priority: int, budgets: _Budgets) -> None:
        """Line up the pods of lower priority on ``rows``: first those that break a budget, then by importance."""
        for row in rows.tolist():
            lower = [placed for placed in rejected.pods_on(row) if placed.pod.priority < priority]
            lower.sort(key=_importance)
            first, others = budgets.split(lower)
            line = [*first, *others]
            self.lineups.set(row, line)
            self.breaking[row] = len(first)
            if len(line) > self.priority.shape[1]:
                self.priority = padded(self.priority, 1, len(line))
                self.start = padded(self.start, 1, len(line))
            self.priority[row, : len(line)] = [placed.pod.priority for placed in line]
            self.start[row, : len(line)] = [start_time(placed.pod.pod) for placed in line]

    def victims(self, row: int, evicted: BoolArray) -> tuple[PodView, ...]:
        """The pods at the ``evicted`` places of a row's line, the most important first."""
        line = self.lineups.pods[row]
        chosen = [placed for placed, goes in zip(line, evicted.tolist(), strict=False) if goes]
        if 0 < self.breaking[row] < len(line):
            chosen.sort(key=_importance)
        return tuple(placed.pod for placed in chosen)


class _Findings:
    """What dry runs found, by row: a candidate's figures, or why it is none (``reason``, a number in ``statuses``)."""

    def __init__(self, n: int) -> None:
        self.fits: BoolArray = np.zeros(n, dtype=np.bool_)
        self.evicted: BoolArray = np.zeros((n, 0), dtype=np.bool_)
        self.violations: Int64Array = np.zeros(n, dtype=np.int64)
        self.top: Int64Array = np.zeros(n, dtype=np.int64)
        self.total: Int64Array = np.zeros(n, dtype=np.int64)
        self.count: Int64Array = np.zeros(n, dtype=np.int64)
        self.start: Int64Array = np.zeros(n, dtype=np.int64)
        self.statuses: Interner[Status] = Interner([_NO_VICTIMS])
        self.reason: Int64Array = np.zeros(n, dtype=np.int64)

    def reject(self, rows: IntArray, status: Status) -> None:
        """None of ``rows`` is a candidate."""
        self.fits[rows] = False
        self.reason[rows] = self.statuses.id(status)

    def accept(self, rows: IntArray, evicted: BoolArray, potential: _Potential) -> None:
        """Candidates, and which places of each line have to go (at least one)."""
        priority, start = potential.priority[rows], potential.start[rows]
        top = np.where(evicted, priority, _NO_PRIORITY).max(axis=1)
        self.fits[rows] = True
        self.evicted = padded(self.evicted, 1, evicted.shape[1])
        self.evicted[rows] = False
        self.evicted[rows, : evicted.shape[1]] = evicted
        self.violations[rows] = (evicted & (np.arange(evicted.shape[1]) < potential.breaking[rows, None])).sum(axis=1)
        self.top[rows] = top
        self.total[rows] = np.where(evicted, priority + _OFFSET, 0).sum(axis=1)
        self.count[rows] = evicted.sum(axis=1)
        most_important = evicted & (priority == top[:, None])
        self.start[rows] = np.where(most_important, start, _NOT_STARTED).min(axis=1)

    def revise(self, row: int, victims: Victims) -> None:
        """A candidate with the victims an extender wants: the one it names first counts as the most important."""
        priorities = [victim.priority for victim in victims.pods]
        starts = [start_time(victim.pod) for victim in victims.pods if victim.priority == max(priorities)]
        self.violations[row] = victims.violations
        self.top[row] = priorities[0]
        self.total[row] = sum(priority + _OFFSET for priority in priorities)
        self.count[row] = len(priorities)
        self.start[row] = min(starts)

    def status(self, row: int) -> Status:
        """Why ``row`` is no candidate."""
        return self.statuses.values[int(self.reason[row])]


@dataclass(frozen=True, slots=True)
class _Search:
    """``rows`` where eviction might help, those ``looked_at`` in order, the candidates among them."""

    potential: _Potential
    findings: _Findings
    rows: IntArray
    looked_at: IntArray
    candidates: IntArray

    def best(self) -> tuple[IntArray, int]:
        """The best candidates (upstream: pickOneNodeForPreemption), and which criterion decided."""
        found, rows = self.findings, self.candidates
        criteria = (found.violations, found.top, found.total, found.count, -found.start)
        for number, criterion in enumerate(criteria, start=1):
            values = criterion[rows]
            rows = rows[values == values.min()]
            if len(rows) == 1:
                return rows, number
        return rows, len(criteria) + 1

    def candidate(self, row: int) -> Candidate:
        """One of the candidates."""
        victims = self.potential.victims(row, self.findings.evicted[row])
        return Candidate(row, victims, int(self.findings.violations[row]))

    def failures(self) -> IntArray:
        """Rows looked at that are no candidates."""
        return self.looked_at[~self.findings.fits[self.looked_at]]

    def message(self, n: int) -> str:
        """Why none of ``n`` nodes is a candidate."""
        numbers = np.bincount(self.findings.reason[self.failures()]).tolist()
        found = [(self.findings.statuses.values[reason], count) for reason, count in enumerate(numbers)]
        return _message(n, (*found, (_NOT_HELPFUL, n - len(self.rows))))


class DefaultPreemption:
    """PostFilter: the node that can be had for the least harm, and the pods to evict from it."""

    name = "DefaultPreemption"
    Args = DefaultPreemptionArgs

    def __init__(self, args: DefaultPreemptionArgs) -> None:
        self._percentage = args.min_candidate_nodes_percentage
        self._absolute = args.min_candidate_nodes_absolute

    def events_to_register(self) -> Sequence[EventToRegister]:
        """None: the filters that rejected the pod say what helps it."""
        return ()

    def post_filter(self, cycle: Cycle, pod: PodView, rejected: Rejected) -> PostFilterResult:
        """The best node with its victims; failing that, an earlier nomination is withdrawn unless it still counts."""
        ineligible = _ineligible(pod, rejected)
        if ineligible is not None:
            return PostFilterResult(Status.unschedulable(f"preemption: {ineligible}"))
        if not rejected.lower_priority_anywhere(pod.priority):
            # By far the commonest case where all pods are equal, and no node need be looked at to know it.
            return PostFilterResult(_no_victims(rejected.n, rejected.row_count), nominated_node="")
        search = self._search(cycle, pod, rejected)
        if not len(search.candidates):
            message = search.message(rejected.n)
            return PostFilterResult(Status.unschedulable(f"preemption: {message}"), nominated_node="")
        if rejected.extenders.preempting(pod):
            return _with_extenders(pod, rejected, search)
        row = _pick(search, rejected)
        return PostFilterResult(nominated_node=rejected.name(row), victims=search.candidate(row).victims)

    def analyse(self, cycle: Cycle, pod: PodView, rejected: Rejected) -> Analysis:
        """Everything :meth:`post_filter` looks at for ``pod``, and the best candidates."""
        ineligible = _ineligible(pod, rejected)
        if ineligible is not None:
            return Analysis(ineligible)
        search = self._search(cycle, pod, rejected)
        found = search.findings
        best, decided_by = search.best() if len(search.candidates) else (search.candidates, 0)
        hopeless = np.setdiff1d(np.arange(rejected.n), search.rows)
        statuses = [(row, found.status(row)) for row in search.failures().tolist()]
        return Analysis(
            rows=tuple(search.rows.tolist()),
            candidates=tuple(search.candidate(row) for row in search.candidates.tolist()),
            statuses=(*statuses, *((row, _NOT_HELPFUL) for row in hopeless.tolist())),
            best=tuple(best.tolist()),
            decided_by=decided_by,
        )

    def _search(self, cycle: Cycle, pod: PodView, rejected: Rejected) -> _Search:
        """Dry runs from a random row on until there are candidates enough."""
        version = cycle.objects.version(PodDisruptionBudget)
        memory = rejected.memory
        memory.refresh(version, _Findings)
        lines = rejected.remember((self.name, pod.priority))
        lines.refresh(version, lambda n: _Potential(n, rejected.lineups(n)))
        findings: _Findings = memory.found
        potential: _Potential = lines.found
        rows = rejected.rows
        if not len(rows):
            return _Search(potential, findings, rows, rows, rows)
        budgets = _Budgets(cycle.objects.list(PodDisruptionBudget))
        order = np.roll(rows, -(cycle.random() % len(rows)))
        wanted = self._wanted(len(rows))
        end = 0
        while True:
            start, end = end, min(end + wanted, len(order))
            new = order[start:end]
            new = new[~memory.known[new]]
            unseen = new[~lines.known[new]]
            potential.look_at(unseen, rejected, pod.priority, budgets)
            lines.known[unseen] = True
            _try(rejected, new, potential, findings)
            memory.known[new] = True
            stop = _enough(findings.fits[order[:end]], findings.violations[order[:end]], wanted)
            if stop is not None or end == len(order):
                break
        looked_at = order[:stop]
        fitting = looked_at[findings.fits[looked_at]]
        harmless = findings.violations[fitting] == 0
        # Each list holds as many as are wanted, no more (upstream: candidateList).
        candidates = np.concatenate([fitting[harmless][:wanted], fitting[~harmless][:wanted]])
        return _Search(potential, findings, rows, looked_at, candidates)

    def _wanted(self, rows: int) -> int:
        return min(max(rows * self._percentage // 100, self._absolute), rows)


@lru_cache(maxsize=1024)
def _no_victims(n: int, helpful: int) -> Status:
    """No pod has a lower priority; on ``helpful`` of ``n`` nodes evicting one might have helped."""
    message = _message(n, ((_NO_VICTIMS, helpful), (_NOT_HELPFUL, n - helpful)))
    return Status.unschedulable(f"preemption: {message}")


def _message(n: int, counted: Iterable[tuple[Status, int]]) -> str:
    """Why none of ``n`` nodes is a candidate, counted by reason (upstream: framework.FitError)."""
    counts: dict[str, int] = {}
    for status, count in counted:
        for reason in status.reasons:
            counts[reason] = counts.get(reason, 0) + count
    reasons = ", ".join(sorted([f"{count} {reason}" for reason, count in counts.items() if count]))
    return f"0/{n} nodes are available" + (f": {reasons}." if reasons else ".")


def _pick(search: _Search, rejected: Rejected) -> int:
    """The row of the best candidate, of equally good ones any."""
    best, _ = search.best()
    return int(best[0]) if len(best) == 1 else rejected.choose(best)


def _with_extenders(pod: PodView, rejected: Rejected, search: _Search) -> PostFilterResult:
    """The best of what extenders leave of the candidates; they may ask for other victims and for other nodes."""

    def pods_on(node_name: str) -> list[PodView] | None:
        row = rejected.row(node_name)
        return None if row is None else [placed.pod for placed in rejected.pods_on(row)]

    candidates = [search.candidate(row) for row in search.candidates.tolist()]
    offered = {rejected.name(c.row): Victims(c.victims, c.violations) for c in candidates}
    try:
        left = rejected.extenders.preempt(pod, offered, pods_on)
    except ExtenderError as error:
        return PostFilterResult(Status.error(f"preemption: {error}"))
    if not left:
        return PostFilterResult(Status.unschedulable("preemption: no candidate node for preemption"))
    findings = _Findings(rejected.n)
    victims = {row: left[name] for name in left if (row := rejected.row(name)) is not None}
    for row, named in victims.items():
        findings.revise(row, named)
    rows = np.array(sorted(victims), dtype=np.intp)
    row = _pick(_Search(search.potential, findings, rows, rows, rows), rejected)
    return PostFilterResult(nominated_node=rejected.name(row), victims=victims[row].pods)


def _enough(fits: BoolArray, violations: Int64Array, wanted: int) -> int | None:
    """How many rows to look at for ``wanted`` candidates, one of which breaks no budget; None if there are too few."""
    enough = (np.cumsum(fits & (violations == 0)) > 0) & (np.cumsum(fits) >= wanted)
    return int(enough.argmax()) + 1 if enough.any() else None


def _try(rejected: Rejected, rows: IntArray, potential: _Potential, findings: _Findings) -> None:
    """Dry runs on ``rows``."""
    empty = potential.lineups.count[rows] == 0
    findings.reject(rows[empty], _NO_VICTIMS)
    rows = rows[~empty]
    if not len(rows):
        return
    verdicts, evicted = rejected.dry_run(rows, potential.lineups)
    for verdict in np.unique(verdicts[verdicts != PASSES]).tolist():
        findings.reject(rows[verdicts == verdict], rejected.status_of(verdict))
    fitting = verdicts == PASSES
    # A rejected node where nobody need go: filters that look at more than the node may say that.
    needless = fitting & ~evicted.any(axis=1)
    findings.reject(rows[needless], _NEEDLESS)
    fitting &= ~needless
    if fitting.any():
        findings.accept(rows[fitting], evicted[fitting], potential)


def _ineligible(pod: PodView, rejected: Rejected) -> str | None:
    """Why ``pod`` may not preempt (upstream: PodEligibleToPreemptOthers)."""
    if pod.spec.preemption_policy == _NEVER:
        return "not eligible due to preemptionPolicy=Never."
    row = rejected.row(pod.pod.status.nominated_node_name or "")
    if row is None or rejected.status(row).code is Code.UNSCHEDULABLE_AND_UNRESOLVABLE:
        return None
    for placed in rejected.pods_on(row):
        if placed.pod.priority < pod.priority and _is_leaving_for_another(placed.pod.pod):
            return "not eligible due to a terminating pod on the nominated node."
    return None


def _is_leaving_for_another(pod: Pod) -> bool:
    """Whether a pod is terminating because of preemption."""
    if pod.metadata.deletion_timestamp is None:
        return False
    target = next((c for c in pod.status.conditions if c.type == _DISRUPTION_TARGET), None)
    return target is not None and target.status == "True" and target.reason == _BY_SCHEDULER


class _Budgets:
    """Which of some pods, evicted in this order, break a budget (upstream: filterPodsWithPDBViolation)."""

    def __init__(self, budgets: Iterable[PodDisruptionBudget]) -> None:
        self._budgets = [
            (budget, LabelSelectorMatcher(budget.spec.selector))
            for budget in budgets
            if budget.spec.selector is not None
            and (budget.spec.selector.match_labels or budget.spec.selector.match_expressions)
        ]

    def split(self, pods: Sequence[PlacedPod]) -> tuple[list[PlacedPod], list[PlacedPod]]:
        """Pods whose eviction breaks a budget and the others, each in order. Every pod uses up budget."""
        if not self._budgets:
            return [], list(pods)
        left = [budget.status.disruptions_allowed or 0 for budget, _ in self._budgets]
        breaking: list[PlacedPod] = []
        others: list[PlacedPod] = []
        for placed in pods:
            pod = placed.pod
            broken = False
            for number, (budget, matcher) in enumerate(self._budgets):
                if (budget.metadata.namespace or "default") != pod.namespace or not pod.labels:
                    continue
                if not matcher.matches(pod.labels) or pod.name in budget.status.disrupted_pods:
                    continue
                left[number] -= 1
                broken = broken or left[number] < 0
            (breaking if broken else others).append(placed)
        return breaking, others


def _importance(placed: PlacedPod) -> tuple[int, int]:
    """Sort key: the most important first, by priority and then by start (upstream: MoreImportantPod)."""
    return (-placed.pod.priority, start_time(placed.pod.pod))


def start_time(pod: Pod) -> int:
    """status.startTime in ns; later than any other for a pod that has not started."""
    text = pod.status.start_time
    return _NOT_STARTED if text is None else _nanoseconds(text)


@lru_cache(maxsize=1 << 14)
def _nanoseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1_000_000_000)
