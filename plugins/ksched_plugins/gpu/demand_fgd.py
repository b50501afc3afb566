"""DemandFGD: FGD where a shape of pods counts by the GPU it asks for, not by how many pods have it.

To FGD a hundred pods with a tenth of a GPU are as usual as a hundred with eight GPUs, and pods without GPUs, which call
every idle GPU a fragment wherever it is, are many. Counted by demand, large pods have a larger say and those without
GPUs none. The simulator of Weng et al. (https://github.com/hkust-adsl/kubernetes-scheduler-simulator) has the same as
an option (GpuResWeight), which their evaluation leaves off.
"""

from __future__ import annotations

from collections.abc import Sequence

from ksched.tables import ExpectedPod
from ksched_plugins.gpu.fgd import FGD


class DemandFGD(FGD):
    """FGD with typical pods weighted by demand."""

    name = "DemandFGD"

    def expect(self, pods: Sequence[ExpectedPod]) -> None:
        """Each shape as often as milli-GPU were asked for in it."""
        super().expect([ExpectedPod(pod.info, pod.count * pod.info.gpu.total_milli) for pod in pods if pod.info.gpu])
