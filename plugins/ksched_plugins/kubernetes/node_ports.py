"""NodePorts: two pods of one node cannot hold the same host port.

Upstream: pkg/scheduler/framework/plugins/nodeports/node_ports.go. Ports of init containers are not looked at, and
0.0.0.0 conflicts with every address.
"""

from __future__ import annotations

from collections.abc import Hashable

from ksched.framework import Cycle, Status
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import BoolArray

REASON = "node(s) didn't have free ports for the requested pod ports"


class NodePorts:
    """Rejects nodes on which one of the pod's host ports is taken; evicting the holder would help."""

    name = "NodePorts"
    node_local = True

    def signature(self, pod: PodView) -> Hashable:
        """The wanted host ports alone decide."""
        return pod.host_ports

    def pre_filter(self, cycle: Cycle, pod: PodView) -> Status | None:
        """Nothing to do for a pod without host ports."""
        return None if pod.host_ports else Status.skip()

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> dict[str, BoolArray]:
        """Taken ports are resolvable."""
        return {REASON: nodes.port_conflicts(pod.host_ports)}
