"""Persistent volumes, claims, storage classes and CSI objects (core/v1 and storage.k8s.io/v1, v1.30)."""

from typing import Any

from pydantic import Field

from .base import Bool, Int, KubeModel, Many, ResourceList, Str, StrMap, Struct
from .meta import Condition, KubeObject, LabelSelector, ObjectReference
from .quantity import Quantity
from .selectors import NodeSelector
from .storage_claims import PersistentVolumeClaimSpec
from .volumes import (
    AWSElasticBlockStoreVolumeSource,
    AzureDiskVolumeSource,
    GCEPersistentDiskVolumeSource,
    ISCSIVolumeSource,
    RBDVolumeSource,
)


class PersistentVolumeClaimStatus(KubeModel):
    """Pending, Bound or Lost, and what was got."""

    phase: Str | None = None
    access_modes: Many[Str] = ()
    capacity: ResourceList = Field(default_factory=dict)
    conditions: Many[Condition] = ()
    allocated_resources: ResourceList = Field(default_factory=dict)
    allocated_resource_statuses: StrMap = Field(default_factory=dict)
    current_volume_attributes_class_name: Str | None = None
    modify_volume_status: Any = None


class PersistentVolumeClaim(KubeObject):
    """A wish for storage, bound to one volume."""

    KIND = "PersistentVolumeClaim"
    API_VERSION = "v1"
    PLURAL = "persistentvolumeclaims"

    spec: Struct[PersistentVolumeClaimSpec] = Field(default_factory=PersistentVolumeClaimSpec)
    status: Struct[PersistentVolumeClaimStatus] = Field(default_factory=PersistentVolumeClaimStatus)


class CSIPersistentVolumeSource(KubeModel):
    """A volume of a CSI driver; driver and handle identify it."""

    driver: Str | None = None
    volume_handle: Str | None = None
    read_only: Bool | None = None
    fs_type: Str | None = None
    volume_attributes: StrMap = Field(default_factory=dict)
    controller_publish_secret_ref: Any = None
    node_stage_secret_ref: Any = None
    node_publish_secret_ref: Any = None
    controller_expand_secret_ref: Any = None
    node_expand_secret_ref: Any = None


class LocalVolumeSource(KubeModel):
    """A disk or directory of one node."""

    path: Str | None = None
    fs_type: Str | None = None


class VolumeNodeAffinity(KubeModel):
    """Which nodes can reach the volume."""

    required: NodeSelector | None = None


class PersistentVolumeSpec(KubeModel):
    """A piece of storage: its size, source and reach."""

    capacity: ResourceList = Field(default_factory=dict)
    access_modes: Many[Str] = ()
    claim_ref: ObjectReference | None = None
    persistent_volume_reclaim_policy: Str | None = None
    storage_class_name: Str | None = None
    mount_options: Many[Str] = ()
    volume_mode: Str | None = None
    node_affinity: VolumeNodeAffinity | None = None
    volume_attributes_class_name: Str | None = None
    aws_elastic_block_store: AWSElasticBlockStoreVolumeSource | None = None
    gce_persistent_disk: GCEPersistentDiskVolumeSource | None = None
    azure_disk: AzureDiskVolumeSource | None = None
    csi: CSIPersistentVolumeSource | None = None
    iscsi: ISCSIVolumeSource | None = None
    rbd: RBDVolumeSource | None = None
    local: LocalVolumeSource | None = None
    host_path: Any = None
    nfs: Any = None
    glusterfs: Any = None
    cinder: Any = None
    cephfs: Any = None
    fc: Any = None
    flocker: Any = None
    flex_volume: Any = None
    azure_file: Any = None
    vsphere_volume: Any = None
    quobyte: Any = None
    photon_persistent_disk: Any = None
    portworx_volume: Any = None
    scale_io: Any = Field(default=None, alias="scaleIO")
    storageos: Any = None


class PersistentVolumeStatus(KubeModel):
    """Pending, Available, Bound, Released or Failed."""

    phase: Str | None = None
    message: Str | None = None
    reason: Str | None = None
    last_phase_transition_time: Str | None = None


class PersistentVolume(KubeObject):
    """A piece of storage of the cluster."""

    KIND = "PersistentVolume"
    API_VERSION = "v1"
    PLURAL = "persistentvolumes"
    NAMESPACED = False

    spec: Struct[PersistentVolumeSpec] = Field(default_factory=PersistentVolumeSpec)
    status: Struct[PersistentVolumeStatus] = Field(default_factory=PersistentVolumeStatus)


class TopologySelectorLabelRequirement(KubeModel):
    """A label that must have one of these values."""

    key: Str | None = None
    values: Many[Str] = ()


class TopologySelectorTerm(KubeModel):
    """All requirements must hold."""

    match_label_expressions: Many[TopologySelectorLabelRequirement] = ()


class StorageClass(KubeObject):
    """How volumes are made for claims, and when they are bound."""

    KIND = "StorageClass"
    API_VERSION = "storage.k8s.io/v1"
    PLURAL = "storageclasses"
    NAMESPACED = False

    provisioner: Str | None = None
    parameters: StrMap = Field(default_factory=dict)
    reclaim_policy: Str | None = None
    mount_options: Many[Str] = ()
    allow_volume_expansion: Bool | None = None
    volume_binding_mode: Str | None = None
    allowed_topologies: Many[TopologySelectorTerm] = ()


class VolumeNodeResources(KubeModel):
    """How many volumes of a driver a node takes."""

    count: Int | None = None


class CSINodeDriver(KubeModel):
    """A CSI driver on a node."""

    name: Str | None = None
    node_id: Str | None = Field(default=None, alias="nodeID")
    topology_keys: Many[Str] = ()
    allocatable: VolumeNodeResources | None = None


class CSINodeSpec(KubeModel):
    """The CSI drivers of a node."""

    drivers: Many[CSINodeDriver] = ()


class CSINode(KubeObject):
    """What CSI drivers say about the node of the same name."""

    KIND = "CSINode"
    API_VERSION = "storage.k8s.io/v1"
    PLURAL = "csinodes"
    NAMESPACED = False

    spec: Struct[CSINodeSpec] = Field(default_factory=CSINodeSpec)


class CSIDriverSpec(KubeModel):
    """What a CSI driver can do."""

    attach_required: Bool | None = None
    pod_info_on_mount: Bool | None = None
    volume_lifecycle_modes: Many[Str] = ()
    storage_capacity: Bool | None = None
    fs_group_policy: Str | None = None
    token_requests: Any = None
    requires_republish: Bool | None = None
    se_linux_mount: Bool | None = Field(default=None, alias="seLinuxMount")


class CSIDriver(KubeObject):
    """A CSI driver of the cluster."""

    KIND = "CSIDriver"
    API_VERSION = "storage.k8s.io/v1"
    PLURAL = "csidrivers"
    NAMESPACED = False

    spec: Struct[CSIDriverSpec] = Field(default_factory=CSIDriverSpec)


class CSIStorageCapacity(KubeObject):
    """How much a driver can still make for a storage class on some nodes."""

    KIND = "CSIStorageCapacity"
    API_VERSION = "storage.k8s.io/v1"
    PLURAL = "csistoragecapacities"

    node_topology: LabelSelector | None = None
    storage_class_name: Str | None = None
    capacity: Quantity | None = None
    maximum_volume_size: Quantity | None = None
