"""Volumes of pods and sources of persistent volumes (k8s.io/api/core/v1, v1.30).

The sources a scheduler looks into are typed; the others are declared, so that they are known, and kept as they are.
"""

from typing import Any

from pydantic import Field

from .base import Bool, Int, KubeModel, Many, Str, StrMap
from .meta import LocalObjectReference, ObjectMeta
from .storage_claims import PersistentVolumeClaimSpec


class AWSElasticBlockStoreVolumeSource(KubeModel):
    """An EBS disk; the volume id identifies it across pods."""

    volume_id: Str | None = Field(default=None, alias="volumeID")
    fs_type: Str | None = None
    partition: Int | None = None
    read_only: Bool | None = None


class GCEPersistentDiskVolumeSource(KubeModel):
    """A GCE disk; ``pdName`` identifies it."""

    pd_name: Str | None = None
    fs_type: Str | None = None
    partition: Int | None = None
    read_only: Bool | None = None


class AzureDiskVolumeSource(KubeModel):
    """An Azure disk."""

    disk_name: Str | None = None
    disk_uri: Str | None = Field(default=None, alias="diskURI")
    caching_mode: Str | None = None
    fs_type: Str | None = None
    read_only: Bool | None = None
    kind: Str | None = None


class ISCSIVolumeSource(KubeModel):
    """An iSCSI disk; the IQN identifies it."""

    target_portal: Str | None = None
    iqn: Str | None = None
    lun: Int | None = None
    iscsi_interface: Str | None = None
    fs_type: Str | None = None
    read_only: Bool | None = None
    portals: Many[Str] = ()
    chap_auth_discovery: Bool | None = Field(default=None, alias="chapAuthDiscovery")
    chap_auth_session: Bool | None = Field(default=None, alias="chapAuthSession")
    secret_ref: Any = None
    initiator_name: Str | None = None


class RBDVolumeSource(KubeModel):
    """A Ceph block device; monitors, pool and image identify it."""

    monitors: Many[Str] = ()
    image: Str | None = None
    fs_type: Str | None = None
    pool: Str | None = None
    user: Str | None = None
    keyring: Str | None = None
    secret_ref: Any = None
    read_only: Bool | None = None


class CSIVolumeSource(KubeModel):
    """An inline ephemeral volume of a CSI driver."""

    driver: Str | None = None
    read_only: Bool | None = None
    fs_type: Str | None = None
    volume_attributes: StrMap = Field(default_factory=dict)
    node_publish_secret_ref: LocalObjectReference | None = None


class PersistentVolumeClaimVolumeSource(KubeModel):
    """A claim in the pod's namespace."""

    claim_name: Str | None = None
    read_only: Bool | None = None


class PersistentVolumeClaimTemplate(KubeModel):
    """The claim made for a generic ephemeral volume."""

    metadata: ObjectMeta | None = None
    spec: PersistentVolumeClaimSpec | None = None


class EphemeralVolumeSource(KubeModel):
    """A generic ephemeral volume: the claim is named ``<pod>-<volume>``."""

    volume_claim_template: PersistentVolumeClaimTemplate | None = None


class Volume(KubeModel):
    """One volume of a pod: a name and exactly one source."""

    name: Str | None = None
    persistent_volume_claim: PersistentVolumeClaimVolumeSource | None = None
    ephemeral: EphemeralVolumeSource | None = None
    aws_elastic_block_store: AWSElasticBlockStoreVolumeSource | None = None
    gce_persistent_disk: GCEPersistentDiskVolumeSource | None = None
    azure_disk: AzureDiskVolumeSource | None = None
    iscsi: ISCSIVolumeSource | None = None
    rbd: RBDVolumeSource | None = None
    csi: CSIVolumeSource | None = None
    host_path: Any = None
    empty_dir: Any = None
    git_repo: Any = None
    secret: Any = None
    nfs: Any = None
    glusterfs: Any = None
    flex_volume: Any = None
    cinder: Any = None
    cephfs: Any = None
    flocker: Any = None
    downward_api: Any = Field(default=None, alias="downwardAPI")
    fc: Any = None
    azure_file: Any = None
    config_map: Any = None
    vsphere_volume: Any = None
    quobyte: Any = None
    photon_persistent_disk: Any = None
    projected: Any = None
    portworx_volume: Any = None
    scale_io: Any = Field(default=None, alias="scaleIO")
    storageos: Any = None


VOLUME_SOURCES: tuple[str, ...] = tuple(name for name in Volume.model_fields if name != "name")
