"""EBSLimits, GCEPDLimits, AzureDiskLimits, CinderLimits: how many in-tree disks of one kind a node may have attached.

Upstream: pkg/scheduler/framework/plugins/nodevolumelimits/non_csi.go and utils.go (v1.30). The environment variable
KUBE_MAX_PD_VOLS is not modelled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ksched.framework import Action, ClusterEvent, Cycle, EventToRegister, Reject, Status
from ksched.framework.events import NODE, POD
from ksched.framework.listers import Listers
from ksched.objects.storage import CSINode, PersistentVolume, PersistentVolumeClaim, StorageClass
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import BoolArray, Int64Array
from ksched.tables.volumes import AZURE_DISK, CINDER, CLAIM, EBS, GCE_PD, VolumeUse
from ksched_plugins.kubernetes.attached_volumes import Attached, AttachedVolumes
from ksched_plugins.kubernetes.claims import get_claim, not_found, not_owned, pod_claims
from ksched_plugins.kubernetes.csi_nodes import CSINodeColumns
from ksched_plugins.kubernetes.csi_translation import IN_TREE, in_tree_source

REASON = "node(s) exceed max volume count"
_INSTANCE_TYPES = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
_NITRO = re.compile(r"^[cmr]5.*|t3|z1d")
_UNRESOLVED = "claim:"
"""Stands before the names of claims whose volume is not known, so that they differ from every volume's."""


class InTreeVolumeLimits:
    """Rejects nodes where the pod's disks would be too many; evicting pods helps.

    The limit is what the node declares as allocatable, else ``default``. Nodes with a CSINode are left to
    NodeVolumeLimits: in v1.30 isCSIMigrationOn is true for all four plugins wherever there is a CSINode; the annotation
    that lists migrated plugins is read for Portworx and RBD alone, whose feature gates are off.
    """

    name: str
    source: str
    allocatable: str
    default: int

    def __init__(self) -> None:
        self._attached = AttachedVolumes(self._resolve)
        self._csi_nodes = CSINodeColumns()

    def skips(self, point: str, pod: PodView) -> bool:
        """Pods without claims and without disks of this kind."""
        return not any(use.source in (CLAIM, self.source) for use in pod.volume_uses) if pod.info.volumes else True

    def events_to_register(self) -> Sequence[EventToRegister]:
        """New nodes, and pods that give their volumes back."""
        return [EventToRegister(ClusterEvent(NODE, Action.ADD)), EventToRegister(ClusterEvent(POD, Action.DELETE))]

    def pre_filter(self, cycle: Cycle, pod: PodView) -> Status | None:
        """Nothing to do for a pod without claims and disks of this kind."""
        return Status.skip() if self.skips("preFilter", pod) else None

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> dict[str, BoolArray] | list[Reject] | None:
        """Count the pod's disks that are not attached yet on top of those that are."""
        wrong = missing_claim(cycle.objects, pod)
        if wrong is not None:
            return [Reject(np.ones(len(nodes), dtype=np.bool_), wrong, resolvable=False)]
        new = self._new(pod, cycle.objects)
        if not new:
            return None
        total = self._total(new, cycle)
        exceeded = nodes.of_rows(total) > self._limits(nodes)
        return {REASON: exceeded & ~nodes.of_rows(self._csi_nodes.exist())}

    def remedy(self, cycle: Cycle, pod: PodView, node: NodeView) -> list[str]:
        """How many disks too many there would be."""
        new = self._new(pod, cycle.objects)
        total, limit = int(node.of_rows(self._total(new, cycle))[0]), int(self._limits(node)[0])
        return [too_many(f"{self.source} disks", total, limit)] if total > limit else []

    def _new(self, pod: PodView, objects: Listers) -> list[Attached]:
        """The pod's disks of this kind."""
        found = (self._resolve(use, objects, None) for use in pod.volume_uses)
        return sorted({volume for volume in found if volume is not None})

    def _total(self, new: Sequence[Attached], cycle: Cycle) -> Int64Array:
        """int64[n] over the whole cluster: disks attached once the pod's are too."""
        cluster = cycle.cluster
        self._attached.refresh(cluster, cycle.objects)
        self._csi_nodes.refresh(cluster, cycle.objects)
        total = self._attached.count(self.name, len(cluster)) + np.int64(len(new))
        for volume in new:
            total[list(self._attached.rows_with(volume))] -= 1
        return total

    def _limits(self, nodes: NodeView) -> Int64Array:
        declared = nodes.declares(self.allocatable)
        return np.where(declared, nodes.allocatable(self.allocatable), self._default_limits(nodes))

    def _default_limits(self, nodes: NodeView) -> Int64Array:
        return np.full(len(nodes), self.default, dtype=np.int64)

    def _resolve(self, use: VolumeUse, objects: Listers, node: CSINode | None) -> Attached | None:
        name = self._name_of(use, objects)
        return None if name is None else Attached(self.name, name)

    def _name_of(self, use: VolumeUse, objects: Listers) -> str | None:
        if use.source == self.source:
            return str(use.identity)
        if use.source != CLAIM:
            return None
        assert isinstance(use.identity, tuple)
        claim = objects.get(PersistentVolumeClaim, *use.identity)
        if claim is None:
            return None
        volume = objects.get(PersistentVolume, "", claim.spec.volume_name) if claim.spec.volume_name else None
        if volume is None:
            return _UNRESOLVED + "/".join(use.identity) if self._provisions(claim, objects) else None
        disk = in_tree_source(volume)
        return str(disk.identity) if disk is not None and disk.source == self.source else None

    def _provisions(self, claim: PersistentVolumeClaim, objects: Listers) -> bool:
        """Whether volumes for this claim would be of this kind."""
        name = claim.spec.storage_class_name
        found = objects.get(StorageClass, "", name) if name else None
        return found is not None and found.provisioner == IN_TREE[self.source].name


def too_many(what: str, total: int, limit: int) -> str:
    """What is to be done about volumes that would exceed a node's limit."""
    return f"{total - limit} of the {what} on the node must go: with the pod's there would be {total}, it takes {limit}"


def missing_claim(objects: Listers, pod: PodView) -> str | None:
    """Why the pod's own volumes cannot be counted: a claim that is missing or not the pod's.

    kube-scheduler ends the attempt with an error here. Other plugins of the default profile reject such a pod before.
    """
    for name, ephemeral in pod_claims(pod):
        claim = get_claim(objects, pod, name)
        if claim is None:
            return f"looking up PVC {pod.namespace}/{name}: {not_found('persistentvolumeclaim', name)}"
        wrong = not_owned(claim, pod) if ephemeral else None
        if wrong is not None:
            return wrong
    return None


class EBSLimits(InTreeVolumeLimits):
    """At most 39 EBS disks a node, 25 on Nitro instances."""

    name = "EBSLimits"
    source = EBS
    allocatable = "attachable-volumes-aws-ebs"
    default = 39
    nitro = 25

    def _default_limits(self, nodes: NodeView) -> Int64Array:
        def limit(values: tuple[str | None, ...]) -> int:
            instance_type = next((value for value in values if value is not None), "")
            return self.nitro if _NITRO.search(instance_type) else self.default

        return nodes.per_labels(_INSTANCE_TYPES, limit, np.int64)


class GCEPDLimits(InTreeVolumeLimits):
    """At most 16 GCE persistent disks a node."""

    name = "GCEPDLimits"
    source = GCE_PD
    allocatable = "attachable-volumes-gce-pd"
    default = 16


class AzureDiskLimits(InTreeVolumeLimits):
    """At most 16 Azure disks a node."""

    name = "AzureDiskLimits"
    source = AZURE_DISK
    allocatable = "attachable-volumes-azure-disk"
    default = 16


class CinderLimits(InTreeVolumeLimits):
    """At most 256 Cinder disks a node. Not in the default profile."""

    name = "CinderLimits"
    source = CINDER
    allocatable = "attachable-volumes-cinder"
    default = 256
