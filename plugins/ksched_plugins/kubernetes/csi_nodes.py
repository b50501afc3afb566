"""What the CSINode objects say, as columns over the nodes of the cluster."""

from __future__ import annotations

import numpy as np

from ksched.framework.listers import Listers
from ksched.objects.storage import CSINode
from ksched.tables import NodeView
from ksched.tables.arrays import BoolArray, Int64Array, IntArray
from ksched.tables.volumes import VolumeColumns
from ksched_plugins.kubernetes.csi_translation import migrated_plugins

NO_LIMIT = -1


class CSINodeColumns:
    """Rebuilt whenever a CSINode or the list of nodes changes, which is rare; arrays cover all nodes of the cluster."""

    def __init__(self) -> None:
        self._basis: tuple[Listers | None, VolumeColumns | None, int, int] = (None, None, -1, -1)
        self._objects: list[CSINode | None] = []
        self._migrated: tuple[IntArray, list[frozenset[str]]] | None = None
        self._limits: dict[str, Int64Array] = {}

    def refresh(self, cluster: NodeView, objects: Listers) -> None:
        """Look at ``cluster`` (all nodes) and the CSINodes again if they changed."""
        basis = (objects, cluster.volumes, objects.version(CSINode), cluster.structure)
        if self._basis == basis:
            return
        self._basis = basis
        self._objects = [objects.get(CSINode, "", name) for name in cluster.names.tolist()]
        self._migrated = None
        self._limits = {}

    def of(self, row: int) -> CSINode | None:
        """The CSINode of a row."""
        return self._objects[row]

    def exist(self) -> BoolArray:
        """Which nodes have a CSINode, bool[n]."""
        return np.array([node is not None for node in self._objects], dtype=np.bool_)

    def migrated(self) -> tuple[IntArray, list[frozenset[str]]]:
        """Sets of plugins nodes say were migrated, and which of them is each node's, intp[n]."""
        if self._migrated is None:
            numbers: dict[frozenset[str], int] = {}
            ids = [numbers.setdefault(migrated_plugins(node), len(numbers)) for node in self._objects]
            self._migrated = (np.array(ids, dtype=np.intp), list(numbers))
        return self._migrated

    def limit(self, driver: str) -> Int64Array:
        """How many volumes of ``driver`` a node takes by its CSINode, int64[n]; NO_LIMIT where it does not say."""
        found = self._limits.get(driver)
        if found is None:
            found = np.array([_limit(node, driver) for node in self._objects], dtype=np.int64)
            self._limits[driver] = found
        return found


def _limit(node: CSINode | None, driver: str) -> int:
    limit = NO_LIMIT
    for known in node.spec.drivers if node is not None else ():
        if known.name == driver and known.allocatable is not None and known.allocatable.count is not None:
            limit = known.allocatable.count
    return limit
