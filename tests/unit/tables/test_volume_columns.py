"""Which rows use which volumes, through pods and nodes that come and go and through what-ifs."""

from __future__ import annotations

from typing import Any

import pytest

from ksched.objects import Pod
from ksched.tables import NodeTable, NodeView, PodView
from ksched.tables.volumes import CLAIM, EBS, GCE_PD, RBD, VolumeUse
from ksched.testing.factories import make_node, make_pod, make_table


def user(name: str, *volumes: dict[str, Any]) -> Pod:
    return make_pod(name, volumes=[{"name": f"v{i}", **volume} for i, volume in enumerate(volumes)])


def claim(name: str) -> dict[str, Any]:
    return {"persistentVolumeClaim": {"claimName": name}}


def users(table: NodeTable, name: str) -> dict[Any, dict[int, int]]:
    found = NodeView(table).volumes.users(CLAIM, ("default", name))
    return {detail: dict(rows) for detail, rows in found.items()}


@pytest.mark.parametrize(
    ("volume", "use"),
    [
        pytest.param(claim("c"), VolumeUse(CLAIM, ("default", "c")), id="a claim is one of the pod's namespace"),
        pytest.param(
            {"ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
            VolumeUse(CLAIM, ("default", "p-v0")),
            id="an ephemeral volume's claim is named after pod and volume",
        ),
        pytest.param({"awsElasticBlockStore": {"volumeID": "x"}}, VolumeUse(EBS, "x"), id="an EBS disk by its id"),
        pytest.param(
            {"gcePersistentDisk": {"pdName": "x", "readOnly": True}},
            VolumeUse(GCE_PD, "x", True),
            id="a GCE disk by name",
        ),
        pytest.param(
            {"rbd": {"monitors": ["a"], "image": "i"}},
            VolumeUse(RBD, ("rbd", "i"), (("a",), False)),
            id="an RBD image by pool and name",
        ),
    ],
)
def test_uses(volume: dict[str, Any], use: VolumeUse) -> None:
    assert PodView(user("p", volume)).volume_uses == (use,)


def test_volumes_that_need_only_the_node_are_none() -> None:
    pod = PodView(user("p", {"emptyDir": {}}, {"configMap": {"name": "x"}}, {"hostPath": {"path": "/"}}))
    assert pod.info.volumes == () and pod.volume_uses == ()


def test_users_follow_pods_and_nodes() -> None:
    table = make_table(
        [make_node(name) for name in "abc"], [(user("p", claim("x")), "b"), (user("q", claim("x")), "c")]
    )
    assert users(table, "x") == {None: {1: 1, 2: 1}}
    table.add_pod(PodView(user("r", claim("x"), claim("y"))), "c")
    assert users(table, "x") == {None: {1: 1, 2: 2}}
    table.remove_node("a")
    assert users(table, "x") == {None: {0: 1, 1: 2}}
    assert sorted(NodeView(table).volumes.on(1)) == [VolumeUse(CLAIM, ("default", n)) for n in "xy"]
    table.remove_pod("default/p")
    table.remove_pod("default/q")
    table.remove_pod("default/r")
    assert users(table, "x") == {} and NodeView(table).volumes.rows() == []


@pytest.mark.parametrize("quiet", [False, True])
def test_a_what_if_leaves_no_trace_but_is_logged_both_ways(quiet: bool) -> None:
    table = make_table([make_node("a"), make_node("b")], [(user("p", claim("x")), "a")])
    log = table.volumes.log
    before, usage = log.position, table.logs[2].position
    with table.fork(quiet=quiet):
        table.remove_pod("default/p")
        table.add_pod(PodView(user("q", claim("x"))), "b")
        assert users(table, "x") == {None: {1: 1}}
        inside = log.position
    assert users(table, "x") == {None: {0: 1}}
    assert sorted((log.since(before)).tolist()) == [0, 1]  # type: ignore[union-attr]
    assert sorted((log.since(inside)).tolist()) == [0, 1]  # type: ignore[union-attr]
    assert (table.logs[2].position == usage) is quiet


def test_labels_in_combination_are_evaluated_once_each() -> None:
    nodes = [make_node(f"n{i}", labels={"x": str(i % 2), **({"y": str(i % 3)} if i % 3 else {})}) for i in range(12)]
    view = NodeView(make_table(nodes))
    asked: list[tuple[str | None, ...]] = []

    def joined(values: tuple[str | None, ...]) -> int:
        asked.append(values)
        return int(values[0] or 0) * 10 + int(values[1] or 0)

    assert view.per_labels(["x", "y"], joined, int).tolist() == [(i % 2) * 10 + i % 3 for i in range(12)]
    assert len(asked) == len(set(asked)) == 6
    assert view.per_labels([], lambda values: len(values), int).tolist() == [0] * 12


def test_a_resource_declared_as_zero_is_declared() -> None:
    nodes = [make_node("a", resources={"x": 0}), make_node("b", resources={"x": 3}), make_node("c")]
    table = make_table(nodes)
    assert NodeView(table).declares("x").tolist() == [True, True, False]
    assert NodeView(table).declares("unknown").tolist() == [False] * 3
