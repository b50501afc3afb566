"""Where a volume could be made for a claim: by the topology its class allows and the capacity the driver reports.

Upstream: pkg/scheduler/framework/plugins/volumebinding/binder.go (checkVolumeProvisions, hasEnoughCapacity, v1.30).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum, auto

from ksched.framework.listers import Listers
from ksched.objects import LabelSelectorMatcher
from ksched.objects.storage import (
    CSIDriver,
    CSIStorageCapacity,
    PersistentVolumeClaim,
    StorageClass,
    TopologySelectorTerm,
)
from ksched.objects.volume_claims import NO_PROVISIONER, STORAGE, requested
from ksched_plugins.kubernetes.claims import storage_class


class Verdict(Enum):
    """Whether a volume could be made."""

    YES = auto()
    NO = auto()
    NO_SPACE = auto()


class Provisioning:
    """Making a volume for one claim, ready to be asked node by node."""

    def __init__(self, claim: PersistentVolumeClaim, objects: Listers) -> None:
        self.claim = claim
        found = storage_class(objects, claim)
        self._terms: tuple[TopologySelectorTerm, ...] = ()
        self._pools: list[LabelSelectorMatcher] | None = None
        self._possible = found is not None and found.provisioner not in (None, "", NO_PROVISIONER)
        if found is not None and self._possible:
            self._terms = found.allowed_topologies
            self._pools = _pools_with_room(claim, found, objects)

    def labels_read(self) -> Iterator[str]:
        """The node labels that decide."""
        for term in self._terms:
            yield from (requirement.key or "" for requirement in term.match_label_expressions)
        for pool in self._pools or ():
            yield from pool.keys

    def on(self, labels: Mapping[str, str]) -> Verdict:
        """The answer for a node with these labels."""
        if not self._possible or not topology_allows(self._terms, labels):
            return Verdict.NO
        if self._pools is not None and not any(pool.matches(labels) for pool in self._pools):
            return Verdict.NO_SPACE
        return Verdict.YES


def topology_allows(terms: tuple[TopologySelectorTerm, ...], labels: Mapping[str, str]) -> bool:
    """Whether one of a class's allowedTopologies matches; none allow everything (MatchTopologySelectorTerms)."""
    return not terms or any(
        term.match_label_expressions and all(labels.get(r.key or "") in r.values for r in term.match_label_expressions)
        for term in terms
    )


def capacity_class(capacity: CSIStorageCapacity) -> str | None:
    """The index of capacities by storage class."""
    return capacity.storage_class_name


def _pools_with_room(
    claim: PersistentVolumeClaim, found: StorageClass, objects: Listers
) -> list[LabelSelectorMatcher] | None:
    """The nodes of each pool with room for the claim; None where the driver does not want capacity to be looked at."""
    driver = objects.get(CSIDriver, "", found.provisioner or "")
    resources = claim.spec.resources
    if driver is None or not driver.spec.storage_capacity or resources is None or STORAGE not in resources.requests:
        return None
    size = requested(claim).value()
    return [
        LabelSelectorMatcher(capacity.node_topology)
        for capacity in objects.having(CSIStorageCapacity, capacity_class, found.name)
        if capacity.node_topology is not None and _room(capacity) >= size
    ]


def _room(capacity: CSIStorageCapacity) -> int:
    """The largest volume a pool could still hold; -1 where it says nothing. maximumVolumeSize is more precise."""
    limit = capacity.maximum_volume_size if capacity.maximum_volume_size is not None else capacity.capacity
    return limit.value() if limit is not None else -1
