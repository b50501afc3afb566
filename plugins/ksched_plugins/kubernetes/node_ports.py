"""NodePorts: two pods of one node cannot hold the same host port.

Upstream: pkg/scheduler/framework/plugins/nodeports/node_ports.go. Ports of init containers are not looked at, and
0.0.0.0 conflicts with every address.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from ksched.framework import Action, ClusterEvent, Cycle, EventToRegister, Status
from ksched.framework.events import NODE, POD
from ksched.objects import Pod
from ksched.tables import HostPort, NodeView, PodView
from ksched.tables.arrays import BoolArray

REASON = "node(s) didn't have free ports for the requested pod ports"
ANY_ADDRESS = "0.0.0.0"


class NodePorts:
    """Rejects nodes on which one of the pod's host ports is taken; evicting the holder would help."""

    name = "NodePorts"
    node_local = True

    def signature(self, pod: PodView) -> Hashable:
        """The wanted host ports alone decide."""
        return pod.host_ports

    def events_to_register(self) -> Sequence[EventToRegister]:
        """Pods that leave, if they held one of the ports; nodes that come or change."""
        return (
            EventToRegister(ClusterEvent(POD, Action.DELETE), _held_a_port),
            EventToRegister(ClusterEvent(NODE, Action.ADD | Action.UPDATE)),
        )

    def pre_filter(self, cycle: Cycle, pod: PodView) -> Status | None:
        """Nothing to do for a pod without host ports."""
        return None if pod.host_ports else Status.skip()

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> dict[str, BoolArray]:
        """Taken ports are resolvable."""
        return {REASON: nodes.port_conflicts(pod.host_ports)}

    def remedy(self, cycle: Cycle, pod: PodView, node: NodeView) -> list[str]:
        """The ports that are taken."""
        taken = [port for port in pod.host_ports if node.port_conflicts([port])[0]]
        return [f"host port {port.port}/{port.protocol} on {port.ip} must become free on the node" for port in taken]


def _held_a_port(pod: PodView, old: Pod, new: None) -> bool:
    """The pod that left was on a node and held a port this one wants (upstream: isSchedulableAfterPodDeleted)."""
    if not old.spec.node_name:
        return False
    held = PodView(old).host_ports
    return any(_conflict(wanted, taken) for wanted in pod.host_ports for taken in held)


def _conflict(a: HostPort, b: HostPort) -> bool:
    anywhere = ANY_ADDRESS in (a.ip, b.ip) or a.ip == b.ip
    return anywhere and (a.protocol, a.port) == (b.protocol, b.port)
