"""Pod affinity terms compiled for matching (upstream: framework.AffinityTerm, NewPodInfo)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ksched.objects import LabelSelectorMatcher, PodAffinityTerm, PodSpec, WeightedPodAffinityTerm
from ksched.tables.namespaces import Namespaces
from ksched.tables.pod_view import PodView, SpecInfo

_CACHE_SIZE = 1 << 14


class AffinityTerm:
    """One term: pods by labels and namespace, and the label whose values are the domains.

    ``namespaces`` and ``namespace_selector`` are ORed; neither given means the namespace of the pod that has the term.
    Equal terms of different pods are equal.
    """

    __slots__ = ("_hash", "matcher", "namespace_selector", "namespaces", "topology_key")

    def __init__(
        self,
        topology_key: str,
        matcher: LabelSelectorMatcher,
        namespaces: frozenset[str],
        namespace_selector: LabelSelectorMatcher | None = None,
    ) -> None:
        self.topology_key = topology_key
        self.matcher = matcher
        self.namespaces = namespaces
        self.namespace_selector = namespace_selector
        self._hash = hash(self._identity())

    def matches(self, namespace: str, labels: Mapping[str, str], namespaces: Namespaces) -> bool:
        """Whether the term means a pod with these labels; its namespace's labels are looked up in ``namespaces``."""
        if namespace not in self.namespaces:
            selector = self.namespace_selector
            if selector is None or not selector.matches(namespaces.labels(namespace)):
                return False
        return self.matcher.matches(labels)

    def selected_namespaces(self, namespaces: Namespaces) -> frozenset[str] | None:
        """The namespaces the term covers now, None for all.

        Unlike :meth:`matches` a namespaceSelector that is not empty covers only namespaces that exist as objects
        (upstream: mergeAffinityTermNamespacesIfNotEmpty, used for the incoming pod's own terms).
        """
        selector = self.namespace_selector
        if selector is None:
            return self.namespaces
        return None if selector.empty else self.namespaces | namespaces.selected(selector)

    def _identity(self) -> tuple[object, ...]:
        return (self.topology_key, self.matcher, self.namespaces, self.namespace_selector)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return self._identity() == other._identity() if isinstance(other, AffinityTerm) else NotImplemented

    def __hash__(self) -> int:
        return self._hash


class PodTerms(NamedTuple):
    """A pod's terms. ``preferred`` pairs a term with its weight, negative for anti-affinity."""

    required: tuple[AffinityTerm, ...] = ()
    required_anti: tuple[AffinityTerm, ...] = ()
    preferred: tuple[tuple[AffinityTerm, int], ...] = ()


NO_TERMS = PodTerms()

_compiled: OrderedDict[tuple[SpecInfo, str], PodTerms] = OrderedDict()


def terms_of(pod: PodView) -> PodTerms:
    """The compiled terms of a pod, shared by pods of one spec and namespace."""
    if not pod.info.pod_affinity:
        return NO_TERMS
    key = (pod.info, pod.namespace)
    found = _compiled.get(key)
    if found is None:
        found = _compiled[key] = _compile(pod.spec, pod.namespace)
        if len(_compiled) > _CACHE_SIZE:
            _compiled.popitem(last=False)
    return found


def _compile(spec: PodSpec, namespace: str) -> PodTerms:
    affinity = spec.affinity
    assert affinity is not None
    near, apart = affinity.pod_affinity, affinity.pod_anti_affinity
    required = near.required_during_scheduling_ignored_during_execution if near else ()
    required_anti = apart.required_during_scheduling_ignored_during_execution if apart else ()
    preferred = near.preferred_during_scheduling_ignored_during_execution if near else ()
    preferred_anti = apart.preferred_during_scheduling_ignored_during_execution if apart else ()
    return PodTerms(
        tuple(_term(term, namespace) for term in required),
        tuple(_term(term, namespace) for term in required_anti),
        (*_weighted(preferred, namespace, 1), *_weighted(preferred_anti, namespace, -1)),
    )


def _weighted(
    terms: Iterable[WeightedPodAffinityTerm], namespace: str, sign: int
) -> Iterable[tuple[AffinityTerm, int]]:
    return [(_term(t.pod_affinity_term or PodAffinityTerm(), namespace), sign * (t.weight or 0)) for t in terms]


def _term(term: PodAffinityTerm, namespace: str) -> AffinityTerm:
    given = frozenset(term.namespaces)
    own = not given and term.namespace_selector is None
    return AffinityTerm(
        term.topology_key or "",
        LabelSelectorMatcher(term.label_selector),
        frozenset((namespace,)) if own else given,
        None if term.namespace_selector is None else LabelSelectorMatcher(term.namespace_selector),
    )
