"""What all controllers of the controller manager share: one client, and one informer per kind."""

from __future__ import annotations

from typing import Any

from ksched.cluster.apiserver.client import Client
from ksched.cluster.apiserver.informer import Informer
from ksched.cluster.clock import Clock
from ksched.cluster.controllers.config import ControllersConfig
from ksched.cluster.controllers.pods import Dependents
from ksched.objects.meta import KubeObject
from ksched.sim.kernel import Kernel


class Context:
    """Handed to every controller. Informers are made on first use, and started once."""

    def __init__(self, kernel: Kernel, clock: Clock, client: Client, config: ControllersConfig) -> None:
        self.kernel = kernel
        self.clock = clock
        self.client = client
        self.config = config
        self._informers: dict[str, Informer[Any]] = {}
        self._dependents: dict[str, Dependents] = {}

    def informer(self, cls: type[KubeObject]) -> Informer[Any]:
        """The shared informer of a kind."""
        informer = self._informers.get(cls.KIND)
        if informer is None:
            informer = self._informers[cls.KIND] = self.client.informer(cls)
        return informer

    def dependents(self, cls: type[KubeObject]) -> Dependents:
        """The shared index of a kind by controller."""
        index = self._dependents.get(cls.KIND)
        if index is None:
            index = self._dependents[cls.KIND] = Dependents(self.informer(cls))
        return index
