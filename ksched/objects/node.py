"""Nodes (k8s.io/api/core/v1, v1.30)."""

from typing import Any

from pydantic import Field

from .base import Bool, Int, KubeModel, Many, ResourceList, Str, Struct
from .meta import Condition, KubeObject


class Taint(KubeModel):
    """Keeps pods without a matching toleration away; effect NoSchedule, PreferNoSchedule or NoExecute."""

    key: Str | None = None
    value: Str | None = None
    effect: Str | None = None
    time_added: Str | None = None


class NodeSpec(KubeModel):
    """What the cluster operator says about a node."""

    pod_cidr: Str | None = Field(default=None, alias="podCIDR")
    pod_cidrs: Many[Str] = Field(default=(), alias="podCIDRs")
    provider_id: Str | None = Field(default=None, alias="providerID")
    unschedulable: Bool | None = None
    taints: Many[Taint] = ()
    config_source: Any = None
    external_id: Str | None = Field(default=None, alias="externalID")


class NodeAddress(KubeModel):
    """An address of a node; type Hostname, InternalIP, ExternalIP, ..."""

    type: Str | None = None
    address: Str | None = None


class ContainerImage(KubeModel):
    """An image on the node under all its names; size in bytes."""

    names: Many[Str] = ()
    size_bytes: Int | None = None


class NodeSystemInfo(KubeModel):
    """Ids and versions of the node's system."""

    machine_id: Str | None = Field(default=None, alias="machineID")
    system_uuid: Str | None = Field(default=None, alias="systemUUID")
    boot_id: Str | None = Field(default=None, alias="bootID")
    kernel_version: Str | None = None
    os_image: Str | None = None
    container_runtime_version: Str | None = None
    kubelet_version: Str | None = None
    kube_proxy_version: Str | None = None
    operating_system: Str | None = None
    architecture: Str | None = None


class AttachedVolume(KubeModel):
    """A volume attached to the node."""

    name: Str | None = None
    device_path: Str | None = None


class NodeStatus(KubeModel):
    """What the kubelet reports."""

    capacity: ResourceList = Field(default_factory=dict)
    allocatable: ResourceList = Field(default_factory=dict)
    phase: Str | None = None
    conditions: Many[Condition] = ()
    addresses: Many[NodeAddress] = ()
    daemon_endpoints: Any = None
    node_info: NodeSystemInfo | None = None
    images: Many[ContainerImage] = ()
    volumes_in_use: Many[Str] = ()
    volumes_attached: Many[AttachedVolume] = ()
    config: Any = None
    runtime_handlers: Any = None


class Node(KubeObject):
    """A machine that runs pods."""

    KIND = "Node"
    API_VERSION = "v1"
    PLURAL = "nodes"
    NAMESPACED = False

    spec: Struct[NodeSpec] = Field(default_factory=NodeSpec)
    status: Struct[NodeStatus] = Field(default_factory=NodeStatus)
