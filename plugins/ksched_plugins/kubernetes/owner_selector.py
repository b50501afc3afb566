"""The label selector of the group a pod belongs to, deduced from the services and the controller that select it.

Upstream: pkg/scheduler/framework/plugins/helper/spread.go DefaultSelector.
"""

from __future__ import annotations

from ksched.framework.listers import Listers
from ksched.objects import (
    LabelSelector,
    LabelSelectorMatcher,
    OwnerReference,
    ReplicaSet,
    ReplicationController,
    Service,
    StatefulSet,
)
from ksched.tables import PodView


def versions(objects: Listers) -> tuple[int, ...]:
    """Changes whenever a selector may have changed."""
    of = objects.version
    return of(Service), of(ReplicationController), of(ReplicaSet), of(StatefulSet)


def owner_selector(pod: PodView, objects: Listers) -> LabelSelectorMatcher | None:
    """The selectors of all services and of the controlling owner together; None where that is no restriction."""
    labels: dict[str, str] = {}
    for service in objects.list(Service, pod.namespace):
        selector = service.spec.selector
        # An empty selector would match and add nothing.
        if all(pod.labels.get(key) == value for key, value in selector.items()):
            labels.update(selector)
    owner = pod.pod.metadata.controller
    extra = None
    if owner is not None:
        kind, name = (owner.api_version, owner.kind), owner.name or ""
        if kind == ("v1", "ReplicationController"):
            controller = objects.get(ReplicationController, pod.namespace, name)
            labels.update((controller.spec.selector or {}) if controller else {})
        else:
            extra = _set_selector(owner, pod.namespace, objects)
    matcher = LabelSelectorMatcher(labels)
    if extra is not None:
        matcher = matcher.and_also(LabelSelectorMatcher(extra))
    return None if matcher.empty else matcher


def _set_selector(owner: OwnerReference, namespace: str, objects: Listers) -> LabelSelector | None:
    """The selector of the owning ReplicaSet or StatefulSet."""
    if owner.api_version != "apps/v1":
        return None
    found: ReplicaSet | StatefulSet | None = None
    if owner.kind == "ReplicaSet":
        found = objects.get(ReplicaSet, namespace, owner.name or "")
    elif owner.kind == "StatefulSet":
        found = objects.get(StatefulSet, namespace, owner.name or "")
    return found.spec.selector if found is not None else None
