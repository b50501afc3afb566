"""NodeAffinity: nodeSelector, required and preferred node affinity, and the profile's addedAffinity.

Upstream: pkg/scheduler/framework/plugins/nodeaffinity/node_affinity.go
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from pydantic import BaseModel, field_validator

from ksched.framework import (
    Action,
    ClusterEvent,
    Cycle,
    DefaultNormalizer,
    EventToRegister,
    PreFilterResult,
    Reject,
    Status,
)
from ksched.framework.events import NODE
from ksched.objects import Node, NodeSelector, PreferredSchedulingTerm, node_selector_matches
from ksched.objects import NodeAffinity as NodeAffinityRules
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import Int64Array
from ksched_plugins.kubernetes.node_selection import (
    has,
    labels_match,
    named_nodes,
    selector_matches,
    term_matches,
    unmatched,
)
from ksched_plugins.plugin_args import PluginArgs

REASON_POD = "node(s) didn't match Pod's node affinity/selector"
REASON_ENFORCED = "node(s) didn't match scheduler-enforced node affinity"
REASON_CONFLICT = "pod affinity terms conflict"


class NodeAffinityArgs(PluginArgs):
    """``addedAffinity`` is ANDed to what every pod of the profile asks for itself."""

    added_affinity: NodeAffinityRules | None = None

    @field_validator("added_affinity")
    @classmethod
    def _known_keys(cls, rules: NodeAffinityRules | None) -> NodeAffinityRules | None:
        # Kubernetes objects keep what they do not know; in a profile an unknown key is a typo.
        unknown = sorted(_unknown_keys(rules)) if rules else []
        if unknown:
            raise ValueError(f"unknown key {unknown[0]}")
        return rules


class NodeAffinity:
    """Filters by required rules, scores by the weights of the preferred terms a node matches."""

    name = "NodeAffinity"
    node_local = True
    normalizer = DefaultNormalizer()
    Args = NodeAffinityArgs

    def __init__(self, args: NodeAffinityArgs) -> None:
        added = args.added_affinity
        self._added_required = added.required_during_scheduling_ignored_during_execution if added else None
        self._added_preferred = added.preferred_during_scheduling_ignored_during_execution if added else ()

    def signature(self, pod: PodView) -> Hashable:
        """nodeSelector and node affinity, written canonically."""
        rules = _rules(pod)
        affinity = json.dumps(rules.to_dict(), sort_keys=True) if rules else ""
        return (tuple(sorted(pod.spec.node_selector.items())), affinity)

    def events_to_register(self) -> Sequence[EventToRegister]:
        """Nodes that come or change: those that match now help."""
        return (EventToRegister(ClusterEvent(NODE, Action.ADD | Action.UPDATE), self._matches_now),)

    def pre_filter(self, cycle: Cycle, pod: PodView) -> Status | PreFilterResult | None:
        """Skips pods without rules; terms on metadata.name narrow the nodes before any is looked at."""
        required = _required(pod)
        if required is None and self._added_required is None and not pod.spec.node_selector:
            return Status.skip()
        names = named_nodes(required.node_selector_terms) if required else None
        if names is None:
            return None
        if not names:
            return Status.unschedulable(REASON_CONFLICT, resolvable=False)
        return PreFilterResult(node_names=names)

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> list[Reject]:
        """A node that fails the profile's rules is reported with that reason alone. Unresolvable."""
        rejects = []
        enforced = np.ones(len(nodes), dtype=np.bool_)
        if self._added_required is not None:
            enforced = selector_matches(self._added_required, nodes)
            rejects.append(Reject(~enforced, REASON_ENFORCED, resolvable=False))
        matching = labels_match(pod.spec.node_selector, nodes)
        required = _required(pod)
        if required is not None:
            matching &= selector_matches(required, nodes)
        rejects.append(Reject(enforced & ~matching, REASON_POD, resolvable=False))
        return rejects

    def remedy(self, cycle: Cycle, pod: PodView, node: NodeView) -> list[str]:
        """The labels that are missing or differ: of nodeSelector all, of alternative terms each one's."""
        labels, name = node.objects[0].metadata.labels, str(node.names[0])
        said = [
            f"nodeSelector: the node needs label {key}={value}, {has(key, labels)}"
            for key, value in pod.spec.node_selector.items()
            if labels.get(key) != value
        ]
        rules = {"the profile's addedAffinity": self._added_required, "required node affinity": _required(pod)}
        for whose, selector in rules.items():
            if selector is not None and not node_selector_matches(selector, labels, name):
                terms = [unmatched(term, labels, name) for term in selector.node_selector_terms]
                said.append(f"{whose}: {', or '.join(terms) or 'it has no term, which matches nothing'}")
        return said

    def pre_score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Status | None:
        """Skips where neither the pod nor the profile prefers anything."""
        return None if self._preferred(pod) else Status.skip()

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Int64Array:
        """int64[n]: sum of the weights of the matching terms."""
        points = np.zeros(len(nodes), dtype=np.int64)
        for term in self._preferred(pod):
            if term.weight and term.preference is not None:
                points += term.weight * term_matches(term.preference, nodes)
        return points

    def _matches_now(self, pod: PodView, old: Node | None, new: Node) -> bool:
        """The node matches and did not before (upstream: isSchedulableAfterNodeChange)."""
        return self._matches(pod, new) and (old is None or not self._matches(pod, old))

    def _matches(self, pod: PodView, node: Node) -> bool:
        labels, name = node.metadata.labels, node.metadata.name or ""
        if any(labels.get(key) != value for key, value in pod.spec.node_selector.items()):
            return False
        required = (self._added_required, _required(pod))
        return all(rule is None or node_selector_matches(rule, labels, name) for rule in required)

    def _preferred(self, pod: PodView) -> tuple[PreferredSchedulingTerm, ...]:
        rules = _rules(pod)
        own = rules.preferred_during_scheduling_ignored_during_execution if rules else ()
        return (*self._added_preferred, *own)


def _unknown_keys(model: BaseModel) -> Iterator[str]:
    yield from model.model_extra or {}
    for value in model.__dict__.values():
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, BaseModel):
                yield from _unknown_keys(part)


def _rules(pod: PodView) -> NodeAffinityRules | None:
    affinity = pod.spec.affinity
    return affinity.node_affinity if affinity else None


def _required(pod: PodView) -> NodeSelector | None:
    rules = _rules(pod)
    return rules.required_during_scheduling_ignored_during_execution if rules else None
