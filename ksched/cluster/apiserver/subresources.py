"""Subresources that are more than a part of the object: binding and eviction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ksched.cluster.apiserver import errors
from ksched.cluster.apiserver.sizes import Sizes
from ksched.cluster.apiserver.strategies import FAILED, PENDING, SUCCEEDED
from ksched.cluster.clock import Clock
from ksched.cluster.etcd.ops import maker
from ksched.objects.base import IdentityCache, replacing
from ksched.objects.meta import Condition, ObjectMeta
from ksched.objects.pod import Pod, PodSpec, PodStatus
from ksched.objects.policy import PodDisruptionBudget
from ksched.objects.selectors import LabelSelectorMatcher

_MAX_NODES_PER_SPEC = 20_000
_NODE_NAME_KEY = len(',"nodeName":""')

_on_node = replacing(PodSpec, "node_name")
_annotated = replacing(ObjectMeta, "annotations", "resource_version")
_with_conditions = replacing(PodStatus, "conditions")
_since = replacing(Condition, "last_transition_time")
_bound = replacing(Pod, "metadata", "spec", "status")


class Assignment(NamedTuple):
    """What a Binding says: the node, which pod by that name is meant, and what is added to its annotations."""

    node: str
    uid: str | None
    annotations: Mapping[str, str] | None


assignment = maker(Assignment)


class BoundSpecs:
    """Specs with their node, the same object for the same spec and node: pods of one template share theirs."""

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        # Per spec its size, and the copies there are by node.
        self._by_node: IdentityCache[PodSpec, tuple[int, dict[str, PodSpec]]] = IdentityCache()

    def get(self, spec: PodSpec, node: str) -> PodSpec:
        """``spec`` on ``node``."""
        known = self._by_node.entries.get(id(spec))
        size, by_node = self._by_node.put(spec, (self._sizes.of_spec(spec), {})) if known is None else known[1]
        bound = by_node.get(node)
        if bound is None:
            if len(by_node) >= _MAX_NODES_PER_SPEC:
                by_node.clear()
            bound = by_node[node] = _on_node(spec, {"node_name": node})
            self._sizes.specs.put(bound, size + len(node) + _NODE_NAME_KEY)
        return bound


def bound(name: str, wanted: Assignment, clock: Clock, specs: BoundSpecs, pod: Pod) -> Pod:
    """What a Binding makes of its pod (pkg/registry/core/pod/storage, assignPod)."""
    node, wanted_uid, annotations = wanted
    meta, spec = pod.metadata, pod.spec
    if not node:
        raise errors.invalid("Binding", name, "target.name: Required value")
    if wanted_uid and wanted_uid != meta.uid:
        raise _refused(name, f"Precondition failed: UID in precondition: {wanted_uid}, UID in object meta: {meta.uid}")
    if meta.deletion_timestamp is not None:
        raise _refused(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.node_name:
        raise _refused(name, f'pod {name} is already assigned to node "{spec.node_name}"')
    if spec.scheduling_gates:
        raise _refused(name, f"pod {name} has non-empty .spec.schedulingGates")
    merged = {**meta.annotations, **annotations} if annotations else meta.annotations
    return _bound(
        pod,
        {
            "metadata": _annotated(meta, {"annotations": merged, "resource_version": None}),
            "spec": specs.get(spec, node),
            "status": _scheduled(pod.status, clock.timestamp()),
        },
    )


def _refused(pod_name: str, why: str) -> errors.ApiError:
    return errors.conflict("pods/binding", pod_name, why)


# Copies of a validated object cost a tenth of making one.
_SCHEDULED = Condition(type="PodScheduled", status="True", last_transition_time="")
_LAST_SCHEDULED: IdentityCache[PodStatus, PodStatus] = IdentityCache(64)


def _scheduled(status: PodStatus, now: str) -> PodStatus:
    """What becomes of a status when its pod is bound: one object for pods that share theirs and are bound at once."""
    last = _LAST_SCHEDULED.get(status)
    if last is not None and last.conditions[-1].last_transition_time == now:
        return last
    others = [condition for condition in status.conditions if condition.type != "PodScheduled"]
    conditions = (*others, _since(_SCHEDULED, {"last_transition_time": now}))
    return _LAST_SCHEDULED.put(status, _with_conditions(status, {"conditions": conditions}))


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
        return budget.replaced(
            metadata=budget.metadata.replaced(resource_version=None),
            status=status.replaced(disruptions_allowed=allowed - 1, disrupted_pods=disrupted),
        )

    return change
