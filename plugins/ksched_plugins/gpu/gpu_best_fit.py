"""GpuBestFit: the node on which the least cpu and GPU remains free once the pod is there.

The BestFit of Weng et al., USENIX ATC 2023 (after Panigrahy, Talwar, Uyeda, Wieder: Heuristics for Vector Bin Packing,
2011), which weighs cpu and GPU alike and leaves memory out:

    raw = 100 (1 - ((c - c_pod) / C / 2 + (g - g_pod) / G / 2)), truncated

with free cpu c, free milli g over all devices, and C, G those of the largest node; then stretched over the feasible
nodes. The plugin BestFit of ``packing`` takes any resources.
"""

from __future__ import annotations

import numpy as np

from ksched.framework import Cycle, MinMaxNormalizer
from ksched.objects import CPU
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import Int64Array
from ksched_plugins.gpu.largest_node import LargestNode

# Numbers as arrays, since numpy takes longer to convert one than to calculate with it.
_ONE = np.array(1.0)
_HUNDRED = np.array(100.0)


class GpuBestFit:
    """Scores by minus what remains, stretched so that the fullest node gets 100."""

    name = "GpuBestFit"
    node_local = True
    normalizer = MinMaxNormalizer()
    Args = LargestNode

    def __init__(self, args: LargestNode) -> None:
        self._twice_cpu: Int64Array = np.array([2 * args.cpu_milli])
        self._twice_gpu: Int64Array = np.array([2 * args.gpu_milli])

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Int64Array:
        """int64[n], higher where less remains."""
        wanted = pod.gpu.total_milli if pod.gpu else 0
        # Divided by 2 C at once, which rounds as halving afterwards does.
        half_cpu_left = (nodes.free(CPU) - pod.request(CPU)) / self._twice_cpu
        half_gpu_left = (nodes.devices.milli_free - wanted) / self._twice_gpu
        raw: Int64Array = ((_ONE - (half_cpu_left + half_gpu_left)) * _HUNDRED).astype(np.int64)
        return raw
