"""BestFit: the node on which the least remains free once the pod is there.

Johnson, Demers, Ullman, Garey, Graham (SIAM J. Comput. 3(4), 1974) for one dimension; with several resources the
remainders are summed by weight, as in Panigrahy, Talwar, Uyeda, Wieder: Heuristics for Vector Bin Packing, 2011.
"""

from __future__ import annotations

from ksched.framework import Cycle, MinMaxNormalizer
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import FloatArray
from ksched_plugins.packing.remaining import FitArgs, remaining


class BestFit:
    """Scores by minus the remainder, stretched over the feasible nodes so that the best gets 100."""

    name = "BestFit"
    normalizer = MinMaxNormalizer()
    Args = FitArgs

    def __init__(self, args: FitArgs) -> None:
        self._resources = args.resources

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> FloatArray:
        """float64[n], higher where less remains."""
        return -remaining(self._resources, cycle, pod, nodes)
