"""FreeMemory: the shortest useful score, the share of a node's memory that is free."""

from __future__ import annotations

from ksched.framework import Cycle
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import Int64Array


class FreeMemory:
    """More free memory is better; the incoming pod is not counted."""

    name = "FreeMemory"
    node_local = True

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Int64Array:
        """Percent of memory free, int64[n]; 0 on a node that is overcommitted or has no memory."""
        free: Int64Array = nodes.free("memory").clip(0)
        allocatable: Int64Array = nodes.allocatable("memory").clip(1)
        return 100 * free // allocatable
