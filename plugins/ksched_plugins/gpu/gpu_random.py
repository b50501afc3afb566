"""GpuRandom: a uniformly random feasible node, and on it a uniformly random device with room.

The baseline of Weng et al., USENIX ATC 2023. Draws depend on the seed, the pod and names alone (see Random), so runs
with one seed stay paired; they are not the draws of the paper's artifact, which depend on goroutines.
"""

from __future__ import annotations

from ksched.framework import Cycle
from ksched.tables import PodView
from ksched_plugins.gpu.gpu_share import choose_devices
from ksched_plugins.packing.random_choice import Random


class GpuRandom(Random):
    """Draws the node as Random does, and the device too."""

    name = "GpuRandom"

    def reserve(self, cycle: Cycle, pod: PodView, node_name: str) -> None:
        """Gives one device with room the only point; whole devices are the first free ones."""
        if pod.gpu is None:
            return
        free = cycle.free_devices(node_name)
        fitting = [device for device, room in enumerate(free) if room >= pod.gpu.milli]
        points = [0] * len(free)
        if fitting:
            points[fitting[cycle.random(1) % len(fitting)]] = 1
        cycle.devices = choose_devices(free, pod.gpu, points)

    def unreserve(self, cycle: Cycle, pod: PodView, node_name: str) -> None:
        """The devices were never taken here, only named."""
        cycle.devices = None
