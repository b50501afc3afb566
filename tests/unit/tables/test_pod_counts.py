"""Count columns equal a recount over all placed pods, whatever happened before they were first asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from ksched.objects import LabelSelector, LabelSelectorMatcher, Pod
from ksched.tables import Namespaces, NodeTable, NodeView, PodSelector, PodView, TermKind, terms_of
from ksched.tables import pod_counts as module
from ksched.testing import clusters
from ksched.testing.factories import make_node, make_pod
from ksched.testing.strategies import Drawn, choosers

QUICK = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
KEYS = ("kubernetes.io/hostname", "topology.kubernetes.io/zone", "pool", "never/seen")


def matcher(**selector: object) -> LabelSelectorMatcher:
    return LabelSelectorMatcher(LabelSelector.model_validate(selector))


MATCHERS = (
    matcher(matchLabels={"app": "x"}),
    matcher(matchLabels={"app": "y", "tier": "x"}),
    matcher(matchExpressions=[{"key": "tier", "operator": "Exists"}]),
    matcher(matchExpressions=[{"key": "app", "operator": "In", "values": ["y"]}]),
    matcher(matchExpressions=[{"key": "app", "operator": "NotIn", "values": ["x"]}]),
    matcher(),
    LabelSelectorMatcher(None),
)
SELECTORS = tuple(
    PodSelector((m,), namespaces, terminating=terminating)
    for m in MATCHERS
    for namespaces in (None, frozenset({"team"}), frozenset({"team", "default"}))
    for terminating in (False, True)
)
INCOMING = tuple(
    PodView(make_pod("incoming", namespace=namespace, labels=labels))
    for namespace in ("default", "team", "unheard-of")
    for labels in ({}, {"app": "x"}, {"app": "y", "tier": "x"})
)


def recount(table: NodeTable, counts: Callable[[PodView], int]) -> list[int]:
    return [sum(counts(placed.pod) for placed in table.pods_on(node.name)) for node in table.nodes]


def assert_right(table: NodeTable, selectors: tuple[PodSelector, ...]) -> None:
    nodes = NodeView(table)
    for selector in selectors:
        expected = recount(table, lambda p, s=selector: s.matches(p.namespace, p.labels, p.terminating))
        assert nodes.pods_matching(selector).tolist() == expected
        assert table.pods_matching(selector).total == sum(expected)
        for key in KEYS:
            assert by_domain(table, key, nodes.pods_per_domain(selector, nodes.domains(key))) == summed(
                table, key, expected
            )
    for pod in INCOMING:
        for kind in TermKind:
            assert_terms(table, nodes, kind, pod)


def assert_terms(table: NodeTable, nodes: NodeView, kind: TermKind, pod: PodView) -> None:
    got = {(c.term, c.weight): dict(c.nodes) for c in nodes.existing_terms(kind, pod)}
    expected: dict[object, Counter[str]] = {}
    for name, placed in table.pods():
        for term, weight in terms(placed.pod, kind):
            if term.matches(pod.namespace, pod.labels, table.namespaces):
                expected.setdefault((term, weight), Counter())[name] += 1
    assert got == expected
    for column in nodes.existing_terms(kind, pod):
        per_node = [column.nodes.get(node.name, 0) for node in table.nodes]
        key = column.term.topology_key
        assert by_domain(table, key, nodes.terms_per_domain(column, nodes.domains(key))) == summed(table, key, per_node)


def terms(pod: PodView, kind: TermKind) -> list[tuple[object, int]]:
    own = terms_of(pod)
    if kind is TermKind.PREFERRED:
        return list(own.preferred)
    return [(term, 0) for term in (own.required if kind is TermKind.REQUIRED else own.required_anti)]


def by_domain(table: NodeTable, key: str, sums: np.ndarray) -> dict[str | None, int]:
    """Sums by label value, None for nodes without the label; domains without a node must hold nothing."""
    ids = table.domains(key).ids
    named = {int(i): node.metadata.labels.get(key) for i, node in zip(ids, table.nodes, strict=True)}
    assert all(not value for i, value in enumerate(sums.tolist()) if i not in named)
    return {value: int(sums[i]) for i, value in named.items()}


def summed(table: NodeTable, key: str, per_node: list[int]) -> dict[str | None, int]:
    sums: dict[str | None, int] = {}
    for node, count in zip(table.nodes, per_node, strict=True):
        value = node.metadata.labels.get(key)
        sums[value] = sums.get(value, 0) + count
    return sums


def terminating(pod: Pod) -> Pod:
    return pod.replaced(metadata=pod.metadata.replaced(deletion_timestamp="2024-01-01T00:00:00Z"))


def meddle(choose: Drawn, table: NodeTable, nodes: list[str], depth: int = 0) -> None:
    """Add, remove, move and replace pods, in forks within forks."""
    for _ in range(choose.integer(1, 4)):
        on = [placed.pod.uid for _, placed in table.pods()]
        action = choose.pick(("add", "remove", "move", "terminate", "nest"))
        if action == "nest" and depth < 2:
            inner = table.fork()
            meddle(choose, table, nodes, depth + 1)
            inner.commit() if choose.pick((True, False)) else inner.revert()
        elif action in ("add", "nest") or not on:
            made = PodView(clusters.pod(choose, f"fork-{choose.integer(0, 99999)}"))
            if table.node_of(made.uid) is None:
                table.add_pod(made, choose.pick(nodes))
        else:
            uid = choose.pick(on)
            node = table.node_of(uid)
            placed = table.remove_pod(uid)
            if action == "move":
                table.add_pod(placed.pod, choose.pick(nodes))
            elif action == "terminate":
                table.add_pod(PodView(terminating(placed.pod.pod)), node or "")


@given(choosers())
@QUICK
def test_columns_equal_a_recount_after_any_events(choose: Drawn) -> None:
    world = clusters.world(choose, most_nodes=5, most_pods=6)
    table = world.table()
    asked = tuple(choose.pick(SELECTORS) for _ in range(3))
    if choose.pick((True, False)):
        assert_right(table, asked)
    for _ in range(choose.integer(1, 15)):
        world.change(choose, table)
        if choose.integer(0, 3) == 0:
            assert_right(table, (choose.pick(SELECTORS),))
    assert_right(table, (*asked, choose.pick(SELECTORS)))


@given(choosers())
@QUICK
def test_columns_follow_a_what_if_and_its_end(choose: Drawn) -> None:
    world = clusters.world(choose, most_nodes=4, most_pods=6)
    table = world.table()
    asked = tuple(choose.pick(SELECTORS) for _ in range(3))
    assert_right(table, asked)
    with table.fork():
        meddle(choose, table, list(world.nodes))
        assert_right(table, (*asked, choose.pick(SELECTORS)))
    assert_right(table, (*asked, choose.pick(SELECTORS)))


@given(choosers())
@QUICK
def test_columns_that_had_to_give_way_come_back_right(choose: Drawn) -> None:
    limits = module._MIN_COLUMNS, module._COLUMN_BYTES
    module._MIN_COLUMNS, module._COLUMN_BYTES = 2, 0
    try:
        world = clusters.world(choose, most_nodes=4, most_pods=6)
        table = world.table()
        for _ in range(choose.integer(1, 6)):
            assert_right(table, tuple(choose.pick(SELECTORS) for _ in range(4)))
            world.change(choose, table)
        assert len(table.counts._selectors) <= 2
    finally:
        module._MIN_COLUMNS, module._COLUMN_BYTES = limits


def test_nothing_is_counted_before_somebody_asks() -> None:
    table = NodeTable()
    table.add_node(make_node("n1"))
    table.add_pod(PodView(make_pod(labels={"app": "x"})), "n1")
    assert table.counts._classes is None
    assert NodeView(table).pods_matching(SELECTORS[0]).tolist() == [1]


def test_classes_and_terms_of_pods_that_left_are_forgotten() -> None:
    table = NodeTable()
    table.add_node(make_node("n1"))
    near = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "a"}]}}
    NodeView(table).pods_matching(SELECTORS[0])
    for number in range(50):
        pod = PodView(make_pod(f"p{number}", labels={"unique": str(number)}, namespace=f"ns{number}", affinity=near))
        table.add_pod(pod, "n1")
        table.remove_pod(pod.uid)
    assert not table.counts._classes
    assert not table.counts._by_label
    assert not table.counts._terms
    assert not any(table.counts._term_index.values())


def test_domains_of_values_long_gone_take_no_room() -> None:
    table = NodeTable()
    for number in range(100):
        table.add_node(make_node(f"n{number}", labels={"topology.kubernetes.io/zone": f"z{number}"}))
        if number > 2:
            table.remove_node(f"n{number - 3}")
    table.add_node(make_node("bare"))
    domains = table.domains("topology.kubernetes.io/zone")
    assert domains.size == 4
    assert sorted(domains.ids.tolist()) == [0, 1, 2, 3]
    assert domains.ids.tolist()[-1] == 0


def test_domains_are_the_same_object_until_a_node_changes() -> None:
    table = NodeTable()
    table.add_node(make_node("n1"))
    before = table.domains("pool")
    table.add_pod(PodView(make_pod()), "n1")
    assert table.domains("pool") is before
    table.update_node(make_node("n1", labels={"pool": "a"}))
    assert table.domains("pool") is not before


@pytest.mark.parametrize(
    ("selector", "covered"),
    [
        pytest.param(None, {"team", "default"}, id="without a selector the listed namespaces"),
        pytest.param({}, None, id="an empty selector covers all, known or not"),
        pytest.param({"matchLabels": {"a": "1"}}, {"team", "default", "one"}, id="listed and selected ones are ORed"),
        pytest.param(
            {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]},
            {"team", "default", "two"},
            id="a negative selector covers only namespaces that exist as objects",
        ),
    ],
)
def test_namespaces_of_the_incoming_pods_terms(selector: object, covered: set[str] | None) -> None:
    namespaces = Namespaces()
    namespaces.put("one", {"a": "1"})
    namespaces.put("two", {})
    term = {"topologyKey": "k", "labelSelector": {}, "namespaces": ["team", "default"]}
    if selector is not None:
        term["namespaceSelector"] = selector
    rules = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    (compiled,) = terms_of(PodView(make_pod(affinity=rules))).required
    got = compiled.selected_namespaces(namespaces)
    assert got == (None if covered is None else frozenset(covered))
    if selector and "matchExpressions" in selector:
        assert compiled.matches("unheard-of", {}, namespaces), "a placed pod's term sees no labels, hence no key"
