"""Subresources that are more than a part of the object: binding and eviction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ksched.cluster.apiserver import errors
from ksched.cluster.apiserver.strategies import FAILED, PENDING, SUCCEEDED
from ksched.cluster.clock import Clock
from ksched.objects.base import IdentityCache
from ksched.objects.meta import Condition
from ksched.objects.pod import Binding, Pod, PodSpec
from ksched.objects.policy import PodDisruptionBudget
from ksched.objects.selectors import LabelSelectorMatcher

# Pods of one template on one node share their spec too.
_BOUND: IdentityCache[PodSpec, dict[str, PodSpec]] = IdentityCache()
_MAX_NODES_PER_SPEC = 20_000


def binding(request: Binding, clock: Clock) -> Callable[[Pod], Pod]:
    """The change a Binding makes to its pod (pkg/registry/core/pod/storage, assignPod)."""
    name, node = request.name, request.target.name
    wanted_uid = request.metadata.uid

    def refuse(why: str) -> errors.ApiError:
        return errors.conflict("pods/binding", name, why)

    def change(pod: Pod) -> Pod:
        if not node:
            raise errors.invalid("Binding", name, "target.name: Required value")
        if wanted_uid and wanted_uid != pod.metadata.uid:
            raise refuse(
                f"Precondition failed: UID in precondition: {wanted_uid}, UID in object meta: {pod.metadata.uid}"
            )
        if pod.metadata.deletion_timestamp is not None:
            raise refuse(f"pod {name} is being deleted, cannot be assigned to a host")
        if pod.spec.node_name:
            raise refuse(f'pod {name} is already assigned to node "{pod.spec.node_name}"')
        if pod.spec.scheduling_gates:
            raise refuse(f"pod {name} has non-empty .spec.schedulingGates")
        status = pod.status.replaced(conditions=_scheduled(pod.status.conditions, clock.timestamp()))
        spec = bound_spec(pod.spec, node)
        if not request.metadata.annotations:
            return pod.replaced(spec=spec, status=status)
        annotations = pod.metadata.annotations | request.metadata.annotations
        return pod.replaced(metadata=pod.metadata.replaced(annotations=annotations), spec=spec, status=status)

    return change


def bound_spec(spec: PodSpec, node: str) -> PodSpec:
    """``spec`` with its node, the same object for the same spec and node."""
    by_node = _BOUND.get(spec)
    if by_node is None:
        by_node = _BOUND.put(spec, {})
    bound = by_node.get(node)
    if bound is None:
        if len(by_node) >= _MAX_NODES_PER_SPEC:
            by_node.clear()
        bound = by_node[node] = spec.replaced(node_name=node)
    return bound


_SCHEDULED_AT: dict[str, tuple[Condition, ...]] = {}


def _scheduled(conditions: tuple[Condition, ...], now: str) -> tuple[Condition, ...]:
    if not conditions:
        shared = _SCHEDULED_AT.get(now)
        if shared is None:
            _SCHEDULED_AT.clear()  # time only goes on; one moment is all that is ever asked for again
            shared = _SCHEDULED_AT[now] = (Condition(type="PodScheduled", status="True", last_transition_time=now),)
        return shared
    scheduled = Condition(type="PodScheduled", status="True", last_transition_time=now)
    return (*(c for c in conditions if c.type != "PodScheduled"), scheduled)


def budget_of(pod: Pod, budgets: Sequence[PodDisruptionBudget]) -> PodDisruptionBudget | None:
    """The disruption budget an eviction of ``pod`` has to ask, if any. Raises ApiError 500 when there are several.

    Pods that have ended or have not started are evicted without asking (pkg/registry/core/pod/storage/eviction.go).
    """
    if pod.status.phase in (SUCCEEDED, FAILED, PENDING) or pod.metadata.deletion_timestamp is not None:
        return None
    found = [
        b
        for b in budgets
        if b.spec.selector is not None and LabelSelectorMatcher(b.spec.selector).matches(pod.metadata.labels)
    ]
    if len(found) > 1:
        raise errors.ApiError(
            500,
            "InternalError",
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        )
    return found[0] if found else None


def take_disruption(pod_name: str, clock: Clock) -> Callable[[PodDisruptionBudget], Any]:
    """Spend one of the disruptions a budget allows; 429 when none is left or its status is out of date."""

    def change(budget: PodDisruptionBudget) -> PodDisruptionBudget:
        status = budget.status
        allowed = status.disruptions_allowed or 0
        if (status.observed_generation or 0) < (budget.metadata.generation or 0) or allowed <= 0:
            raise errors.too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.")
        disrupted = status.disrupted_pods | {pod_name: clock.timestamp()}
        return budget.replaced(status=status.replaced(disruptions_allowed=allowed - 1, disrupted_pods=disrupted))

    return change
