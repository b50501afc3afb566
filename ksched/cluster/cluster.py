"""The modelled cluster, put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict

from ksched.cluster.apiserver.client import Client
from ksched.cluster.apiserver.config import ApiServerConfig
from ksched.cluster.apiserver.server import ApiServer
from ksched.cluster.clock import EPOCH, Clock
from ksched.cluster.controllers.config import ControllersConfig
from ksched.cluster.controllers.manager import ControllerManager
from ksched.cluster.etcd.server import Etcd, EtcdConfig
from ksched.cluster.kubelet.cri import RuntimeConfig
from ksched.cluster.kubelet.fleet import Kubelets
from ksched.cluster.kubelet.kubelet import KubeletConfig
from ksched.cluster.kubelet.processes import Processes
from ksched.sim.kernel import Kernel
from ksched.sim.streams import Streams


class ClusterConfig(BaseModel):
    """Everything that can be set about the cluster, by component. All latencies are zero by default.

    ``epoch``: the date (RFC 3339, UTC) of virtual time 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    etcd: EtcdConfig = EtcdConfig()
    apiserver: ApiServerConfig = ApiServerConfig()
    controllers: ControllersConfig = ControllersConfig()
    kubelet: KubeletConfig = KubeletConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    epoch: str = EPOCH


class Cluster:
    """One cluster in virtual time.

    ``scheduler_factory(cluster)`` makes the scheduler once everything else is there; what it returns is
    ``cluster.scheduler``. Nothing runs before :meth:`run`.
    """

    def __init__(
        self,
        config: ClusterConfig | None = None,
        scheduler_factory: Callable[[Cluster], Any] | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self.config = config or ClusterConfig()
        self.seed = seed
        self.kernel = Kernel()
        self.streams = Streams(seed)
        self.clock = Clock(self.kernel, self.config.epoch)
        self.etcd = Etcd(self.kernel, self.streams, self.config.etcd)
        self.api = ApiServer(self.kernel, self.etcd, self.clock, self.streams, self.config.apiserver)
        self.client: Client = self.api.client("kubernetes-admin")
        self.processes = Processes()
        self.kubelets = Kubelets(
            self.kernel,
            self.streams,
            self.clock,
            self.api,
            self.processes,
            self.config.kubelet,
            self.config.runtime,
        )
        self.controllers = ControllerManager(self.kernel, self.clock, self.api, self.config.controllers)
        self.scheduler: Any = scheduler_factory(self) if scheduler_factory is not None else None

    def run(self, until_ns: int | None = None) -> None:
        """Let time pass: up to ``until_ns``, or until nothing is left to happen but housekeeping."""
        self.kernel.run(until_ns)

    def close(self) -> None:
        """Let go of everything. Neither the cluster nor any part of it can be used afterwards.

        The parts refer to each other in circles, so without this a finished run would stay in memory until the
        garbage collector looks through all of it. What kubelets and controllers watch is left to the collector.
        """
        if self.scheduler is not None:
            self.scheduler.close()
        self.api.close()
        self.etcd.close()
        for part in (self.kernel, self.processes, self.kubelets, self.controllers, self):
            vars(part).clear()
