"""VolumeBinding: the pod's volumes must be reachable from its node, and are bound or made for it before the pod is.

Upstream: pkg/scheduler/framework/plugins/volumebinding (volume_binding.go, binder.go, v1.30). With default feature
gates it never scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntFlag

import numpy as np
from pydantic import NonNegativeInt

from ksched.framework import Action, ClusterEvent, Cycle, EventToRegister, Reject, Status
from ksched.framework.events import (
    CSI_DRIVER,
    CSI_NODE,
    CSI_STORAGE_CAPACITY,
    NODE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    STORAGE_CLASS,
)
from ksched.framework.listers import Listers
from ksched.objects.storage import PersistentVolume, PersistentVolumeClaim
from ksched.objects.volume_claims import (
    SELECTED_NODE,
    WAIT_FOR_FIRST_CONSUMER,
    bound_to,
    fully_bound,
    requested,
)
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import BoolArray, Int64Array
from ksched_plugins.kubernetes.claims import (
    get_claim,
    not_found,
    not_owned,
    pod_claims,
    storage_class,
    uses_claim,
)
from ksched_plugins.kubernetes.csi_nodes import CSINodeColumns
from ksched_plugins.kubernetes.csi_translation import IN_TREE, in_tree_source, translated_affinity
from ksched_plugins.kubernetes.volume_assumptions import Assumptions
from ksched_plugins.kubernetes.volume_binding_in_progress import BindingInProgress
from ksched_plugins.kubernetes.volume_matching import (
    Candidates,
    Shape,
    VolumePool,
    admits,
    affinity_of,
    claimed_by,
    shape,
)
from ksched_plugins.kubernetes.volume_provisioning import Provisioning, Verdict
from ksched_plugins.plugin_args import PluginArgs

_STATE = "VolumeBinding"
_POOLS = 64
"""Shapes of claims for which free volumes are kept sorted."""


class _Conflict(IntFlag):
    """Why a node does not do."""

    NODE_AFFINITY = 1
    NO_VOLUME = 2
    NO_SPACE = 4
    VOLUME_GONE = 8


REASONS = {
    _Conflict.NODE_AFFINITY: "node(s) had volume node affinity conflict",
    _Conflict.NO_VOLUME: "node(s) didn't find available persistent volumes to bind",
    _Conflict.NO_SPACE: "node(s) did not have enough free storage",
    _Conflict.VOLUME_GONE: "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
}


class VolumeBindingArgs(PluginArgs):
    """``bindTimeoutSeconds``: how long PreBind waits for volumes to be bound."""

    bind_timeout_seconds: NonNegativeInt = 600


@dataclass(slots=True)
class _Found:
    """What is to be done for the claims of a pod on one node, or why that cannot be done."""

    conflict: int = 0
    """A _Conflict, 0 for none."""
    bindings: list[tuple[PersistentVolume, PersistentVolumeClaim]] = field(default_factory=list)
    provisions: list[PersistentVolumeClaim] = field(default_factory=list)


class _Waiting:
    """The claims of a pod that wait for it, ready to be asked node by node."""

    def __init__(self, matching: Sequence[Candidates], provisioning: Mapping[str, Provisioning]) -> None:
        self._matching = matching
        self._provisioning = provisioning
        chosen = {name: p.claim.metadata.annotations.get(SELECTED_NODE) for name, p in provisioning.items()}
        self._selected = [name for name, node in chosen.items() if node is not None]
        self.nodes = frozenset(node for node in chosen.values() if node is not None)
        """Nodes for which volumes of this pod are being made already: no other will do."""

    def __bool__(self) -> bool:
        return bool(self._provisioning)

    def keys(self) -> list[str]:
        """The node labels that decide."""
        return sorted(
            {key for candidates in self._matching for key in candidates.labels_read()}
            | {key for provisioning in self._provisioning.values() for key in provisioning.labels_read()}
        )

    def on(self, labels: Mapping[str, str]) -> _Found:
        """What is to be done on a node with these labels; must not be asked about a node that is not in ``nodes``."""
        found = _Found()
        for name in (*self._selected, *self._match(labels, found)):
            found.conflict = _conflict_of(self._provisioning[name].on(labels))
            if found.conflict:
                break
            found.provisions.append(self._provisioning[name].claim)
        return found

    def without(self, labels: Mapping[str, str]) -> list[str]:
        """Names of the claims for which such a node has no volume and none can be made."""
        names = (*self._selected, *self._match(labels, _Found()))
        return [name for name in names if _conflict_of(self._provisioning[name].on(labels))]

    def _match(self, labels: Mapping[str, str], found: _Found) -> list[str]:
        """Find volumes for claims, smallest claim first; returns the names of those that got none."""
        taken: set[str] = set()
        missing = []
        for candidates in self._matching:
            volume = candidates.best(labels, taken)
            if volume is None:
                missing.append(candidates.claim.name)
                continue
            taken.add(volume.name)
            found.bindings.append((volume, candidates.claim))
        return missing

    def conflicts(self, nodes: NodeView) -> Int64Array:
        """_Conflict per node, int64[n]; found out once per distinct combination of the labels that decide."""
        if len(self._provisioning) == len(self._matching) == 1:
            return self._conflicts_of_one(nodes)
        keys = self.keys()

        def conflict(values: tuple[str | None, ...]) -> int:
            return self.on({k: v for k, v in zip(keys, values, strict=True) if v is not None}).conflict

        result: Int64Array = nodes.per_labels(keys, conflict, np.int64)
        if not self.nodes:
            return result
        one = next(iter(self.nodes)) if len(self.nodes) == 1 else None
        return np.where(nodes.names == one, result, _Conflict.NO_VOLUME)

    def _conflicts_of_one(self, nodes: NodeView) -> Int64Array:
        """The same for one claim, which cannot take a volume from another: existing volumes for all nodes at once."""
        exist = self._matching[0].exist(nodes)
        if exist.all():
            return np.zeros(len(nodes), dtype=np.int64)
        provisioning = next(iter(self._provisioning.values()))
        keys = sorted(set(provisioning.labels_read()))

        def conflict(values: tuple[str | None, ...]) -> int:
            return _conflict_of(provisioning.on({k: v for k, v in zip(keys, values, strict=True) if v is not None}))

        return np.where(exist, 0, nodes.per_labels(keys, conflict, np.int64))


def _conflict_of(verdict: Verdict) -> int:
    if verdict is Verdict.YES:
        return 0
    return _Conflict.NO_VOLUME if verdict is Verdict.NO else _Conflict.NO_SPACE


@dataclass(slots=True)
class _State:
    """``bound``: the volumes of bound claims, None for one that is gone. The rest is set from Reserve on."""

    bound: Sequence[PersistentVolume | None]
    waiting: _Waiting
    reserved: _Found | None = None
    binding: BindingInProgress | None = None


class VolumeBinding:
    """Rejects nodes that cannot reach the pod's volumes, or where none can be found or made for its claims."""

    name = "VolumeBinding"
    Args = VolumeBindingArgs

    def __init__(self, args: VolumeBindingArgs) -> None:
        self._timeout = args.bind_timeout_seconds
        self._volumes: Assumptions[PersistentVolume] = Assumptions()
        self._claims: Assumptions[PersistentVolumeClaim] = Assumptions()
        self._csi_nodes = CSINodeColumns()
        self._pools: dict[Shape, VolumePool] = {}

    def skips(self, point: str, pod: PodView) -> bool:
        """Pods without claims; scoring altogether."""
        return point == "preScore" or not any(True for _ in pod_claims(pod))

    def events_to_register(self) -> Sequence[EventToRegister]:
        """Whatever volumes, claims, classes, nodes and drivers may come to offer."""
        both = Action.ADD | Action.UPDATE
        kinds = (STORAGE_CLASS, PERSISTENT_VOLUME, CSI_NODE, CSI_DRIVER, CSI_STORAGE_CAPACITY)
        # A node that comes unready is let in only when its taint goes (upstream: issue 109437).
        node = Action.ADD | Action.UPDATE_NODE_LABEL | Action.UPDATE_NODE_TAINT
        return [
            *(EventToRegister(ClusterEvent(kind, both)) for kind in kinds),
            EventToRegister(ClusterEvent(PERSISTENT_VOLUME_CLAIM, both), uses_claim),
            EventToRegister(ClusterEvent(NODE, node)),
        ]

    # -- PreFilter and Filter -------------------------------------------------------------------------------

    def pre_filter(self, cycle: Cycle, pod: PodView) -> Status | None:
        """Claims that are missing, lost, being deleted, or should be bound by now reject the pod."""
        if not pod.info.volumes:
            return Status.skip()
        claims = []
        for name, ephemeral in pod_claims(pod):
            claim = get_claim(cycle.objects, pod, name)
            wrong = _wrong(claim, name, ephemeral, pod)
            if wrong or claim is None:
                return Status.unschedulable(wrong, resolvable=False)
            claims.append(self._claims.latest(claim))
        if not claims:
            return Status.skip()
        waiting = [claim for claim in claims if not fully_bound(claim)]
        if not all(_waits_for_pod(claim, cycle.objects) for claim in waiting):
            return Status.unschedulable("pod has unbound immediate PersistentVolumeClaims", resolvable=False)
        bound = [self._volume_of(claim, cycle.objects) for claim in claims if fully_bound(claim)]
        cycle.state[_STATE] = _State(bound, self._prepare(waiting, cycle.objects))
        return None

    def _volume_of(self, claim: PersistentVolumeClaim, objects: Listers) -> PersistentVolume | None:
        volume = objects.get(PersistentVolume, "", claim.spec.volume_name or "")
        return self._volumes.latest(volume) if volume is not None else None

    def _prepare(self, claims: Sequence[PersistentVolumeClaim], objects: Listers) -> _Waiting:
        searching = [claim for claim in claims if SELECTED_NODE not in claim.metadata.annotations]
        matching = [self._candidates(claim, objects) for claim in sorted(searching, key=requested)]
        return _Waiting(matching, {claim.name: Provisioning(claim, objects) for claim in claims})

    def _candidates(self, claim: PersistentVolumeClaim, objects: Listers) -> Candidates:
        """The volumes as they are assumed to be: some of the free ones are taken, some taken for this very claim."""
        seen = (objects.get(PersistentVolume, *key) for key in self._volumes.subjects())
        assumed = [self._volumes.latest(volume) for volume in seen if volume is not None]
        named = objects.having(PersistentVolume, claimed_by, (claim.namespace, claim.name))
        reserved = (*(self._volumes.latest(volume) for volume in named), *assumed)
        gone = frozenset(volume.name for volume in assumed if volume.spec.claim_ref is not None)
        return Candidates(claim, reserved, self._pool(claim, objects), gone)

    def _pool(self, claim: PersistentVolumeClaim, objects: Listers) -> VolumePool:
        key = shape(claim)
        pool = self._pools.pop(key, None) or VolumePool(claim)
        self._pools[key] = pool
        if len(self._pools) > _POOLS:
            del self._pools[next(iter(self._pools))]
        pool.refresh(objects)
        return pool

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> list[Reject]:
        """Nothing here can be resolved by evicting pods."""
        state: _State = cycle.state[_STATE]
        conflicts = self._bound_conflicts(state.bound, cycle, nodes)
        if state.waiting:
            conflicts |= state.waiting.conflicts(nodes)
        return [Reject((conflicts & bit) != 0, reason, resolvable=False) for bit, reason in REASONS.items()]

    def remedy(self, cycle: Cycle, pod: PodView, node: NodeView) -> list[str]:
        """Which volumes cannot be reached from the node, and which claims find none there."""
        state: _State = cycle.state[_STATE]
        said = [
            f"volume {volume.name} can be used only from nodes that its node affinity admits"
            for volume in state.bound
            if volume is not None and not self._reachable(volume, cycle, node)[0]
        ]
        name, labels = str(node.names[0]), node.objects[0].metadata.labels
        if state.waiting.nodes - {name}:
            return [*said, f"volumes for the pod are being made for {', '.join(sorted(state.waiting.nodes))}"]
        return said + [
            f"a volume for claim {claim} that nodes like this can use" for claim in state.waiting.without(labels)
        ]

    def _bound_conflicts(self, volumes: Sequence[PersistentVolume | None], cycle: Cycle, nodes: NodeView) -> Int64Array:
        """_Conflict per node, int64[n]: the first bound volume that cannot be reached decides."""
        conflicts = np.zeros(len(nodes), dtype=np.int64)
        for volume in volumes:
            if volume is None:
                conflicts[conflicts == 0] = _Conflict.VOLUME_GONE
                break
            unreachable = ~self._reachable(volume, cycle, nodes)
            conflicts[unreachable & (conflicts == 0)] = _Conflict.NODE_AFFINITY
        return conflicts

    def _reachable(self, volume: PersistentVolume, cycle: Cycle, nodes: NodeView) -> BoolArray:
        """bool[n]: the volume's affinity admits the node, as its CSI driver sees it where its plugin was migrated."""
        reachable = admits(affinity_of(volume), nodes)
        disk = in_tree_source(volume)
        plugin = IN_TREE.get(disk.source) if disk is not None else None
        if plugin is None or plugin.zone_label is None:
            return reachable
        self._csi_nodes.refresh(cycle.cluster, cycle.objects)
        ids, sets = self._csi_nodes.migrated()
        migrated = np.array([plugin.name in names for names in sets], dtype=np.bool_)[nodes.of_rows(ids)]
        if not migrated.any():
            return reachable
        return np.where(migrated, admits(translated_affinity(volume, plugin.zone_label), nodes), reachable)

    # -- PreScore and Score ---------------------------------------------------------------------------------

    def pre_score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Status:
        """The feature gate VolumeCapacityPriority is off."""
        return Status.skip()

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Int64Array:
        """Nothing; listed because the plugin has a weight."""
        return np.zeros(len(nodes), dtype=np.int64)

    # -- Reserve to PreBind ---------------------------------------------------------------------------------

    def reserve(self, cycle: Cycle, pod: PodView, node_name: str) -> Status | None:
        """Assume that the volumes found are taken, and that volumes are being made for the other claims."""
        state: _State | None = cycle.state.get(_STATE)
        if state is None or not state.waiting:
            return None
        labels = cycle.node(node_name).objects[0].metadata.labels
        found = state.waiting.on(labels)
        reserved = state.reserved = _Found()
        for volume, claim in found.bindings:
            assumed = bound_to(volume, claim)
            self._volumes.assume(assumed)
            reserved.bindings.append((assumed, claim))
        for claim in found.provisions:
            annotations = claim.metadata.annotations | {SELECTED_NODE: node_name}
            selected = claim.replaced(metadata=claim.metadata.replaced(annotations=annotations))
            self._claims.assume(selected)
            reserved.provisions.append(selected)
        return None

    def unreserve(self, cycle: Cycle, pod: PodView, node_name: str) -> None:
        """Take volumes and claims to be as the api-server has them again."""
        state: _State | None = cycle.state.get(_STATE)
        if state is None or state.reserved is None:
            return
        for volume, _ in state.reserved.bindings:
            self._volumes.restore(volume)
        for claim in state.reserved.provisions:
            self._claims.restore(claim)
        state.reserved = None

    def pre_bind(self, cycle: Cycle, pod: PodView, node_name: str) -> Status | None:
        """Tell the api-server what was assumed, then look once a second whether the PV controller is done."""
        state: _State | None = cycle.state.get(_STATE)
        if state is None or state.reserved is None or cycle.api is None:
            return None
        if state.binding is None:
            reserved = state.reserved
            state.binding = BindingInProgress(reserved.bindings, reserved.provisions, node_name, self._timeout)
            state.binding.start(cycle.api)
            return Status.wait(BindingInProgress.POLL_SECONDS)
        return state.binding.check(cycle.objects, lambda volume: self._reaches(volume, node_name, cycle))

    def _reaches(self, volume: PersistentVolume, node_name: str, cycle: Cycle) -> bool:
        return bool(self._reachable(volume, cycle, cycle.node(node_name))[0])


def _wrong(claim: PersistentVolumeClaim | None, name: str, ephemeral: bool, pod: PodView) -> str:
    """Why a claim cannot be used, "" if it can."""
    if claim is None:
        if ephemeral:
            return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
        return not_found("persistentvolumeclaim", name)
    if claim.status.phase == "Lost":
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim.spec.volume_name or ""}"'
    if claim.metadata.deletion_timestamp is not None:
        return f'persistentvolumeclaim "{name}" is being deleted'
    return (not_owned(claim, pod) or "") if ephemeral else ""


def _waits_for_pod(claim: PersistentVolumeClaim, objects: Listers) -> bool:
    """Whether an unbound claim is for the scheduler to bind; one that names its volume is not."""
    found = storage_class(objects, claim)
    waits = found is not None and found.volume_binding_mode == WAIT_FOR_FIRST_CONSUMER
    return waits and not claim.spec.volume_name
