"""VolumeZone: a bound volume with zone or region labels is used only from nodes with the same.

Upstream: pkg/scheduler/framework/plugins/volumezone/volume_zone.go (v1.30).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ksched.framework import Action, ClusterEvent, Cycle, EventToRegister, Reject, Status
from ksched.framework.events import NODE, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS
from ksched.framework.listers import Listers
from ksched.objects.storage import PersistentVolume, StorageClass
from ksched.objects.volume_claims import WAIT_FOR_FIRST_CONSUMER, class_of
from ksched.tables import NodeView, PodView
from ksched_plugins.kubernetes.claims import get_claim, not_found, pod_claims, uses_claim
from ksched_plugins.kubernetes.csi_translation import BETA_REGION, BETA_ZONE, REGION, ZONE, ZONE_DELIMITER

REASON = "node(s) had no available volume zone"
_LABELS = (BETA_ZONE, BETA_REGION, ZONE, REGION)
_NEW = {BETA_ZONE: ZONE, BETA_REGION: REGION}
_STATE = "VolumeZone"


class _Topology(NamedTuple):
    """A label a node must have with one of these values."""

    key: str
    values: frozenset[str]


class _Rejection(Exception):
    """PreFilter's verdict, from wherever it is found out."""


class VolumeZone:
    """Rejects nodes outside the zone or region of a volume; nodes without any such label take every volume."""

    name = "VolumeZone"

    def skips(self, point: str, pod: PodView) -> bool:
        """Pods without claims or disks."""
        return not pod.info.volumes

    def events_to_register(self) -> Sequence[EventToRegister]:
        """Nodes, volumes, claims and storage classes that appear or change."""
        return [
            EventToRegister(ClusterEvent(STORAGE_CLASS, Action.ADD)),
            EventToRegister(ClusterEvent(NODE, Action.ADD | Action.UPDATE_NODE_LABEL | Action.UPDATE_NODE_TAINT)),
            EventToRegister(ClusterEvent(PERSISTENT_VOLUME_CLAIM, Action.ADD), uses_claim),
            EventToRegister(ClusterEvent(PERSISTENT_VOLUME, Action.ADD | Action.UPDATE)),
        ]

    def pre_filter(self, cycle: Cycle, pod: PodView) -> Status | None:
        """Collect the labels of the pod's volumes; claims of ephemeral volumes are not looked at."""
        try:
            found = [topology for volume in _volumes(cycle.objects, pod) for topology in _topologies(volume)]
        except _Rejection as rejection:
            return Status.unschedulable(str(rejection), resolvable=False)
        if not found:
            return Status.skip()
        cycle.state[_STATE] = found
        return None

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> list[Reject]:
        """A node's old and new labels count; an old label of the volume may match the node's new one."""
        wanted: list[_Topology] = cycle.state[_STATE]

        def conflicts(values: tuple[str | None, ...]) -> bool:
            labels = dict(zip(_LABELS, values, strict=True))
            if all(value is None for value in values):
                return False
            return not all(_value(labels, key) in allowed for key, allowed in wanted)

        return [Reject(nodes.per_labels(_LABELS, conflicts, np.bool_), REASON, resolvable=False)]

    def remedy(self, cycle: Cycle, pod: PodView, node: NodeView) -> list[str]:
        """The labels of the volumes that the node does not match."""
        own = node.objects[0].metadata.labels
        labels = {key: own.get(key) for key in _LABELS}
        return [
            f"a volume of the pod can be used where {key} is {' or '.join(sorted(allowed))}; "
            f"the node's is {_value(labels, key) or 'not set'}"
            for key, allowed in cycle.state[_STATE]
            if _value(labels, key) not in allowed
        ]


def _value(labels: dict[str, str | None], key: str) -> str | None:
    value = labels[key]
    return value if value is not None else labels[_NEW.get(key, key)]


def _volumes(objects: Listers, pod: PodView) -> Iterator[PersistentVolume]:
    """The volumes of the pod's bound claims. Raises _Rejection for a claim that should be bound and is not."""
    for name, ephemeral in pod_claims(pod):
        if ephemeral:
            continue
        if not name:
            raise _Rejection("PersistentVolumeClaim had no name")
        claim = get_claim(objects, pod, name)
        if claim is None:
            raise _Rejection(not_found("persistentvolumeclaim", name))
        volume_name = claim.spec.volume_name
        if not volume_name:
            _check_waits(objects, class_of(claim))
            continue
        volume = objects.get(PersistentVolume, "", volume_name)
        if volume is None:
            raise _Rejection(not_found("persistentvolume", volume_name))
        yield volume


def _check_waits(objects: Listers, class_name: str) -> None:
    if not class_name:
        raise _Rejection("PersistentVolumeClaim had no pv name and storageClass name")
    found = objects.get(StorageClass, "", class_name)
    if found is None:
        raise _Rejection(not_found("storageclass.storage.k8s.io", class_name))
    if found.volume_binding_mode is None:
        raise _Rejection(f'VolumeBindingMode not set for StorageClass "{class_name}"')
    if found.volume_binding_mode != WAIT_FOR_FIRST_CONSUMER:
        raise _Rejection("PersistentVolume had no name")


def _topologies(volume: PersistentVolume) -> Iterator[_Topology]:
    """The volume's zone and region labels; one with an empty part among its values is ignored."""
    for key in _LABELS:
        text = volume.metadata.labels.get(key)
        if text is None:
            continue
        values = frozenset(part.strip() for part in text.split(ZONE_DELIMITER))
        if "" not in values:
            yield _Topology(key, values)
