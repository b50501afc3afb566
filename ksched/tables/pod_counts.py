"""How many pods on each node match a selector, and how many have an affinity term, kept current as pods come and go.

This is what makes inter-pod rules cost nothing per placed pod: a selector is matched once per *pod class* (pods no
selector can tell apart), and its column of counts, with the sums per topology domain that were asked for, is adjusted
by one whenever a pod is added or removed. Columns exist for what was asked for; the longest unused give way.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from typing import Generic, Protocol, TypeVar

import numpy as np

from ksched.objects import LabelSelectorMatcher
from ksched.tables.affinity_terms import AffinityTerm, terms_of
from ksched.tables.arrays import Int32Array, Int64Array, grown
from ksched.tables.domains import Domains
from ksched.tables.namespaces import Namespaces
from ksched.tables.pod_view import PodView

_COLUMN_BYTES = 128 << 20
_MIN_COLUMNS = 64
_SUMS_PER_COLUMN = 8
_MATCHED_CACHE = 1 << 13

LabelKey = tuple[tuple[str, str], ...]


class PodSelector:
    """Which pods to count: those of ``namespaces`` (None: all) that every one of ``matchers`` matches.

    ``terminating`` says whether pods being deleted count.
    """

    __slots__ = ("_hash", "anchor", "matchers", "namespaces", "terminating")

    def __init__(
        self, matchers: Iterable[LabelSelectorMatcher], namespaces: frozenset[str] | None, *, terminating: bool
    ) -> None:
        self.matchers = tuple(matchers)
        self.namespaces = namespaces
        self.terminating = terminating
        self.anchor = next((m.anchor for m in self.matchers if m.anchor is not None), None)
        self._hash = hash((self.matchers, namespaces, terminating))

    def matches(self, namespace: str, labels: Mapping[str, str], terminating: bool) -> bool:
        """Whether a pod like that is counted."""
        if terminating and not self.terminating:
            return False
        if self.namespaces is not None and namespace not in self.namespaces:
            return False
        return all(matcher.matches(labels) for matcher in self.matchers)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, PodSelector):
            return NotImplemented
        mine = (self._hash, self.terminating, self.namespaces, self.matchers)
        return mine == (other._hash, other.terminating, other.namespaces, other.matchers)

    def __hash__(self) -> int:
        return self._hash


class TermKind(IntEnum):
    """What a placed pod's affinity term asks for."""

    REQUIRED = 0
    REQUIRED_ANTI = 1
    PREFERRED = 2
    """Weighted; the weight is negative for anti-affinity."""


class _Anchored(Protocol):
    @property
    def anchor(self) -> tuple[str, str] | None: ...


A = TypeVar("A", bound=_Anchored)


class AnchorIndex(Generic[A]):
    """Selecting things by a label that every pod they select has, so that a pod meets only those that may match it."""

    def __init__(self) -> None:
        self._by_anchor: dict[tuple[str, str] | None, dict[A, None]] = {}

    def add(self, item: A) -> None:
        """Index ``item``."""
        self._by_anchor.setdefault(item.anchor, {})[item] = None

    def remove(self, item: A) -> None:
        """Forget ``item``."""
        bucket = self._by_anchor[item.anchor]
        del bucket[item]
        if not bucket:
            del self._by_anchor[item.anchor]

    def __bool__(self) -> bool:
        return bool(self._by_anchor)

    def candidates(self, labels: LabelKey) -> Iterator[A]:
        """Everything that may select a pod with these labels."""
        by_anchor = self._by_anchor
        for pair in labels:
            yield from by_anchor.get(pair, ())
        yield from by_anchor.get(None, ())


class CountColumn:
    """A number per node, and its sums per domain as far as they were asked for; ``total`` is the sum over all nodes."""

    __slots__ = ("_sums", "anchor", "total")

    def __init__(self, anchor: tuple[str, str] | None) -> None:
        self.anchor = anchor
        self.total = 0
        self._sums: dict[Domains, Int64Array] = {}

    def adjust(self, row: int, node_name: str, amount: int) -> None:
        """``amount`` pods came, or went where it is negative."""
        self.total += amount
        for domains, sums in self._sums.items():
            sums[domains.ids[row]] += amount

    def per_domain(self, domains: Domains) -> Int64Array:
        """int64[domains.size]; the first entry is the sum over nodes in no domain."""
        sums = self._sums.get(domains)
        if sums is None:
            if len(self._sums) >= _SUMS_PER_COLUMN:
                self._sums.clear()
            sums = self._sums[domains] = self._summed(domains)
        return sums

    def forget_sums(self) -> None:
        """The nodes' labels changed, or room is needed."""
        self._sums.clear()

    def _summed(self, domains: Domains) -> Int64Array:
        raise NotImplementedError


class SelectorColumn(CountColumn):
    """Pods that a selector matches: ``counts`` int32[capacity]."""

    __slots__ = ("counts", "selector")

    def __init__(self, selector: PodSelector, capacity: int) -> None:
        super().__init__(selector.anchor)
        self.selector = selector
        self.counts: Int32Array = np.zeros(capacity, dtype=np.int32)

    def adjust(self, row: int, node_name: str, amount: int) -> None:
        """``amount`` pods came, or went where it is negative."""
        self.counts[row] += amount
        super().adjust(row, node_name, amount)

    def _summed(self, domains: Domains) -> Int64Array:
        return domains.sums(self.counts[: len(domains.ids)])


class TermColumn(CountColumn):
    """Placed pods that have an affinity term: ``nodes`` name -> how many. ``weight`` is 0 for required terms."""

    __slots__ = ("_index", "kind", "nodes", "term", "weight")

    def __init__(self, kind: TermKind, term: AffinityTerm, weight: int, index: Mapping[str, int]) -> None:
        super().__init__(term.matcher.anchor)
        self.kind = kind
        self.term = term
        self.weight = weight
        self.nodes: dict[str, int] = {}
        self._index = index

    def adjust(self, row: int, node_name: str, amount: int) -> None:
        """``amount`` pods came, or went where it is negative."""
        _adjust(self.nodes, node_name, amount)
        super().adjust(row, node_name, amount)

    def _summed(self, domains: Domains) -> Int64Array:
        sums = np.zeros(domains.size, dtype=np.int64)
        for name, count in self.nodes.items():
            sums[domains.ids[self._index[name]]] += count
        return sums


class PodClass:
    """Placed pods with the same namespace and labels, terminating or not: ``nodes`` name -> how many there are."""

    __slots__ = ("columns", "label_key", "labels", "namespace", "nodes", "terminating", "version")

    def __init__(self, namespace: str, label_key: LabelKey, terminating: bool) -> None:
        self.namespace = namespace
        self.label_key = label_key
        self.labels = dict(label_key)
        self.terminating = terminating
        self.nodes: dict[str, int] = {}
        self.columns: list[SelectorColumn] = []
        self.version = -1


class PodCounts:
    """Count columns over the rows of one NodeTable, which calls :meth:`hold` for every pod that comes or goes.

    ``index`` is the table's name -> row.
    """

    def __init__(self, capacity: int, index: Mapping[str, int], namespaces: Namespaces) -> None:
        self._index = index
        self._namespaces = namespaces
        self._capacity = capacity
        self._used: OrderedDict[CountColumn, None] = OrderedDict()
        """Columns that hold arrays, least recently used first."""
        self._classes: dict[tuple[str, LabelKey, bool], PodClass] | None = None
        """None until a selector is first asked for: clusters without inter-pod rules pay nothing."""
        self.counting = False
        """Whether a selector was ever asked for: until then :meth:`hold` need not be told of pods without terms."""
        self._by_label: dict[tuple[str, str], dict[PodClass, None]] = {}
        self._selectors: dict[PodSelector, SelectorColumn] = {}
        self._selector_index: AnchorIndex[SelectorColumn] = AnchorIndex()
        self._version = 0
        """Counts changes to the set of selectors."""
        self._terms: dict[tuple[TermKind, AffinityTerm, int], TermColumn] = {}
        self._term_index: dict[TermKind, AnchorIndex[TermColumn]] = {kind: AnchorIndex() for kind in TermKind}
        self._terms_version = 0
        self._matched: OrderedDict[tuple[TermKind, str, LabelKey], tuple[tuple[int, int], list[TermColumn]]] = (
            OrderedDict()
        )

    # -- what the table tells -------------------------------------------------------------------------------

    def hold(self, row: int, node_name: str, pod: PodView, sign: int) -> None:
        """A pod came to (+1) or left (-1) a row."""
        if self._classes is not None:
            self._count(row, node_name, pod, sign)
        if pod.info.pod_affinity:
            terms = terms_of(pod)
            for term in terms.required:
                self._count_term(TermKind.REQUIRED, term, 0, row, node_name, sign)
            for term in terms.required_anti:
                self._count_term(TermKind.REQUIRED_ANTI, term, 0, row, node_name, sign)
            for term, weight in terms.preferred:
                self._count_term(TermKind.PREFERRED, term, weight, row, node_name, sign)

    def nodes_changed(self) -> None:
        """Before labels or the set of nodes change: sums per domain are void."""
        for column in self._used:
            column.forget_sums()

    def grow(self, capacity: int) -> None:
        """Make room for ``capacity`` rows."""
        self._capacity = capacity
        for column in self._selectors.values():
            column.counts = grown(column.counts, capacity)

    def delete_row(self, row: int, count: int) -> None:
        """Close the gap row ``row`` leaves among ``count`` rows."""
        for column in self._selectors.values():
            column.counts[row : count - 1] = column.counts[row + 1 : count]
            column.counts[count - 1] = 0

    # -- selectors ------------------------------------------------------------------------------------------

    def column(self, selector: PodSelector, pods: Iterable[tuple[str, PodView]]) -> SelectorColumn:
        """The column of ``selector``; ``pods`` (node name, pod) are looked at the very first time only."""
        column = self._selectors.get(selector)
        if column is None:
            column = self._add(selector, pods)
        self._use(column)
        return column

    def per_domain(self, column: CountColumn, domains: Domains) -> Int64Array:
        """int64[domains.size]: the column summed by domain; must not be written to."""
        self._use(column)
        return column.per_domain(domains)

    def _add(self, selector: PodSelector, pods: Iterable[tuple[str, PodView]]) -> SelectorColumn:
        if self._classes is None:
            self._classes = {}
            self.counting = True
            for node_name, pod in pods:
                self._count(self._index[node_name], node_name, pod, 1)
        column = self._selectors[selector] = SelectorColumn(selector, self._capacity)
        self._selector_index.add(column)
        self._version += 1
        anchor = selector.anchor
        classes = self._classes.values() if anchor is None else self._by_label.get(anchor, ())
        for kind in classes:
            if selector.matches(kind.namespace, kind.labels, kind.terminating):
                for name, count in kind.nodes.items():
                    column.adjust(self._index[name], name, count)
        return column

    def _count(self, row: int, node_name: str, pod: PodView, sign: int) -> None:
        assert self._classes is not None
        key = (pod.namespace, pod.label_key, pod.terminating)
        kind = self._classes.get(key)
        if kind is None:
            kind = self._classes[key] = PodClass(*key)
            for pair in kind.label_key:
                self._by_label.setdefault(pair, {})[kind] = None
        if kind.version != self._version:
            self._match(kind)
        for column in kind.columns:
            column.adjust(row, node_name, sign)
        _adjust(kind.nodes, node_name, sign)
        if not kind.nodes:
            del self._classes[key]
            for pair in kind.label_key:
                bucket = self._by_label[pair]
                del bucket[kind]
                if not bucket:
                    del self._by_label[pair]

    def _match(self, kind: PodClass) -> None:
        kind.columns = [
            column
            for column in self._selector_index.candidates(kind.label_key)
            if column.selector.matches(kind.namespace, kind.labels, kind.terminating)
        ]
        kind.version = self._version

    # -- terms of placed pods -------------------------------------------------------------------------------

    @property
    def any_terms(self) -> bool:
        """Whether any placed pod has a term."""
        return bool(self._terms)

    def terms(self, kind: TermKind, pod: PodView) -> list[TermColumn]:
        """Columns of the terms of this kind that placed pods have and that mean ``pod``, in the order they came."""
        if not self._term_index[kind]:
            return []
        key = (kind, pod.namespace, pod.label_key)
        version = (self._terms_version, self._namespaces.version)
        found = self._matched.get(key)
        if found is None or found[0] != version:
            found = self._matched[key] = (version, self._terms_for(kind, pod))
            if len(self._matched) > _MATCHED_CACHE:
                self._matched.popitem(last=False)
        return found[1]

    def _terms_for(self, kind: TermKind, pod: PodView) -> list[TermColumn]:
        return [
            column
            for column in self._term_index[kind].candidates(pod.label_key)
            if column.term.matches(pod.namespace, pod.labels, self._namespaces)
        ]

    def _count_term(self, kind: TermKind, term: AffinityTerm, weight: int, row: int, node_name: str, sign: int) -> None:
        key = (kind, term, weight)
        column = self._terms.get(key)
        if column is None:
            column = self._terms[key] = TermColumn(kind, term, weight, self._index)
            self._term_index[kind].add(column)
            self._terms_version += 1
        column.adjust(row, node_name, sign)
        if not column.nodes:
            del self._terms[key]
            self._term_index[kind].remove(column)
            self._used.pop(column, None)
            self._terms_version += 1

    # -- memory ---------------------------------------------------------------------------------------------

    def _use(self, column: CountColumn) -> None:
        used = self._used
        if column in used:
            used.move_to_end(column)
            return
        used[column] = None
        if len(used) > max(_MIN_COLUMNS, _COLUMN_BYTES // (16 * self._capacity)):
            unused, _ = used.popitem(last=False)
            unused.forget_sums()
            if isinstance(unused, SelectorColumn):
                del self._selectors[unused.selector]
                self._selector_index.remove(unused)
                self._version += 1


def _adjust(counts: dict[str, int], name: str, amount: int) -> None:
    count = counts.get(name, 0) + amount
    if count:
        counts[name] = count
    else:
        del counts[name]
