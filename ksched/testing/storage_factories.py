"""Claims, volumes and what belongs to them in one line, for tests; parsed and defaulted as manifests are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from ksched.objects import KubeObject, default, parse
from ksched.objects.storage import (
    CSIDriver,
    CSINode,
    CSIStorageCapacity,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
)
from ksched.objects.volume_claims import BIND_COMPLETED, SELECTED_NODE, WAIT_FOR_FIRST_CONSUMER
from ksched.testing.factories import term

K = TypeVar("K", bound=KubeObject)

DRIVER = "csi.example.com"


def make_claim(
    name: str,
    *,
    size: str = "1Gi",
    storage_class: str | None = None,
    volume: str | None = None,
    bound: bool | None = None,
    modes: Iterable[str] = ("ReadWriteOnce",),
    selected_node: str | None = None,
    owner: str | None = None,
    phase: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    **spec: Any,
) -> PersistentVolumeClaim:
    """A claim in "default"; one with a ``volume`` is ``bound`` unless it says otherwise. ``owner``: uid of a pod."""
    bound = volume is not None if bound is None else bound
    annotations = {BIND_COMPLETED: "yes"} if bound else {}
    if selected_node is not None:
        annotations[SELECTED_NODE] = selected_node
    meta: dict[str, Any] = {"name": name, "namespace": "default", "uid": f"uid-{name}", "annotations": annotations}
    if owner is not None:
        meta["ownerReferences"] = [{"apiVersion": "v1", "kind": "Pod", "name": "pod", "uid": owner, "controller": True}]
    body = {"accessModes": list(modes), "resources": {"requests": {"storage": size}}, **spec}
    body |= {k: v for k, v in {"storageClassName": storage_class, "volumeName": volume}.items() if v is not None}
    status = {"phase": phase or ("Bound" if bound else "Pending")}
    return _made(PersistentVolumeClaim, {**meta, **(metadata or {})}, spec=body, status=status)


def make_volume(
    name: str,
    *,
    size: str = "1Gi",
    storage_class: str = "",
    labels: Mapping[str, str] | None = None,
    affinity: Iterable[str | tuple[str, ...]] = (),
    claim: str | None = None,
    modes: Iterable[str] = ("ReadWriteOnce",),
    phase: str | None = None,
    source: Mapping[str, Any] | None = None,
    **spec: Any,
) -> PersistentVolume:
    """A volume of the driver ``DRIVER`` with its name as handle, or of another ``source``.

    ``affinity`` are terms of requirements as :func:`~ksched.testing.factories.term` reads them; ``claim`` in "default"
    is the one it is bound to.
    """
    terms = [term(*((one,) if isinstance(one, str) else one)) for one in affinity]
    body: dict[str, Any] = {
        "capacity": {"storage": size},
        "accessModes": list(modes),
        "storageClassName": storage_class,
        **(source or {"csi": {"driver": DRIVER, "volumeHandle": name}}),
        **spec,
    }
    if terms:
        body["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    if claim is not None:
        body["claimRef"] = {
            "kind": "PersistentVolumeClaim",
            "namespace": "default",
            "name": claim,
            "uid": f"uid-{claim}",
        }
    status = {"phase": phase or ("Available" if claim is None else "Bound")}
    return _made(PersistentVolume, {"name": name, "labels": dict(labels or {})}, spec=body, status=status)


def make_storage_class(
    name: str, *, mode: str = WAIT_FOR_FIRST_CONSUMER, provisioner: str = DRIVER, zones: Iterable[str] = (), **more: Any
) -> StorageClass:
    """A storage class; ``zones``: allowedTopologies."""
    if zones:
        expressions = [{"key": "topology.kubernetes.io/zone", "values": list(zones)}]
        more["allowedTopologies"] = [{"matchLabelExpressions": expressions}]
    return _made(StorageClass, {"name": name}, provisioner=provisioner, volumeBindingMode=mode, **more)


def make_csi_node(
    name: str, limits: Mapping[str, int | None] | None = None, *, migrated: str = "", topology_keys: Iterable[str] = ()
) -> CSINode:
    """A CSINode: limit per driver (None: the driver gives none), migrated plugins as its annotation lists them."""
    annotations = {"storage.alpha.kubernetes.io/migrated-plugins": migrated} if migrated else {}
    drivers = [
        {
            "name": driver,
            "nodeID": name,
            "topologyKeys": list(topology_keys),
            **({} if count is None else {"allocatable": {"count": count}}),
        }
        for driver, count in (limits or {}).items()
    ]
    return _made(CSINode, {"name": name, "annotations": annotations}, spec={"drivers": drivers})


def make_capacity(
    name: str, storage_class: str, capacity: str, labels: Mapping[str, str], **more: Any
) -> CSIStorageCapacity:
    """How much is left for a class on nodes with these labels."""
    topology = {"matchLabels": dict(labels)}
    meta = {"name": name, "namespace": "default"}
    return _made(
        CSIStorageCapacity, meta, storageClassName=storage_class, capacity=capacity, nodeTopology=topology, **more
    )


def make_csi_driver(*, storage_capacity: bool = True, name: str = DRIVER) -> CSIDriver:
    """A CSIDriver; ``storage_capacity``: the scheduler is to look at capacities."""
    return _made(CSIDriver, {"name": name}, spec={"storageCapacity": storage_capacity})


def claim_volume(*claims: str) -> list[dict[str, Any]]:
    """The ``volumes`` of a pod that uses these claims."""
    return [{"name": f"v{i}", "persistentVolumeClaim": {"claimName": claim}} for i, claim in enumerate(claims)]


def _made(cls: type[K], metadata: Mapping[str, Any], **parts: Any) -> K:
    manifest = {"apiVersion": cls.API_VERSION, "kind": cls.KIND, "metadata": dict(metadata), **parts}
    made = default(parse(manifest, where="make"))
    assert isinstance(made, cls)
    return made
