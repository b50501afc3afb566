"""The kinds ksched knows, by name."""

from __future__ import annotations

from typing import Final

from .meta import KubeObject
from .namespace import Namespace
from .networking import EndpointSlice, Service
from .node import Node
from .pod import Binding, Pod
from .policy import PodDisruptionBudget
from .scheduling import Lease, PriorityClass
from .storage import (
    CSIDriver,
    CSINode,
    CSIStorageCapacity,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
)
from .workloads import (
    CronJob,
    DaemonSet,
    Deployment,
    Job,
    ReplicaSet,
    ReplicationController,
    StatefulSet,
)

_ALL: Final[tuple[type[KubeObject], ...]] = (
    Pod,
    Node,
    Namespace,
    Deployment,
    ReplicaSet,
    ReplicationController,
    StatefulSet,
    DaemonSet,
    Job,
    CronJob,
    Service,
    EndpointSlice,
    PriorityClass,
    PodDisruptionBudget,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    CSINode,
    CSIDriver,
    CSIStorageCapacity,
    Lease,
    Binding,
)

KINDS: Final[dict[str, type[KubeObject]]] = {cls.KIND: cls for cls in _ALL}
