"""InterPodAffinity, row by row; the rules are those of upstream's interpodaffinity/{filtering,scoring}_test.go."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ksched.objects import Pod
from ksched.tables import NodeTable, NodeView, PodView
from ksched.testing import Answer, make_node, make_pod
from ksched.testing.factories import make_table
from ksched.testing.probe import Probe
from ksched_plugins.kubernetes.inter_pod_affinity import InterPodAffinity, InterPodAffinityArgs

ZONE, HOST = "zone", "kubernetes.io/hostname"
AFFINITY = ("UnschedulableAndUnresolvable", ("node(s) didn't match pod affinity rules",))
ANTI = ("Unschedulable", ("node(s) didn't match pod anti-affinity rules",))
EXISTING = ("Unschedulable", ("node(s) didn't satisfy existing pods anti-affinity rules",))

NODES = [
    make_node("a1", labels={ZONE: "a"}),
    make_node("a2", labels={ZONE: "a"}),
    make_node("b1", labels={ZONE: "b"}),
    make_node("bare"),
]
"""Two nodes in zone a, one in b, one in no zone."""
NAMESPACES = {"default": {}, "team": {"kind": "team"}}


def term(key: str = ZONE, **rest: Any) -> dict[str, Any]:
    """Pods with app=web, unless ``rest`` says otherwise; ``weight`` makes it a preferred one."""
    weight = rest.pop("weight", None)
    made = {"topologyKey": key, "labelSelector": {"matchLabels": {"app": "web"}}, **rest}
    return made if weight is None else {"weight": weight, "podAffinityTerm": made}


def rules(near: list[Any] | None = None, apart: list[Any] | None = None) -> dict[str, Any]:
    """An affinity; terms with a weight are preferred."""
    made: dict[str, Any] = {}
    for side, terms in (("podAffinity", near), ("podAntiAffinity", apart)):
        if terms:
            made[side] = {
                "requiredDuringSchedulingIgnoredDuringExecution": [t for t in terms if "weight" not in t],
                "preferredDuringSchedulingIgnoredDuringExecution": [t for t in terms if "weight" in t],
            }
    return made


def web(name: str = "web", **fields: Any) -> Pod:
    return make_pod(name, **{"labels": {"app": "web"}, **fields})


def terminating(pod: Pod) -> Pod:
    return pod.replaced(metadata=pod.metadata.replaced(deletion_timestamp="2024-01-01T00:00:00Z"))


def table_of(placed: list[tuple[Pod, str]], nodes: Any = NODES) -> NodeTable:
    table = make_table(nodes, placed)
    for name, labels in NAMESPACES.items():
        table.namespaces.put(name, labels)
    return table


def answer(pod: Pod, placed: list[tuple[Pod, str]], **args: Any) -> Answer:
    return Probe(plugin(**args)).answer(table_of(placed), PodView(pod))


def plugin(**args: Any) -> InterPodAffinity:
    return InterPodAffinity(InterPodAffinityArgs.model_validate(args))


NEAR_WEB = {"affinity": rules(near=[term()])}
TWO = [term(), term(HOST, labelSelector={"matchLabels": {"tier": "front"}})]
FILTER_ROWS: list[tuple[str, Pod, list[tuple[Pod, str]], list[str]]] = [
    ("a pod belongs in the zone of a pod it requires", make_pod(**NEAR_WEB), [(web(), "a1")], ["a1", "a2"]),
    ("where there is none it goes nowhere", make_pod(**NEAR_WEB), [], []),
    ("the first of a group that requires itself goes wherever the key is", web(**NEAR_WEB), [], ["a1", "a2", "b1"]),
    ("the second follows the first", web("second", **NEAR_WEB), [(web(), "b1")], ["b1"]),
    (
        "a match on a node without the key is no match, so the exception still holds",
        web("second", **NEAR_WEB),
        [(web(), "bare")],
        ["a1", "a2", "b1"],
    ),
    ("a terminating pod still counts", make_pod(**NEAR_WEB), [(terminating(web()), "b1")], ["b1"]),
    ("a pod of another namespace does not", make_pod(**NEAR_WEB), [(web(namespace="team"), "b1")], []),
    (
        "unless the term lists it",
        make_pod(affinity=rules(near=[term(namespaces=["team"])])),
        [(web(namespace="team"), "b1")],
        ["b1"],
    ),
    (
        "or selects it",
        make_pod(affinity=rules(near=[term(namespaceSelector={"matchLabels": {"kind": "team"}})])),
        [(web(namespace="team"), "b1"), (web(), "a1")],
        ["b1"],
    ),
    (
        "an empty namespaceSelector means all namespaces, even unknown ones",
        make_pod(affinity=rules(near=[term(namespaceSelector={})])),
        [(web(namespace="unknown"), "b1")],
        ["b1"],
    ),
    (
        "a term without a selector matches nothing, not even the pod itself",
        web(affinity=rules(near=[{"topologyKey": ZONE}])),
        [(web("other"), "a1")],
        [],
    ),
    (
        "an empty selector matches every pod",
        make_pod(affinity=rules(near=[term(labelSelector={})])),
        [(make_pod("any"), "b1")],
        ["b1"],
    ),
    (
        "only a pod that matches all terms counts for any",
        make_pod(affinity=rules(near=TWO)),
        [(web(), "a1"), (make_pod("front", labels={"tier": "front"}), "a1")],
        [],
    ),
    (
        "and each term has its own domain",
        make_pod(affinity=rules(near=TWO)),
        [(web("both", labels={"app": "web", "tier": "front"}), "a1")],
        ["a1"],
    ),
    (
        "anti-affinity keeps the pod out of the zone",
        make_pod(affinity=rules(apart=[term()])),
        [(web(), "a1")],
        ["b1", "bare"],
    ),
    (
        "a match outside any zone bothers nobody",
        make_pod(affinity=rules(apart=[term()])),
        [(web(), "bare")],
        ["a1", "a2", "b1", "bare"],
    ),
    (
        "each anti-affinity term alone is enough",
        make_pod(affinity=rules(apart=[term(HOST), term(labelSelector={"matchLabels": {"tier": "db"}})])),
        [(web(), "a1"), (make_pod("db", labels={"tier": "db"}), "b1")],
        ["a2", "bare"],
    ),
    (
        "a placed pod's anti-affinity counts as well",
        web("new"),
        [(make_pod("shy", affinity=rules(apart=[term()])), "a2")],
        ["b1", "bare"],
    ),
    (
        "but not against pods it does not mean",
        make_pod(),
        [(make_pod("shy", affinity=rules(apart=[term()])), "a2")],
        ["a1", "a2", "b1", "bare"],
    ),
    (
        "its own namespace is the one meant",
        web("new"),
        [(make_pod("shy", namespace="team", affinity=rules(apart=[term()])), "a2")],
        ["a1", "a2", "b1", "bare"],
    ),
    (
        "its namespaceSelector is held against the labels of the new pod's namespace",
        web("new", namespace="team"),
        [(make_pod("shy", affinity=rules(apart=[term(namespaceSelector={"matchLabels": {"kind": "team"}})])), "a2")],
        ["b1", "bare"],
    ),
    (
        "preferences reject nothing",
        make_pod(affinity=rules(near=[term(weight=100)], apart=[term(HOST, weight=100)])),
        [(web(), "a1")],
        ["a1", "a2", "b1", "bare"],
    ),
]


@pytest.mark.parametrize(("pod", "placed", "expected"), [pytest.param(*row[1:], id=row[0]) for row in FILTER_ROWS])
def test_where_a_pod_may_go(pod: Pod, placed: list[tuple[Pod, str]], expected: list[str]) -> None:
    said = answer(pod, placed)
    if said.filter is None:
        assert said.pre_filter is not None and said.pre_filter.skipped
        assert expected == [node.name for node in NODES]
    else:
        assert [name for name, verdict in said.filter.items() if verdict is None] == expected


def test_a_node_is_rejected_for_the_first_of_three_reasons() -> None:
    shy = make_pod("shy", affinity=rules(apart=[term()]))
    both = web("new", affinity=rules(near=[term(HOST)], apart=[term(labelSelector={"matchLabels": {"tier": "db"}})]))
    db = make_pod("db", labels={"tier": "db"})
    placed = [(shy, "a1"), (db, "b1"), (web(), "a2"), (web("w2"), "b1"), (web("w3"), "bare")]
    assert answer(both, placed).filter == {"a1": AFFINITY, "a2": EXISTING, "b1": ANTI, "bare": None}


@pytest.mark.parametrize(
    ("pod", "placed", "skipped"),
    [
        pytest.param(make_pod(), [], True, id="a pod without rules among pods without rules"),
        pytest.param(
            web("n"), [(make_pod("s", affinity=rules(apart=[term()])), "bare")], True, id="anti-affinity in no zone"
        ),
        pytest.param(
            web("n"), [(make_pod("s", affinity=rules(apart=[term()])), "a1")], False, id="anti-affinity that means it"
        ),
        pytest.param(make_pod(affinity=rules(near=[term(weight=1)])), [], True, id="a pod with preferences only"),
        pytest.param(make_pod(affinity=rules(apart=[term()])), [], False, id="a pod that requires anything"),
    ],
)
def test_whom_the_filter_skips(pod: Pod, placed: list[tuple[Pod, str]], skipped: bool) -> None:
    said = answer(pod, placed).pre_filter
    assert said is not None
    assert said.skipped == (frozenset({"InterPodAffinity"}) if skipped else frozenset())


LIKES = make_pod("likes", affinity=rules(near=[term(weight=7)]))
DISLIKES = make_pod("dislikes", affinity=rules(apart=[term(HOST, weight=3)]))
NEEDS = make_pod("needs", affinity=rules(near=[term()]))
SCORE_ROWS: list[tuple[str, Pod, list[tuple[Pod, str]], dict[str, Any], dict[str, int] | None]] = [
    ("without any preference scoring is skipped", web(), [], {}, None),
    (
        "each matching pod in the zone adds the weight",
        make_pod(affinity=rules(near=[term(weight=5)])),
        [(web(), "a1"), (web("w2"), "a2"), (web("w3"), "b1")],
        {},
        {"a1": 10, "a2": 10, "b1": 5, "bare": 0},
    ),
    (
        "anti-affinity takes it away",
        make_pod(affinity=rules(apart=[term(HOST, weight=5)])),
        [(web(), "a1")],
        {},
        {"a1": -5, "a2": 0, "b1": 0, "bare": 0},
    ),
    (
        "terms that cancel out still count as scored",
        make_pod(affinity=rules(near=[term(weight=5)], apart=[term(weight=5)])),
        [(web(), "a1")],
        {},
        {"a1": 0, "a2": 0, "b1": 0, "bare": 0},
    ),
    (
        "a match in no zone leaves nothing to score",
        make_pod(affinity=rules(near=[term(weight=5)])),
        [(web(), "bare")],
        {},
        None,
    ),
    ("placed pods' preferences count", web("new"), [(LIKES, "a1")], {}, {"a1": 7, "a2": 7, "b1": 0, "bare": 0}),
    ("their dislikes count against", web("new"), [(DISLIKES, "a1")], {}, {"a1": -3, "a2": 0, "b1": 0, "bare": 0}),
    ("what they require counts one", web("new"), [(NEEDS, "a1")], {}, {"a1": 1, "a2": 1, "b1": 0, "bare": 0}),
    (
        "or hardPodAffinityWeight",
        web("new"),
        [(NEEDS, "a1")],
        {"hardPodAffinityWeight": 9},
        {"a1": 9, "a2": 9, "b1": 0, "bare": 0},
    ),
    ("which may be nothing", web("new"), [(NEEDS, "a1")], {"hardPodAffinityWeight": 0}, None),
    (
        "placed pods' terms may be ignored",
        web("new"),
        [(LIKES, "a1")],
        {"ignorePreferredTermsOfExistingPods": True},
        None,
    ),
    (
        "but not for a pod with preferences of its own",
        web("new", affinity=rules(near=[term(weight=2)])),
        [(LIKES, "a1"), (web("old"), "b1")],
        {"ignorePreferredTermsOfExistingPods": True},
        {"a1": 7, "a2": 7, "b1": 2, "bare": 0},
    ),
]


@pytest.mark.parametrize(
    ("pod", "placed", "args", "expected"), [pytest.param(*row[1:], id=row[0]) for row in SCORE_ROWS]
)
def test_raw_scores(
    pod: Pod, placed: list[tuple[Pod, str]], args: dict[str, Any], expected: dict[str, int] | None
) -> None:
    assert answer(pod, placed, **args).raw == expected


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        pytest.param((3, 0, 0), {"a1": 100, "a2": 0, "b1": 0, "bare": 0}, id="the best gets 100, the worst 0"),
        pytest.param((3, 1, 2), {"a1": 100, "a2": 33, "b1": 66, "bare": 0}, id="what is between is truncated"),
        pytest.param(
            (-3, -1, 0), {"a1": 0, "a2": 66, "b1": 100, "bare": 100}, id="negative scores are stretched alike"
        ),
        pytest.param((5, 5, 5), {"a1": 100, "a2": 100, "b1": 100, "bare": 0}, id="one node without is the worst"),
    ],
)
def test_normalised_scores(weights: tuple[int, ...], expected: dict[str, int]) -> None:
    placed, near, apart = [], [], []
    for number, (weight, node) in enumerate(zip(weights, ("a1", "a2", "b1"), strict=True)):
        if weight:
            wanted = term(HOST, weight=abs(weight), labelSelector={"matchLabels": {"n": str(number)}})
            (near if weight > 0 else apart).append(wanted)
        placed.append((make_pod(f"p{number}", labels={"n": str(number)}), node))
    table = table_of(placed)
    pod = PodView(make_pod(affinity=rules(near=near, apart=apart)))
    assert Probe(plugin()).normalized(table, pod, NodeView(table).rows) == expected


def test_equal_scores_are_all_zero() -> None:
    table = table_of([(web(), "a1")])
    pod = PodView(make_pod(affinity=rules(near=[term(weight=4)])))
    assert Probe(plugin()).normalized(table, pod, NodeView(table).rows[:2]) == {"a1": 0, "a2": 0}


def test_what_a_namespace_is_called_later_is_heard_of() -> None:
    selecting = term(namespaceSelector={"matchLabels": {"kind": "new"}})
    table = table_of([(web(namespace="later"), "b1")])
    probe, pod = Probe(plugin()), PodView(make_pod(affinity=rules(near=[selecting])))
    before = probe.answer(table, pod).filter
    assert before is not None and before["b1"] == AFFINITY
    table.namespaces.put("later", {"kind": "new"})
    after = probe.answer(table, pod).filter
    assert after is not None and after["b1"] is None


@pytest.mark.parametrize("weight", [-1, 101])
def test_hard_pod_affinity_weight_is_in_range(weight: int) -> None:
    with pytest.raises(ValidationError):
        InterPodAffinityArgs.model_validate({"hardPodAffinityWeight": weight})
