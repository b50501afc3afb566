"""Watches that keep the scheduler's listers, namespaces and queue told of everything beside nodes and pods.

Upstream: pkg/scheduler/eventhandlers.go, addAllEventHandlers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ksched.cluster.apiserver.client import Client
from ksched.framework import Action, ClusterEvent
from ksched.framework import events as resources
from ksched.framework.listers import Listers
from ksched.objects import KubeObject, Namespace, PodDisruptionBudget, Service
from ksched.objects.storage import (
    CSIDriver,
    CSINode,
    CSIStorageCapacity,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
)
from ksched.objects.workloads import ReplicaSet, ReplicationController, StatefulSet
from ksched.tables import Namespaces

Moved = Callable[[ClusterEvent, Any, Any], object]

_LOOKED_UP: tuple[type[KubeObject], ...] = (
    Service,
    ReplicationController,
    ReplicaSet,
    StatefulSet,
    PodDisruptionBudget,
)
"""Kinds whose changes are no event to waiting pods."""

_EVENTFUL: dict[type[KubeObject], tuple[str, str]] = {
    PersistentVolume: (resources.PERSISTENT_VOLUME, "Pv"),
    PersistentVolumeClaim: (resources.PERSISTENT_VOLUME_CLAIM, "Pvc"),
    StorageClass: (resources.STORAGE_CLASS, "StorageClass"),
    CSINode: (resources.CSI_NODE, "CSINode"),
    CSIDriver: (resources.CSI_DRIVER, "CSIDriver"),
    CSIStorageCapacity: (resources.CSI_STORAGE_CAPACITY, "CSIStorageCapacity"),
}
"""Kinds whose changes may help waiting pods: the resource and the prefix of the event's label."""


def feed(client: Client, objects: Listers, namespaces: Namespaces, moved: Moved) -> None:
    """Start all watches; ``moved(event, old, new)`` is called once the listers know."""
    for cls in _LOOKED_UP:
        client.informer(cls, on_add=objects.put, on_update=_second(objects.put), on_delete=objects.remove)
    for cls, (resource, label) in _EVENTFUL.items():
        _watch(client, objects, cls, resource, label, moved)

    def put(namespace: Namespace) -> None:
        namespaces.put(namespace.name, namespace.metadata.labels)

    client.informer(Namespace, on_add=put, on_update=_second(put), on_delete=lambda gone: namespaces.remove(gone.name))


def _watch(client: Client, objects: Listers, cls: type[KubeObject], resource: str, label: str, moved: Moved) -> None:
    came = ClusterEvent(resource, Action.ADD, f"{label}Add")
    changed = ClusterEvent(resource, Action.UPDATE, f"{label}Update")
    gone = ClusterEvent(resource, Action.DELETE, f"{label}Delete")

    def added(new: KubeObject) -> None:
        objects.put(new)
        moved(came, None, new)

    def updated(old: KubeObject, new: KubeObject) -> None:
        objects.put(new)
        moved(changed, old, new)

    def deleted(old: KubeObject) -> None:
        objects.remove(old)
        moved(gone, old, None)

    client.informer(cls, on_add=added, on_update=updated, on_delete=deleted)


def _second(put: Callable[[Any], object]) -> Callable[[Any, Any], object]:
    return lambda old, new: put(new)
