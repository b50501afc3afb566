"""The claims of a pod and what they say of themselves, shared by the volume plugins.

Upstream: staging/src/k8s.io/component-helpers/storage/ephemeral/ephemeral.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ksched.framework.listers import Listers
from ksched.objects.storage import PersistentVolumeClaim, StorageClass
from ksched.objects.volume_claims import class_of
from ksched.tables import PodView
from ksched.tables.volumes import claim_name


class PodClaim(NamedTuple):
    """A claim a pod uses; ``ephemeral``: it is made for this pod from a template in its spec."""

    name: str
    ephemeral: bool


def pod_claims(pod: PodView) -> Iterator[PodClaim]:
    """The claims of a pod in the order of its volumes."""
    for volume in pod.info.volumes:
        name = claim_name(volume, pod.name)
        if name is not None:
            yield PodClaim(name, volume.ephemeral is not None)


def get_claim(objects: Listers, pod: PodView, name: str) -> PersistentVolumeClaim | None:
    """A claim in the pod's namespace."""
    return objects.get(PersistentVolumeClaim, pod.namespace, name)


def not_found(kind: str, name: str) -> str:
    """How the api-server says that an object is not there: resource as in "persistentvolumeclaim"."""
    return f'{kind} "{name}" not found'


def not_owned(claim: PersistentVolumeClaim, pod: PodView) -> str | None:
    """Why a claim for an ephemeral volume is not the pod's, None if it is (upstream: VolumeIsForPod)."""
    owner = next((ref for ref in claim.metadata.owner_references if ref.controller), None)
    if owner is not None and owner.uid == pod.uid:
        return None
    return f"PVC {claim.namespace}/{claim.name} was not created for pod {pod.namespace}/{pod.name} (pod is not owner)"


def storage_class(objects: Listers, claim: PersistentVolumeClaim) -> StorageClass | None:
    """The storage class of a claim, None if it names none or one that does not exist."""
    name = class_of(claim)
    return objects.get(StorageClass, "", name) if name else None


def uses_claim(pod: PodView, old: PersistentVolumeClaim | None, new: PersistentVolumeClaim | None) -> bool:
    """Queueing hint: a claim helps the pods that use it."""
    claim = new or old
    return claim is not None and pod.namespace == claim.namespace and claim.name in {c.name for c in pod_claims(pod)}
