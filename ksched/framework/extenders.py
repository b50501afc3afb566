"""Scheduler extenders: webhooks that filter, prioritise, preempt and bind beside the plugins.

Upstream: pkg/scheduler/extender.go and k8s.io/kube-scheduler/extender/v1. What an extender answers is its own affair: a
run with one is as repeatable as the extender is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ksched.framework.configuration import ExtenderSpec
from ksched.framework.extender_transport import ExtenderError, transport
from ksched.framework.status import Status
from ksched.objects import Node
from ksched.tables import PodView
from ksched.tables.arrays import Int64Array

EXTENDER = "Extender"
"""Named as the plugin where an extender rejected nodes: any event makes such a pod worth another try."""
_MAX_PRIORITY = 10
_MAX_SCORE = 100


class Filtered(NamedTuple):
    """Names of the nodes that remain, and why others do not; nodes in neither are gone without a word."""

    names: frozenset[str]
    failed: Mapping[str, str]
    unresolvable: Mapping[str, str]


class Scores(NamedTuple):
    """What an extender gave each of some nodes: ``raw`` int64, 0..10 where it keeps to the rules."""

    name: str
    weight: int
    raw: Int64Array

    @property
    def normalized(self) -> Int64Array:
        """``raw`` on a plugin's scale of 0..100."""
        return self.raw * (_MAX_SCORE // _MAX_PRIORITY)

    @property
    def points(self) -> Int64Array:
        """What to add to the totals."""
        return self.normalized * self.weight


class Victims(NamedTuple):
    """Pods to evict from a node, the most important first, of which ``violations`` break a disruption budget."""

    pods: tuple[PodView, ...]
    violations: int


PodsOn = Callable[[str], Iterable[PodView] | None]
"""The pods on a node by its name, None if there is no such node."""


class Extender:
    """One configured extender, called by its ``urlPrefix``."""

    def __init__(self, spec: ExtenderSpec) -> None:
        self.spec = spec
        self.name = spec.url_prefix
        self._managed = frozenset(resource.name for resource in spec.managed_resources)
        self._send = transport(spec)

    def interested(self, pod: PodView) -> bool:
        """Whether it is asked about ``pod``: always, or if a container names one of its resources."""
        if not self._managed:
            return True
        containers = (*pod.spec.containers, *pod.spec.init_containers)
        named = (c.resources for c in containers if c.resources is not None)
        return any(not self._managed.isdisjoint({*r.requests, *r.limits}) for r in named)

    def filter(self, pod: PodView, nodes: Sequence[Node]) -> Filtered:
        """Which of ``nodes`` can run the pod."""
        answer = self._ask(self.spec.filter_verb, self._args(pod, nodes))
        if answer.get("error"):
            raise ExtenderError(str(answer["error"]))
        known = {node.metadata.name or "" for node in nodes}
        names = frozenset(_names(answer, by_name=self.spec.node_cache_capable))
        if not names <= known:
            stranger = min(names - known)
            raise ExtenderError(
                f"extender {self.spec.url_prefix} names node {stranger!r}, which it was not asked about"
            )
        return Filtered(
            names, dict(answer.get("failednodes") or {}), dict(answer.get("failedandunresolvablenodes") or {})
        )

    def prioritize(self, pod: PodView, nodes: Sequence[Node]) -> dict[str, int]:
        """Score per node name."""
        answer = self._send(self.spec.prioritize_verb, self._args(pod, nodes))
        if not isinstance(answer, list):
            raise ExtenderError(f"expected a list of hosts and scores, got {type(answer).__name__}")
        scores: dict[str, int] = {}
        for entry in answer:
            fields = _lowered(entry)
            try:
                host, score = str(fields["host"]), int(fields["score"])
            except (KeyError, TypeError, ValueError):
                raise ExtenderError(f"expected a host and its score, got {entry!r}") from None
            scores[host] = scores.get(host, 0) + score
        return scores

    def preempt(self, pod: PodView, offered: Mapping[str, Victims], pods_on: PodsOn) -> dict[str, Victims]:
        """Which of the ``offered`` nodes may be cleared for ``pod``, and the victims there as the extender wants them.

        Upstream: HTTPExtender.ProcessPreemption. An answer may name other pods of a node, and other nodes.
        """
        meta = self.spec.node_cache_capable
        listed = {
            name: {
                "Pods": [{"UID": victim.uid} if meta else victim.pod.to_dict() for victim in victims.pods],
                "NumPDBViolations": victims.violations,
            }
            for name, victims in offered.items()
        }
        args = {
            "Pod": pod.pod.to_dict(),
            "NodeNameToVictims": None if meta else listed,
            "NodeNameToMetaVictims": listed if meta else None,
        }
        named = self._ask(self.spec.preempt_verb, args).get("nodenametometavictims") or {}
        if not isinstance(named, Mapping):
            raise ExtenderError(f"expected NodeNameToMetaVictims to be an object, got {type(named).__name__}")
        left = {str(name): self._victims(str(name), _lowered(said or {}), pods_on) for name, said in named.items()}
        for name in sorted(name for name, victims in left.items() if not victims.pods):
            if not self.spec.ignorable:
                raise ExtenderError(f'expected at least one victim pod on node "{name}"')
            del left[name]
        return left

    def _victims(self, node_name: str, said: Mapping[str, Any], pods_on: PodsOn) -> Victims:
        there = pods_on(node_name)
        if there is None:
            raise ExtenderError(f"extender {self.name} names node {node_name!r}, which does not exist")
        by_uid = {pod.uid: pod for pod in there}
        pods = []
        for entry in said.get("pods") or ():
            uid = str(_lowered(entry).get("uid"))
            if uid not in by_uid:
                raise ExtenderError(
                    f"extender {self.name} claims to preempt pod (UID: {uid}) on node {node_name}, "
                    "but the pod is not found on that node"
                )
            pods.append(by_uid[uid])
        violations = said.get("numpdbviolations") or 0
        if not isinstance(violations, int):
            raise ExtenderError(f"expected NumPDBViolations to be an integer, got {violations!r}")
        return Victims(tuple(pods), violations)

    def bind(self, pod: PodView, node_name: str) -> None:
        """Tell the extender to bind; it answers when it has."""
        args = {"PodName": pod.name, "PodNamespace": pod.namespace, "PodUID": pod.uid, "Node": node_name}
        answer = self._ask(self.spec.bind_verb, args)
        if answer.get("error"):
            raise ExtenderError(str(answer["error"]))

    def _args(self, pod: PodView, nodes: Sequence[Node]) -> dict[str, Any]:
        """ExtenderArgs; its Go struct has no JSON tags, so the keys are capitalised while the objects' are not."""
        args: dict[str, Any] = {"Pod": pod.pod.to_dict(), "Nodes": None, "NodeNames": None}
        if self.spec.node_cache_capable:
            args["NodeNames"] = [node.metadata.name for node in nodes]
        else:
            args["Nodes"] = {"metadata": {}, "items": [node.to_dict() for node in nodes]}
        return args

    def _ask(self, verb: str, args: dict[str, Any]) -> dict[str, Any]:
        return _lowered(self._send(verb, args))


def _names(answer: Mapping[str, Any], *, by_name: bool) -> list[str]:
    if by_name and answer.get("nodenames") is not None:
        return [str(name) for name in answer["nodenames"]]
    items = (answer.get("nodes") or {}).get("items") or ()
    return [str(item["metadata"]["name"]) for item in items]


def _lowered(answer: Any) -> dict[str, Any]:
    """An object's entries by lower-case key: Go's decoder does not mind the case."""
    if not isinstance(answer, Mapping):
        raise ExtenderError(f"expected a JSON object, got {type(answer).__name__}")
    return {str(key).lower(): value for key, value in answer.items()}


class Extenders:
    """All extenders of a configuration, asked one after another."""

    def __init__(self, specs: Iterable[ExtenderSpec]) -> None:
        self._extenders = [Extender(spec) for spec in specs]

    def __bool__(self) -> bool:
        return bool(self._extenders)

    def narrow(self, pod: PodView, nodes: Sequence[Node]) -> list[Status | None]:
        """Of each of ``nodes``, all of which pass the filters, None or who rejects it and why (upstream:
        findNodesThatPassExtenders). ExtenderError where one fails that is not ignorable."""
        out: list[Status | None] = [None] * len(nodes)
        for extender in self._extenders:
            left = [position for position, status in enumerate(out) if status is None]
            if not left or not extender.spec.filter_verb or not extender.interested(pod):
                continue
            try:
                said = extender.filter(pod, [nodes[position] for position in left])
            except ExtenderError:
                if not extender.spec.ignorable:
                    raise
                continue
            for position in left:
                name = nodes[position].metadata.name or ""
                if name not in said.names:
                    refusal = _refusal(said.failed.get(name), said.unresolvable.get(name))
                    out[position] = refusal.by(extender.name)
        return out

    def scores(self, pod: PodView, nodes: Sequence[Node]) -> list[Scores]:
        """What those that prioritise gave ``nodes``; one that fails gives nothing."""
        found = []
        for extender in self._extenders:
            if not extender.spec.prioritize_verb or not extender.interested(pod):
                continue
            try:
                given = extender.prioritize(pod, nodes)
            except ExtenderError:
                continue
            raw = np.array([given.get(node.metadata.name or "", 0) for node in nodes], dtype=np.int64)
            found.append(Scores(extender.name, extender.spec.weight, raw))
        return found

    def preempting(self, pod: PodView) -> bool:
        """Whether any has a say in preemption for ``pod``."""
        return any(extender.spec.preempt_verb and extender.interested(pod) for extender in self._extenders)

    def preempt(self, pod: PodView, offered: Mapping[str, Victims], pods_on: PodsOn) -> Mapping[str, Victims]:
        """What all leave of the ``offered`` nodes and victims, one after another (upstream: Evaluator.callExtenders).

        ExtenderError where one fails that is not ignorable.
        """
        for extender in self._extenders:
            if not offered:
                break
            if not extender.spec.preempt_verb or not extender.interested(pod):
                continue
            try:
                offered = extender.preempt(pod, offered, pods_on)
            except ExtenderError:
                if not extender.spec.ignorable:
                    raise
        return offered

    def bind(self, pod: PodView, node_name: str) -> bool:
        """Whether an extender took the binding upon itself. ExtenderError if it failed and is not ignorable."""
        for extender in self._extenders:
            if not extender.spec.bind_verb or not extender.interested(pod):
                continue
            try:
                extender.bind(pod, node_name)
            except ExtenderError:
                if not extender.spec.ignorable:
                    raise
                continue
            return True
        return False


def _refusal(failed: str | None, unresolvable: str | None) -> Status:
    """A node that is gone without a word counts as unresolvable, like any node without a status."""
    if unresolvable is None and failed is not None:
        return Status.unschedulable(failed)
    return Status.unschedulable(*([unresolvable] if unresolvable else []), resolvable=False)
