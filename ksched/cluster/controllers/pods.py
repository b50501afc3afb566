"""What several controllers need to know about pods, and how they make them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ksched.cluster.apiserver.informer import Informer
from ksched.cluster.apiserver.strategies import FAILED, PENDING, RUNNING, SUCCEEDED
from ksched.cluster.clock import Clock
from ksched.objects.meta import KubeObject, ObjectMeta, OwnerReference
from ksched.objects.pod import Pod, PodTemplateSpec
from ksched.sim.kernel import SECOND

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


def is_finished(pod: Pod) -> bool:
    """True when the pod's containers have ended for good."""
    return pod.status.phase in (SUCCEEDED, FAILED)


def is_active(pod: Pod) -> bool:
    """True for a pod that runs or will: not finished and not being deleted."""
    return not is_finished(pod) and pod.metadata.deletion_timestamp is None


def ready_since(pod: Pod) -> str | None:
    """When the pod became ready; None while it is not."""
    for condition in pod.status.conditions:
        if condition.type == "Ready":
            return (condition.last_transition_time or "") if condition.status == "True" else None
    return None


def available_in(pod: Pod, min_ready_seconds: int, clock: Clock) -> int | None:
    """ns until the pod has been ready for ``min_ready_seconds``: 0 when it has, None while it is not ready."""
    since = ready_since(pod)
    if since is None:
        return None
    if min_ready_seconds == 0:
        return 0
    return max(clock.parse(since) + min_ready_seconds * SECOND - clock.kernel.now, 0)


def controller_reference(owner: KubeObject) -> OwnerReference:
    """The reference that makes ``owner`` the controller of an object."""
    return OwnerReference(
        api_version=owner.API_VERSION,
        kind=owner.KIND,
        name=owner.name,
        uid=owner.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )


_POD = Pod(metadata=ObjectMeta())


def pod_from_template(
    template: PodTemplateSpec, owner: KubeObject, owner_reference: OwnerReference, **metadata: Any
) -> Pod:
    """A pod of ``template`` controlled by ``owner``; the spec is the template's own object, shared by all."""
    fields: dict[str, Any] = {
        "namespace": owner.namespace,
        "generate_name": f"{owner.name}-",
        "labels": template.metadata.labels,
        "annotations": template.metadata.annotations,
        "finalizers": template.metadata.finalizers,
        "owner_references": (owner_reference,),
    }
    fields |= metadata
    return _POD.replaced(metadata=_POD.metadata.replaced(**fields), spec=template.spec)


class Dependents:
    """Objects of one kind by the uid of their controller, kept up to date by an informer.

    ``of(uid)`` are the controlled ones, ``orphans(namespace)`` those without a controller.
    """

    def __init__(self, informer: Informer[Any]) -> None:
        self._by_owner: dict[str, dict[str, Any]] = {}
        self._orphans: dict[str, dict[str, Any]] = {}
        informer.add_handler(self._put, self._update, self._drop)

    def of(self, owner_uid: str) -> list[Any]:
        """What this owner controls, in the order it became known."""
        return list(self._by_owner.get(owner_uid, {}).values())

    def orphans(self, namespace: str) -> list[Any]:
        """What nobody controls in this namespace."""
        return list(self._orphans.get(namespace, {}).values())

    def _group(self, obj: Any) -> tuple[dict[str, dict[str, Any]], str]:
        owner = obj.metadata.controller
        return (self._orphans, obj.namespace) if owner is None else (self._by_owner, owner.uid or "")

    def _put(self, obj: Any) -> None:
        groups, name = self._group(obj)
        groups.setdefault(name, {})[obj.metadata.uid] = obj

    def _update(self, old: Any, new: Any) -> None:
        if old.metadata.owner_references is not new.metadata.owner_references:
            self._drop(old)
        self._put(new)

    def _drop(self, obj: Any) -> None:
        groups, name = self._group(obj)
        group = groups.get(name)
        if group is not None:
            group.pop(obj.metadata.uid, None)
            if not group:
                del groups[name]


_PHASES = {PENDING: 0, "Unknown": 1, RUNNING: 2}


def deletion_order(pods: Iterable[Pod], clock: Clock) -> list[Pod]:
    """The order in which a controller gives pods up (controller_utils.go, ActivePodsWithRanks).

    First those without a node, then pending, unready, cheap to delete, sharing a node with more of their kind,
    ready for a shorter time, restarted more often, younger. Times count on a logarithmic scale; the uid decides
    between equals.
    """
    pods = list(pods)
    per_node: dict[str, int] = {}
    for pod in pods:
        node = pod.spec.node_name or ""
        per_node[node] = per_node.get(node, 0) + 1
    now = clock.kernel.now

    def age(time: str | None) -> int:
        return ((now - clock.parse(time)) // SECOND).bit_length() if time else 0

    def key(pod: Pod) -> tuple[Any, ...]:
        since = ready_since(pod)
        restarts = max((status.restart_count or 0 for status in pod.status.container_statuses), default=0)
        return (
            bool(pod.spec.node_name),
            _PHASES.get(pod.status.phase or "", 1),
            since is not None,
            _deletion_cost(pod),
            -per_node[pod.spec.node_name or ""],
            age(since),
            -restarts,
            age(pod.metadata.creation_timestamp),
            pod.metadata.uid,
        )

    return sorted(pods, key=key)


def _deletion_cost(pod: Pod) -> int:
    text = pod.metadata.annotations.get(DELETION_COST, "")
    try:
        return int(text)
    except ValueError:
        return 0
