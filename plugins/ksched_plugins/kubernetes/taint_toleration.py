"""TaintToleration: NoSchedule and NoExecute taints reject, PreferNoSchedule taints cost score.

Upstream: pkg/scheduler/framework/plugins/tainttoleration/taint_toleration.go
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from ksched.framework import Action, ClusterEvent, Cycle, DefaultNormalizer, EventToRegister, Reject
from ksched.framework.events import NODE
from ksched.objects import Node, Taint, find_untolerated, tolerates
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import Int64Array

HARD_EFFECTS = ("NoSchedule", "NoExecute")
SOFT_EFFECT = "PreferNoSchedule"


class TaintToleration:
    """Evaluated once per distinct taint list: clusters have few of them, however many nodes."""

    name = "TaintToleration"
    node_local = True
    normalizer = DefaultNormalizer(reverse=True)

    def signature(self, pod: PodView) -> Hashable:
        """The tolerations alone decide."""
        return tuple((t.key, t.operator, t.value, t.effect) for t in pod.tolerations)

    def events_to_register(self) -> Sequence[EventToRegister]:
        """Nodes that come or change: those whose taints the pod tolerates now help."""
        return (EventToRegister(ClusterEvent(NODE, Action.ADD | Action.UPDATE), _tolerated_now),)

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> list[Reject]:
        """Names the first untolerated taint of a node only, as upstream does. Unresolvable."""
        reasons: dict[str, int] = {}

        def verdict(taints: tuple[Taint, ...]) -> int:
            taint = find_untolerated(taints, pod.tolerations, HARD_EFFECTS)
            if taint is None:
                return -1
            text = f"node(s) had untolerated taint {{{taint.key}: {taint.value or ''}}}"
            return reasons.setdefault(text, len(reasons))

        which = nodes.per_taints(verdict, np.int64)
        if not reasons:
            return []
        return [Reject(which == number, text, resolvable=False) for text, number in reasons.items()]

    def remedy(self, cycle: Cycle, pod: PodView, node: NodeView) -> list[str]:
        """Every untolerated taint, not only the first."""
        hard = [taint for taint in node.objects[0].spec.taints if taint.effect in HARD_EFFECTS]
        return [
            f"a toleration of {taint.key}={taint.value or ''}:{taint.effect} on the pod, or the node without this taint"
            for taint in hard
            if not any(tolerates(toleration, taint) for toleration in pod.tolerations)
        ]

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Int64Array:
        """Number of PreferNoSchedule taints the pod does not tolerate; the normaliser turns few into much."""
        # A toleration made for another effect says nothing about a soft taint.
        tolerations = [t for t in pod.tolerations if not t.effect or t.effect == SOFT_EFFECT]

        def intolerable(taints: tuple[Taint, ...]) -> int:
            soft = [taint for taint in taints if taint.effect == SOFT_EFFECT]
            return sum(not any(tolerates(t, taint) for t in tolerations) for taint in soft)

        return nodes.per_taints(intolerable, np.int64)


def _tolerated_now(pod: PodView, old: Node | None, new: Node) -> bool:
    """The pod tolerates the node and did not before (upstream: isSchedulableAfterNodeChange)."""
    return _tolerates(pod, new) and (old is None or not _tolerates(pod, old))


def _tolerates(pod: PodView, node: Node) -> bool:
    return find_untolerated(node.spec.taints, pod.tolerations, HARD_EFFECTS) is None
