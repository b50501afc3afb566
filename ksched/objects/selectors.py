"""Label selectors and node selectors: the models of the latter, and how both match.

Rules from apimachinery's pkg/labels/selector.go and component-helpers' scheduling/corev1/nodeaffinity. All
operators but Gt and Lt are about sets of strings; NotIn and DoesNotExist hold for an absent key.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from .base import Int, KubeModel, Many, Str
from .meta import LabelSelector, LabelSelectorRequirement

IN: Final = "In"
NOT_IN: Final = "NotIn"
EXISTS: Final = "Exists"
DOES_NOT_EXIST: Final = "DoesNotExist"
GT: Final = "Gt"
LT: Final = "Lt"

LABEL_OPERATORS: Final = (IN, NOT_IN, EXISTS, DOES_NOT_EXIST)
NODE_OPERATORS: Final = (*LABEL_OPERATORS, GT, LT)

METADATA_NAME: Final = "metadata.name"

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)


class NodeSelectorRequirement(KubeModel):
    """One requirement on a label (or field) of a node; operators also Gt and Lt."""

    key: Str | None = None
    operator: Str | None = None
    values: Many[Str] = ()


class NodeSelectorTerm(KubeModel):
    """All requirements must hold. A term without any matches no node."""

    match_expressions: Many[NodeSelectorRequirement] = ()
    match_fields: Many[NodeSelectorRequirement] = ()


class NodeSelector(KubeModel):
    """One of the terms must match."""

    node_selector_terms: Many[NodeSelectorTerm] = ()


class PreferredSchedulingTerm(KubeModel):
    """A node selector term with a weight of 1 to 100."""

    weight: Int | None = None
    preference: NodeSelectorTerm | None = None


def requirement_matches(op: str | None, values: Sequence[str], value: str | None) -> bool:
    """Whether one requirement holds for a label value; ``value`` None means that the label is absent.

    Gt and Lt compare integers (decimal int64 with optional sign, ``"007"`` is 7) and fail on anything else. An
    operator that is none fails.
    """
    if op == IN:
        return value is not None and value in values
    if op == NOT_IN:
        return value is None or value not in values
    if op == EXISTS:
        return value is not None
    if op == DOES_NOT_EXIST:
        return value is None
    if op in (GT, LT):
        return _compares(op == GT, values, value)
    return False


def _compares(greater: bool, values: Sequence[str], value: str | None) -> bool:
    if value is None or len(values) != 1:
        return False
    left, right = label_integer(value), label_integer(values[0])
    if left is None or right is None:
        return False
    return left > right if greater else left < right


def label_integer(text: str) -> int | None:
    """The int64 a label value stands for, as Go's ParseInt(base 10) reads it; None when it stands for none."""
    if len(text) > 63 or not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


def term_matches(term: NodeSelectorTerm, labels: Mapping[str, str], node_name: str) -> bool:
    """Whether a node with these labels and this name satisfies every requirement of ``term``."""
    if not term.match_expressions and not term.match_fields:
        return False
    for r in term.match_expressions:
        if not requirement_matches(r.operator, r.values, labels.get(r.key or "")):
            return False
    return all(field_matches(r, node_name) for r in term.match_fields)


def field_matches(requirement: NodeSelectorRequirement, node_name: str) -> bool:
    """Whether a ``matchFields`` requirement holds. ``metadata.name`` with In or NotIn and one value is all there is."""
    if requirement.key != METADATA_NAME or requirement.operator not in (IN, NOT_IN) or len(requirement.values) != 1:
        return False
    return (requirement.values[0] == node_name) == (requirement.operator == IN)


def node_selector_matches(selector: NodeSelector, labels: Mapping[str, str], node_name: str) -> bool:
    """Whether any term of ``selector`` matches the node; no terms match nothing."""
    return any(term_matches(term, labels, node_name) for term in selector.node_selector_terms)


class LabelSelectorMatcher:
    """A label selector compiled for many matches.

    Built from a :class:`LabelSelector` (None matches nothing, empty matches everything) or from a plain map of labels
    (a Service's ``spec.selector``: empty matches everything here; callers decide whether an empty map selects).
    ``keys`` are the label keys it reads, sorted.
    """

    __slots__ = ("_equal", "_nothing", "_requirements", "keys")

    keys: tuple[str, ...]

    def __init__(self, selector: LabelSelector | Mapping[str, str] | None) -> None:
        self._nothing = selector is None
        self._equal: tuple[tuple[str, str], ...] = ()
        self._requirements: tuple[tuple[str, str, frozenset[str]], ...] = ()
        if isinstance(selector, LabelSelector):
            self._equal = tuple(sorted(selector.match_labels.items()))
            self._requirements = tuple(_compiled(selector.match_expressions))
        elif selector is not None:
            self._equal = tuple(sorted(selector.items()))
        self.keys = tuple(sorted({key for key, _ in self._equal} | {key for key, _, _ in self._requirements}))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        if self._nothing:
            return False
        for key, value in self._equal:
            if labels.get(key) != value:
                return False
        for key, op, values in self._requirements:
            present = labels.get(key)
            if op == IN:
                ok = present is not None and present in values
            elif op == NOT_IN:
                ok = present is None or present not in values
            elif op == EXISTS:
                ok = present is not None
            else:
                ok = op == DOES_NOT_EXIST and present is None
            if not ok:
                return False
        return True

    @property
    def empty(self) -> bool:
        """Whether it matches everything."""
        return not (self._nothing or self._equal or self._requirements)

    @property
    def anchor(self) -> tuple[str, str] | None:
        """A (key, value) that every selected object has: what to index selectors by. None where there is none."""
        if self._equal:
            return self._equal[0]
        for key, op, values in self._requirements:
            if op == IN and len(values) == 1:
                return key, next(iter(values))
        return None

    def with_labels(self, labels: Mapping[str, str]) -> "LabelSelectorMatcher":
        """The selector that asks for ``labels`` too; one that matches nothing stays as it is."""
        if self._nothing or not labels:
            return self
        made = LabelSelectorMatcher(None)
        made._nothing = False
        made._equal = tuple(sorted({*self._equal, *labels.items()}))
        made._requirements = self._requirements
        made.keys = tuple(sorted({*self.keys, *labels}))
        return made

    def and_also(self, other: "LabelSelectorMatcher") -> "LabelSelectorMatcher":
        """The selector that asks for what both ask; nothing if either matches nothing."""
        made = LabelSelectorMatcher(None)
        if self._nothing or other._nothing:
            return made
        made._nothing = False
        made._equal = tuple(sorted({*self._equal, *other._equal}))
        made._requirements = tuple(
            sorted({*self._requirements, *other._requirements}, key=lambda r: (r[0], r[1], sorted(r[2])))
        )
        made.keys = tuple(sorted({*self.keys, *other.keys}))
        return made

    def _identity(self) -> tuple[object, ...]:
        return self._nothing, self._equal, self._requirements

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if isinstance(other, LabelSelectorMatcher) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._identity())


def _compiled(requirements: Iterable[LabelSelectorRequirement]) -> Iterable[tuple[str, str, frozenset[str]]]:
    # Order decides nothing (all must hold), so equal sets of requirements compile to equal matchers.
    compiled = {(r.key or "", r.operator or "", tuple(sorted(set(r.values)))) for r in requirements}
    return [(key, op, frozenset(values)) for key, op, values in sorted(compiled)]
