"""DotProd: the node whose free resources, as a vector, point least in the direction of the pod's demand.

Grandl, Ananthanarayanan, Kandula, Rao, Akella: Multi-resource Packing for Cluster Schedulers (Tetris), SIGCOMM 2014,
aligns demand with what is free and takes the largest product. Weng et al. (USENIX ATC 2023) compare with the smallest
one, so that small leftovers are filled first:

    score = 100 (1 - (c / C * c_pod / C + g / G * g_pod / G) / 2), truncated

with free cpu c, free milli g over all devices, and C, G those of the largest node.
"""

from __future__ import annotations

import numpy as np

from ksched.framework import Cycle
from ksched.objects import CPU
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import Int64Array
from ksched_plugins.gpu.largest_node import LargestNode


class DotProd:
    """Scores by the dot product of cpu and GPU, lowest first."""

    name = "DotProd"
    node_local = True
    Args = LargestNode

    def __init__(self, args: LargestNode) -> None:
        self._largest = args

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Int64Array:
        """int64[n]; within 0..100 even on nodes larger than the largest."""
        cpu, gpu = self._largest.cpu_milli, self._largest.gpu_milli
        wanted = pod.gpu.total_milli if pod.gpu else 0
        product = nodes.free(CPU) / cpu * (pod.request(CPU) / cpu) + nodes.devices.milli_free / gpu * (wanted / gpu)
        return np.clip(100 * (1 - product / 2), 0, 100).astype(np.int64)
