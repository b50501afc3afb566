"""Evaluating conformance cases: what ksched says, in the form of what kube-scheduler said.

A case is one cluster and one pod (``evaluate_case``) or one cluster and many pods, one after another
(``evaluate_trajectory``); the form of both is in tests/conformance/data/FORMAT.md. Every plugin is asked through the
framework, on every node, without stopping at the first rejection.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ksched.errors import InputError
from ksched.framework import Cycle, Framework, TieBreak, load_configuration
from ksched.framework.explain import Explanation, explain
from ksched.framework.listers import Listers
from ksched.framework.status import Code, Status
from ksched.objects import KINDS, Namespace, Node, Pod, default, parse
from ksched.tables import NodeTable, PodView
from ksched.testing.probe import Probe

FINISHED = ("Succeeded", "Failed")
"""Phases in which kube-scheduler does not see a pod."""

PREEMPTION = "DefaultPreemption"
Case = Mapping[str, Any]

OTHERS = {
    "services": "Service",
    "replicaSets": "ReplicaSet",
    "replicationControllers": "ReplicationController",
    "statefulSets": "StatefulSet",
    "pvs": "PersistentVolume",
    "pvcs": "PersistentVolumeClaim",
    "storageClasses": "StorageClass",
    "csiNodes": "CSINode",
    "csiDrivers": "CSIDriver",
    "csiStorageCapacities": "CSIStorageCapacity",
    "pdbs": "PodDisruptionBudget",
}
"""Keys of a case that hold objects beside nodes, pods and namespaces, and their kinds."""


def read_cases(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a ``.jsonl.gz`` file of cases: {"case": ..., "expect": ...} each. InputError names the bad line."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise InputError(f"not a JSON object: {error}", where=f"{path}:{number}") from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read as gzip'ed JSON lines: {error}", where=str(path)) from None


class CaseScheduler:
    """The framework of a case's profile over a table of its cluster; ``without`` names plugins to leave out."""

    def __init__(self, case: Case, *, without: Collection[str] = ()) -> None:
        self.table = NodeTable()
        self._by_spec: dict[str, Pod] = {}
        for node in case.get("nodes", ()):
            self.table.add_node(_object("Node", node, Node))
        for namespace in case.get("namespaces", ()):
            made = _object("Namespace", namespace, Namespace)
            self.table.namespaces.put(made.name, made.metadata.labels)
        self.objects = Listers(
            _object(kind, manifest, KINDS[kind])
            for key, kind in OTHERS.items()
            if kind in KINDS
            for manifest in case.get(key, ())
        )
        for pod in case.get("pods", ()):
            if pod.get("status", {}).get("phase") not in FINISHED:
                self.place(self.pod(pod), pod["spec"]["nodeName"])
        profile = _profile(case.get("profile") or {}, without)
        configuration = load_configuration({"profiles": [profile]}, where=f"case {case.get('id')}: profile")
        self.framework = Framework(configuration.profiles[0], self.table, tie_break=TieBreak.NAME, objects=self.objects)
        for pod in case.get("nominatedPods", ()):
            self.framework.nominator.add(self.pod(pod))

    def pod(self, manifest: Mapping[str, Any]) -> PodView:
        """A pod of the case after the api-server's defaulting."""
        spec = json.dumps(manifest["spec"], sort_keys=True)
        pod = self._by_spec.get(spec)
        if pod is None:
            pod = self._by_spec[spec] = _object("Pod", manifest, Pod)
        else:
            # Pods of one template share their spec, as they do in a cluster: signatures go by it.
            bare = _object("Pod", {**manifest, "spec": {}}, Pod)
            pod = pod.replaced(metadata=bare.metadata, status=bare.status)
        return PodView(pod)

    def place(self, pod: PodView, node: str) -> None:
        """Count ``pod`` on ``node``."""
        self.table.add_pod(pod, node)

    def answer(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """The answer about the pod of ``manifest`` in the form of ``expect``."""
        pod = self.pod(manifest)
        gated = self.framework.pre_enqueue(pod)
        if gated is not None:
            return {"gated": gated.reasons[0], "feasible": [], "best": [], "preemption": None}
        cycle = self.framework.new_cycle(pod)
        said = explain(self.framework, pod, cycle)
        answer: dict[str, Any] = {"preFilter": _pre_filter(said)}
        if said.pre_filter.status is None:
            answer["filter"] = _filters(said)
        rejected = _rejected_by(said)
        if rejected:
            answer["rejectedBy"] = rejected
        if said.via_nominated:
            answer["viaNominatedNode"] = True
        elif blocked := _blocked(said):
            answer["blockedByNominatedPods"] = blocked
        feasible = [said.nodes[row] for row in np.flatnonzero(said.feasible)]
        answer["feasible"] = sorted(feasible)
        if feasible:
            answer |= _scores(said, feasible)
            answer["weights"] = self.weights()
        answer["best"] = _best(answer.get("total", {}))
        answer["preemption"] = None if feasible else self._preemption(cycle, pod)
        return answer

    def _preemption(self, cycle: Cycle, pod: PodView) -> dict[str, Any] | None:
        """What preemption could do for a pod that fits nowhere, None without the plugin."""
        if not any(enabled.plugin.name == PREEMPTION for enabled in self.framework.profile.points["postFilter"]):
            return None
        rejected = self.framework.rejected(cycle, pod)
        cycle.plugin = PREEMPTION
        said = self.framework.plugins[PREEMPTION].analyse(cycle, pod, rejected)
        best = sorted(rejected.name(row) for row in said.best)
        answer = {
            "eligible": said.ineligible is None,
            "potentialNodes": sorted(rejected.name(row) for row in said.rows),
            "candidates": sorted(
                (
                    {
                        "node": rejected.name(candidate.row),
                        "victims": [_victim(victim, pod) for victim in candidate.victims],
                        "numPDBViolations": candidate.violations,
                    }
                    for candidate in said.candidates
                ),
                key=lambda candidate: str(candidate["node"]),
            ),
            "nodeStatus": {rejected.name(row): _verdict(status) for row, status in sorted(said.statuses)},
            "bestNodes": best,
            "nominatedNode": best[0] if best else None,
        }
        if said.ineligible is not None:
            answer["ineligibleReason"] = said.ineligible
        if said.decided_by:
            answer["decidedBy"] = said.decided_by
        return answer

    def weights(self) -> dict[str, int]:
        """Weight of every enabled Score plugin."""
        points = self.framework.profile.points["score"]
        return {enabled.plugin.name: enabled.weight for enabled in sorted(points, key=lambda e: e.plugin.name)}

    def scores_of(self, pod: PodView, nodes: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Raw and normalised scores by plugin as if exactly ``nodes`` were feasible, whatever the filters say."""
        rows = np.array([self.table.index[name] for name in nodes], dtype=np.intp)
        raw, normalized = {}, {}
        for name in self.weights():
            probe = Probe(self.framework.plugins[name], self.objects)
            scores = probe.normalized(self.table, pod, rows)
            if scores is not None:
                normalized[name] = scores
                raw[name] = probe.raw(self.table, pod, rows)
        return raw, normalized


def evaluate_case(case: Case, *, without: Collection[str] = ()) -> dict[str, Any]:
    """ksched's answer to a single decision, in the form of ``expect``.

    ``without`` names plugins of the profile that are left out, as if it disabled them.
    """
    return {"id": case.get("id"), **CaseScheduler(case, without=without).answer(case["pod"])}


def evaluate_trajectory(
    case: Case, nodes: Sequence[str | None] | None = None, *, without: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """One answer per pod of ``case["sequence"]``, in the form of ``expect["steps"]``.

    ``nodes`` says where each pod is put for the later steps (the reference's choice, to localise an error); by default
    it is put where this answer says.
    """
    scheduler = CaseScheduler(case, without=without)
    for number, manifest in enumerate(case["sequence"]):
        pod = scheduler.pod(manifest)
        decision = scheduler.framework.schedule(pod, top=scheduler.table.n)
        step: dict[str, Any] = {"pod": pod.name, "feasible": decision.feasible, "best": [], "node": decision.node}
        if decision.score is not None:
            step["best"] = sorted(c.node for c in decision.top if c.total == decision.score)
            step["total"] = decision.score
        yield step
        node = decision.node if nodes is None else nodes[number]
        if node is not None:
            scheduler.place(pod, node)


def _object(kind: str, manifest: Mapping[str, Any], cls: type[Any]) -> Any:
    made = default(parse({**manifest, "apiVersion": KINDS[kind].API_VERSION, "kind": kind}, where=kind))
    assert isinstance(made, cls)
    return made


def _profile(profile: Mapping[str, Any], without: Collection[str]) -> dict[str, Any]:
    """The profile with every mention of the plugins ``without`` removed."""
    kept = dict(profile)
    if "pluginConfig" in kept:
        kept["pluginConfig"] = [entry for entry in kept["pluginConfig"] if entry["name"] not in without]
    if "plugins" in kept:
        kept["plugins"] = {
            point: {
                change: [entry for entry in entries if entry["name"] not in without]
                for change, entries in changes.items()
            }
            for point, changes in kept["plugins"].items()
        }
    return kept


def _pre_filter(said: Explanation) -> dict[str, Any]:
    outcome = said.pre_filter
    names = None if outcome.node_names is None else sorted(outcome.node_names)
    answer: dict[str, Any] = {"code": Code.SUCCESS.value, "nodeNames": names, "skipped": sorted(outcome.skipped)}
    if outcome.status is not None:
        answer |= {
            "code": outcome.status.code.value,
            "reason": ", ".join(outcome.status.reasons),
            "plugin": outcome.status.plugin,
        }
    return answer


def _filters(said: Explanation) -> dict[str, dict[str, Any]]:
    return {
        plugin: {said.nodes[row]: _verdict(statuses[row]) for row in np.flatnonzero(said.considered).tolist()}
        for plugin, statuses in sorted(said.statuses.items())
    }


def _verdict(status: Status | None) -> dict[str, Any] | None:
    return None if status is None else {"code": status.code.value, "reasons": sorted(status.reasons)}


def _rejected_by(said: Explanation) -> dict[str, str]:
    """The first plugin, in the order filters run, that rejects each node."""
    if said.pre_filter.status is not None:
        return dict.fromkeys(sorted(said.nodes), said.pre_filter.status.plugin)
    if said.via_nominated:
        return {}
    rejected = {}
    for row in np.flatnonzero(said.considered & ~said.feasible).tolist():
        blocked = said.blocked.get(row)
        rejected[said.nodes[row]] = (
            blocked.plugin
            if blocked is not None
            else next(name for name, statuses in said.statuses.items() if statuses[row])
        )
    if said.nominated_status is not None:
        rejected[said.pod.pod.status.nominated_node_name or ""] = said.nominated_status.plugin
    return dict(sorted(rejected.items()))


def _blocked(said: Explanation) -> list[str]:
    """Nodes that only the nominated pods there keep from running the pod."""
    return sorted(
        said.nodes[row]
        for row in said.blocked
        if said.considered[row] and not any(statuses[row] for statuses in said.statuses.values())
    )


def _victim(victim: PodView, preemptor: PodView) -> str:
    return victim.name if victim.namespace == preemptor.namespace else victim.key


def _scores(said: Explanation, feasible: Sequence[str]) -> dict[str, Any]:
    def by_node(values: Any) -> dict[str, int]:
        return dict(sorted(zip(feasible, values.tolist(), strict=True)))

    return {
        "scoreSkipped": sorted(said.skipped_scores),
        "scoreRaw": {detail.plugin: by_node(detail.raw) for detail in said.scores},
        "scoreNormalized": {detail.plugin: by_node(detail.normalized) for detail in said.scores},
        # Without any Score plugin kube-scheduler gives every node one point.
        "total": by_node(said.totals if said.scores or said.skipped_scores else np.ones(len(feasible), dtype=int)),
    }


def _best(total: Mapping[str, int]) -> list[str]:
    return sorted(node for node, points in total.items() if points == max(total.values()))
