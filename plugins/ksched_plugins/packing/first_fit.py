"""FirstFit: the first node, in the order of names, on which the pod fits.

Johnson, Demers, Ullman, Garey, Graham: Worst-Case Performance Bounds for Simple One-Dimensional Packing Algorithms,
SIAM J. Comput. 3(4), 1974. "First" needs a fixed order of the bins; names give one that does not depend on when a
node was added (compared as text, so node-10 comes before node-9).
"""

from __future__ import annotations

import numpy as np

from ksched.framework import Cycle
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import Int64Array


class FirstFit:
    """100 points for the feasible node with the lowest name, 0 for all others.

    A score of 0..100 cannot rank thousands of nodes, and needs not: only the first one matters.
    """

    name = "FirstFit"

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Int64Array:
        """int64[n]; the nodes scored are exactly the feasible ones, since the plugin is not node-local."""
        points = np.zeros(len(nodes), dtype=np.int64)
        if len(nodes):
            points[nodes.names.argmin()] = 100
        return points
