"""Random: a uniformly random feasible node, the baseline every policy should beat.

Draws depend on the seed, the pod and the node's name alone, so the same pod on the same nodes gets the same draw in
every policy that is compared with it.
"""

from __future__ import annotations

import numpy as np

from ksched.framework import Cycle
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import Int64Array


class Random:
    """Draws one of the feasible nodes and gives it 100 points, all others 0.

    Points drawn per node would not do: there are only 101 of them, so a large cluster would have many ties.
    """

    name = "Random"

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Int64Array:
        """int64[n]: 100 for the node drawn. Which one is drawn does not depend on the order of the rows."""
        points = np.zeros(len(nodes), dtype=np.int64)
        if len(nodes):
            ranks, drawn = nodes.name_ranks, cycle.random() % len(nodes)
            present = np.zeros(nodes.total_nodes, dtype=np.bool_)
            present[ranks] = True
            points[(ranks == present.nonzero()[0][drawn]).argmax()] = 100
        return points
