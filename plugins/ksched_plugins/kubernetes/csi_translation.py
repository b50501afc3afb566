"""In-tree volumes as their CSI drivers name them: what a node whose in-tree plugin was migrated sees.

Upstream: staging/src/k8s.io/csi-translation-lib (translate.go, plugins/*.go), as far as scheduling can tell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from ksched.objects import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from ksched.objects.selectors import IN
from ksched.objects.storage import CSINode, PersistentVolume
from ksched.tables.volumes import AZURE_DISK, CINDER, EBS, GCE_PD, VolumeUse

MIGRATED_ANNOTATION = "storage.alpha.kubernetes.io/migrated-plugins"
ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
BETA_ZONE, BETA_REGION = "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region"
ZONE_DELIMITER = "__"
"""Between the zones of a volume that is in several."""

_UNSPECIFIED = "UNSPECIFIED"


@dataclass(frozen=True, slots=True)
class InTreePlugin:
    """``name`` of the in-tree plugin, ``driver`` it was migrated to and the driver's zone label, if it has one."""

    name: str
    driver: str
    zone_label: str | None


IN_TREE: dict[str, InTreePlugin] = {
    EBS: InTreePlugin("kubernetes.io/aws-ebs", "ebs.csi.aws.com", "topology.ebs.csi.aws.com/zone"),
    GCE_PD: InTreePlugin("kubernetes.io/gce-pd", "pd.csi.storage.gke.io", "topology.gke.io/zone"),
    AZURE_DISK: InTreePlugin("kubernetes.io/azure-disk", "disk.csi.azure.com", None),
    CINDER: InTreePlugin("kubernetes.io/cinder", "cinder.csi.openstack.org", "topology.cinder.csi.openstack.org/zone"),
}
"""Plugins whose migration is on in v1.30, by the kind of volume source."""

BY_NAME = {plugin.name: plugin for plugin in IN_TREE.values()}
MIGRATABLE_NAMES = frozenset(
    {*BY_NAME, *(f"kubernetes.io/{name}" for name in ("azure-file", "vsphere-volume", "portworx-volume", "rbd"))}
)
"""In-tree provisioners that have a CSI driver, be its migration on or not."""


def migrated_plugins(node: CSINode | None) -> frozenset[str]:
    """In-tree plugins the node says it handles through CSI (upstream: isPluginMigratedToCSIOnNode)."""
    listed = node.metadata.annotations.get(MIGRATED_ANNOTATION, "") if node is not None else ""
    return frozenset(listed.split(",")) if listed else frozenset()


def in_tree_source(volume: PersistentVolume) -> VolumeUse | None:
    """The in-tree disk behind a persistent volume, None for any other source."""
    spec = volume.spec
    if spec.aws_elastic_block_store is not None:
        return VolumeUse(EBS, spec.aws_elastic_block_store.volume_id or "")
    if spec.gce_persistent_disk is not None:
        return VolumeUse(GCE_PD, spec.gce_persistent_disk.pd_name or "")
    if spec.azure_disk is not None:
        return VolumeUse(AZURE_DISK, spec.azure_disk.disk_name or "", spec.azure_disk.disk_uri or "")
    if spec.cinder is not None:
        return VolumeUse(CINDER, spec.cinder.get("volumeID", ""))
    return None


def volume_handle(disk: VolumeUse, volume: PersistentVolume | None = None) -> str | None:
    """What the CSI driver calls an in-tree disk, named in a pod or by ``volume``; None if that cannot be told."""
    if disk.source == EBS:
        return _ebs_handle(str(disk.identity))
    if disk.source == GCE_PD:
        return _gce_handle(str(disk.identity), volume)
    return str(disk.detail if disk.source == AZURE_DISK else disk.identity)


def _ebs_handle(volume_id: str) -> str | None:
    """A bare id, or the last part of aws://zone/id."""
    if not volume_id.startswith("aws://"):
        return volume_id
    last = urlsplit(volume_id).path.strip("/")
    return last if re.fullmatch(r"vol-[^/]*", last) else None


def _gce_handle(name: str, volume: PersistentVolume | None) -> str | None:
    labels = volume.metadata.labels if volume is not None else {}
    zones = (labels.get(ZONE) or labels.get(BETA_ZONE) or "").split(ZONE_DELIMITER)
    if len(zones) == 1:
        return f"projects/{_UNSPECIFIED}/zones/{zones[0] or _UNSPECIFIED}/disks/{name}"
    regions = {zone.rpartition("-")[0] for zone in zones}
    return f"projects/{_UNSPECIFIED}/regions/{regions.pop()}/disks/{name}" if len(regions) == 1 else None


def translated_affinity(volume: PersistentVolume, zone_label: str) -> NodeSelector | None:
    """The volume's node affinity once its zone is a matter of the driver's own label.

    Zones come from the affinity, or else from the volume's labels (upstream: translateTopologyFromInTreeToCSI).
    """
    affinity = volume.spec.node_affinity
    required = affinity.required if affinity is not None else None
    terms = required.node_selector_terms if required is not None else ()
    zone, region = _topology_labels(volume, terms)
    if _values(terms, zone):
        terms = _renamed(terms, zone, zone_label)
    elif zone in volume.metadata.labels:
        zones = sorted({z.strip() for z in volume.metadata.labels[zone].split(ZONE_DELIMITER)} - {""})
        if zones:
            asked = NodeSelectorRequirement(key=zone_label, operator=IN, values=tuple(zones))
            terms = tuple(
                term.replaced(match_expressions=(*term.match_expressions, asked))
                for term in terms or (NodeSelectorTerm(),)
            )
    if region == BETA_REGION:
        terms = _renamed(terms, BETA_REGION, REGION)
    return NodeSelector(node_selector_terms=terms) if terms else required


def _topology_labels(volume: PersistentVolume, terms: tuple[NodeSelectorTerm, ...]) -> tuple[str, str]:
    """Whether the volume speaks of zones and regions by their old labels or by the new ones."""
    used = {r.key for term in terms for r in term.match_expressions}
    for keys in (used, volume.metadata.labels.keys()):
        for new, old in ((ZONE, BETA_ZONE), (REGION, BETA_REGION)):
            if new in keys:
                return ZONE, REGION
            if old in keys:
                return BETA_ZONE, BETA_REGION
    return ZONE, REGION


def _values(terms: tuple[NodeSelectorTerm, ...], key: str) -> bool:
    return any(r.key == key and r.values for term in terms for r in term.match_expressions)


def _renamed(terms: tuple[NodeSelectorTerm, ...], old: str, new: str) -> tuple[NodeSelectorTerm, ...]:
    return tuple(
        term.replaced(
            match_expressions=tuple(r.replaced(key=new) if r.key == old else r for r in term.match_expressions)
        )
        for term in terms
    )
