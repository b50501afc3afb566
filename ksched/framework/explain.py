"""Why this node, why not that one: every plugin asked about every node, nothing cut short.

``Framework.schedule`` stops at a node's first rejection; an explanation runs every Filter on its own and keeps raw,
normalised and weighted scores. It changes nothing and is computed from scratch, so it is also an independent check of
the cached path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from ksched.errors import InputError, nearest
from ksched.framework.cache import FINISHED
from ksched.framework.cycle import Cycle
from ksched.framework.decisions import Decision
from ksched.framework.evaluation import normalized_rows, raw_rows
from ksched.framework.extender_transport import ExtenderError
from ksched.framework.extenders import EXTENDER
from ksched.framework.framework import Framework
from ksched.framework.invoke import guarded, judging
from ksched.framework.listers import Listers
from ksched.framework.pre_filter import PreFilterOutcome
from ksched.framework.profile import Profile, SchedulerConfiguration, default_configuration
from ksched.framework.status import Code, Status
from ksched.framework.verdicts import PASSES
from ksched.objects import KubeObject, Namespace, Node, Pod, PriorityClass, default, validate
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

    ``statuses``: per Filter that ran, per row, None (passes) or its status; extenders that reject nodes follow, by
    their urlPrefix. ``feasible`` bool[n]; ``scores`` and ``totals`` cover the feasible rows in row order, extenders'
    scores last. ``skipped_filters`` and ``skipped_scores`` had nothing to say.
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
    blocked: dict[int, Status] = field(default_factory=dict)
    """Rows that reject the pod once the nominated pods it must yield to are counted as running there, and why."""
    nominated_status: Status | None = None
    """Why the pod's nominated node, looked at before all others and whatever PreFilter says, does not fit."""
    via_nominated: bool = False
    """The pod's nominated node fits and is therefore the only one looked at."""
    notes: tuple[str, ...] = ()
    """What was left out of the cluster and might surprise, in sentences."""

    def rejections(self) -> pd.DataFrame:
        """One row per node and plugin that rejects it: node, plugin, code, reason; several reasons joined by "; ".

        Every node that is not feasible has a row. "PreFilter" is named where several plugins narrowed the search.
        """
        rows = [
            (self.nodes[row], plugin, status.code.value, "; ".join(status.reasons))
            for plugin, statuses in (self._pre_filter_statuses() | self.statuses).items()
            for row, status in enumerate(statuses)
            if status is not None and (self.considered[row] or plugin not in self.statuses)
        ]
        frame = pd.DataFrame(rows, columns=["node", "plugin", "code", "reason"])
        return frame.sort_values(["node", "plugin"], kind="stable", ignore_index=True)

    def _pre_filter_statuses(self) -> dict[str, list[Status | None]]:
        """What PreFilter said, in the form of ``statuses``."""
        status = self.pre_filter.status
        if status is not None:
            return {status.plugin or "PreFilter": [status] * len(self.nodes)}
        left_out = Status(Code.UNSCHEDULABLE_AND_UNRESOLVABLE, ("left out of the search by PreFilter",))
        return {"PreFilter": [None if kept else left_out for kept in self.considered]}

    def ranking(self) -> pd.DataFrame:
        """One row per feasible node, best first: node, total, and a column per Score plugin with its points.

        Points are the normalised score times the weight; they add up to the total.
        """
        columns: dict[str, Any] = {"node": [self.nodes[row] for row in np.flatnonzero(self.feasible)]}
        columns["total"] = self.totals
        columns |= {detail.plugin: detail.weighted for detail in self.scores}
        frame = pd.DataFrame(columns)
        return frame.sort_values(["total", "node"], ascending=[False, True], kind="stable", ignore_index=True)

    def score_table(self) -> pd.DataFrame:
        """One row per feasible node (best first) and Score plugin: node, plugin, raw, normalized, weight, points."""
        rows = [self.nodes[row] for row in np.flatnonzero(self.feasible)]
        position = {name: i for i, name in enumerate(rows)}
        cells = [
            (node, d.plugin, d.raw[position[node]].item(), int(d.normalized[position[node]]), d.weight)
            for node in self.ranking()["node"]
            for d in self.scores
        ]
        frame = pd.DataFrame(cells, columns=["node", "plugin", "raw", "normalized", "weight"])
        return frame.assign(points=frame["normalized"] * frame["weight"])


@judging
def explain(framework: Framework, pod: PodView, cycle: Cycle | None = None) -> Explanation:
    """Ask every plugin of ``framework`` about ``pod`` on every node of its table."""
    cycle = cycle or framework.new_cycle(pod)
    entry = framework.signatures.entry(pod)
    outcome = framework._pre_filter(entry, cycle, pod)
    ask = framework._ask(entry, cycle, pod)
    table = framework.table
    what_if = framework.what_if(entry, cycle, pod, outcome)
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
    blocked: dict[int, Status] = {}
    nominated = None
    if outcome.status is None:
        with suppress(ExtenderError):  # asked about all nodes below, it fails there
            nominated = framework._evaluate_nominated_node(entry, cycle, pod, outcome)
        if framework.nominator.concerns(pod):
            ids = framework.nominated_verdicts(what_if, entry)
            blocked = {row: framework.verdicts[ids[row]].status for row in np.flatnonzero(ids).tolist()}
            feasible &= ids == PASSES
    via_nominated = nominated is not None and nominated.count > 0
    nominated_status = None
    if nominated is not None and not via_nominated:
        nominated_status = framework.verdicts[int(nominated.first[0])].status
    if via_nominated:
        feasible = np.array([name == pod.pod.status.nominated_node_name for name in names], dtype=np.bool_)
    else:
        _ask_extenders(framework, pod, statuses, feasible)
    rows = np.flatnonzero(feasible)
    wanted = framework.wanted_scores(entry, ask, rows) if len(rows) else []
    details: list[ScoreDetail] = []
    for plugin, weight in wanted:
        raw = raw_rows(table, rows, plugin, ask(plugin))
        details.append(ScoreDetail(plugin.name, weight, raw, normalized_rows(table, rows, plugin, ask(plugin), raw)))
    if len(rows) > 1:
        given = framework._extenders.scores(pod, [table.nodes[row] for row in rows.tolist()])
        details += [ScoreDetail(one.name, one.weight, one.raw, one.normalized) for one in given]
    names_wanted = {plugin.name for plugin, _ in wanted}
    skipped = [plugin.name for plugin, _ in framework._scores if plugin.name not in names_wanted]
    totals = np.full(len(rows), framework.base, dtype=np.int64)
    for detail in details:
        totals += detail.weighted
    decision = framework.schedule(pod, cycle, top=5)
    return Explanation(
        pod,
        names,
        outcome,
        considered,
        statuses,
        feasible,
        tuple(skipped),
        tuple(details),
        totals,
        decision,
        blocked,
        nominated_status,
        via_nominated,
    )


def _ask_extenders(
    framework: Framework, pod: PodView, statuses: dict[str, list[Status | None]], feasible: BoolArray
) -> None:
    """Let the extenders narrow ``feasible``, in place; ``statuses`` gains a list for each that rejects a node."""
    rows = np.flatnonzero(feasible).tolist()
    if not rows:
        return
    try:
        said = framework._extenders.narrow(pod, [framework.table.nodes[row] for row in rows])
    except ExtenderError as error:
        said = [Status.error(str(error)).by(EXTENDER)] * len(rows)
    for row, status in zip(rows, said, strict=True):
        if status is not None:
            feasible[row] = False
            worded = status if status.reasons else replace(status, reasons=("left out without a reason",))
            statuses.setdefault(status.plugin, [None] * framework.table.n)[row] = worded


def explain_objects(
    objects: Iterable[KubeObject],
    pod_name: str,
    configuration: SchedulerConfiguration | None = None,
    *,
    seed: int = 0,
) -> Explanation:
    """Explain where ``pod_name`` ("namespace/name"; a bare name is in "default") goes in the cluster of ``objects``.

    Nodes, bound pods and all that is neither (claims, services, ...) make up the cluster. Other pending pods are left
    out, and so is the pod itself where it is already bound: the answer then says why it is (or would no longer be)
    where it is. Raises InputError if an object is invalid, or there is no such pod, no node, or no profile for it.
    """
    listed = _checked(objects)
    classes = {obj.name: obj.value or 0 for obj in listed if isinstance(obj, PriorityClass)}
    pods = {PodView(pod).key: _with_priority(pod, classes) for pod in listed if isinstance(pod, Pod)}
    pod = _the_pod(pods, pod_name if "/" in pod_name else f"default/{pod_name}")
    profile = _profile_of(pod, configuration or default_configuration())
    table = NodeTable()
    for obj in listed:
        if isinstance(obj, Node):
            table.add_node(obj)
        elif isinstance(obj, Namespace):
            table.namespaces.put(obj.name, obj.metadata.labels)
    if not table.n:
        raise InputError("there is no Node in the manifests", hint="add them: kubectl get nodes -o yaml")
    notes = _fill(table, [other for other in pods.values() if other is not pod])
    unbound = pod.replaced(spec=pod.spec.replaced(node_name=None)) if pod.spec.node_name else pod
    others = Listers(obj for obj in listed if not isinstance(obj, (Node, Pod, Namespace)))
    return replace(explain(Framework(profile, table, seed=seed, objects=others), PodView(unbound)), notes=notes)


def _checked(objects: Iterable[KubeObject]) -> list[KubeObject]:
    """The objects as the api-server would hold them; InputError for what it would refuse."""
    listed = [default(obj) for obj in objects]
    seen: set[tuple[str, str]] = set()
    for obj in listed:
        validate(obj)
        if (obj.KIND, obj.key) in seen:
            raise InputError(f"{obj.KIND} {obj.key} is given twice", hint="each object may stand in one manifest only")
        seen.add((obj.KIND, obj.key))
    return listed


def _the_pod(pods: Mapping[str, Pod], name: str) -> Pod:
    if name not in pods:
        guess = nearest(name, pods)
        hint = f"did you mean {guess!r}?" if guess else "pods there: " + (", ".join(sorted(pods)[:10]) or "none")
        raise InputError(f"there is no pod {name!r} in the manifests", hint=hint)
    return pods[name]


def _profile_of(pod: Pod, configuration: SchedulerConfiguration) -> Profile:
    wanted = pod.spec.scheduler_name or ""
    profile = configuration.profile(wanted)
    if profile is None:
        known = ", ".join(repr(p.scheduler_name) for p in configuration.profiles)
        raise InputError(
            f"pod {PodView(pod).key!r} wants scheduler {wanted!r}, which has no profile",
            hint=f"profiles are for: {known}",
        )
    return profile


def _fill(table: NodeTable, others: Iterable[Pod]) -> tuple[str, ...]:
    """Count the bound pods; returns a sentence about each group of pods that is not counted."""
    pending: list[str] = []
    astray: list[str] = []
    seen: dict[str, str] = {}
    for other in others:
        view = PodView(other)
        if view.uid in seen:
            raise InputError(f"pods {seen[view.uid]} and {view.key} have the same metadata.uid {view.uid!r}")
        seen[view.uid] = view.key
        if other.status.phase in FINISHED:
            continue
        if not other.spec.node_name:
            pending.append(view.key)
        elif other.spec.node_name not in table.index:
            astray.append(view.key)
        else:
            table.add_pod(view, other.spec.node_name)
    sentences = {
        "{n} left out because pending: {names}": pending,
        "{n} left out because the node is not in the manifests: {names}": astray,
    }
    return tuple(
        sentence.format(n=f"{len(keys)} pod{'s' if len(keys) > 1 else ''}", names=_first(sorted(keys)))
        for sentence, keys in sentences.items()
        if keys
    )


def _first(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _with_priority(pod: Pod, classes: Mapping[str, int]) -> Pod:
    """The priority admission would have resolved from the class, where the manifest only names the class."""
    name = pod.spec.priority_class_name
    if pod.spec.priority is not None or not name or name not in classes:
        return pod
    return pod.replaced(spec=pod.spec.replaced(priority=classes[name]))
