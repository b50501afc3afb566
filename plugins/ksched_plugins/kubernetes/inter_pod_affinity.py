"""InterPodAffinity: near which pods, and away from which, a pod is placed, in both directions.

Upstream: pkg/scheduler/framework/plugins/interpodaffinity/{filtering,scoring}.go. What upstream counts by looking at
every pod comes from the table's count columns, summed per topology domain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from ksched.framework import Action, ClusterEvent, Cycle, EventToRegister, Reject, Status
from ksched.framework.events import NODE, POD
from ksched.tables import (
    AffinityTerm,
    Domains,
    Namespaces,
    NodeView,
    PodSelector,
    PodTerms,
    PodView,
    TermColumn,
    TermKind,
    terms_of,
)
from ksched.tables.arrays import BoolArray, Int64Array
from ksched_plugins.plugin_args import PluginArgs

REASON_AFFINITY = "node(s) didn't match pod affinity rules"
REASON_ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
REASON_EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"

MAX_SCORE = 100
_INCOMING_CACHE = 1 << 12


class InterPodAffinityArgs(PluginArgs):
    """``hardPodAffinityWeight``: what a placed pod's required affinity to the incoming pod is worth in the score.

    ``ignorePreferredTermsOfExistingPods``: pods without preferences of their own are not scored.
    """

    hard_pod_affinity_weight: int = Field(default=1, ge=0, le=100)
    ignore_preferred_terms_of_existing_pods: bool = False


@dataclass(frozen=True, slots=True)
class Incoming:
    """The incoming pod's terms as selectors of placed pods, each with its topology key."""

    terms: PodTerms
    near: PodSelector | None
    """Pods that all required affinity terms mean: a pod counts for one term only if it matches them all."""
    near_keys: tuple[str, ...]
    apart: tuple[tuple[str, PodSelector], ...]
    preferred: tuple[tuple[str, PodSelector, int], ...]


class InterPodAffinity:
    """Filters by required terms of the pod and required anti-affinity of others, scores by everything preferred."""

    name = "InterPodAffinity"
    Args = InterPodAffinityArgs

    def __init__(self, args: InterPodAffinityArgs) -> None:
        self._hard_weight = args.hard_pod_affinity_weight
        self._ignore_existing = args.ignore_preferred_terms_of_existing_pods
        self._incoming: dict[PodTerms, tuple[int, Incoming]] = {}

    def events_to_register(self) -> Sequence[EventToRegister]:
        """Pods that come, go or change their labels, and nodes that come or change theirs.

        Without hints, as in v1.30: upstream's QueueingHintFn of this plugin came with v1.31.
        """
        return (
            EventToRegister(ClusterEvent(POD, Action.ALL)),
            EventToRegister(ClusterEvent(NODE, Action.ADD | Action.UPDATE_NODE_LABEL)),
        )

    # -- filter ---------------------------------------------------------------------------------------------

    def pre_filter(self, cycle: Cycle, pod: PodView) -> Status | None:
        """Skips where the pod requires nothing and no placed pod's anti-affinity to it is in any domain."""
        terms = terms_of(pod)
        if terms.required or terms.required_anti:
            return None
        nodes = cycle.cluster
        if not nodes.any_terms:
            return Status.skip()
        existing = nodes.existing_terms(TermKind.REQUIRED_ANTI, pod)
        return None if any(_in_a_domain(column, nodes) for column in existing) else Status.skip()

    def add_pod(self, cycle: Cycle, pod: PodView, other: PodView, node_name: str) -> None:
        """Nothing to do: what-ifs change the table, and Filter counts there."""

    def remove_pod(self, cycle: Cycle, pod: PodView, other: PodView, node_name: str) -> None:
        """Nothing to do, as for :meth:`add_pod`."""

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> list[Reject]:
        """One reason per node: the pod's affinity (unresolvable), its anti-affinity, then that of placed pods."""
        incoming = self._compiled(pod, nodes.namespaces)
        masks: list[BoolArray] = []
        rejects: list[Reject] = []
        if incoming.near is not None:
            masks.append(self._not_near(incoming, pod, nodes))
            rejects.append(Reject(masks[0], REASON_AFFINITY, resolvable=False))
        forbidden = (
            (self._apart(incoming, nodes), REASON_ANTI_AFFINITY),
            (self._unwanted(pod, nodes), REASON_EXISTING),
        )
        for banned, reason in forbidden:
            mask = banned.mask(unless=masks)
            if mask is not None:
                masks.append(mask)
                rejects.append(Reject(mask, reason))
        return rejects

    def remedy(self, cycle: Cycle, pod: PodView, node: NodeView) -> list[str]:
        """The topology key and value in question, and the pods that are missing there or must leave."""
        incoming, labels, said = self._compiled(pod, node.namespaces), node.objects[0].metadata.labels, []
        if incoming.near is not None and self._not_near(incoming, pod, node)[0]:
            for key in incoming.near_keys:
                if key not in labels:
                    said.append(f"required affinity: the node needs label {key}")
                elif not _count_at(node, key, incoming.near):
                    said.append(f"required affinity: no pod that all its terms mean is in {key}={labels[key]}")
        for key, selector in incoming.apart:
            if key in labels and (count := _count_at(node, key, selector)):
                said.append(
                    f"required anti-affinity: {count} pod(s) it is to be kept from must leave {key}={labels[key]}"
                )
        for column in node.existing_terms(TermKind.REQUIRED_ANTI, pod):
            domains = node.domains(column.term.topology_key)
            domain = int(node.of_rows(domains.ids)[0])
            if domain and (count := int(node.terms_per_domain(column, domains)[domain])):
                place = f"{column.term.topology_key}={labels[column.term.topology_key]}"
                said.append(f"{count} pod(s) in {place} whose own required anti-affinity means the pod must leave")
        return said

    def _apart(self, incoming: Incoming, nodes: NodeView) -> _Banned:
        banned = _Banned(nodes)
        for key, selector in incoming.apart:
            domains = nodes.domains(key)
            banned.add(domains, nodes.pods_per_domain(selector, domains))
        return banned

    def _unwanted(self, pod: PodView, nodes: NodeView) -> _Banned:
        banned = _Banned(nodes)
        for column in nodes.existing_terms(TermKind.REQUIRED_ANTI, pod):
            domains = nodes.domains(column.term.topology_key)
            banned.add(domains, nodes.terms_per_domain(column, domains))
        return banned

    def _not_near(self, incoming: Incoming, pod: PodView, nodes: NodeView) -> BoolArray:
        """Nodes that lack a key, or whose domain has no pod that all terms mean."""
        assert incoming.near is not None
        labelled: BoolArray | None = None
        near: BoolArray | None = None
        anywhere = False
        for key in incoming.near_keys:
            domains = nodes.domains(key)
            inhabited = nodes.pods_per_domain(incoming.near, domains) > 0
            inhabited[0] = False
            anywhere = anywhere or bool(inhabited.any())
            ids = nodes.of_rows(domains.ids)
            here, present = inhabited[ids], ids != 0
            near = here if near is None else near & here
            labelled = present if labelled is None else labelled & present
        assert near is not None and labelled is not None
        if not anywhere and incoming.near.matches(pod.namespace, pod.labels, terminating=False):
            # The first of a group of pods with affinity to each other may go anywhere.
            return ~labelled
        return ~near

    # -- score ----------------------------------------------------------------------------------------------

    def pre_score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Status | None:
        """Adds up weights per topology key and domain; skips where no term applies in any domain."""
        preferred = terms_of(pod).preferred
        if self._ignore_existing and not preferred:
            return Status.skip()
        cluster = cycle.cluster
        if not preferred and not cluster.any_terms:
            return Status.skip()
        points: dict[str, Int64Array] = {}
        if preferred:
            for key, selector, weight in self._compiled(pod, cluster.namespaces).preferred:
                _add(points, key, weight, cluster.pods_per_domain(selector, cluster.domains(key)))
        for column, weight in self._existing(pod, cluster):
            key = column.term.topology_key
            _add(points, key, weight, cluster.terms_per_domain(column, cluster.domains(key)))
        if not points:
            return Status.skip()
        cycle.state[self.name] = points
        return None

    def _existing(self, pod: PodView, cluster: NodeView) -> Iterable[tuple[TermColumn, int]]:
        for column in cluster.existing_terms(TermKind.PREFERRED, pod):
            yield column, column.weight
        if self._hard_weight:
            for column in cluster.existing_terms(TermKind.REQUIRED, pod):
                yield column, self._hard_weight

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Int64Array:
        """int64[n]: sum of the points of the domains the node is in."""
        total: Int64Array | None = None
        for key, points in cycle.state[self.name].items():
            mine = points[nodes.of_rows(nodes.domains(key).ids)]
            total = mine if total is None else total + mine
        assert total is not None
        return total

    def normalize_score(self, cycle: Cycle, pod: PodView, scores: Int64Array) -> Int64Array:
        """Stretched to 0..100 in floating point, truncated; 0 for all where all are equal."""
        low, high = scores.min(), scores.max()
        if low == high:
            return np.zeros(len(scores), dtype=np.int64)
        # In this order as upstream: quotient first, so that truncation sees the same floats.
        few = high - low < len(scores)
        above = np.arange(high - low + 1) if few else scores - low
        points: Int64Array = (above / float(high - low) * MAX_SCORE).astype(np.int64)
        # A look-up is cheaper than arithmetic on every node.
        return points.take(scores - low) if few else points

    # -- compilation ----------------------------------------------------------------------------------------

    def _compiled(self, pod: PodView, namespaces: Namespaces) -> Incoming:
        terms = terms_of(pod)
        found = self._incoming.get(terms)
        if found is None or found[0] != namespaces.version:
            found = (namespaces.version, _compile(terms, namespaces))
            if len(self._incoming) >= _INCOMING_CACHE:
                self._incoming.clear()
            self._incoming[terms] = found
        return found[1]


def _count_at(node: NodeView, key: str, selector: PodSelector) -> int:
    """How many pods that ``selector`` matches are in the topology domain of the one node."""
    domains = node.domains(key)
    return int(node.pods_per_domain(selector, domains)[int(node.of_rows(domains.ids)[0])])


class _Banned:
    """Nodes in domains with a pod that must not be there, with as few passes over nodes as there are topology keys."""

    def __init__(self, nodes: NodeView) -> None:
        self._nodes = nodes
        self._by_domains: dict[Domains, Int64Array] = {}

    def add(self, domains: Domains, pods: Int64Array) -> None:
        """Count ``pods`` int64[domains.size]; those on nodes in no domain harm nobody."""
        before = self._by_domains.get(domains)
        self._by_domains[domains] = pods if before is None else before + pods

    def mask(self, *, unless: Sequence[BoolArray]) -> BoolArray | None:
        """bool[n] over the rows of the view, without those in one of ``unless``; None where nothing is left."""
        total: BoolArray | None = None
        for domains, pods in self._by_domains.items():
            banned = pods > 0
            banned[0] = False
            if banned.any():
                mine = banned[self._nodes.of_rows(domains.ids)]
                total = mine if total is None else total | mine
        if total is None:
            return None
        for mask in unless:
            total = total & ~mask
        return total if total.any() else None


def _compile(terms: PodTerms, namespaces: Namespaces) -> Incoming:
    near = None
    if terms.required:
        near = _selector(terms.required, namespaces)
    return Incoming(
        terms,
        near,
        tuple(dict.fromkeys(term.topology_key for term in terms.required)),
        tuple((term.topology_key, _selector((term,), namespaces)) for term in terms.required_anti),
        tuple((term.topology_key, _selector((term,), namespaces), weight) for term, weight in terms.preferred),
    )


def _selector(terms: Sequence[AffinityTerm], namespaces: Namespaces) -> PodSelector:
    """Pods that all ``terms`` mean; terminating ones count."""
    common: frozenset[str] | None = None
    for term in terms:
        selected = term.selected_namespaces(namespaces)
        if selected is not None:
            common = selected if common is None else common & selected
    return PodSelector((term.matcher for term in terms), common, terminating=True)


def _in_a_domain(column: TermColumn, nodes: NodeView) -> bool:
    """Whether a pod with the term is on a node that has the term's topology key."""
    domains = nodes.domains(column.term.topology_key)
    return bool(column.total > nodes.terms_per_domain(column, domains)[0])


def _add(points: dict[str, Int64Array], key: str, weight: int, counts: Int64Array) -> None:
    """Add ``weight`` per counted pod; keys with no pod in any domain stay out."""
    if not counts[1:].any():
        return
    mine = counts * weight
    mine[0] = 0
    before = points.get(key)
    points[key] = mine if before is None else before + mine
