"""DominantShareFit: the node on which the largest share of any resource that remains free is smallest.

Best fit needs one number for what remains of several resources. The sum that GpuBestFit takes lets a little cpu make up
for much GPU. This takes the *dominant share* of Ghodsi, Zaharia, Hindman, Konwinski, Shenker, Stoica: Dominant Resource
Fairness, NSDI 2011: the largest of the shares. With free amount f, demand d and the machine's own capacity C of each
resource r (cpu, memory, GPU milli over all devices):

    score = 100 (1 - max over r of (f_r - d_r) / C_r)

Ghodsi et al. take shares of the cluster, to compare users; shares of the machine say how much of it stays unused.
"""

from __future__ import annotations

import numpy as np

from ksched.framework import Cycle
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import FloatArray
from ksched_plugins.gpu.machine_shares import demand_shares, free_shares


class DominantShareFit:
    """Scores by the dominant share of what remains, least first."""

    name = "DominantShareFit"
    node_local = True

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> FloatArray:
        """float64[n] in 0..100."""
        remaining = free_shares(nodes) - demand_shares(pod, nodes)
        found: FloatArray = np.clip(100 * (1 - remaining.max(axis=0)), 0, 100)
        return found
