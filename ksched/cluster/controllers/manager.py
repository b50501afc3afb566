"""The controller manager: the controllers of one cluster, on shared informers."""

from __future__ import annotations

from ksched.cluster.apiserver.server import ApiServer
from ksched.cluster.clock import Clock
from ksched.cluster.controllers.config import ControllersConfig
from ksched.cluster.controllers.context import Context
from ksched.cluster.controllers.deployment import DeploymentController
from ksched.cluster.controllers.ephemeral_volume import EphemeralVolumeController
from ksched.cluster.controllers.garbagecollector import GarbageCollector
from ksched.cluster.controllers.job import JobController
from ksched.cluster.controllers.persistentvolume import PersistentVolumeController
from ksched.cluster.controllers.replicaset import ReplicaSetController
from ksched.cluster.controllers.ttl_after_finished import TTLAfterFinishedController
from ksched.sim.kernel import Kernel


class ControllerManager:
    """Starts every controller. They know each other only through the api-server."""

    def __init__(self, kernel: Kernel, clock: Clock, api: ApiServer, config: ControllersConfig) -> None:
        if not config.enabled:
            return
        context = Context(kernel, clock, api.client("kube-controller-manager"), config)
        self.deployment = DeploymentController(context)
        self.replicaset = ReplicaSetController(context)
        self.job = JobController(context)
        self.ttl_after_finished = TTLAfterFinishedController(context)
        self.ephemeral_volume = EphemeralVolumeController(context)
        self.persistent_volume = PersistentVolumeController(context)
        self.garbage_collector = GarbageCollector(context)
