"""The order in which nodes are looked at when not all of them are (percentageOfNodesToScore).

Zones take turns, so that whoever looks at a part of the nodes sees every zone, and each search begins where the last
one ended, so that every node gets its turn (upstream: internal/cache/node_tree.go; schedule_one.go
findNodesThatPassFilters). One order serves all profiles of a scheduler.
"""

from __future__ import annotations

from itertools import zip_longest

import numpy as np

from ksched.framework import selection
from ksched.objects import Node
from ksched.tables import NODE, NodeTable
from ksched.tables.arrays import BoolArray, IntArray

# The beta label wins where a node has both.
_ZONES = ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone")
_REGIONS = ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region")


def zone_key(node: Node) -> tuple[str, str]:
    """(region, zone) of a node, each "" where no label tells (upstream: GetZoneKey)."""
    labels = node.metadata.labels
    region, zone = (next((labels[key] for key in keys if key in labels), "") for keys in (_REGIONS, _ZONES))
    return region, zone


class NodeOrder:
    """Zones in the order they first appeared, and where the next search starts."""

    def __init__(self, table: NodeTable) -> None:
        self._table = table
        self.start = 0
        self._zones: dict[tuple[str, str], dict[str, str | None]] = {}
        """Zone -> node name -> uid, both in the order they came."""
        self._zone_of: dict[str, tuple[str, str]] = {}
        self._seen = (-1, -1)
        self._rows: IntArray = np.array([], dtype=np.intp)

    def rows(self) -> IntArray:
        """All rows of the table (intp[n]): the first node of every zone, then the second of every zone ..."""
        now = (self._table.structure, self._table.logs[NODE].position)
        if now != self._seen:
            self._seen = now
            self._follow()
        return self._rows

    def sample(self, feasible: BoolArray, wanted: int) -> IntArray:
        """The rows to look at for ``wanted`` feasible ones, in this order; the next search begins behind them."""
        order = self.rows()
        seen = order[selection.sample(feasible[order], self.start % len(order), wanted)]
        self.advance(len(seen))
        return seen

    def advance(self, looked_at: int) -> None:
        """So many nodes were looked at."""
        if self._table.n:
            self.start = (self.start + looked_at) % self._table.n

    def copy(self) -> NodeOrder:
        """The same order over the same table, going its own way from here on."""
        other = NodeOrder(self._table)
        other.start = self.start
        other._zones = {zone: dict(nodes) for zone, nodes in self._zones.items()}
        other._zone_of = dict(self._zone_of)
        return other

    def _follow(self) -> None:
        """Take over what happened to nodes since; a node that left or changed zones loses its place."""
        nodes, index = self._table.nodes, self._table.index
        for name, zone in list(self._zone_of.items()):
            row = index.get(name)
            same = row is not None and self._zones[zone][name] == nodes[row].metadata.uid
            if not same or row is None or zone_key(nodes[row]) != zone:
                self._forget(name, zone)
        for node in nodes:
            name = node.metadata.name or ""
            if name not in self._zone_of:
                zone = self._zone_of[name] = zone_key(node)
                self._zones.setdefault(zone, {})[name] = node.metadata.uid
        turns = zip_longest(*self._zones.values())
        self._rows = np.array([index[name] for turn in turns for name in turn if name is not None], dtype=np.intp)

    def _forget(self, name: str, zone: tuple[str, str]) -> None:
        del self._zone_of[name]
        del self._zones[zone][name]
        if not self._zones[zone]:
            del self._zones[zone]
