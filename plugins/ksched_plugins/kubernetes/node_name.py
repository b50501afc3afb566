"""NodeName: a pod that names its node goes there or nowhere.

Upstream: pkg/scheduler/framework/plugins/nodename/node_name.go
"""

from __future__ import annotations

from collections.abc import Sequence

from ksched.framework import Action, ClusterEvent, Cycle, EventToRegister, Reject
from ksched.framework.events import NODE
from ksched.tables import NodeView, PodView

REASON = "node(s) didn't match the requested node name"


class NodeName:
    """Rejects every node but ``spec.nodeName``, where the pod sets one."""

    name = "NodeName"
    node_local = True

    def signature(self, pod: PodView) -> str | None:
        """The requested node name alone decides."""
        return pod.spec.node_name

    def events_to_register(self) -> Sequence[EventToRegister]:
        """Nodes that come or change."""
        return (EventToRegister(ClusterEvent(NODE, Action.ADD | Action.UPDATE)),)

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> list[Reject] | None:
        """Unresolvable: no eviction changes a node's name."""
        if not pod.spec.node_name:
            return None
        return [Reject(nodes.names != pod.spec.node_name, REASON, resolvable=False)]

    def remedy(self, cycle: Cycle, pod: PodView, node: NodeView) -> list[str]:
        """The name it has."""
        return [f"the pod's spec.nodeName is {pod.spec.node_name}"]
