"""Which events are worth another try for a pod that PodTopologySpread rejected.

Upstream: podtopologyspread/plugin.go isSchedulableAfterPodChange, isSchedulableAfterNodeChange. Pods that fall under
default constraints always get another try: what those select is not known outside a scheduling cycle.
"""

from __future__ import annotations

from ksched.objects import Node, Pod
from ksched.tables import PodView
from ksched_plugins.kubernetes.spread_constraints import HARD, selector_of


def after_pod_change(pod: PodView, old: Pod | None, new: Pod | None) -> bool:
    """A placed pod of the namespace that a constraint counts came or went, or is counted differently now."""
    constraints = [c for c in pod.spec.topology_spread_constraints if c.when_unsatisfiable == HARD]
    if not constraints:
        return True
    changed = [other for other in (old, new) if other is not None]
    if any(not other.spec.node_name or (other.namespace or "default") != pod.namespace for other in changed):
        return False
    selectors = [selector_of(constraint, pod.labels) for constraint in constraints]
    if old is not None and new is not None:
        return any(s.matches(old.metadata.labels) != s.matches(new.metadata.labels) for s in selectors)
    return any(s.matches(other.metadata.labels) for s in selectors for other in changed)


def after_node_change(pod: PodView, old: Node | None, new: Node | None) -> bool:
    """A node that has the keys of all constraints came, changed or went."""
    node = new if new is not None else old
    keys = [c.topology_key for c in pod.spec.topology_spread_constraints if c.when_unsatisfiable == HARD]
    return node is None or all(key in node.metadata.labels for key in keys)
