"""FGD: fragmentation gradient descent, the node whose fragmentation grows least with the pod on it.

Weng, Yang, Yu, Wang, Tang, Yang, Zhang: Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation
Gradient Descent, USENIX ATC 2023, section 4. With F the fragments of a node in milli
(:mod:`ksched.tables.fragmentation`), judged by the pods that are usual in the workload:

    score = 100 sigmoid((F(node) - F(node with the pod)) / 1000), truncated

A pod that shares a device is tried on every device with room; the best one gives the score and, when the pod is
reserved, is the one it gets.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

from ksched.framework import Cycle
from ksched.objects import CPU, GpuRequest
from ksched.tables import WHOLE, DeviceState, ExpectedPod, Memo, NodeView, PodView
from ksched.tables.arrays import Int64Array
from ksched.tables.fragmentation import Fragmentation, fragmentation, typical_pods
from ksched_plugins.gpu.gpu_share import choose_devices

Situation = tuple[DeviceState, int, int]
"""A node's devices, and the level of its free cpu without and with the pod."""


class FGD:
    """Scores by the gradient of fragmentation. As long as nobody told which pods are usual all nodes get 50."""

    name = "FGD"
    node_local = True

    def __init__(self) -> None:
        self._fragmentation = Fragmentation(())
        self._known: Memo[GpuRequest | None, Memo[Situation, int]] = Memo()

    def expect(self, pods: Sequence[ExpectedPod]) -> None:
        """The pods whose view of the nodes counts."""
        self._fragmentation = fragmentation(typical_pods(pods))
        self._known.clear()

    def signature(self, pod: PodView) -> Hashable:
        """Cpu and devices wanted."""
        return (pod.request(CPU), pod.gpu)

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Int64Array:
        """int64[n]; nodes that are in the same situation are judged once."""
        known = self._known.get(pod.gpu)
        if known is None:
            known = self._known[pod.gpu] = Memo()
        points = known.each(self._situations(pod, nodes), lambda situation: self._points(situation, pod.gpu))
        return np.array(points, dtype=np.int64)

    def reserve(self, cycle: Cycle, pod: PodView, node_name: str) -> None:
        """Chooses the device by its score; whole devices are the first free ones."""
        if pod.gpu is None:
            return
        free = cycle.free_devices(node_name)
        points = free
        if pod.gpu.milli < WHOLE:
            by_room = self._points_by_room(pod, pod.gpu, cycle.node(node_name))
            points = [by_room.get(room, -1) for room in free]
        cycle.devices = choose_devices(free, pod.gpu, points)

    def unreserve(self, cycle: Cycle, pod: PodView, node_name: str) -> None:
        """The devices were never taken here, only named."""
        cycle.devices = None

    def _situations(self, pod: PodView, nodes: NodeView) -> list[Situation]:
        level, free = self._fragmentation.levels, nodes.free(CPU)
        return list(zip(nodes.devices.states, level(free), level(free - pod.request(CPU)), strict=True))

    def _points(self, situation: Situation, gpu: GpuRequest | None) -> int:
        """The score of a node; 0 where the devices have no room."""
        state, before, after = situation
        fragments = self._fragmentation.fragments
        left = [state] if gpu is None else state.choices(gpu).values()
        if not left:
            return 0
        # The fewer fragments the higher the score, so the best choice of devices leaves the fewest.
        return _sigmoid(fragments(state)[before] - min([fragments(choice)[after] for choice in left]))

    def _points_by_room(self, pod: PodView, gpu: GpuRequest, node: NodeView) -> dict[int, int]:
        """The score if devices with so many milli free are taken, for those the pod fits on."""
        (state,) = node.devices.states
        free = node.free(CPU).item()
        level, fragments = self._fragmentation.level, self._fragmentation.fragments
        now, after = fragments(state)[level(free)], level(free - pod.request(CPU))
        return {room: _sigmoid(now - fragments(choice)[after]) for room, choice in state.choices(gpu).items()}


def _sigmoid(milli: float) -> int:
    """The score of so many fragments less."""
    return int(100 * (1 / (1 + math.exp(-milli / WHOLE))))
