"""NodeVolumeLimits: how many volumes of a CSI driver a node may have attached.

Upstream: pkg/scheduler/framework/plugins/nodevolumelimits/csi.go and utils.go (v1.30).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from ksched.framework import Action, ClusterEvent, Cycle, EventToRegister, Reject, Status
from ksched.framework.events import CSI_NODE, POD
from ksched.framework.listers import Listers
from ksched.objects.storage import CSINode, PersistentVolume, PersistentVolumeClaim
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import BoolArray, Int64Array
from ksched.tables.volumes import CLAIM, ISCSI, VolumeUse
from ksched_plugins.kubernetes.attached_volumes import Attached, AttachedVolumes
from ksched_plugins.kubernetes.claims import storage_class
from ksched_plugins.kubernetes.csi_nodes import NO_LIMIT, CSINodeColumns
from ksched_plugins.kubernetes.csi_translation import (
    BY_NAME,
    IN_TREE,
    MIGRATABLE_NAMES,
    in_tree_source,
    volume_handle,
)
from ksched_plugins.kubernetes.in_tree_volume_limits import REASON, missing_claim, too_many

LIMIT_PREFIX = "attachable-volumes-csi-"
_RESOURCE_NAME_LIMIT = 63


class NodeVolumeLimits:
    """Rejects nodes where the pod's CSI volumes would be too many; evicting pods helps.

    The limit is the driver's allocatable count in the CSINode, else what the node declares; without either there is
    none. In-tree disks count where the node has a CSINode, because there the CSI driver attaches them.
    """

    name = "NodeVolumeLimits"

    def __init__(self) -> None:
        self._attached = AttachedVolumes(resolve)
        self._csi_nodes = CSINodeColumns()

    def skips(self, point: str, pod: PodView) -> bool:
        """Pods without claims and without in-tree disks that have a CSI driver."""
        return all(use.source == ISCSI for use in pod.volume_uses) if pod.info.volumes else True

    def events_to_register(self) -> Sequence[EventToRegister]:
        """CSINodes that appear, and pods that give their volumes back."""
        return [EventToRegister(ClusterEvent(CSI_NODE, Action.ADD)), EventToRegister(ClusterEvent(POD, Action.DELETE))]

    def pre_filter(self, cycle: Cycle, pod: PodView) -> Status | None:
        """Nothing to do for a pod without such volumes."""
        return Status.skip() if self.skips("preFilter", pod) else None

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> dict[str, BoolArray] | list[Reject] | None:
        """Nodes with a CSINode count in-tree disks of the pod, the others do not."""
        wrong = missing_claim(cycle.objects, pod)
        if wrong is not None:
            return [Reject(np.ones(len(nodes), dtype=np.bool_), wrong, resolvable=False)]
        cluster = cycle.cluster
        self._csi_nodes.refresh(cluster, cycle.objects)
        exist = self._csi_nodes.exist()
        exceeded = np.zeros(len(cluster), dtype=np.bool_)
        for sample, rows in ((_ANY_CSI_NODE, exist), (None, ~exist)):
            new = _new(pod, cycle.objects, sample)
            if new and rows.any():
                for _, total, limit in self._excess(new, cycle, cluster):
                    exceeded |= rows & (total > limit)
        return {REASON: nodes.of_rows(exceeded)}

    def remedy(self, cycle: Cycle, pod: PodView, node: NodeView) -> list[str]:
        """Per driver how many volumes too many there would be."""
        cluster, row = cycle.cluster, int(node.rows[0])
        self._csi_nodes.refresh(cluster, cycle.objects)
        new = _new(pod, cycle.objects, self._csi_nodes.of(row))
        each = (
            (driver, int(total[row]), int(limit[row])) for driver, total, limit in self._excess(new, cycle, cluster)
        )
        return [too_many(f"volumes of {driver}", total, limit) for driver, total, limit in each if total > limit]

    def _excess(
        self, new: Sequence[Attached], cycle: Cycle, cluster: NodeView
    ) -> Iterator[tuple[str, Int64Array, Int64Array]]:
        """Per driver of the ``new`` volumes and node of the cluster: how many there would be, and how many may be.

        Both int64[n]. Nodes without a limit may have any number, and so may those to which the pod brings no new one.
        """
        self._attached.refresh(cluster, cycle.objects)
        for driver, count in Counter(volume.limit for volume in new).items():
            more = np.full(len(cluster), count, dtype=np.int64)
            for volume in new:
                if volume.limit == driver:
                    more[list(self._attached.rows_with(volume))] -= 1
            limit = self._limit(driver, cluster)
            free = (more <= 0) | (limit == NO_LIMIT)
            yield driver, self._attached.count(driver, len(cluster)) + more, np.where(free, _ANY_NUMBER, limit)

    def _limit(self, driver: str, cluster: NodeView) -> Int64Array:
        by_csi_node = self._csi_nodes.limit(driver)
        key = limit_key(driver)
        declared = np.where(cluster.declares(key), cluster.allocatable(key), NO_LIMIT)
        return np.where(by_csi_node != NO_LIMIT, by_csi_node, declared)


_ANY_CSI_NODE = CSINode()
_ANY_NUMBER = np.iinfo(np.int64).max


def _new(pod: PodView, objects: Listers, node: CSINode | None) -> list[Attached]:
    """The pod's volumes as they count on a node with this CSINode."""
    found = (resolve(use, objects, node) for use in pod.volume_uses)
    return sorted({volume for volume in found if volume is not None})


def resolve(use: VolumeUse, objects: Listers, node: CSINode | None) -> Attached | None:
    """The (driver, volume) a use counts as on a node with this CSINode."""
    if use.source != CLAIM:
        return _in_tree(use, None, node)
    assert isinstance(use.identity, tuple)
    claim = objects.get(PersistentVolumeClaim, *use.identity)
    if claim is None:
        return None
    volume = objects.get(PersistentVolume, "", claim.spec.volume_name) if claim.spec.volume_name else None
    if volume is None:
        return _by_class(use.identity, claim, objects, node)
    csi = volume.spec.csi
    if csi is not None:
        return Attached(csi.driver, csi.volume_handle) if csi.driver and csi.volume_handle else None
    disk = in_tree_source(volume)
    return _in_tree(disk, volume, node) if disk is not None else None


def _in_tree(disk: VolumeUse, volume: PersistentVolume | None, node: CSINode | None) -> Attached | None:
    plugin = IN_TREE.get(disk.source)
    if plugin is None or node is None:
        return None
    handle = volume_handle(disk, volume)
    if handle is None or (volume is not None and not handle):
        return None
    return Attached(plugin.driver, handle)


def _by_class(
    key: tuple[str, str], claim: PersistentVolumeClaim, objects: Listers, node: CSINode | None
) -> Attached | None:
    """A claim whose volume is not known counts as a volume of its own for the driver that would make it."""
    found = storage_class(objects, claim)
    provisioner = found.provisioner if found is not None else None
    if not provisioner:
        return None
    if provisioner in MIGRATABLE_NAMES:
        plugin = BY_NAME.get(provisioner)
        if plugin is None or node is None:
            return None
        provisioner = plugin.driver
    return Attached(provisioner, "claim:" + "/".join(key))


def limit_key(driver: str) -> str:
    """The resource under which nodes declared a driver's limit before there were CSINodes (GetCSIAttachLimitKey)."""
    if len(LIMIT_PREFIX) + len(driver) < _RESOURCE_NAME_LIMIT:
        return LIMIT_PREFIX + driver
    digest = hashlib.sha1(driver.encode(), usedforsecurity=False).hexdigest()
    return LIMIT_PREFIX + driver[:23] + digest[:16]
