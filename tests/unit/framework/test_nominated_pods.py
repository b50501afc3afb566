"""Pods for which room was made on a node, and who yields to them (upstream: nominator, two filter passes)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ksched.framework import Framework, TieBreak
from ksched.framework.explain import explain
from ksched.framework.nominator import Nominator
from ksched.tables import NodeTable, PodView
from ksched.testing.factories import make_node, make_pod

from .build import profile, scoring


class Fits:
    name = "Fits"
    node_local = True

    def filter(self, cycle, pod, nodes):
        return {"Insufficient cpu": nodes.free("cpu") < pod.request("cpu")}


class Company:
    """Wants another pod on the node: fails without nominated pods, not with them."""

    name = "Company"
    node_local = True

    def filter(self, cycle, pod, nodes):
        return {"alone": nodes.requested("pods") < 1}


class Count:
    """Not local: at most one pod in the cluster, as PreFilter saw it."""

    name = "Count"

    def pre_filter(self, cycle, pod):
        cycle.state["Count"] = int(cycle.cluster.requested("pods").sum())

    def filter(self, cycle, pod, nodes):
        return {"crowded": np.full(len(nodes), cycle.state["Count"] > 0)}


class ToldCount(Count):
    """The same, kept true by AddPod and RemovePod."""

    def add_pod(self, cycle, pod, other, node_name):
        cycle.state["Count"] += 1

    def remove_pod(self, cycle, pod, other, node_name):
        cycle.state["Count"] -= 1


def pod(name: str, *, cpu: int = 1, priority: int = 0, nominated: str | None = None) -> PodView:
    made = make_pod(name, cpu=cpu, priority=priority)
    return PodView(made.replaced(status=made.status.replaced(nominated_node_name=nominated)))


def framework(*classes: type, cpu: int = 1) -> Framework:
    table = NodeTable()
    for name in ("a", "b"):
        table.add_node(make_node(name, cpu=cpu))
    return Framework(profile(*classes), table, tie_break=TieBreak.NAME)


def feasible(made: Framework, asking: PodView) -> list[str]:
    top = made.schedule(asking, top=9).top
    told = explain(made, asking)
    assert sorted(c.node for c in top) == sorted(np.array(told.nodes)[told.feasible].tolist())
    return sorted(candidate.node for candidate in top)


YIELDING = [
    pytest.param((Fits,), pod("x", priority=9), pod("new"), ["b"], id="to a pod of higher priority"),
    pytest.param((Fits,), pod("x"), pod("new"), ["b"], id="to a pod of the same priority"),
    pytest.param((Fits,), pod("x"), pod("new", priority=9), ["a", "b"], id="not to a pod of lower priority"),
    pytest.param((Fits,), pod("new", priority=9), pod("new", priority=9), ["a", "b"], id="not to itself"),
    pytest.param((Company,), pod("x"), pod("new"), [], id="and still must fit without the nominated pod"),
    pytest.param((Count,), pod("x"), pod("new"), ["b"], id="in filters whose PreFilter is run again"),
    pytest.param((ToldCount,), pod("x"), pod("new"), ["b"], id="in filters that are told of added pods"),
    pytest.param((Fits, Count), pod("x", cpu=9), pod("new"), ["b"], id="in several filters at once"),
]


@pytest.mark.parametrize(("classes", "nominee", "asking", "nodes"), YIELDING)
def test_a_pod_yields(classes: tuple[type, ...], nominee: PodView, asking: PodView, nodes: list[str]) -> None:
    made = framework(*classes)
    made.nominator.add(nominee, "a")
    assert feasible(made, asking) == nodes
    assert feasible(made, asking) == nodes


def test_the_node_is_free_again_once_the_nomination_is_withdrawn() -> None:
    made = framework(Fits)
    made.nominator.add(pod("x"), "a")
    assert feasible(made, pod("new")) == ["b"]
    made.nominator.remove(pod("x").uid)
    assert feasible(made, pod("new")) == ["a", "b"]


def test_what_a_nominee_is_told_of_its_own_node_is_not_what_others_of_its_kind_are_told() -> None:
    made = framework(Fits)
    twin = make_pod("twin", cpu=1)
    nominee = PodView(twin)
    other = PodView(twin.replaced(metadata=twin.metadata.replaced(name="other", uid="other")))
    made.nominator.add(nominee, "a")
    for _ in range(2):
        assert feasible(made, nominee) == ["a", "b"]
        assert feasible(made, other) == ["b"]


def test_a_rejection_names_the_filter_that_fails_with_the_nominated_pods() -> None:
    made = framework(Company, Fits)
    made.nominator.add(pod("x"), "a")
    decision = made.schedule(pod("new"))
    assert [(r.plugin, r.nodes) for r in decision.rejections] == [("Company", 1), ("Fits", 1)]
    told = explain(made, pod("new"))
    assert {told.nodes[row]: status.plugin for row, status in told.blocked.items()} == {"a": "Fits"}


def test_a_nominated_pod_goes_to_its_node_although_another_is_better() -> None:
    prefers_b = scoring(lambda pod, nodes: np.where(nodes.names == "b", 100, 0), name="PrefersB")
    made = framework(Fits, prefers_b)
    assert made.schedule(pod("new")).node == "b"
    decision = made.schedule(pod("new", nominated="a"))
    assert (decision.node, decision.evaluated, decision.feasible) == ("a", 1, 1)
    assert explain(made, pod("new", nominated="a")).via_nominated


@pytest.mark.parametrize(
    ("node", "why"),
    [
        pytest.param("a", "does not fit it now", id="its node is full"),
        pytest.param("gone", "does not exist", id="its node is gone"),
    ],
)
def test_a_nominated_pod_looks_elsewhere_when(node: str, why: str) -> None:
    made = framework(Fits)
    made.table.add_pod(pod("holder"), "a")
    assert made.schedule(pod("new", nominated=node)).node == "b", why


NOMINATIONS: list[Any] = [
    pytest.param(None, None, None, None, id="a pod without any nomination has none"),
    pytest.param("n", None, None, None, id="a nomination removed from the status is gone"),
    pytest.param(None, "n", None, "n", id="a nomination added to the status counts"),
    pytest.param("n", "m", None, "m", id="a nomination changed in the status counts"),
    pytest.param(None, None, "m", "m", id="a nomination in memory outlives an update that does not know of it"),
    pytest.param("n", "n", "m", "n", id="a nomination in the status wins over memory"),
]


@pytest.mark.parametrize(("old", "new", "in_memory", "expected"), NOMINATIONS)
def test_after_an_update(old: str | None, new: str | None, in_memory: str | None, expected: str | None) -> None:
    nominator = Nominator(NodeTable())
    nominator.add(pod("x", nominated=old))
    if in_memory:
        nominator.add(pod("x", nominated=old), in_memory)
    nominator.update(pod("x", nominated=old), pod("x", nominated=new))
    assert nominator.node_of(pod("x").uid) == expected


def test_a_pod_that_is_no_longer_pending_is_not_nominated() -> None:
    nominator = Nominator(NodeTable(), alive=lambda pod: pod.name != "bound")
    nominator.add(pod("bound"), "n")
    nominator.add(pod("waiting"), "n")
    assert [nominee.name for nominee in nominator.pods_on("n")] == ["waiting"]


def test_a_pod_is_nominated_to_one_node_at_a_time() -> None:
    nominator = Nominator(NodeTable())
    nominator.add(pod("x"), "n")
    nominator.add(pod("x"), "m")
    assert (nominator.pods_on("n"), nominator.nodes()) == ([], ["m"])
    nominator.add(pod("x"), "")
    assert nominator.nodes() == []
    assert not nominator.concerns(pod("y"))
