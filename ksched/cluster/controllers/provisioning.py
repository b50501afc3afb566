"""The volume a CSI driver's provisioner makes for a claim (kubernetes-csi/external-provisioner, pkg/controller)."""

from __future__ import annotations

from ksched.objects.meta import ObjectMeta
from ksched.objects.node import Node
from ksched.objects.selectors import IN, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from ksched.objects.storage import (
    CSINode,
    CSIPersistentVolumeSource,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeSpec,
    StorageClass,
    VolumeNodeAffinity,
)
from ksched.objects.volume_claims import PROVISIONED_BY, STORAGE, bound_to, class_of, requested


def provisioned_volume(
    claim: PersistentVolumeClaim, storage_class: StorageClass, node: Node | None, csi_node: CSINode | None
) -> PersistentVolume:
    """A volume of exactly the size asked for, reserved for the claim.

    It can be reached from where the driver says the selected ``node`` is (the topology keys in its CSINode); a driver
    without topology makes volumes that can be reached from everywhere. Without a selected node it can be reached from
    all that the class allows.
    """
    name = f"pvc-{claim.metadata.uid}"
    terms = _terms_of_node(storage_class, node, csi_node) if node is not None else _terms_of_class(storage_class)
    spec = PersistentVolumeSpec(
        capacity={STORAGE: requested(claim)},
        access_modes=claim.spec.access_modes,
        persistent_volume_reclaim_policy=storage_class.reclaim_policy or "Delete",
        storage_class_name=class_of(claim),
        volume_mode=claim.spec.volume_mode,
        csi=CSIPersistentVolumeSource(driver=storage_class.provisioner, volume_handle=name),
    )
    if terms:
        spec = spec.replaced(node_affinity=VolumeNodeAffinity(required=NodeSelector(node_selector_terms=terms)))
    annotations = {PROVISIONED_BY: storage_class.provisioner or ""}
    made = bound_to(PersistentVolume(metadata=ObjectMeta(name=name), spec=spec), claim)
    return made.replaced(metadata=ObjectMeta(name=name, annotations=annotations))


def _terms_of_node(storage_class: StorageClass, node: Node, csi_node: CSINode | None) -> tuple[NodeSelectorTerm, ...]:
    drivers = csi_node.spec.drivers if csi_node is not None else ()
    keys = next((driver.topology_keys for driver in drivers if driver.name == storage_class.provisioner), ())
    labels = node.metadata.labels
    return _term([(key, (labels[key],)) for key in keys if key in labels])


def _terms_of_class(storage_class: StorageClass) -> tuple[NodeSelectorTerm, ...]:
    return tuple(
        made
        for term in storage_class.allowed_topologies
        for made in _term([(r.key or "", r.values) for r in term.match_label_expressions])
    )


def _term(labels: list[tuple[str, tuple[str, ...]]]) -> tuple[NodeSelectorTerm, ...]:
    asked = tuple(NodeSelectorRequirement(key=key, operator=IN, values=values) for key, values in labels)
    return (NodeSelectorTerm(match_expressions=asked),) if asked else ()
