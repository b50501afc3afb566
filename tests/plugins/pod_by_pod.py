"""InterPodAffinity and PodTopologySpread written down as upstream's text reads: node by node, pod by pod, no columns.

Slow and plain on purpose: the plugins are compared with it on random clusters.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

from ksched.objects import LabelSelectorMatcher, find_untolerated
from ksched.objects.selectors import node_selector_matches
from ksched.tables import AffinityTerm, NodeTable, PodView, terms_of

Verdict = tuple[str, tuple[str, ...]] | None
Pairs = dict[tuple[str, str], int]

NO_AFFINITY = ("UnschedulableAndUnresolvable", ("node(s) didn't match pod affinity rules",))
NO_ANTI_AFFINITY = ("Unschedulable", ("node(s) didn't match pod anti-affinity rules",))
NO_EXISTING = ("Unschedulable", ("node(s) didn't satisfy existing pods anti-affinity rules",))
NO_SPREAD = ("Unschedulable", ("node(s) didn't match pod topology spread constraints",))
NO_LABEL = (
    "UnschedulableAndUnresolvable",
    ("node(s) didn't match pod topology spread constraints (missing required label)",),
)


def _labels(table: NodeTable, name: str) -> Any:
    return table.nodes[table.index[name]].metadata.labels


def _own_term_means(table: NodeTable, term: AffinityTerm, pod: PodView) -> bool:
    covered = term.selected_namespaces(table.namespaces)
    return (covered is None or pod.namespace in covered) and term.matcher.matches(pod.labels)


def affinity_verdicts(table: NodeTable, pod: PodView) -> dict[str, Verdict]:
    """Everybody's required terms, pair by pair of (topology key, value)."""
    own = terms_of(pod)
    near: Pairs = defaultdict(int)
    apart: Pairs = defaultdict(int)
    existing: Pairs = defaultdict(int)
    for name, placed in table.pods():
        labels = _labels(table, name)
        for term in terms_of(placed.pod).required_anti:
            if term.topology_key in labels and term.matches(pod.namespace, pod.labels, table.namespaces):
                existing[term.topology_key, labels[term.topology_key]] += 1
        if own.required and all(_own_term_means(table, term, placed.pod) for term in own.required):
            for term in own.required:
                if term.topology_key in labels:
                    near[term.topology_key, labels[term.topology_key]] += 1
        for term in own.required_anti:
            if term.topology_key in labels and _own_term_means(table, term, placed.pod):
                apart[term.topology_key, labels[term.topology_key]] += 1
    alone = not near and all(_own_term_means(table, term, pod) for term in own.required)

    def verdict(labels: Any) -> Verdict:
        keys = [term.topology_key for term in own.required]
        if any(key not in labels for key in keys):
            return NO_AFFINITY
        if any(not near.get((key, labels[key])) for key in keys) and not alone:
            return NO_AFFINITY
        if any(apart.get((term.topology_key, labels.get(term.topology_key))) for term in own.required_anti):
            return NO_ANTI_AFFINITY
        return NO_EXISTING if any(existing.get(pair) for pair in labels.items()) else None

    return {node.name: verdict(node.metadata.labels) for node in table.nodes}


def affinity_scores(table: NodeTable, pod: PodView, hard_weight: int = 1) -> dict[str, int] | None:
    """Everybody's preferred terms, and placed pods' required affinity."""
    points: Pairs = defaultdict(int)
    for name, placed in table.pods():
        labels = _labels(table, name)
        theirs = terms_of(placed.pod)
        hits = [(t, w) for t, w in terms_of(pod).preferred if _own_term_means(table, t, placed.pod)]
        wishes = [*((t, hard_weight) for t in theirs.required if hard_weight), *theirs.preferred]
        hits += [(t, w) for t, w in wishes if t.matches(pod.namespace, pod.labels, table.namespaces)]
        for term, weight in hits:
            if term.topology_key in labels:
                points[term.topology_key, labels[term.topology_key]] += weight
    if not points:
        return None
    return {node.name: sum(points.get(pair, 0) for pair in node.metadata.labels.items()) for node in table.nodes}


class _Spread:
    """The pod's constraints of one action and the placed pods they count."""

    def __init__(self, table: NodeTable, pod: PodView, action: str) -> None:
        self.table, self.pod = table, pod
        own = pod.spec.topology_spread_constraints
        self.constraints = [constraint for constraint in own if constraint.when_unsatisfiable == action]

    def selector(self, constraint: Any) -> LabelSelectorMatcher:
        labels = self.pod.labels
        return LabelSelectorMatcher(constraint.label_selector).with_labels(
            {key: labels[key] for key in constraint.match_label_keys if key in labels}
        )

    def count(self, constraint: Any, node: Any) -> int:
        selector = self.selector(constraint)
        if selector.empty:
            return 0
        pods = [placed.pod for placed in self.table.pods_on(node.name)]
        return sum(not p.terminating and p.namespace == self.pod.namespace and selector.matches(p.labels) for p in pods)

    def takes_part(self, constraint: Any, node: Any) -> bool:
        labels, spec = node.metadata.labels, self.pod.spec
        if any(c.topology_key not in labels for c in self.constraints):
            return False
        if (constraint.node_affinity_policy or "Honor") == "Honor":
            if any(labels.get(key) != value for key, value in spec.node_selector.items()):
                return False
            rules = spec.affinity.node_affinity if spec.affinity else None
            required = rules.required_during_scheduling_ignored_during_execution if rules else None
            if required is not None and not node_selector_matches(required, labels, node.name):
                return False
        honoured = (constraint.node_taints_policy or "Ignore") == "Honor"
        effects = ("NoSchedule", "NoExecute")
        return not (honoured and find_untolerated(node.spec.taints, self.pod.tolerations, effects))

    def domains(self, constraint: Any) -> dict[str, int]:
        found: dict[str, int] = {}
        for node in self.table.nodes:
            if self.takes_part(constraint, node):
                value = node.metadata.labels[constraint.topology_key]
                found[value] = found.get(value, 0) + self.count(constraint, node)
        return found


def spread_verdicts(table: NodeTable, pod: PodView) -> dict[str, Verdict]:
    """Hard constraints, one after another."""
    spread = _Spread(table, pod, "DoNotSchedule")
    pods = [spread.domains(constraint) for constraint in spread.constraints]

    def verdict(labels: Any) -> Verdict:
        for constraint, domains in zip(spread.constraints, pods, strict=True):
            if constraint.topology_key not in labels:
                return NO_LABEL
            if not domains:
                continue
            fewest = min(domains.values()) if len(domains) >= (constraint.min_domains or 1) else 0
            itself = spread.selector(constraint).matches(pod.labels)
            if domains.get(labels[constraint.topology_key], 0) + itself - fewest > constraint.max_skew:
                return NO_SPREAD
        return None

    return {node.name: verdict(node.metadata.labels) for node in table.nodes}


def spread_scores(table: NodeTable, pod: PodView, feasible: list[str]) -> tuple[dict[str, int], dict[str, int]] | None:
    """Raw and normalised scores of the ``feasible`` nodes."""
    spread = _Spread(table, pod, "ScheduleAnyway")
    if not spread.constraints:
        return None
    keys = [constraint.topology_key for constraint in spread.constraints]
    nodes = [table.nodes[table.index[name]] for name in feasible]
    scored = [node for node in nodes if all(key in node.metadata.labels for key in keys)]
    raw = dict.fromkeys(feasible, 0)
    for node in scored:
        score = 0.0
        for constraint in spread.constraints:
            key = constraint.topology_key
            if key == "kubernetes.io/hostname":
                size, count = len(scored), spread.count(constraint, node)
            else:
                size = len({other.metadata.labels[key] for other in scored})
                count = spread.domains(constraint).get(node.metadata.labels[key], 0)
            score += count * math.log(size + 2) + constraint.max_skew - 1
        raw[node.name] = math.floor(score + 0.5)
    values = [raw[node.name] for node in scored]
    normal = dict.fromkeys(feasible, 0)
    for node in scored:
        high, low = max(values), min(values)
        normal[node.name] = 100 * (high + low - raw[node.name]) // high if high else 100
    return raw, normal
