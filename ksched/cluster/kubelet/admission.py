"""Whether a node takes a pod that was bound to it: the resource part of the scheduler's own rules, checked once more.

Upstream: pkg/kubelet/lifecycle/predicate.go. Two schedulers, or one with an outdated picture, can bind more to a node
than it holds; the kubelet then fails the pod with reason ``OutOf<resource>``.
"""

from __future__ import annotations

from collections.abc import Mapping

from ksched.objects.base import IdentityCache
from ksched.objects.node import Node
from ksched.objects.pod import Container, PodSpec
from ksched.objects.resources import PODS, amount, pod_requests


class Capacity:
    """Allocatable and used resources of one node, in the units of :func:`ksched.objects.resources.amount`."""

    def __init__(self, node: Node) -> None:
        self._used: dict[str, int] = {}
        self._pods = 0
        self.allocatable: dict[str, int] = {}
        self.update(node)

    def update(self, node: Node) -> None:
        """The node has changed."""
        self.allocatable = {name: amount(name, quantity) for name, quantity in node.status.allocatable.items()}

    def refusal(self, requests: Mapping[str, int]) -> tuple[str, str] | None:
        """(reason, message) if a pod with these requests does not fit, else None."""
        limit = self.allocatable.get(PODS)
        if limit is not None and self._pods + 1 > limit:
            return _out_of(PODS, 1, self._pods, limit)
        for name, requested in requests.items():
            if requested == 0:
                continue
            used, capacity = self._used.get(name, 0), self.allocatable.get(name, 0)
            if requested > capacity - used:
                return _out_of(name, requested, used, capacity)
        return None

    def take(self, requests: Mapping[str, int]) -> None:
        """A pod with these requests runs here."""
        self._pods += 1
        for name, requested in requests.items():
            self._used[name] = self._used.get(name, 0) + requested

    def give_back(self, requests: Mapping[str, int]) -> None:
        """It does no longer."""
        self._pods -= 1
        for name, requested in requests.items():
            self._used[name] -= requested


def _out_of(name: str, requested: int, used: int, capacity: int) -> tuple[str, str]:
    numbers = f"requested: {requested}, used: {used}, capacity: {capacity}"
    return f"OutOf{name}", f"Node didn't have enough resource: {name}, {numbers}"


_REQUESTS: IdentityCache[tuple[Container, ...], tuple[PodSpec, dict[str, int]]] = IdentityCache()


def requests_of(spec: PodSpec) -> Mapping[str, int]:
    """``pod_requests(spec)``, computed once per template: binding changes the spec, but not its containers."""
    known = _REQUESTS.get(spec.containers)
    if known is not None:
        other, requests = known
        if other.init_containers is spec.init_containers and other.overhead is spec.overhead:
            return requests
    requests = dict(pod_requests(spec))
    _REQUESTS.put(spec.containers, (spec, requests))
    return requests
