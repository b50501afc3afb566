"""NodeUnschedulable: cordoned nodes take only pods that tolerate the cordon.

Upstream: pkg/scheduler/framework/plugins/nodeunschedulable/node_unschedulable.go
"""

from __future__ import annotations

from ksched.framework import Cycle, Reject
from ksched.objects import Taint, tolerates
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

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> list[Reject] | None:
        """Unresolvable: no eviction uncordons a node."""
        if self.signature(pod):
            return None
        return [Reject(nodes.unschedulable, REASON, resolvable=False)]
