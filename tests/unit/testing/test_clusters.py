"""The generators of random clusters: repeatable, and as awkward or as usable as asked."""

from __future__ import annotations

import pytest

from ksched.objects import CPU, MEMORY, PODS
from ksched.testing import make_node, make_pod
from ksched.testing.clusters import Seeded, World, world
from ksched.testing.snapshots import table_state


def made(seed: int, *, odd: bool) -> World:
    return world(Seeded(seed), odd=odd)


def test_the_same_seed_makes_the_same_cluster_and_another_seed_another_one() -> None:
    states = [table_state(made(seed, odd=True).table()) for seed in (1, 1, 2)]
    assert states[0] == states[1] != states[2]


def test_usable_clusters_have_no_overcommitted_and_no_empty_node() -> None:
    for seed in range(30):
        table = made(seed, odd=False).usable().table()
        assert (table.requested[:, : table.n] <= table.allocatable[:, : table.n]).all()
        assert (table.allocatable[table.resource_rows((PODS, CPU, MEMORY)), : table.n] > 0).all()


def test_odd_clusters_have_both_somewhere() -> None:
    tables = [made(seed, odd=True).table() for seed in range(30)]
    assert any((t.requested[:, : t.n] > t.allocatable[:, : t.n]).any() for t in tables)
    assert any((t.allocatable[t.resource_rows((CPU, MEMORY)), : t.n] == 0).any() for t in tables)


@pytest.mark.parametrize("seed", range(5))
def test_a_table_that_saw_every_event_equals_one_made_of_the_result(seed: int) -> None:
    choose, watched = Seeded(100 + seed), made(seed, odd=True)
    table = watched.table()
    events = {watched.change(choose, table) for _ in range(60)}
    assert events == {"add node", "update node", "remove node", "add pod", "remove pod"}
    assert table_state(table) == table_state(watched.table())


def test_factories_write_what_they_were_asked_for() -> None:
    node = make_node("n", cpu=2, gpus=3, taints=["a=b:NoSchedule", "c:NoExecute"], unschedulable=True)
    assert node.to_dict()["spec"] == {
        "taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}, {"key": "c", "effect": "NoExecute"}],
        "unschedulable": True,
    }
    assert {name: q.value() for name, q in node.status.allocatable.items()} == {
        "cpu": 2,
        "memory": 16 << 30,
        "pods": 110,
        "alibabacloud.com/gpu-milli": 3000,
    }
    pod = make_pod("p", cpu="250m", tolerations=["k=v:NoSchedule", "l", "*"], host_ports=[80], priority=7)
    spec = pod.to_dict()["spec"]
    assert spec["tolerations"] == [
        {"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"},
        {"key": "l", "operator": "Exists"},
        {"operator": "Exists"},
    ]
    assert spec["containers"][0]["resources"] == {"requests": {"cpu": "250m"}}
    assert spec["containers"][0]["ports"][0]["hostPort"] == 80
    assert spec["priority"] == 7
