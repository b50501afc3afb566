"""GpuPacking: fill devices in use before free ones, and nodes in use before free ones.

The policy of Weng et al. (MLaaS in the Wild, NSDI 2022) as compared with in Weng et al., USENIX ATC 2023. Three ranges
of points, each higher the fewer free devices or the less room is used up:

    51..100  the pod fits on devices that are in use already
    33..49   it needs some free devices of a node in use
    up to 32 the whole node is free
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable

import numpy as np

from ksched.framework import Cycle
from ksched.objects import GpuRequest
from ksched.tables import WHOLE, DeviceState, Memo, NodeView, PodView
from ksched.tables.arrays import Int64Array


class GpuPacking:
    """Scores by how much new room a pod would open. A pod without GPUs finds all nodes alike."""

    name = "GpuPacking"
    node_local = True

    def __init__(self) -> None:
        self._known: Memo[GpuRequest, Memo[DeviceState, int]] = Memo()

    def signature(self, pod: PodView) -> Hashable:
        """The devices wanted."""
        return (pod.gpu.count, pod.gpu.milli) if pod.gpu else None

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Int64Array:
        """int64[n]."""
        gpu = pod.gpu
        if gpu is None:
            return np.zeros(len(nodes), dtype=np.int64)
        known = self._known.get(gpu)
        if known is None:
            known = self._known[gpu] = Memo()
        found = known.each(nodes.devices.states, lambda state: points(state.free, gpu))
        return np.array(found, dtype=np.int64)


def points(free: tuple[int, ...], request: GpuRequest) -> int:
    """The score of a node with so much ``free`` milli per device, ascending; 0 where the pod does not fit."""
    first = bisect_left(free, request.milli)
    chosen = free[first : first + request.count]
    if len(chosen) < request.count:
        return 0
    wholly_free = free.count(WHOLE)
    if wholly_free == len(free):
        return max(33 - wholly_free, wholly_free)
    newly_used = chosen.count(WHOLE)
    if newly_used:
        return max(50 - newly_used, 33)
    return max(100 - sum(room * 100 // WHOLE for room in chosen) // 10, 50)
