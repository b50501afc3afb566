"""The kinds the api-server serves: where each is stored and what happens to it on create and update.

A row per kind; the create and update rules are upstream's strategies (pkg/registry/<group>/<kind>/strategy.go).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ksched.cluster.apiserver.errors import bad_request
from ksched.cluster.apiserver.selection import FieldGetter, field_node_name
from ksched.cluster.apiserver.strategies import (
    create_job,
    create_without_status,
    pod_grace_seconds,
)
from ksched.objects.meta import KubeObject
from ksched.objects.namespace import Namespace
from ksched.objects.networking import EndpointSlice, Service
from ksched.objects.node import Node
from ksched.objects.pod import Pod
from ksched.objects.policy import PodDisruptionBudget
from ksched.objects.scheduling import Lease, PriorityClass
from ksched.objects.storage import (
    CSIDriver,
    CSINode,
    CSIStorageCapacity,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
)
from ksched.objects.workloads import (
    CronJob,
    DaemonSet,
    Deployment,
    Job,
    ReplicaSet,
    ReplicationController,
    StatefulSet,
)

PrepareForCreate = Callable[[Any], Any]
GraceSeconds = Callable[[Any, int | None], int]


@dataclass(frozen=True)
class Resource:
    """One kind.

    ``prepare`` is the strategy's PrepareForCreate; without one the creator may set the status, too (a node registers
    with its capacity), and that of pods comes with their admission. ``has_generation``: metadata.generation counts spec
    changes; ``annotations_count``: and annotation changes; ``status_annotations``: annotations can be written along
    with the status (which does not count); ``index_field``: watches that fix this field are found by its value instead
    of being asked one by one; ``grace_seconds``: deletion is graceful, and this says how long.
    """

    cls: type[KubeObject]
    prepare: PrepareForCreate | None = None
    has_status: bool = True
    has_generation: bool = False
    annotations_count: bool = False
    status_annotations: bool = False
    index_field: str | None = None
    index: FieldGetter | None = None
    grace_seconds: GraceSeconds | None = None

    @cached_property
    def kind(self) -> str:
        return self.cls.KIND

    @cached_property
    def group(self) -> str:
        """API group, "" for the core one."""
        return self.cls.API_VERSION.rpartition("/")[0]

    @cached_property
    def qualified(self) -> str:
        """The resource as error messages name it: ``pods``, ``deployments.apps``."""
        return f"{self.cls.PLURAL}.{self.group}" if self.group else self.cls.PLURAL

    @cached_property
    def path(self) -> str:
        """Start of the etcd keys of all objects of this kind."""
        return f"/registry/{self.cls.PLURAL}/"

    @cached_property
    def namespaced(self) -> bool:
        return self.cls.NAMESPACED

    @cached_property
    def prefix(self) -> bytes:
        """``path`` as etcd has it."""
        return self.path.encode()

    @cached_property
    def key(self) -> Callable[[str | None, str], bytes]:
        """The etcd key of one object, by namespace and name."""
        path = self.path
        if self.namespaced:
            return lambda namespace, name: f"{path}{namespace}/{name}".encode()
        return lambda namespace, name: f"{path}{name}".encode()


_ROWS = (
    Resource(
        Pod,
        index_field="spec.nodeName",
        index=field_node_name,
        grace_seconds=pod_grace_seconds,
    ),
    Resource(Node),
    Resource(Namespace),
    Resource(Deployment, create_without_status, has_generation=True, annotations_count=True, status_annotations=True),
    Resource(ReplicaSet, create_without_status, has_generation=True),
    Resource(ReplicationController, create_without_status, has_generation=True),
    Resource(StatefulSet, create_without_status, has_generation=True),
    Resource(DaemonSet, create_without_status, has_generation=True),
    Resource(Job, create_job, has_generation=True),
    Resource(CronJob, create_without_status, has_generation=True),
    Resource(Service),
    Resource(EndpointSlice, has_status=False, has_generation=True),
    Resource(PodDisruptionBudget, create_without_status, has_generation=True),
    Resource(PriorityClass, has_status=False, has_generation=True),
    Resource(Lease, has_status=False),
    Resource(PersistentVolume),
    Resource(PersistentVolumeClaim),
    Resource(StorageClass, has_status=False),
    Resource(CSINode, has_status=False),
    Resource(CSIDriver, has_status=False, has_generation=True),
    Resource(CSIStorageCapacity, has_status=False),
)


class _Resources(dict[str, Resource]):
    """Rows by kind. Raises ApiError 400 for a kind that is not served."""

    def __missing__(self, kind: str) -> Resource:
        raise bad_request(f"{kind} is not served; served kinds: {', '.join(self)}")


RESOURCES = _Resources({row.kind: row for row in _ROWS})
