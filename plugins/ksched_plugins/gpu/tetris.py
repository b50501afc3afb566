"""Tetris: the node whose free resources, as a vector, point most in the direction of the pod's demand.

The alignment score of Grandl, Ananthanarayanan, Kandula, Rao, Akella: Multi-resource Packing for Cluster Schedulers,
SIGCOMM 2014, section 3.2. Demand d and free amount f of each resource r are divided by the machine's capacity C:

    score = 100 mean over r of (d_r / C_r) (f_r / C_r)

with r cpu, memory and GPU (milli over all devices). The largest product wins: a resource wanted much is taken where
much of it is free. Tetris picks a task for a machine; here the pod comes first and picks the machine. Its preference
for short jobs is left out, as nobody knows how long a pod will run. DotProd prefers the smallest product.
"""

from __future__ import annotations

import numpy as np

from ksched.framework import Cycle
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import FloatArray
from ksched_plugins.gpu.machine_shares import demand_shares, free_shares


class Tetris:
    """Scores by the dot product of demand and free resources, highest first."""

    name = "Tetris"
    node_local = True

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> FloatArray:
        """float64[n] in 0..100."""
        products = demand_shares(pod, nodes) * free_shares(nodes)
        found: FloatArray = np.clip(100 * products.mean(axis=0), 0, 100)
        return found
