"""Binds claims and volumes to each other, makes volumes for claims, and takes them back.

Upstream: pkg/controller/volume/persistentvolume/pv_controller.go, v1.30, and in one with it what provisioners do that
run beside it (kubernetes-csi/external-provisioner). Left out: events, finalizers that protect volumes in use,
recycling, and checks whether a wish for a certain volume makes sense. What a provisioner makes does not lessen any
CSIStorageCapacity.
"""

from __future__ import annotations

from typing import Any

from ksched.cluster.controllers.context import Context
from ksched.cluster.controllers.provisioning import provisioned_volume
from ksched.cluster.controllers.steps import Steps, call
from ksched.cluster.controllers.workqueue import WorkQueue
from ksched.objects.node import Node
from ksched.objects.storage import CSINode, PersistentVolume, PersistentVolumeClaim, StorageClass
from ksched.objects.volume_claims import (
    AVAILABLE,
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    NO_PROVISIONER,
    SELECTED_NODE,
    WAIT_FOR_FIRST_CONSUMER,
    bound_to,
    capacity,
    class_of,
    is_bound_to,
    may_be_taken,
    suits,
)

BOUND, LOST, PENDING, RELEASED = "Bound", "Lost", "Pending", "Released"
DELETE = "Delete"


class PersistentVolumeController:
    """Keys are ("claim", namespace, name) and ("volume", "", name)."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._kernel = context.kernel
        self._delay = context.config.provisioning
        self._volumes = context.informer(PersistentVolume)
        self._claims = context.informer(PersistentVolumeClaim)
        self._classes = context.informer(StorageClass)
        self._nodes = context.informer(Node)
        self._csi_nodes = context.informer(CSINode)
        self._provisioning: dict[str, int] = {}
        """By uid of the claim, when the volume being made for it will be there (ns)."""
        self.queue = WorkQueue(context.kernel, self.sync, context.config)
        self._claims.add_handler(self._claim_changed, lambda old, new: self._claim_changed(new), self._claim_deleted)
        self._volumes.add_handler(self._volume_changed, lambda old, new: self._volume_changed(new), self._volume_gone)
        self._classes.add_handler(lambda new: self._look_at_pending())

    # -- events -----------------------------------------------------------------------------------------------

    def _claim_changed(self, claim: PersistentVolumeClaim) -> None:
        self.queue.add(("claim", claim.namespace, claim.name))

    def _claim_deleted(self, claim: PersistentVolumeClaim) -> None:
        self._provisioning.pop(claim.metadata.uid or "", None)
        if claim.spec.volume_name:
            self.queue.add(("volume", "", claim.spec.volume_name))

    def _volume_changed(self, volume: PersistentVolume) -> None:
        self.queue.add(("volume", "", volume.name))
        if volume.spec.claim_ref is None:
            self._look_at_pending()

    def _volume_gone(self, volume: PersistentVolume) -> None:
        ref = volume.spec.claim_ref
        if ref is not None:
            self.queue.add(("claim", ref.namespace or "", ref.name or ""))

    def _look_at_pending(self) -> None:
        """Upstream looks at every claim every 15 s; here the unbound ones as soon as something may help them."""
        for claim in self._claims.store.values():
            if BIND_COMPLETED not in claim.metadata.annotations:
                self._claim_changed(claim)

    # -- sync -------------------------------------------------------------------------------------------------

    def sync(self, key: tuple[str, str, str]) -> Steps:
        """Bring one claim or volume closer to being bound."""
        kind, namespace, name = key
        if kind == "volume":
            volume = self._volumes.get(None, name)
            if volume is not None and volume.metadata.deletion_timestamp is None:
                yield from self._sync_volume(volume)
            return
        claim = self._claims.get(namespace, name)
        if claim is None or claim.metadata.deletion_timestamp is not None:
            return
        if BIND_COMPLETED in claim.metadata.annotations:
            yield from self._sync_bound_claim(claim)
        else:
            yield from self._sync_unbound_claim(claim)

    def _sync_unbound_claim(self, claim: PersistentVolumeClaim) -> Any:
        wanted = claim.spec.volume_name
        if wanted:
            volume = self._volumes.get(None, wanted)
            if volume is not None and (volume.spec.claim_ref is None or is_bound_to(volume, claim)):
                yield from self._bind(volume, claim)
                return
        else:
            found = self._best_volume(claim)
            if found is not None:
                yield from self._bind(found, claim)
                return
            if not self._waits(claim):
                yield from self._provision(claim)
        yield from self._set_claim_phase(claim, PENDING)

    def _sync_bound_claim(self, claim: PersistentVolumeClaim) -> Any:
        volume = self._volumes.get(None, claim.spec.volume_name or "")
        if volume is None or not (volume.spec.claim_ref is None or is_bound_to(volume, claim)):
            yield from self._set_claim_phase(claim, LOST)
        else:
            yield from self._bind(volume, claim)

    def _sync_volume(self, volume: PersistentVolume) -> Any:
        ref = volume.spec.claim_ref
        if ref is None or not ref.uid:
            yield from self._set_volume_phase(volume, AVAILABLE)
            if ref is not None:
                self.queue.add(("claim", ref.namespace or "", ref.name or ""))
            return
        claim = self._claims.get(ref.namespace, ref.name or "")
        if claim is None or claim.metadata.uid != ref.uid:
            yield from self._reclaim(volume)
        elif not claim.spec.volume_name:
            self._claim_changed(claim)
        elif claim.spec.volume_name == volume.name:
            yield from self._set_volume_phase(volume, BOUND)

    # -- matching and making ----------------------------------------------------------------------------------

    def _best_volume(self, claim: PersistentVolumeClaim) -> PersistentVolume | None:
        """A volume reserved for the claim; else the smallest that will do, unless that is the scheduler's business."""
        fitting = [volume for volume in self._volumes.store.values() if suits(volume, claim)]
        reserved = next((v for v in fitting if is_bound_to(v, claim) and class_of(v) == class_of(claim)), None)
        if reserved is not None or self._class_waits(claim):
            return reserved
        return min((v for v in fitting if may_be_taken(v, claim)), key=capacity, default=None)

    def _class_of(self, claim: PersistentVolumeClaim) -> StorageClass | None:
        name = class_of(claim)
        return self._classes.get(None, name) if name else None

    def _class_waits(self, claim: PersistentVolumeClaim) -> bool:
        found = self._class_of(claim)
        return found is not None and found.volume_binding_mode == WAIT_FOR_FIRST_CONSUMER

    def _waits(self, claim: PersistentVolumeClaim) -> bool:
        """Whether nothing is to be done before the scheduler has chosen a node for a pod with this claim."""
        return self._class_waits(claim) and SELECTED_NODE not in claim.metadata.annotations

    def _provision(self, claim: PersistentVolumeClaim) -> Any:
        """Make a volume for the claim; the event of its creation leads to the binding."""
        found = self._class_of(claim)
        if found is None or found.provisioner in (None, "", NO_PROVISIONER):
            return
        now = self._kernel.now
        left = self._provisioning.setdefault(claim.metadata.uid or "", now + self._delay) - now
        if left > 0:
            self.queue.add_after(("claim", claim.namespace, claim.name), left)
            return
        node_name = claim.metadata.annotations.get(SELECTED_NODE)
        node = self._nodes.get(None, node_name) if node_name else None
        csi_node = self._csi_nodes.get(None, node_name) if node_name else None
        _, error = yield call(self._client.create, provisioned_volume(claim, found, node, csi_node))
        if error is not None and error.reason != "AlreadyExists":
            raise error

    def _reclaim(self, volume: PersistentVolume) -> Any:
        """The claim is gone for good: with reclaim policy Delete the volume goes too."""
        ref = volume.spec.claim_ref
        assert ref is not None
        # The informer may be behind: ask again before doing what cannot be undone.
        current, error = yield call(self._client.get, PersistentVolumeClaim, ref.namespace, ref.name or "")
        if error is not None and not error.is_not_found:
            raise error
        if current is not None and current.metadata.uid == ref.uid:
            return
        if volume.spec.persistent_volume_reclaim_policy == DELETE:
            _, error = yield call(self._client.delete, PersistentVolume, None, volume.name, uid=volume.metadata.uid)
            if error is not None and not error.is_not_found:
                raise error
        else:
            yield from self._set_volume_phase(volume, RELEASED)

    # -- writing ----------------------------------------------------------------------------------------------

    def _bind(self, volume: PersistentVolume, claim: PersistentVolumeClaim) -> Any:
        """Volume first, then claim; a step already done is skipped, so a lost race is made good the next time."""
        for_claim = bound_to(volume, claim)
        if for_claim is not volume:
            for_claim = yield from self._update(for_claim)
        yield from self._set_volume_phase(for_claim, BOUND)
        annotations = dict(claim.metadata.annotations) | {BIND_COMPLETED: "yes"}
        if not claim.spec.volume_name:
            annotations[BOUND_BY_CONTROLLER] = "yes"
        if annotations != claim.metadata.annotations:
            metadata = claim.metadata.replaced(annotations=annotations)
            spec = claim.spec.replaced(volume_name=volume.name)
            claim = yield from self._update(claim.replaced(metadata=metadata, spec=spec))
        yield from self._set_claim_phase(claim, BOUND, for_claim)
        self._provisioning.pop(claim.metadata.uid or "", None)

    def _set_volume_phase(self, volume: PersistentVolume, phase: str) -> Any:
        if volume.status.phase != phase:
            yield from self._update(volume.replaced(status=volume.status.replaced(phase=phase)), status=True)

    def _set_claim_phase(self, claim: PersistentVolumeClaim, phase: str, volume: PersistentVolume | None = None) -> Any:
        if claim.status.phase == phase:
            return
        changes: dict[str, Any] = {"phase": phase}
        if volume is not None:
            changes |= {"access_modes": volume.spec.access_modes, "capacity": volume.spec.capacity}
        yield from self._update(claim.replaced(status=claim.status.replaced(**changes)), status=True)

    def _update(self, obj: Any, *, status: bool = False) -> Any:
        """Write ``obj``; whoever changed it meanwhile makes this sync fail and come again."""
        write = self._client.update_status if status else self._client.update
        result, error = yield call(write, obj)
        if error is not None:
            raise error
        return result
