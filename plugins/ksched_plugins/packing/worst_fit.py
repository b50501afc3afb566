"""WorstFit: the node on which the most remains free once the pod is there; spreads where BestFit packs.

Johnson, Demers, Ullman, Garey, Graham: SIAM J. Comput. 3(4), 1974.
"""

from __future__ import annotations

from ksched.framework import Cycle, MinMaxNormalizer
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import FloatArray
from ksched_plugins.packing.remaining import FitArgs, remaining


class WorstFit:
    """Scores by the remainder, stretched over the feasible nodes so that the best gets 100."""

    name = "WorstFit"
    normalizer = MinMaxNormalizer()
    Args = FitArgs

    def __init__(self, args: FitArgs) -> None:
        self._resources = args.resources

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> FloatArray:
        """float64[n], higher where more remains."""
        return remaining(self._resources, cycle, pod, nodes)
