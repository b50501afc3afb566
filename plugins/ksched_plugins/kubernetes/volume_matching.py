"""Which existing volume a claim gets on a node: the smallest that will do.

Upstream: staging/src/k8s.io/component-helpers/storage/volume/pv_helpers.go (FindMatchingVolume, v1.30). Everything but
the node affinity is the same on all nodes and looked at once.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Set

import numpy as np

from ksched.framework.listers import Listers
from ksched.objects import LabelSelectorMatcher, NodeSelector, Quantity
from ksched.objects.selectors import IN, node_selector_matches
from ksched.objects.storage import PersistentVolume, PersistentVolumeClaim
from ksched.objects.volume_claims import (
    AVAILABLE,
    capacity,
    class_of,
    is_bound_to,
    may_be_taken,
    requested,
    suits,
)
from ksched.tables import NodeView
from ksched.tables.arrays import BoolArray
from ksched_plugins.kubernetes.node_selection import selector_matches


def available_class(volume: PersistentVolume) -> str | None:
    """The index of volumes nobody has claimed by their class; None for those that are not to be had."""
    free = volume.spec.claim_ref is None and volume.status.phase == AVAILABLE
    return class_of(volume) if free else None


def claimed_by(volume: PersistentVolume) -> tuple[str, str] | None:
    """The index of volumes by the claim (namespace, name) they are reserved for or bound to."""
    ref = volume.spec.claim_ref
    return (ref.namespace or "", ref.name or "") if ref is not None else None


def affinity_of(volume: PersistentVolume) -> NodeSelector | None:
    """The nodes that can reach a volume, None for all."""
    return volume.spec.node_affinity.required if volume.spec.node_affinity is not None else None


def reaches(affinity: NodeSelector | None, labels: Mapping[str, str]) -> bool:
    """Whether a node with these labels can use a volume with this affinity; its fields are not known to upstream here
    (CheckNodeAffinity)."""
    return affinity is None or node_selector_matches(affinity, labels, "")


def label_keys(affinity: NodeSelector | None) -> Iterator[str]:
    """The node labels an affinity reads."""
    for term in affinity.node_selector_terms if affinity is not None else ():
        for requirement in term.match_expressions:
            yield requirement.key or ""


Ranked = tuple[Quantity, int, str]
"""A volume's size, when it came and its name: sorts as volumes are preferred."""

Shape = tuple[object, ...]


class VolumePool:
    """The volumes free for claims of one shape, smallest first, kept current as volumes come, change and go.

    Most affinities ask for one label with one of some values: such volumes are found by it.
    """

    def __init__(self, claim: PersistentVolumeClaim) -> None:
        self._claim = claim
        self._objects: Listers | None = None
        self._version = -1
        self._sequence = 0
        self._ranks: dict[str, Ranked] = {}
        self.volumes: dict[str, PersistentVolume] = {}
        self.by_label: dict[str, dict[str, list[Ranked]]] = {}
        self.others: list[Ranked] = []

    def refresh(self, objects: Listers) -> None:
        """Look at the volumes that changed."""
        changed = objects.changed_since(PersistentVolume, self._version) if self._objects is objects else None
        self._objects, self._version = objects, objects.version(PersistentVolume)
        if changed is None:
            self.volumes, self._ranks, self.by_label, self.others = {}, {}, {}, []
            for volume in objects.having(PersistentVolume, available_class, class_of(self._claim)):
                self._put(volume)
            return
        for _, name in changed:
            now = objects.get(PersistentVolume, "", name)
            if now is not None and self._fits(now):
                self._put(now)
            else:
                self._drop(name)

    def _fits(self, volume: PersistentVolume) -> bool:
        return suits(volume, self._claim) and may_be_taken(volume, self._claim)

    def _put(self, volume: PersistentVolume) -> None:
        name = volume.name
        if not self._fits(volume):
            return
        known = self._ranks.get(name)
        self._drop(name)
        if known is None:
            self._sequence += 1
        rank = (capacity(volume), known[1] if known is not None else self._sequence, name)
        self._ranks[name], self.volumes[name] = rank, volume
        for ranked in self._lists(volume):
            insort(ranked, rank)

    def _drop(self, name: str) -> None:
        volume = self.volumes.pop(name, None)
        if volume is None:
            return
        rank = self._ranks.pop(name)
        for ranked in self._lists(volume):
            del ranked[bisect_left(ranked, rank)]
        key, values = _single_label(affinity_of(volume)) or ("", ())
        for value in values:
            if not self.by_label[key].get(value, True):
                del self.by_label[key][value]

    def _lists(self, volume: PersistentVolume) -> list[list[Ranked]]:
        """Where a volume is to be found."""
        simple = _single_label(affinity_of(volume))
        if simple is None:
            return [self.others]
        by_value = self.by_label.setdefault(simple[0], {})
        return [by_value.setdefault(value, []) for value in dict.fromkeys(simple[1])]


def shape(claim: PersistentVolumeClaim) -> Shape:
    """What claims must share to be served from one pool."""
    selector = LabelSelectorMatcher(claim.spec.selector) if claim.spec.selector is not None else None
    return class_of(claim), requested(claim), frozenset(claim.spec.access_modes), claim.spec.volume_mode, selector


class Candidates:
    """The volumes one claim could get, ready to be asked about nodes.

    ``reserved``: volumes reserved for some claim. ``pool``: the free ones for claims of this shape, but for those named
    in ``gone``.
    """

    def __init__(
        self,
        claim: PersistentVolumeClaim,
        reserved: Iterable[PersistentVolume],
        pool: VolumePool,
        gone: Set[str],
    ) -> None:
        self.claim = claim
        own = (v for v in reserved if is_bound_to(v, claim) and class_of(v) == class_of(claim))
        self._own = next((v for v in own if suits(v, claim)), None)
        self._pool = pool
        self._gone = gone

    def labels_read(self) -> Iterator[str]:
        """The node labels that decide."""
        if self._own is not None:
            yield from label_keys(affinity_of(self._own))
            return
        yield from self._pool.by_label
        for _, _, name in self._pool.others:
            yield from label_keys(affinity_of(self._pool.volumes[name]))

    def best(self, labels: Mapping[str, str], taken: Set[str]) -> PersistentVolume | None:
        """The volume for a node with these labels, None if there is none; volumes named in ``taken`` are gone too."""
        if self._own is not None:
            # A claim with a volume of its own gets no other, even where that one cannot be reached.
            return self._own if reaches(affinity_of(self._own), labels) else None
        pool = self._pool
        lists = [by_value.get(labels.get(key, ""), ()) for key, by_value in pool.by_label.items()]
        reachable = (r for r in pool.others if reaches(affinity_of(pool.volumes[r[2]]), labels))
        firsts = (self._first(ranked, taken) for ranked in (*lists, reachable))
        found = min((rank for rank in firsts if rank is not None), default=None)
        return pool.volumes[found[2]] if found is not None else None

    def _first(self, ranked: Iterable[Ranked], taken: Set[str]) -> Ranked | None:
        return next((rank for rank in ranked if rank[2] not in taken and rank[2] not in self._gone), None)

    def exist(self, nodes: NodeView) -> BoolArray:
        """bool[n]: there is a volume for the node; what :meth:`best` would find, for all nodes at once."""
        if self._own is not None:
            return admits(affinity_of(self._own), nodes)
        found = np.zeros(len(nodes), dtype=np.bool_)
        for key, by_value in self._pool.by_label.items():
            # All but a few values have a volume that is not gone: look closer only where one is.
            doubtful = self._values_of_gone(key)
            unserved = {v for v in doubtful if self._first(by_value.get(v, ()), frozenset()) is None}
            found |= nodes.per_label(key, (by_value.keys() - unserved).__contains__, np.bool_)
        for _, _, name in self._pool.others:
            if name not in self._gone and not found.all():
                found |= admits(affinity_of(self._pool.volumes[name]), nodes)
        return found

    def _values_of_gone(self, key: str) -> Iterator[str]:
        """Values of label ``key`` that volumes ask for which are gone."""
        for name in self._gone:
            volume = self._pool.volumes.get(name)
            simple = _single_label(affinity_of(volume)) if volume is not None else None
            if simple is not None and simple[0] == key:
                yield from simple[1]


def admits(affinity: NodeSelector | None, nodes: NodeView) -> BoolArray:
    """bool[n]: :func:`reaches` for all nodes at once."""
    if affinity is None:
        return np.ones(len(nodes), dtype=np.bool_)
    if not any(term.match_fields for term in affinity.node_selector_terms):
        return selector_matches(affinity, nodes)
    keys = sorted(set(label_keys(affinity)))

    def admitted(values: tuple[str | None, ...]) -> bool:
        return reaches(affinity, {k: v for k, v in zip(keys, values, strict=True) if v is not None})

    return nodes.per_labels(keys, admitted, np.bool_)


def _single_label(affinity: NodeSelector | None) -> tuple[str, tuple[str, ...]] | None:
    """(key, values) of an affinity that is nothing but one label In some values."""
    if affinity is None or len(affinity.node_selector_terms) != 1:
        return None
    term = affinity.node_selector_terms[0]
    if term.match_fields or len(term.match_expressions) != 1 or term.match_expressions[0].operator != IN:
        return None
    return term.match_expressions[0].key or "", term.match_expressions[0].values
