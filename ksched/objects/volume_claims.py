"""What claims, volumes and storage classes say of each other: shared by the scheduler and the PV controller.

Upstream: staging/src/k8s.io/component-helpers/storage/volume (helpers.go, pv_helpers.go, v1.30).
"""

from __future__ import annotations

from .meta import ObjectReference
from .quantity import Quantity
from .selectors import LabelSelectorMatcher
from .storage import PersistentVolume, PersistentVolumeClaim

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
"""Annotation of a claim: the PV controller has finished binding it."""
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
"""Annotation of a volume or claim: the binding was not the user's wish, so it may be undone."""
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
"""Annotation of a volume: it was made for its claim, by this provisioner."""
SELECTED_NODE = "volume.kubernetes.io/selected-node"
"""Annotation of a claim: the node the scheduler chose, for which a volume is to be made."""
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"

IMMEDIATE, WAIT_FOR_FIRST_CONSUMER = "Immediate", "WaitForFirstConsumer"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
STORAGE = "storage"
AVAILABLE = "Available"

_NOTHING = Quantity.of(0)
_FILESYSTEM = "Filesystem"


def class_of(obj: PersistentVolumeClaim | PersistentVolume) -> str:
    """The name of the storage class of a claim or volume, "" for none; the beta annotation takes precedence."""
    annotation = obj.metadata.annotations.get(BETA_CLASS)
    return annotation if annotation is not None else obj.spec.storage_class_name or ""


def fully_bound(claim: PersistentVolumeClaim) -> bool:
    """Whether the claim has its volume and the PV controller is done with it."""
    return bool(claim.spec.volume_name) and BIND_COMPLETED in claim.metadata.annotations


def is_bound_to(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether the volume is reserved for this claim: by name, and by uid if it gives one (IsVolumeBoundToClaim)."""
    ref = volume.spec.claim_ref
    if ref is None or (ref.namespace, ref.name) != (claim.namespace, claim.name):
        return False
    return not ref.uid or ref.uid == claim.metadata.uid


def requested(claim: PersistentVolumeClaim) -> Quantity:
    """The size a claim asks for."""
    resources = claim.spec.resources
    return resources.requests.get(STORAGE, _NOTHING) if resources is not None else _NOTHING


def capacity(volume: PersistentVolume) -> Quantity:
    """The size of a volume."""
    return volume.spec.capacity.get(STORAGE, _NOTHING)


def suits(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """What even a volume reserved for the claim must fulfil: large enough, of the mode asked for, and here to stay."""
    modes = [mode or _FILESYSTEM for mode in (claim.spec.volume_mode, volume.spec.volume_mode)]
    return modes[0] == modes[1] and capacity(volume) >= requested(claim) and volume.metadata.deletion_timestamp is None


def may_be_taken(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """What any other volume must fulfil too: nobody has it, and class, access modes and labels are those asked for."""
    if volume.spec.claim_ref is not None or volume.status.phase != AVAILABLE or class_of(volume) != class_of(claim):
        return False
    if not set(claim.spec.access_modes) <= set(volume.spec.access_modes):
        return False
    selector = claim.spec.selector
    return selector is None or LabelSelectorMatcher(selector).matches(volume.metadata.labels)


def bound_to(volume: PersistentVolume, claim: PersistentVolumeClaim) -> PersistentVolume:
    """``volume`` with ``claim`` as the one it is for; the same object if it already is (GetBindVolumeToClaim)."""
    ref, meta = volume.spec.claim_ref, claim.metadata
    if ref is not None and (ref.namespace, ref.name, ref.uid) == (meta.namespace, meta.name, meta.uid):
        return volume
    wanted = ObjectReference(
        kind=claim.KIND,
        api_version=claim.API_VERSION,
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
    )
    bound = volume.replaced(spec=volume.spec.replaced(claim_ref=wanted))
    if ref is not None:
        return bound
    annotations = volume.metadata.annotations | {BOUND_BY_CONTROLLER: "yes"}
    return bound.replaced(metadata=volume.metadata.replaced(annotations=annotations))
