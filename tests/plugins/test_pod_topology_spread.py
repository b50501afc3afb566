"""PodTopologySpread, row by row; the rules are those of upstream's podtopologyspread/{filtering,scoring}_test.go."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from ksched.framework.listers import Listers
from ksched.objects import KubeObject, Pod, default, parse
from ksched.tables import NodeTable, NodeView, PodView
from ksched.testing import Answer, make_node, make_pod, node_affinity, term
from ksched.testing.factories import make_table
from ksched.testing.probe import Probe
from ksched_plugins.kubernetes.pod_topology_spread import PodTopologySpread, PodTopologySpreadArgs
from ksched_plugins.kubernetes.spread_hints import after_node_change, after_pod_change

ZONE, HOST = "zone", "kubernetes.io/hostname"
SKEW = ("Unschedulable", ("node(s) didn't match pod topology spread constraints",))
LABEL = (
    "UnschedulableAndUnresolvable",
    ("node(s) didn't match pod topology spread constraints (missing required label)",),
)
NODES = [
    make_node("a1", labels={ZONE: "a"}),
    make_node("a2", labels={ZONE: "a"}),
    make_node("b1", labels={ZONE: "b"}),
    make_node("bare"),
]
"""Two nodes in zone a, one in b, one in no zone."""
WEB = {"matchLabels": {"app": "web"}}


def hard(key: str = ZONE, skew: int = 1, **rest: Any) -> dict[str, Any]:
    return {
        "topologyKey": key,
        "maxSkew": skew,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": WEB,
        **rest,
    }


def soft(key: str = ZONE, skew: int = 1, **rest: Any) -> dict[str, Any]:
    return {**hard(key, skew), "whenUnsatisfiable": "ScheduleAnyway", **rest}


def web(*constraints: dict[str, Any], name: str = "web", **fields: Any) -> Pod:
    spec = {"topologySpreadConstraints": list(constraints)} if constraints else {}
    return make_pod(name, **{"labels": {"app": "web"}, **fields, **spec})


def on(*nodes: str, **fields: Any) -> list[tuple[Pod, str]]:
    """One pod with app=web on each of ``nodes``."""
    return [(web(name=f"{node}-{i}", **fields), node) for i, node in enumerate(nodes)]


def terminating(placed: list[tuple[Pod, str]]) -> list[tuple[Pod, str]]:
    return [
        (pod.replaced(metadata=pod.metadata.replaced(deletion_timestamp="2024-01-01T00:00:00Z")), node)
        for pod, node in placed
    ]


def answer(
    pod: Pod, placed: list[tuple[Pod, str]], nodes: Any = NODES, objects: Listers | None = None, **args: Any
) -> Answer:
    return Probe(plugin(**args), objects).answer(make_table(nodes, placed), PodView(pod))


def plugin(**args: Any) -> PodTopologySpread:
    return PodTopologySpread(PodTopologySpreadArgs.model_validate(args))


TAINTED = [make_node("a1", labels={ZONE: "a"}), make_node("b1", labels={ZONE: "b"}, taints=["k=v:NoSchedule"])]
ONLY_A = node_affinity(term("zone In a"))
FILTER_ROWS: list[tuple[str, Pod, list[tuple[Pod, str]], Any, dict[str, Any]]] = [
    (
        "an empty cluster takes the pod wherever the key is",
        web(hard()),
        [],
        NODES,
        {"a1": None, "a2": None, "b1": None, "bare": LABEL},
    ),
    (
        "a zone may not get further ahead than maxSkew",
        web(hard()),
        on("a1"),
        NODES,
        {"a1": SKEW, "a2": SKEW, "b1": None, "bare": LABEL},
    ),
    ("a wider skew allows it", web(hard(skew=2)), on("a1"), NODES, {"a1": None, "a2": None, "b1": None, "bare": LABEL}),
    (
        "a pod its own selector does not match is not counted itself",
        web(hard(), labels={}),
        on("a1"),
        NODES,
        {"a1": None, "a2": None, "b1": None, "bare": LABEL},
    ),
    (
        "pods on nodes without the key do not count",
        web(hard()),
        on("a1", "bare", "bare"),
        NODES,
        {"a1": SKEW, "a2": SKEW, "b1": None, "bare": LABEL},
    ),
    (
        "nor terminating ones",
        web(hard()),
        terminating(on("a1", "a2")),
        NODES,
        {"a1": None, "a2": None, "b1": None, "bare": LABEL},
    ),
    (
        "nor those of another namespace",
        web(hard()),
        on("a1", namespace="team"),
        NODES,
        {"a1": None, "a2": None, "b1": None, "bare": LABEL},
    ),
    (
        "an empty selector counts no pod",
        web(hard(labelSelector={})),
        on("a1", "a1"),
        NODES,
        {"a1": None, "a2": None, "b1": None, "bare": LABEL},
    ),
    (
        "with fewer domains than minDomains the minimum is 0",
        web(hard(minDomains=3)),
        on("a1", "b1"),
        NODES,
        {"a1": SKEW, "a2": SKEW, "b1": SKEW, "bare": LABEL},
    ),
    (
        "enough domains leave it at the true minimum",
        web(hard(minDomains=2)),
        on("a1", "b1"),
        NODES,
        {"a1": None, "a2": None, "b1": None, "bare": LABEL},
    ),
    (
        "hosts are domains too, and the first constraint that fails is named",
        web(hard(HOST), hard(skew=3)),
        on("a1"),
        NODES,
        {"a1": SKEW, "a2": None, "b1": None, "bare": LABEL},
    ),
    (
        "a node that lacks one key takes no part in the other constraint",
        web(hard(HOST), hard(skew=5)),
        on("a1", "a2", "b1"),
        NODES,
        {"a1": None, "a2": None, "b1": None, "bare": LABEL},
    ),
    (
        "zones the pod may not run in by its affinity do not set the minimum",
        web(hard(), affinity=ONLY_A),
        on("a1"),
        NODES,
        {"a1": None, "a2": None, "b1": None, "bare": LABEL},
    ),
    (
        "unless nodeAffinityPolicy ignores affinity",
        web(hard(nodeAffinityPolicy="Ignore"), affinity=ONLY_A),
        on("a1"),
        NODES,
        {"a1": SKEW, "a2": SKEW, "b1": None, "bare": LABEL},
    ),
    ("taints do not matter", web(hard()), on("a1"), TAINTED, {"a1": SKEW, "b1": None}),
    (
        "unless nodeTaintsPolicy honours them: then pods there count neither",
        web(hard(nodeTaintsPolicy="Honor")),
        on("a1", "b1", "b1"),
        TAINTED,
        {"a1": None, "b1": None},
    ),
    (
        "without any domain that takes part nothing is rejected for skew",
        web(hard(), affinity=node_affinity(term("zone In nowhere"))),
        on("a1", "a1"),
        NODES,
        {"a1": None, "a2": None, "b1": None, "bare": LABEL},
    ),
    (
        "matchLabelKeys narrows the selector to the pod's own value",
        web(hard(matchLabelKeys=["rev"]), labels={"app": "web", "rev": "2"}),
        [*on("a1", labels={"app": "web", "rev": "1"}), *on("b1", labels={"app": "web", "rev": "2"})],
        NODES,
        {"a1": None, "a2": None, "b1": SKEW, "bare": LABEL},
    ),
    (
        "a key the pod lacks narrows nothing",
        web(hard(matchLabelKeys=["rev"])),
        on("a1", labels={"app": "web", "rev": "1"}),
        NODES,
        {"a1": SKEW, "a2": SKEW, "b1": None, "bare": LABEL},
    ),
]


@pytest.mark.parametrize(
    ("pod", "placed", "nodes", "expected"), [pytest.param(*row[1:], id=row[0]) for row in FILTER_ROWS]
)
def test_where_a_pod_may_go(pod: Pod, placed: list[tuple[Pod, str]], nodes: Any, expected: dict[str, Any]) -> None:
    assert answer(pod, placed, nodes).filter == expected


def test_a_pod_without_a_hard_constraint_is_not_filtered() -> None:
    said = answer(web(soft()), on("a1")).pre_filter
    assert said is not None and said.skipped == {"PodTopologySpread"}


def points(*parts: tuple[int, int, int]) -> int:
    """The score of (matching pods, domains, maxSkew) per constraint, as upstream's documentation gives it."""
    return round(sum(count * math.log(domains + 2) + skew - 1 for count, domains, skew in parts))


SCORE_ROWS: list[tuple[str, Pod, list[tuple[Pod, str]], Any, dict[str, int] | None]] = [
    ("a pod without constraints, services or owner is not scored", web(), on("a1"), NODES, None),
    ("nor one with hard constraints only", web(hard()), on("a1"), NODES, None),
    (
        "zones score by their pods, weighted by the number of zones; a node in none gets 0",
        web(soft()),
        on("a1", "a2", "b1"),
        NODES,
        {"a1": points((2, 2, 1)), "a2": points((2, 2, 1)), "b1": points((1, 2, 1)), "bare": 0},
    ),
    (
        "hosts by the pods on them, weighted by the number of hosts",
        web(soft(HOST)),
        on("a1", "a1", "b1"),
        NODES,
        {"a1": points((2, 4, 1)), "a2": 0, "b1": points((1, 4, 1)), "bare": 0},
    ),
    (
        "maxSkew - 1 is added everywhere",
        web(soft(HOST, 4)),
        on("a1"),
        NODES,
        {"a1": points((1, 4, 4)), "a2": 3, "b1": 3, "bare": 3},
    ),
    (
        "constraints add up before rounding, and nodes that lack a key are left out of the host count",
        web(soft(HOST), soft(skew=2)),
        on("a1", "a2", "bare"),
        NODES,
        {
            "a1": points((1, 3, 1), (2, 2, 2)),
            "a2": points((1, 3, 1), (2, 2, 2)),
            "b1": points((0, 3, 1), (0, 2, 2)),
            "bare": 0,
        },
    ),
    (
        "an empty selector counts no pod",
        web(soft(labelSelector={})),
        on("a1", "a2"),
        NODES,
        {"a1": 0, "a2": 0, "b1": 0, "bare": 0},
    ),
    (
        "terminating pods do not count",
        web(soft()),
        [*terminating(on("a1")), *on("b1")],
        NODES,
        {"a1": 0, "a2": 0, "b1": points((1, 2, 1)), "bare": 0},
    ),
]


@pytest.mark.parametrize(
    ("pod", "placed", "nodes", "expected"), [pytest.param(*row[1:], id=row[0]) for row in SCORE_ROWS]
)
def test_raw_scores(pod: Pod, placed: list[tuple[Pod, str]], nodes: Any, expected: dict[str, int] | None) -> None:
    assert answer(pod, placed, nodes).raw == expected


def normalized(pod: Pod, placed: list[tuple[Pod, str]], *feasible: str) -> dict[str, int] | None:
    table = make_table(NODES, placed)
    rows = NodeView(table).rows[[table.index[name] for name in feasible]]
    return Probe(plugin()).normalized(table, PodView(pod), rows)


def test_fewest_pods_get_most_points_and_nodes_without_the_key_none() -> None:
    placed = on("a1", "a2", "a2", "b1")
    # Raw: 3 ln 4 = 4 and ln 4 = 1; 100 * (4 + 1 - s) // 4.
    assert normalized(web(soft()), placed, "a1", "b1", "bare") == {"a1": 25, "b1": 100, "bare": 0}


def test_without_any_matching_pod_all_nodes_with_the_key_get_100() -> None:
    assert normalized(web(soft()), [], "a1", "b1", "bare") == {"a1": 100, "b1": 100, "bare": 0}


def test_domains_are_counted_among_feasible_nodes_but_their_pods_on_all() -> None:
    table = make_table(NODES, on("a1", "a2", "b1"))
    probe, pod = Probe(plugin()), PodView(web(soft()))
    assert probe.raw(table, pod, NodeView(table).rows[[0]]) == {"a1": points((2, 1, 1))}


# -- defaults ---------------------------------------------------------------------------------------------------


def obj(kind: str, name: str, selector: Any, version: str = "v1", namespace: str = "default") -> KubeObject:
    spec = {"selector": selector}
    if kind == "Service":
        spec["ports"] = [{"port": 80}]
    manifest = {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
    return default(parse(manifest, where="test"))


SERVICE = obj("Service", "svc", {"app": "web"})
OWNED = [
    ("ReplicaSet", "apps/v1", {"matchLabels": {"app": "web"}}),
    ("StatefulSet", "apps/v1", {"matchLabels": {"app": "web"}}),
    ("ReplicationController", "v1", {"app": "web"}),
]
SYSTEM_ZONE = "topology.kubernetes.io/zone"
ZONED = [make_node("a1", labels={SYSTEM_ZONE: "a"}), make_node("b1", labels={SYSTEM_ZONE: "b"}), make_node("bare")]


def owned(kind: str, version: str, name: str = "owner") -> Pod:
    pod = web()
    reference = {"apiVersion": version, "kind": kind, "name": name, "uid": "u", "controller": True}
    meta = pod.metadata.model_validate({"ownerReferences": [reference]})
    return pod.replaced(metadata=pod.metadata.replaced(owner_references=meta.owner_references))


def test_pods_of_a_service_spread_over_hosts_and_zones_by_default() -> None:
    got = answer(web(), on("a1", "bare"), ZONED, Listers([SERVICE])).raw
    # Three domains of zones: the nodes without a zone make one, which adds no points.
    assert got == {
        "a1": points((1, 3, 3), (1, 3, 5)),
        "b1": points((0, 3, 3), (0, 3, 5)),
        "bare": points((1, 3, 3)),
    }


@pytest.mark.parametrize(("kind", "version", "selector"), OWNED)
def test_pods_of_a_controller_spread_too(kind: str, version: str, selector: Any) -> None:
    objects = Listers([obj(kind, "owner", selector, version)])
    assert answer(owned(kind, version), on("a1"), ZONED, objects).raw is not None
    assert answer(owned(kind, version, "somebody else"), on("a1"), ZONED, objects).raw is None
    assert answer(web(), on("a1"), ZONED, objects).raw is None


@pytest.mark.parametrize(
    "objects",
    [
        pytest.param([], id="nothing"),
        pytest.param([obj("Service", "svc", {"app": "db"})], id="a service that selects others"),
        pytest.param([obj("Service", "svc", {})], id="a service that selects nothing in particular"),
        pytest.param([obj("Service", "svc", {"app": "web"}, namespace="team")], id="a service of another namespace"),
    ],
)
def test_default_spreading_needs_a_selector(objects: list[KubeObject]) -> None:
    assert answer(web(), on("a1"), ZONED, Listers(objects)).raw is None


def test_service_and_owner_select_together() -> None:
    objects = Listers([SERVICE, obj("ReplicaSet", "owner", {"matchLabels": {"hash": "1"}}, "apps/v1")])
    placed = [*on("a1"), *on("b1", labels={"app": "web", "hash": "1"})]
    got = answer(owned("ReplicaSet", "apps/v1"), placed, ZONED, objects).raw
    assert got is not None and got["a1"] < got["b1"]


def test_a_service_that_comes_later_is_heard_of() -> None:
    objects, table = Listers(), make_table(ZONED, on("a1"))
    probe, pod = Probe(plugin(), objects), PodView(web())
    assert probe.answer(table, pod).raw is None
    objects.put(SERVICE)
    assert probe.answer(table, pod).raw is not None
    objects.remove(SERVICE)
    assert probe.answer(table, pod).raw is None


def test_any_constraint_of_its_own_takes_a_pod_out_of_the_defaults() -> None:
    assert answer(web(hard(HOST)), on("a1"), ZONED, Listers([SERVICE])).raw is None


def listed(**rest: Any) -> dict[str, Any]:
    return {"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", **rest}


def test_listed_defaults_may_be_hard_and_need_all_keys() -> None:
    args = {"defaultingType": "List", "defaultConstraints": [listed()]}
    got = answer(web(), on("a1"), NODES, Listers([SERVICE]), **args).filter
    assert got == {"a1": SKEW, "a2": SKEW, "b1": None, "bare": LABEL}


def test_an_empty_list_of_defaults_switches_them_off() -> None:
    assert answer(web(), on("a1"), NODES, Listers([SERVICE]), defaultingType="List").raw is None


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ({"defaultConstraints": [listed()]}, "must be empty"),
        ({"defaultingType": "List", "defaultConstraints": [listed(maxSkew=0)]}, "greater than zero"),
        ({"defaultingType": "List", "defaultConstraints": [listed(topologyKey="")]}, "topologyKey"),
        ({"defaultingType": "List", "defaultConstraints": [listed(whenUnsatisfiable="Maybe")]}, "whenUnsatisfiable"),
        ({"defaultingType": "List", "defaultConstraints": [listed(labelSelector=WEB)]}, "selector"),
        ({"defaultingType": "List", "defaultConstraints": [listed(), listed(maxSkew=2)]}, "twice"),
        ({"defaultingType": "List", "defaultConstraints": [listed(maxSkw=2)]}, "maxSkw"),
        ({"defaultingType": "Never"}, "defaultingType"),
    ],
)
def test_wrong_arguments_are_named(args: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        PodTopologySpreadArgs.model_validate(args)


# -- what-ifs ---------------------------------------------------------------------------------------------------


def test_removing_a_terminating_pod_lowers_the_count_it_was_never_part_of() -> None:
    """Upstream's updateWithPod does not look at deletionTimestamp; preemption sees the result."""
    table = make_table(NODES, [*on("a1"), *on("b1", "b1"), *terminating(on("a2"))])
    probe, pod = Probe(plugin()), PodView(web(hard()))
    ask = probe.ask(table, pod)
    probe.pre_filter(ask)
    dying = next(placed.pod for placed in table.pods_on("a2"))
    assert judged(probe, ask, table)["a1"] is None
    assert judged(probe, ask, table)["b1"] == SKEW
    with table.fork():
        table.remove_pod(dying.uid)
        probe.plugin.remove_pod(*ask, dying, "a2")
        assert judged(probe, ask, table)["b1"] == SKEW
        state = ask.cycle.state["PreFilter", "PodTopologySpread"]
        assert [list(change.values()) for change in state.changes] == [[-1]]
        probe.plugin.add_pod(*ask, dying, "a2")
        assert [list(change.values()) for change in state.changes] == [[0]]


def judged(probe: Probe, ask: Any, table: NodeTable) -> dict[str, Any]:
    return probe.filter(ask, NodeView(table))[1]


# -- queueing hints ---------------------------------------------------------------------------------------------

PLACED = web(name="placed", node_name="a1")
OTHER = make_pod("other", node_name="a1")
ELSEWHERE = web(name="elsewhere", namespace="team", node_name="a1")


@pytest.mark.parametrize(
    ("old", "new", "helps"),
    [
        pytest.param(None, PLACED, True, id="a counted pod that comes may raise the minimum"),
        pytest.param(PLACED, None, True, id="one that goes may lower the skew"),
        pytest.param(None, OTHER, False, id="a pod no constraint counts changes nothing"),
        pytest.param(None, ELSEWHERE, False, id="nor does one of another namespace"),
        pytest.param(None, web(), False, id="nor one that is on no node"),
        pytest.param(OTHER, PLACED, True, id="a pod whose labels begin to match may help"),
        pytest.param(PLACED, PLACED, False, id="one that matches as before does not"),
    ],
)
def test_which_pods_are_worth_another_try(old: Pod | None, new: Pod | None, helps: bool) -> None:
    assert after_pod_change(PodView(web(hard())), old, new) is helps


@pytest.mark.parametrize(
    ("old", "new", "helps"),
    [
        pytest.param(None, NODES[0], True, id="a node with all keys"),
        pytest.param(NODES[0], None, True, id="one that goes takes its domain along"),
        pytest.param(None, NODES[3], False, id="a node that lacks a key"),
        pytest.param(NODES[3], NODES[0], True, id="a node that gets the key"),
    ],
)
def test_which_nodes_are_worth_another_try(old: Any, new: Any, helps: bool) -> None:
    assert after_node_change(PodView(web(hard(), hard(HOST))), old, new) is helps


def test_pods_under_default_constraints_always_get_another_try() -> None:
    assert after_pod_change(PodView(web()), None, OTHER)
    assert after_node_change(PodView(web()), None, NODES[3])
