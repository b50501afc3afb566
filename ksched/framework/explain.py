"""Why this node, why not that one: every plugin asked about every node, nothing cut short.

``Framework.schedule`` stops at a node's first rejection; an explanation runs every Filter on its own and keeps raw,
normalised and weighted scores. It changes nothing and is computed from scratch, so it is also an independent check of
the cached path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ksched.errors import InputError, nearest
from ksched.framework.cache import FINISHED
from ksched.framework.cycle import Cycle
from ksched.framework.decisions import Decision
from ksched.framework.evaluation import NO_OPINION, normalized_rows, raw_rows
from ksched.framework.framework import Framework
from ksched.framework.invoke import guarded
from ksched.framework.pre_filter import PreFilterOutcome
from ksched.framework.profile import SchedulerConfiguration, default_configuration
from ksched.framework.status import Status
from ksched.framework.verdicts import PASSES
from ksched.objects import KubeObject, Node, Pod, PriorityClass, default
from ksched.tables import NodeTable, NodeView, PodView
from ksched.tables.arrays import AnyArray, BoolArray, Int64Array


@dataclass(frozen=True, slots=True)
class ScoreDetail:
    """One Score plugin over the feasible nodes: ``raw`` as returned, ``normalized`` int64 0..100, ``weight``."""

    plugin: str
    weight: int
    raw: AnyArray
    normalized: Int64Array

    @property
    def weighted(self) -> Int64Array:
        """What the plugin adds to the total."""
        return self.normalized * self.weight


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that was said about one pod.

    ``statuses``: per Filter that ran, per row, None (passes) or its status. ``feasible`` bool[n]; ``scores`` and
    ``totals`` cover the feasible rows in row order. ``skipped_filters`` and ``skipped_scores`` had nothing to say.
    """

    pod: PodView
    nodes: tuple[str, ...]
    pre_filter: PreFilterOutcome
    considered: BoolArray
    statuses: dict[str, list[Status | None]]
    feasible: BoolArray
    skipped_scores: tuple[str, ...]
    scores: tuple[ScoreDetail, ...]
    totals: Int64Array
    decision: Decision

    def rejections(self) -> pd.DataFrame:
        """One row per node and Filter that rejects it: node, plugin, code, reason; reasons joined by "; "."""
        rows = [
            (self.nodes[row], plugin, status.code.value, "; ".join(status.reasons))
            for plugin, statuses in self.statuses.items()
            for row, status in enumerate(statuses)
            if status is not None and self.considered[row]
        ]
        frame = pd.DataFrame(rows, columns=["node", "plugin", "code", "reason"])
        return frame.sort_values(["node", "plugin"], kind="stable", ignore_index=True)

    def score_table(self) -> pd.DataFrame:
        """One row per feasible node, best first: per plugin raw, normalised and weighted scores, and the total."""
        columns: dict[Any, Any] = {"node": [self.nodes[row] for row in np.flatnonzero(self.feasible)]}
        for detail in self.scores:
            columns[f"{detail.plugin} raw"] = detail.raw
            columns[f"{detail.plugin} normalized"] = detail.normalized
            columns[f"{detail.plugin} x{detail.weight}"] = detail.weighted
        columns["total"] = self.totals
        frame = pd.DataFrame(columns)
        return frame.sort_values(["total", "node"], ascending=[False, True], kind="stable", ignore_index=True)


def explain(framework: Framework, pod: PodView, cycle: Cycle | None = None) -> Explanation:
    """Ask every plugin of ``framework`` about ``pod`` on every node of its table."""
    cycle = cycle or framework.new_cycle(pod)
    entry = framework._entry(pod)
    outcome = framework._pre_filter(entry, cycle, pod)
    ask = framework._ask(entry, cycle, pod)
    table = framework.table
    names = tuple(str(name) for name in table.names())
    considered = np.ones(table.n, dtype=np.bool_)
    if outcome.node_names is not None:
        considered = np.array([name in outcome.node_names for name in names], dtype=np.bool_)
    statuses: dict[str, list[Status | None]] = {}
    feasible = considered.copy()
    if outcome.status is not None:
        feasible[:] = False
    else:
        for order, plugin in framework._filters:
            if plugin.name in outcome.skipped:
                continue
            result = guarded(plugin, "filter", *ask(plugin), NodeView(table))
            codes = framework.verdicts.encode(plugin.name, order, result, table.n)
            feasible &= codes == PASSES
            statuses[plugin.name] = [framework.verdicts[code].status if code else None for code in codes.tolist()]
    rows = np.flatnonzero(feasible)
    wanted = framework.wanted_scores(entry, ask, rows) if len(rows) else []
    details: list[ScoreDetail] = []
    for plugin, weight in wanted:
        raw = raw_rows(table, rows, plugin, ask(plugin))
        details.append(ScoreDetail(plugin.name, weight, raw, normalized_rows(table, rows, plugin, ask(plugin), raw)))
    names_wanted = {plugin.name for plugin, _ in wanted}
    skipped = [plugin.name for plugin, _ in framework._scores if plugin.name not in names_wanted]
    totals = np.full(len(rows), 0 if details else NO_OPINION, dtype=np.int64)
    for detail in details:
        totals += detail.weighted
    decision = framework.schedule(pod, cycle, top=5)
    return Explanation(
        pod, names, outcome, considered, statuses, feasible, tuple(skipped), tuple(details), totals, decision
    )


def explain_objects(
    objects: Iterable[KubeObject],
    pod_name: str,
    configuration: SchedulerConfiguration | None = None,
    *,
    seed: int = 0,
) -> Explanation:
    """Explain where ``pod_name`` ("namespace/name") would go in the cluster the ``objects`` describe.

    Nodes and bound pods make up the cluster. Other pending pods are left out, and so is the pod itself where it is
    already bound: the answer then says why it is (or would no longer be) where it is. Raises InputError if there is no
    such pod, no node, or no profile for it.
    """
    listed = [default(obj) for obj in objects]
    classes = {obj.name: obj.value or 0 for obj in listed if isinstance(obj, PriorityClass)}
    pods = {PodView(pod).key: _with_priority(pod, classes) for pod in listed if isinstance(pod, Pod)}
    pod = pods.pop(pod_name, None)
    if pod is None:
        guess = nearest(pod_name, pods)
        raise InputError(
            f"there is no pod {pod_name!r} in the manifests",
            hint=f"did you mean {guess!r}?" if guess else "pods there: " + (", ".join(sorted(pods)[:10]) or "none"),
        )
    configuration = configuration or default_configuration()
    profile = configuration.profile(pod.spec.scheduler_name or "")
    if profile is None:
        known = ", ".join(repr(p.scheduler_name) for p in configuration.profiles)
        raise InputError(f"pod {pod_name!r} wants scheduler {pod.spec.scheduler_name!r}; there are {known}")
    table = NodeTable()
    for node in listed:
        if isinstance(node, Node):
            table.add_node(node)
    if not table.n:
        raise InputError("there is no Node in the manifests", hint="add them: kubectl get nodes -o yaml")
    for other in pods.values():
        if other.spec.node_name and other.status.phase not in FINISHED:
            table.add_pod(PodView(other), other.spec.node_name)
    unbound = pod.replaced(spec=pod.spec.replaced(node_name=None)) if pod.spec.node_name else pod
    return explain(Framework(profile, table, seed=seed), PodView(unbound))


def _with_priority(pod: Pod, classes: Mapping[str, int]) -> Pod:
    """The priority admission would have resolved from the class, where the manifest only names the class."""
    name = pod.spec.priority_class_name
    if pod.spec.priority is not None or not name or name not in classes:
        return pod
    return pod.replaced(spec=pod.spec.replaced(priority=classes[name]))
