"""Node selectors over a node view: which rows match.

Upstream: staging/src/k8s.io/component-helpers/scheduling/corev1/nodeaffinity/nodeaffinity.go. Requirements on labels
are evaluated once per distinct label value, not per node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import eq

import numpy as np

from ksched.objects import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, requirement_matches
from ksched.objects.selectors import IN, METADATA_NAME, NOT_IN, field_matches
from ksched.tables import NodeView
from ksched.tables.arrays import BoolArray


def labels_match(selector: Mapping[str, str], nodes: NodeView) -> BoolArray:
    """bool[n]: the node has every label of ``selector`` (a pod's nodeSelector). Empty matches all."""
    matching = np.ones(len(nodes), dtype=np.bool_)
    for key, wanted in selector.items():
        matching &= nodes.per_label(key, partial(eq, wanted), np.bool_)
    return matching


def selector_matches(selector: NodeSelector, nodes: NodeView) -> BoolArray:
    """bool[n]: any term matches; a selector without terms matches nothing."""
    matching = np.zeros(len(nodes), dtype=np.bool_)
    for term in selector.node_selector_terms:
        matching |= term_matches(term, nodes)
    return matching


def term_matches(term: NodeSelectorTerm, nodes: NodeView) -> BoolArray:
    """bool[n]: every requirement of the term matches; an empty term matches nothing."""
    if not term.match_expressions and not term.match_fields:
        return np.zeros(len(nodes), dtype=np.bool_)
    matching = np.ones(len(nodes), dtype=np.bool_)
    for requirement in term.match_expressions:
        matching &= _label_matches(requirement, nodes)
    for requirement in term.match_fields:
        matching &= _field_matches(requirement, nodes)
    return matching


def unmatched(term: NodeSelectorTerm, labels: Mapping[str, str], node_name: str) -> str:
    """What of a term a node does not match, in words."""
    wanted = [
        f"label {_shown(r)} ({has(r.key or '', labels)})"
        for r in term.match_expressions
        if not requirement_matches(r.operator, r.values, labels.get(r.key or ""))
    ]
    wanted += [f"field {_shown(r)}" for r in term.match_fields if not field_matches(r, node_name)]
    return " and ".join(wanted) or "an empty term, which matches nothing"


def has(key: str, labels: Mapping[str, str]) -> str:
    """What a node has of a label, in words."""
    return f"it has {key}={labels[key]}" if key in labels else "it has none"


def _shown(requirement: NodeSelectorRequirement) -> str:
    values = f" [{', '.join(requirement.values)}]" if requirement.values else ""
    return f"{requirement.key} {requirement.operator}{values}"


def named_nodes(terms: Sequence[NodeSelectorTerm]) -> frozenset[str] | None:
    """The only nodes that can match because every term asks for nodes by name; None where one does not.

    May name nodes that do not exist, and is empty where the terms contradict themselves.
    """
    union: set[str] = set()
    for term in terms:
        wanted = [set(r.values) for r in term.match_fields if r.key == METADATA_NAME and r.operator == IN]
        if not wanted:
            return None
        union |= set.intersection(*wanted)
    return frozenset(union) if terms else None


def _label_matches(requirement: NodeSelectorRequirement, nodes: NodeView) -> BoolArray:
    operator, values = requirement.operator, requirement.values
    return nodes.per_label(requirement.key or "", lambda value: requirement_matches(operator, values, value), np.bool_)


def _field_matches(requirement: NodeSelectorRequirement, nodes: NodeView) -> BoolArray:
    operator, values = requirement.operator, requirement.values
    if requirement.key != METADATA_NAME or operator not in (IN, NOT_IN) or len(values) != 1:
        # Nothing else is a valid field selector: upstream cannot parse the term then, and it matches nothing.
        return np.zeros(len(nodes), dtype=np.bool_)
    equal: BoolArray = nodes.names == values[0]
    return equal if operator == IN else ~equal
