"""Why this node, why not that one: every plugin asked about every node, nothing cut short.

``Framework.schedule`` stops at a node's first rejection; an explanation runs every Filter on its own and keeps raw,
normalised and weighted scores. It changes nothing and is computed from scratch, so it is also an independent check of
the cached path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from ksched.framework import selection
from ksched.framework.cycle import Cycle
from ksched.framework.decisions import Decision
from ksched.framework.evaluation import Ask, Evaluated, SignatureEntry, normalized_rows, raw_rows
from ksched.framework.explanation import Explanation, ScoreDetail
from ksched.framework.extender_transport import ExtenderError
from ksched.framework.extenders import EXTENDER
from ksched.framework.framework import Framework
from ksched.framework.invoke import guarded, judging
from ksched.framework.obstacles import Obstacle, find_obstacles
from ksched.framework.status import Status
from ksched.framework.verdicts import PASSES
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import BoolArray

__all__ = ["Explanation", "Obstacle", "ScoreDetail", "explain"]


@judging
def explain(
    framework: Framework,
    pod: PodView,
    cycle: Cycle | None = None,
    *,
    fit_on: Iterable[str] = (),
    decision: Decision | None = None,
) -> Explanation:
    """Ask every plugin of ``framework`` about ``pod`` on every node of its table.

    ``fit_on`` names nodes for which :attr:`Explanation.obstacles` says what would have to change for the pod to fit.
    ``decision`` is what came of it, where that is known; otherwise the framework is asked for it too. A plugin with
    state of its own sees every question: ask a :func:`~ksched.framework.twin.twin` where that matters.
    """
    cycle = cycle or framework.new_cycle(pod)
    order, names = framework._order, tuple(fit_on)
    start, state = order.start, dict(cycle.state)
    while True:
        version = framework.signatures.labels_read.version
        said = Asking(framework, pod, cycle).explanation(names, decision)
        order.start = start
        if framework.signatures.labels_read.version == version:
            return said
        # A label was read for the first time: what was kept before may be another signature's.
        framework.signatures.forget()
        cycle.state = dict(state)


class Asking:
    """One round of questions about one pod."""

    def __init__(self, framework: Framework, pod: PodView, cycle: Cycle) -> None:
        self.framework = framework
        self.pod = pod
        self.cycle = cycle
        self.table = framework.table
        self.entry: SignatureEntry = framework.signatures.entry(pod)
        self.outcome = framework._pre_filter(self.entry, cycle, pod)
        self.ask: Callable[[Any], Ask] = framework._ask(self.entry, cycle, pod)
        self.names = tuple(str(name) for name in self.table.names())
        self.considered: BoolArray = np.ones(self.table.n, dtype=np.bool_)
        if self.outcome.node_names is not None:
            self.considered = np.array([name in self.outcome.node_names for name in self.names], dtype=np.bool_)
        self.statuses: dict[str, list[Status | None]] = {}

    def explanation(self, fit_on: tuple[str, ...], decision: Decision | None) -> Explanation:
        feasible = self._filtered()
        blocked = self._blocked()
        feasible[list(blocked)] = False
        nominated = self._nominated()
        via_nominated = nominated is not None and nominated.count > 0
        if via_nominated:
            looked_at = np.array([name == self._nominated_name for name in self.names], dtype=np.bool_)
            feasible = looked_at.copy()
        else:
            looked_at = self._looked_at(feasible)
            feasible = self._left_by_extenders(feasible & looked_at)
        nominated_status = None
        if nominated is not None and not via_nominated:
            nominated_status = self.framework.verdicts[int(nominated.first[0])].status
        obstacles = find_obstacles(self, blocked, fit_on)
        details, skipped = self._scored(feasible)
        totals = np.full(int(feasible.sum()), self.framework.base, dtype=np.int64)
        for detail in details:
            totals += detail.weighted
        return Explanation(
            self.pod,
            self.names,
            self.outcome,
            self.considered,
            looked_at,
            self.statuses,
            feasible,
            skipped,
            details,
            totals,
            decision or self.framework.schedule(self.pod, self.cycle, top=5),
            blocked,
            nominated_status,
            via_nominated,
            obstacles,
        )

    @property
    def _nominated_name(self) -> str:
        return self.pod.pod.status.nominated_node_name or ""

    def _filtered(self) -> BoolArray:
        """Ask every filter about every node; bool[n], those that pass all."""
        if self.outcome.status is not None:
            return np.zeros(self.table.n, dtype=np.bool_)
        feasible = self.considered.copy()
        verdicts = self.framework.verdicts
        for order, plugin in self.framework._filters:
            if plugin.name in self.outcome.skipped:
                continue
            result = guarded(plugin, "filter", *self.ask(plugin), NodeView(self.table))
            codes = verdicts.encode(plugin.name, order, result, self.table.n)
            if codes is None:
                self.statuses[plugin.name] = [None] * self.table.n
                continue
            feasible &= codes == PASSES
            self.statuses[plugin.name] = [verdicts[code].status if code else None for code in codes.tolist()]
        return feasible

    def _blocked(self) -> dict[int, Status]:
        """Rows that reject the pod while nominated pods it must yield to are counted there."""
        framework = self.framework
        if self.outcome.status is not None or not framework.nominator.concerns(self.pod):
            return {}
        what_if = framework.what_if(self.entry, self.cycle, self.pod, self.outcome)
        ids = framework.nominated_verdicts(what_if, self.entry)
        return {row: framework.verdicts[ids[row]].status for row in np.flatnonzero(ids).tolist()}

    def _nominated(self) -> Evaluated | None:
        if self.outcome.status is not None:
            return None
        try:
            return self.framework._evaluate_nominated_node(self.entry, self.cycle, self.pod, self.outcome)
        except ExtenderError:
            return None

    def _looked_at(self, feasible: BoolArray) -> BoolArray:
        """bool[n]: the nodes the scheduler looks at until it has found enough that are feasible."""
        framework = self.framework
        wanted = selection.nodes_to_find(self.table.n, framework.profile.percentage_of_nodes_to_score)
        if self.outcome.node_names is not None or wanted >= int(feasible.sum()):
            return np.ones(self.table.n, dtype=np.bool_)
        looked_at = np.zeros(self.table.n, dtype=np.bool_)
        start = framework._order.start
        looked_at[framework._order.sample(feasible, wanted)] = True
        framework._order.start = start  # the decision below draws the same sample
        return looked_at

    def _left_by_extenders(self, feasible: BoolArray) -> BoolArray:
        framework = self.framework
        if not framework._extenders or not feasible.any():
            return feasible
        rows = np.flatnonzero(feasible)
        try:
            said = framework._extenders.narrow(self.pod, [self.table.nodes[row] for row in rows.tolist()])
        except ExtenderError as error:
            said = [Status.error(str(error)).by(EXTENDER)] * len(rows)
        for row, status in zip(rows.tolist(), said, strict=True):
            if status is not None:
                worded = status if status.reasons else replace(status, reasons=("left out without a reason",))
                self.statuses.setdefault(status.plugin, [None] * self.table.n)[row] = worded
        left = feasible.copy()
        left[rows] = [status is None for status in said]
        return left

    def _scored(self, feasible: BoolArray) -> tuple[tuple[ScoreDetail, ...], tuple[str, ...]]:
        """The scores of the feasible rows, and the names of plugins that had nothing to say."""
        framework, rows = self.framework, np.flatnonzero(feasible)
        wanted = framework.wanted_scores(self.entry, self.ask, rows) if len(rows) else []
        details = []
        for plugin, weight in wanted:
            raw = raw_rows(self.table, rows, plugin, self.ask(plugin))
            normalized = normalized_rows(self.table, rows, plugin, self.ask(plugin), raw)
            details.append(ScoreDetail(plugin.name, weight, raw, normalized))
        names = {detail.plugin for detail in details}
        skipped = tuple(plugin.name for plugin, _ in framework._scores if plugin.name not in names)
        if framework._extenders and len(rows) > 1:
            nodes = [self.table.nodes[row] for row in rows.tolist()]
            given = framework._extenders.scores(self.pod, nodes)
            details += [ScoreDetail(one.name, one.weight, one.raw, one.normalized) for one in given]
        return tuple(details), skipped
