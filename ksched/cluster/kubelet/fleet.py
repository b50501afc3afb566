"""The kubelets of all nodes: one appears with each Node object and goes with it."""

from __future__ import annotations

from ksched.cluster.apiserver.server import ApiServer
from ksched.cluster.clock import Clock
from ksched.cluster.kubelet.cri import Runtime, RuntimeConfig
from ksched.cluster.kubelet.kubelet import Kubelet, KubeletConfig
from ksched.cluster.kubelet.processes import Processes
from ksched.objects.node import Node
from ksched.sim.kernel import Kernel
from ksched.sim.streams import Streams


class Kubelets:
    """Kubelets by node name."""

    def __init__(
        self,
        kernel: Kernel,
        streams: Streams,
        clock: Clock,
        api: ApiServer,
        processes: Processes,
        kubelet: KubeletConfig,
        runtime: RuntimeConfig,
    ) -> None:
        self.by_node: dict[str, Kubelet] = {}
        self._kernel = kernel
        self._streams = streams
        self._clock = clock
        self._api = api
        self._processes = processes
        self._kubelet_config = kubelet
        self._runtime_config = runtime
        if not kubelet.enabled:
            return
        # A machine starts its kubelet, which registers the Node; here the Node comes first and the machine with it.
        self._nodes = api.client("kubelets").informer(
            Node, on_add=self._joined, on_update=self._changed, on_delete=self._left
        )

    def __len__(self) -> int:
        return len(self.by_node)

    def __getitem__(self, node_name: str) -> Kubelet:
        return self.by_node[node_name]

    def _joined(self, node: Node) -> None:
        runtime = Runtime(self._kernel, self._streams, self._runtime_config, self._processes, node.name)
        client = self._api.client(f"system:node:{node.name}")
        kubelet = Kubelet(self._kernel, self._clock, client, node, runtime, self._kubelet_config)
        self.by_node[node.name] = kubelet

    def _changed(self, old: Node, new: Node) -> None:
        if old.metadata.uid != new.metadata.uid:
            self._left(old)
            self._joined(new)
        elif old.status is not new.status:
            self.by_node[new.name].node_changed(new)

    def _left(self, node: Node) -> None:
        kubelet = self.by_node.pop(node.name, None)
        if kubelet is not None:
            kubelet.stop()
