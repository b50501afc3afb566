"""GpuShare: places GPU pods on devices, not on a node's sum of devices.

A pod either shares one device (fewer than 1000 milli) or takes whole ones, so two half-free devices do not make room
for a whole one. The model is the one of Alibaba's GPU-share scheduler (https://github.com/AliyunContainerService/gpushare-scheduler-extender)
and of the openb trace, whose simulator (FGD, Weng et al., USENIX ATC 2023, https://github.com/hkust-adsl/kubernetes-scheduler-simulator)
packs shares onto the fullest device that has room.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Literal

from ksched.framework import Cycle, Status
from ksched.objects import GpuRequest
from ksched.tables import WHOLE, NodeView, PodView
from ksched.tables.arrays import BoolArray
from ksched_plugins.plugin_args import PluginArgs

REASON = "node(s) had no GPU device with enough room"


class GpuShareArgs(PluginArgs):
    """``deviceSelection``: which device a share goes to: the fullest with room (best_fit), the emptiest (worst_fit) or
    the lowest index (first_fit). Whole devices are always the lowest free indices."""

    device_selection: Literal["best_fit", "first_fit", "worst_fit"] = "best_fit"


class GpuShare:
    """Filters by device and chooses the devices when the pod is reserved."""

    name = "GpuShare"
    node_local = True
    Args = GpuShareArgs

    def __init__(self, args: GpuShareArgs) -> None:
        self._selection = args.device_selection

    def signature(self, pod: PodView) -> Hashable:
        """The devices wanted."""
        return (pod.gpu.count, pod.gpu.milli) if pod.gpu else None

    def pre_filter(self, cycle: Cycle, pod: PodView) -> Status | None:
        """Nothing to do for a pod without GPUs."""
        return None if pod.gpu else Status.skip()

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> dict[str, BoolArray] | None:
        """Enough devices with enough room each; evicting their holders would help."""
        wanted = pod.gpu
        if wanted is None:
            return None
        if wanted.milli < WHOLE:
            return {REASON: nodes.devices.largest_free < wanted.milli}
        return {REASON: nodes.devices.wholly_free < wanted.count}

    def remedy(self, cycle: Cycle, pod: PodView, node: NodeView) -> list[str]:
        """How many devices with room are missing, and what room there is."""
        if pod.gpu is None:
            return []
        count = int(node.devices.count[0])
        free = node.devices.free[0][:count].tolist()
        enough = sum(milli >= pod.gpu.milli for milli in free)
        room = f"free milli per device: {', '.join(map(str, free))}" if free else "the node has no GPU"
        return [f"{pod.gpu.count - enough} more device(s) with {pod.gpu.milli} milli free; {room}"]

    def reserve(self, cycle: Cycle, pod: PodView, node_name: str) -> Status | None:
        """Chooses the devices, unless the policy has done so already.

        The framework counts them and writes them into the binding's annotation.
        """
        wanted = pod.gpu
        if wanted is None or cycle.devices is not None:
            return None
        free = cycle.free_devices(node_name)
        devices = choose_devices(free, wanted, _POINTS[self._selection](free))
        if devices is None:
            return Status.unschedulable(REASON)
        cycle.devices = devices
        return None

    def unreserve(self, cycle: Cycle, pod: PodView, node_name: str) -> None:
        """The devices were never taken here, only named."""
        cycle.devices = None


def choose_devices(free: Sequence[int], request: GpuRequest, points: Sequence[int]) -> tuple[int, ...] | None:
    """Indices of the devices ``request`` gets of one node's ``free`` milli per device; None where it does not fit.

    A share goes to the device with the most ``points`` among those with room, whole devices are the first free ones.
    Ties go to the lowest index.
    """
    fitting = [device for device, room in enumerate(free) if room >= request.milli]
    if len(fitting) < request.count:
        return None
    if request.milli < WHOLE:
        return (max(fitting, key=points.__getitem__),)
    return tuple(fitting[: request.count])


_POINTS: dict[str, Callable[[Sequence[int]], Sequence[int]]] = {
    "best_fit": lambda free: [-room for room in free],
    "worst_fit": lambda free: free,
    "first_fit": lambda free: [0] * len(free),
}
