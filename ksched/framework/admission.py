"""Would this one node take the pod at all? The quick look before a node's event wakes a waiting pod.

Upstream: pkg/scheduler/eventhandlers.go preCheckForNode and AdmissionCheck, v1.30. The rules are those of
NodeResourcesFit, NodeAffinity, NodeName, NodePorts and of NoSchedule taints, whatever the profile enables.
"""

from __future__ import annotations

import numpy as np

from ksched.objects import PODS, find_untolerated, node_selector_matches
from ksched.tables import NodeTable, NodeView, PodView


def admits(table: NodeTable, row: int, pod: PodView) -> bool:
    """Whether ``pod`` would fit on the node of ``row`` as it is now, preemption aside."""
    node, spec = table.nodes[row], pod.spec
    name, labels = node.metadata.name or "", node.metadata.labels
    if spec.node_name and spec.node_name != name:
        return False
    if any(labels.get(key) != value for key, value in spec.node_selector.items()):
        return False
    rules = spec.affinity.node_affinity if spec.affinity else None
    required = rules.required_during_scheduling_ignored_during_execution if rules else None
    if required is not None and not node_selector_matches(required, labels, name):
        return False
    # Upstream looks at NoSchedule alone here, unlike the TaintToleration plugin.
    if find_untolerated(node.spec.taints, pod.tolerations, ("NoSchedule",)) is not None:
        return False
    view = NodeView(table, np.array([row], dtype=np.intp))
    if pod.host_ports and view.port_conflicts(pod.host_ports)[0]:
        return False
    needs = [(PODS, 1), *((resource, amount) for resource, amount in pod.requests.items() if amount)]
    return all(view.free(resource)[0] >= amount for resource, amount in needs)
