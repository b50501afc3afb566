"""GpuClustering: pods that want the same number of devices go to the same nodes.

The policy of Xiao et al. (Gandiva, OSDI 2018: jobs of one size on one server) as compared with in Weng et al., USENIX
ATC 2023. A node whose GPU pods are all of the incoming pod's kind gets 75 points, one where some are 50, one without
GPU pods 25, others none; up to 25 more the less GPU is free. All pods that share a device are one kind.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from ksched.framework import Cycle
from ksched.tables import WHOLE, NodeView, PodView
from ksched.tables.arrays import Int64Array
from ksched_plugins.gpu.largest_node import LargestNode


class GpuClustering:
    """Scores by the company a pod would have. A pod without GPUs finds all nodes alike."""

    name = "GpuClustering"
    node_local = True
    Args = LargestNode

    def __init__(self, args: LargestNode) -> None:
        self._gpu_milli = args.gpu_milli

    def signature(self, pod: PodView) -> Hashable:
        """The kind of pod."""
        return _kind(pod)

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Int64Array:
        """int64[n]."""
        kind = _kind(pod)
        if kind is None:
            return np.zeros(len(nodes), dtype=np.int64)
        present = nodes.devices.holders > 0
        kinds = present.sum(axis=1)
        own = present[:, kind] if kind < present.shape[1] else np.zeros(len(nodes), dtype=np.bool_)
        company = np.where(own, np.where(kinds == 1, 75, 50), np.where(kinds == 0, 25, 0))
        used = self._gpu_milli - np.minimum(nodes.devices.milli_free, self._gpu_milli)
        return (25 * used // self._gpu_milli + company).astype(np.int64)


def _kind(pod: PodView) -> int | None:
    """How many whole devices the pod wants, 0 for a share of one, None without GPUs."""
    if pod.gpu is None:
        return None
    return pod.gpu.count if pod.gpu.milli == WHOLE else 0
