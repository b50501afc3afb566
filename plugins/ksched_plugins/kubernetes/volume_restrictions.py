"""VolumeRestrictions: disks and claims that only one pod may use at a time.

Upstream: pkg/scheduler/framework/plugins/volumerestrictions/volume_restrictions.go (v1.30).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ksched.framework import Action, ClusterEvent, Cycle, EventToRegister, Status
from ksched.framework.events import NODE, PERSISTENT_VOLUME_CLAIM, POD
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import BoolArray
from ksched.tables.volumes import CLAIM, EBS, GCE_PD, ISCSI, RBD, Users, VolumeColumns, VolumeUse
from ksched_plugins.kubernetes.claims import get_claim, not_found, pod_claims, uses_claim

DISK_REASON = "node(s) had no available disk"
ONCE_POD_REASON = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
ONCE_POD = "ReadWriteOncePod"
_EXCLUSIVE = (EBS, GCE_PD, ISCSI, RBD)
_STATE = "VolumeRestrictions"


@dataclass(slots=True)
class _State:
    """``claims``: names of the pod's ReadWriteOncePod claims; ``conflicts``: how often placed pods refer to them."""

    claims: frozenset[str]
    conflicts: int

    def clone(self) -> _State:
        return replace(self)

    def count(self, other: PodView, sign: int) -> None:
        # As upstream this looks at names alone: a claim of the same name in another namespace counts too.
        names = (claim.name for claim in pod_claims(other) if not claim.ephemeral)
        self.conflicts += sign * sum(name in self.claims for name in names)


class VolumeRestrictions:
    """Rejects nodes where a disk of the pod is in use, and all nodes while its ReadWriteOncePod claim is."""

    name = "VolumeRestrictions"

    def skips(self, point: str, pod: PodView) -> bool:
        """Pods without claims or disks."""
        return not pod.info.volumes

    def events_to_register(self) -> Sequence[EventToRegister]:
        """Pods that give their volumes back, new nodes, claims that appear."""
        return [
            EventToRegister(ClusterEvent(POD, Action.DELETE)),
            EventToRegister(ClusterEvent(NODE, Action.ADD)),
            EventToRegister(ClusterEvent(PERSISTENT_VOLUME_CLAIM, Action.ADD | Action.UPDATE), uses_claim),
        ]

    def pre_filter(self, cycle: Cycle, pod: PodView) -> Status | None:
        """A missing claim rejects the pod; without disks and conflicts there is nothing to filter."""
        if not pod.info.volumes:
            return Status.skip()
        once: set[str] = set()
        for name, ephemeral in pod_claims(pod):
            if ephemeral:
                continue
            claim = get_claim(cycle.objects, pod, name)
            if claim is None:
                return Status.unschedulable(not_found("persistentvolumeclaim", name), resolvable=False)
            if ONCE_POD in claim.spec.access_modes:
                once.add(name)
        volumes = cycle.cluster.volumes
        conflicts = sum(bool(volumes.users(CLAIM, (pod.namespace, name))) for name in sorted(once))
        if not conflicts and not any(use.source in _EXCLUSIVE for use in pod.volume_uses):
            return Status.skip()
        cycle.state[_STATE] = _State(frozenset(once), conflicts)
        return None

    def add_pod(self, cycle: Cycle, pod: PodView, other: PodView, node_name: str) -> Status | None:
        """Another pod is taken to run: it may use the same claim."""
        cycle.state[_STATE].count(other, 1)
        return None

    def remove_pod(self, cycle: Cycle, pod: PodView, other: PodView, node_name: str) -> Status | None:
        """Another pod is taken to be gone: it may have used the same claim."""
        cycle.state[_STATE].count(other, -1)
        return None

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> dict[str, BoolArray]:
        """A disk conflict is reported before one about a claim; evicting pods resolves either."""
        taken = _conflicts(pod.volume_uses, nodes)
        result = {DISK_REASON: taken}
        if cycle.state[_STATE].conflicts > 0:
            result[ONCE_POD_REASON] = ~taken
        return result

    def remedy(self, cycle: Cycle, pod: PodView, node: NodeView) -> list[str]:
        """The disks and the claims that somebody else has to give up."""
        said = [
            f"pods on the node must give up the {use.source} disk {use.identity}"
            for use in pod.volume_uses
            if _conflicts([use], node)[0]
        ]
        claims = sorted(cycle.state[_STATE].claims) if cycle.state[_STATE].conflicts > 0 else ()
        return said + [f"the pod that uses the {ONCE_POD} claim {name} must end" for name in claims]


def _conflicts(uses: Sequence[VolumeUse], nodes: NodeView) -> BoolArray:
    """bool[n]: a pod on the node has one of the disks in a way that does not go together with ``uses``."""
    volumes: VolumeColumns = nodes.volumes
    held = {
        row
        for use in uses
        if use.source in _EXCLUSIVE
        for rows in _clashing(use, volumes.users(use.source, use.identity))
        for row in rows
    }
    if not held:
        return np.zeros(len(nodes), dtype=np.bool_)
    return np.isin(nodes.rows, np.fromiter(held, dtype=np.intp, count=len(held)))


def _clashing(use: VolumeUse, users: Users) -> Iterator[Iterator[int]]:
    for detail, rows in users.items():
        if not _shareable(use.source, use.detail, detail):
            yield iter(rows)


def _shareable(source: str, ours: Hashable, theirs: Hashable) -> bool:
    """Whether two pods may use one disk: only for reading, EBS not at all, RBD also if they use other monitors."""
    if source == EBS:
        return False
    if source == RBD:
        assert isinstance(ours, tuple) and isinstance(theirs, tuple)
        apart = set(ours[0]).isdisjoint(theirs[0])
        return apart or bool(ours[1] and theirs[1])
    return bool(ours and theirs)
