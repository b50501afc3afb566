"""NodeUnschedulable: cordoned nodes take only pods that tolerate the cordon.

Upstream: pkg/scheduler/framework/plugins/nodeunschedulable/node_unschedulable.go
"""

from __future__ import annotations

from collections.abc import Sequence

from ksched.framework import Action, ClusterEvent, Cycle, EventToRegister, Reject
from ksched.framework.events import NODE
from ksched.objects import Node, Taint, tolerates
from ksched.tables import NodeView, PodView

REASON = "node(s) were unschedulable"

# spec.unschedulable is judged as if it were this taint, whether or not the node really carries it.
CORDON = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")


class NodeUnschedulable:
    """Rejects nodes with ``spec.unschedulable`` unless the pod tolerates the cordon taint."""

    name = "NodeUnschedulable"
    node_local = True

    def signature(self, pod: PodView) -> bool:
        """Whether the pod tolerates the cordon taint."""
        return any(tolerates(toleration, CORDON) for toleration in pod.tolerations)

    def events_to_register(self) -> Sequence[EventToRegister]:
        """Nodes that come or change: uncordoned ones help."""
        return (EventToRegister(ClusterEvent(NODE, Action.ADD | Action.UPDATE), _uncordoned),)

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> list[Reject] | None:
        """Unresolvable: no eviction uncordons a node."""
        if self.signature(pod):
            return None
        return [Reject(nodes.unschedulable, REASON, resolvable=False)]

    def remedy(self, cycle: Cycle, pod: PodView, node: NodeView) -> list[str]:
        """The node, or the pod."""
        return [f"uncordon the node, or give the pod a toleration of {CORDON.key}:{CORDON.effect}"]


def _uncordoned(pod: PodView, old: Node | None, new: Node) -> bool:
    """The node takes pods and did not before (upstream: isSchedulableAfterNodeChange)."""
    return not new.spec.unschedulable and (old is None or bool(old.spec.unschedulable))
