"""NodeName, NodeUnschedulable, TaintToleration, NodeAffinity and NodePorts, row by row (upstream: their *_test.go)."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ksched.objects import Pod
from ksched.testing import Answer, ask, make_node, make_pod, node_affinity, term
from ksched_plugins.kubernetes.node_affinity import NodeAffinity, NodeAffinityArgs
from ksched_plugins.kubernetes.node_name import NodeName
from ksched_plugins.kubernetes.node_ports import NodePorts
from ksched_plugins.kubernetes.node_unschedulable import NodeUnschedulable
from ksched_plugins.kubernetes.taint_toleration import TaintToleration

UNRESOLVABLE = "UnschedulableAndUnresolvable"


def passing(answer: Answer) -> list[str]:
    assert answer.filter is not None
    return [name for name, verdict in answer.filter.items() if verdict is None]


# -- NodeName ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("node_name", "expected"),
    [
        pytest.param(None, ["a", "b"], id="a pod that names no node may go anywhere"),
        pytest.param("b", ["b"], id="a pod that names a node goes only there"),
        pytest.param("gone", [], id="a pod that names an absent node goes nowhere"),
    ],
)
def test_node_name(node_name: str | None, expected: list[str]) -> None:
    answer = ask(NodeName(), make_pod(node_name=node_name), [make_node("a"), make_node("b")])
    assert passing(answer) == expected


def test_node_name_reports_what_upstream_reports() -> None:
    answer = ask(NodeName(), make_pod(node_name="b"), [make_node("a")])
    assert answer.filter == {"a": (UNRESOLVABLE, ("node(s) didn't match the requested node name",))}


# -- NodeUnschedulable ------------------------------------------------------------------------------------------

CORDON = "node.kubernetes.io/unschedulable"


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        pytest.param([], ["open"], id="a cordoned node takes no pod"),
        pytest.param([f"{CORDON}:NoSchedule"], ["open", "cordoned"], id="but one that tolerates the cordon"),
        pytest.param(["*"], ["open", "cordoned"], id="or everything"),
        pytest.param([f"{CORDON}:NoExecute"], ["open"], id="tolerating another effect does not help"),
        pytest.param(["other"], ["open"], id="nor another taint"),
    ],
)
def test_node_unschedulable(tolerations: list[str], expected: list[str]) -> None:
    nodes = [make_node("open"), make_node("cordoned", unschedulable=True)]
    answer = ask(NodeUnschedulable(), make_pod(tolerations=tolerations), nodes)
    assert passing(answer) == expected


def test_node_unschedulable_reports_what_upstream_reports() -> None:
    answer = ask(NodeUnschedulable(), make_pod(), [make_node("n", unschedulable=True)])
    assert answer.filter == {"n": (UNRESOLVABLE, ("node(s) were unschedulable",))}


# -- TaintToleration --------------------------------------------------------------------------------------------

TAINT_ROWS: list[tuple[str, list[str], list[str], str | None]] = [
    ("no taints, no trouble", [], [], None),
    ("a NoSchedule taint rejects", ["k=v:NoSchedule"], [], "{k: v}"),
    ("a NoExecute taint rejects", ["k=v:NoExecute"], [], "{k: v}"),
    ("a PreferNoSchedule taint does not", ["k=v:PreferNoSchedule"], [], None),
    ("a taint without a value is reported with none", ["k:NoSchedule"], [], "{k: }"),
    ("an equal toleration helps", ["k=v:NoSchedule"], ["k=v:NoSchedule"], None),
    ("a toleration of another value does not", ["k=v:NoSchedule"], ["k=w:NoSchedule"], "{k: v}"),
    ("a toleration of another effect does not", ["k=v:NoSchedule"], ["k=v:NoExecute"], "{k: v}"),
    ("a toleration without effect covers all effects", ["k=v:NoExecute"], ["k=v"], None),
    ("tolerating the key covers all values", ["k=v:NoSchedule"], ["k:NoSchedule"], None),
    ("tolerating everything covers every key", ["k=v:NoSchedule", "l:NoExecute"], ["*"], None),
    ("only the first untolerated taint is named", ["a=1:NoSchedule", "b=2:NoSchedule"], ["a=1"], "{b: 2}"),
]


@pytest.mark.parametrize(
    ("taints", "tolerations", "named"), [r[1:] for r in TAINT_ROWS], ids=[r[0] for r in TAINT_ROWS]
)
def test_taints(taints: list[str], tolerations: list[str], named: str | None) -> None:
    answer = ask(TaintToleration(), make_pod(tolerations=tolerations), [make_node("n", taints=taints)])
    expected = (UNRESOLVABLE, (f"node(s) had untolerated taint {named}",)) if named else None
    assert answer.filter == {"n": expected}


@pytest.mark.parametrize(
    ("tolerations", "points"),
    [
        pytest.param([], {"none": 0, "soft": 2, "hard": 0}, id="soft taints are counted, hard ones are not"),
        pytest.param(["a:PreferNoSchedule"], {"none": 0, "soft": 1, "hard": 0}, id="tolerated ones are not counted"),
        pytest.param(["a"], {"none": 0, "soft": 1, "hard": 0}, id="a toleration of all effects covers a soft taint"),
        pytest.param(["a:NoSchedule"], {"none": 0, "soft": 2, "hard": 0}, id="one of a hard effect does not"),
    ],
)
def test_soft_taints(tolerations: list[str], points: dict[str, int]) -> None:
    nodes = [
        make_node("none"),
        make_node("soft", taints=["a:PreferNoSchedule", "b:PreferNoSchedule"]),
        make_node("hard", taints=["a:NoSchedule"]),
    ]
    assert ask(TaintToleration(), make_pod(tolerations=tolerations), nodes).raw == points


def test_a_cluster_may_have_more_different_taints_than_bits_in_a_word() -> None:
    nodes = [make_node(f"n{i}", taints=[f"team={i}:NoSchedule"]) for i in range(100)]
    answer = ask(TaintToleration(), make_pod(tolerations=["team=7"]), nodes)
    assert passing(answer) == ["n7"]


# -- NodeAffinity -----------------------------------------------------------------------------------------------

SSD, HDD, BARE = (
    make_node("ssd", labels={"disk": "ssd", "gen": "3"}),
    make_node("hdd", labels={"disk": "hdd", "gen": "007"}),
    make_node("bare", labels={"gen": "1.5"}),
)
POD_REASON = "node(s) didn't match Pod's node affinity/selector"
AFFINITY_ROWS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("In: one of the values", {"affinity": node_affinity(term("disk In ssd,nvme"))}, ["ssd"]),
    ("NotIn holds for an absent label", {"affinity": node_affinity(term("disk NotIn ssd"))}, ["hdd", "bare"]),
    ("Exists", {"affinity": node_affinity(term("disk Exists"))}, ["ssd", "hdd"]),
    ("DoesNotExist", {"affinity": node_affinity(term("disk DoesNotExist"))}, ["bare"]),
    ("Gt compares integers: 007 is seven, 1.5 is none", {"affinity": node_affinity(term("gen Gt 3"))}, ["hdd"]),
    ("Lt compares integers", {"affinity": node_affinity(term("gen Lt 7"))}, ["ssd"]),
    ("requirements of a term are ANDed", {"affinity": node_affinity(term("disk Exists", "gen Gt 5"))}, ["hdd"]),
    ("terms are ORed", {"affinity": node_affinity(term("disk In ssd"), term("gen In 1.5"))}, ["ssd", "bare"]),
    ("an empty term matches nothing", {"affinity": node_affinity(term(), term("disk In hdd"))}, ["hdd"]),
    ("nodeSelector wants the exact label", {"node_selector": {"disk": "hdd"}}, ["hdd"]),
    ("an empty selector value needs the label to be there", {"node_selector": {"disk": ""}}, []),
    (
        "nodeSelector and affinity are ANDed",
        {"node_selector": {"disk": "hdd"}, "affinity": node_affinity(term("gen In 3"))},
        [],
    ),
    (
        "a term may name nodes and want labels of them",
        {"affinity": node_affinity(term("disk In ssd", fields=["metadata.name In hdd"]))},
        [],
    ),
    (
        "NotIn on the name takes one node out",
        {"affinity": node_affinity(term(fields=["metadata.name NotIn ssd"]))},
        ["hdd", "bare"],
    ),
]


@pytest.mark.parametrize(("pod", "expected"), [r[1:] for r in AFFINITY_ROWS], ids=[r[0] for r in AFFINITY_ROWS])
def test_required_affinity(pod: dict[str, Any], expected: list[str]) -> None:
    answer = ask(affinity(), make_pod(**pod), [SSD, HDD, BARE])
    assert passing(answer) == expected
    assert answer.filter is not None
    rejected = {verdict for verdict in answer.filter.values() if verdict is not None}
    assert rejected <= {(UNRESOLVABLE, (POD_REASON,))}


def affinity(**added: Any) -> NodeAffinity:
    return NodeAffinity(NodeAffinityArgs.model_validate({"addedAffinity": added} if added else {}))


NAME_ROWS: list[tuple[str, Pod, Any]] = [
    ("a pod without rules is skipped", make_pod(), "skipped"),
    (
        "a pod with only preferred terms is skipped",
        make_pod(affinity=node_affinity(preferred=[(1, term("a Exists"))])),
        "skipped",
    ),
    ("label terms narrow nothing", make_pod(affinity=node_affinity(term("disk Exists"))), None),
    ("a nodeSelector narrows nothing", make_pod(node_selector={"disk": "ssd"}), None),
    (
        "name terms narrow, to absent nodes too",
        make_pod(affinity=node_affinity(term(fields=["metadata.name In gone"]))),
        {"gone"},
    ),
    (
        "names of several terms are united",
        make_pod(affinity=node_affinity(term(fields=["metadata.name In a"]), term(fields=["metadata.name In b"]))),
        {"a", "b"},
    ),
    (
        "one term without names opens all nodes",
        make_pod(affinity=node_affinity(term(fields=["metadata.name In a"]), term("disk Exists"))),
        None,
    ),
    (
        "contradicting names in one term leave nothing",
        make_pod(affinity=node_affinity(term(fields=["metadata.name In a", "metadata.name In b"]))),
        "conflict",
    ),
]


@pytest.mark.parametrize(("pod", "expected"), [r[1:] for r in NAME_ROWS], ids=[r[0] for r in NAME_ROWS])
def test_terms_on_names_narrow_the_search(pod: Pod, expected: Any) -> None:
    outcome = ask(affinity(), pod, [SSD]).pre_filter
    assert outcome is not None
    if expected == "skipped":
        assert outcome.skipped == {"NodeAffinity"}
    elif expected == "conflict":
        assert outcome.status is not None
        assert (outcome.status.code.value, outcome.status.reasons) == (UNRESOLVABLE, ("pod affinity terms conflict",))
    else:
        assert (outcome.node_names, outcome.skipped) == (expected, frozenset())


def required(*terms: dict[str, Any]) -> dict[str, Any]:
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}


def test_added_affinity_has_its_own_reason_which_goes_first() -> None:
    plugin = affinity(**required(term("disk Exists")))
    answer = ask(plugin, make_pod(node_selector={"disk": "ssd"}), [SSD, HDD, BARE])
    enforced = "node(s) didn't match scheduler-enforced node affinity"
    assert answer.filter == {
        "ssd": None,
        "hdd": (UNRESOLVABLE, (POD_REASON,)),
        "bare": (UNRESOLVABLE, (enforced,)),
    }


def test_added_affinity_judges_pods_without_rules() -> None:
    assert passing(ask(affinity(**required(term("disk In ssd"))), make_pod(), [SSD, HDD])) == ["ssd"]


def test_an_added_affinity_with_a_typo_is_refused() -> None:
    with pytest.raises(ValidationError, match="unknown key"):
        affinity(**required({"matchExpresions": []}))


PREFER_SSD = [(10, term("disk In ssd")), (5, term("gen Exists")), (0, term("disk Exists")), (7, term())]


@pytest.mark.parametrize(
    ("pod", "added", "points"),
    [
        pytest.param(
            make_pod(affinity=node_affinity(preferred=PREFER_SSD)),
            {},
            {"ssd": 15, "hdd": 5, "bare": 5},
            id="weights of matching terms add up; empty terms match nothing",
        ),
        pytest.param(make_pod(), {}, None, id="without preferences nothing is scored"),
        pytest.param(
            make_pod(affinity=node_affinity(preferred=[(1, term("disk In hdd"))])),
            {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 3, "preference": term("disk In ssd")}]},
            {"ssd": 3, "hdd": 1, "bare": 0},
            id="the profile's preferences add to the pod's",
        ),
    ],
)
def test_preferred_affinity(pod: Pod, added: dict[str, Any], points: dict[str, int] | None) -> None:
    assert ask(affinity(**added), pod, [SSD, HDD, BARE]).raw == points


# -- NodePorts --------------------------------------------------------------------------------------------------


def ports(*wanted: tuple[str, str, int]) -> Pod:
    container = {
        "name": "c",
        "image": "i:1",
        "ports": [{"hostIP": ip, "protocol": p, "containerPort": 1, "hostPort": port} for ip, p, port in wanted],
    }
    return make_pod("pod-" + "-".join(str(port) for *_, port in wanted), containers=[container])


PORT_ROWS: list[tuple[str, tuple[str, str, int], tuple[str, str, int], bool]] = [
    ("the same port conflicts", ("", "TCP", 80), ("", "TCP", 80), True),
    ("another port does not", ("", "TCP", 80), ("", "TCP", 81), False),
    ("another protocol does not", ("", "TCP", 80), ("", "UDP", 80), False),
    ("another address does not", ("10.0.0.1", "TCP", 80), ("10.0.0.2", "TCP", 80), False),
    ("the same address does", ("10.0.0.1", "TCP", 80), ("10.0.0.1", "TCP", 80), True),
    ("any address conflicts with every address", ("0.0.0.0", "TCP", 80), ("10.0.0.1", "TCP", 80), True),
    ("and the other way round", ("10.0.0.1", "TCP", 80), ("0.0.0.0", "TCP", 80), True),
]


@pytest.mark.parametrize(("wanted", "held", "conflict"), [r[1:] for r in PORT_ROWS], ids=[r[0] for r in PORT_ROWS])
def test_ports(wanted: tuple[str, str, int], held: tuple[str, str, int], conflict: bool) -> None:
    holder = ports(held)
    holder = holder.replaced(metadata=holder.metadata.replaced(name="holder", uid="holder"))
    answer = ask(NodePorts(), ports(wanted), [make_node("n"), make_node("free")], [(holder, "n")])
    reason = ("Unschedulable", ("node(s) didn't have free ports for the requested pod ports",))
    assert answer.filter == {"n": reason if conflict else None, "free": None}


def test_a_pod_without_host_ports_is_skipped() -> None:
    outcome = ask(NodePorts(), make_pod(), [make_node("n")]).pre_filter
    assert outcome is not None
    assert outcome.skipped == {"NodePorts"}
