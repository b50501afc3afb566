"""Allocation, imbalance and stranded capacity on clusters small enough to do by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ksched.experiments.samples import ClusterState, Shape, StateSampler
from ksched.objects import Node, Pod
from ksched.tables import NodeTable, PodView

GIB = 1 << 30


def node(name: str, cpu: int = 4, memory_gib: int = 8, gpus: int = 0, model: str = "T4") -> Node:
    amounts = {"cpu": str(cpu), "memory": f"{memory_gib}Gi", "pods": "110"}
    labels = {}
    if gpus:
        amounts["alibabacloud.com/gpu-milli"] = str(gpus * 1000)
        labels["alibabacloud.com/gpu-card-model"] = model
    return Node.model_validate({"metadata": {"name": name, "labels": labels}, "status": {"allocatable": amounts}})


def pod(name: str, cpu: int = 1, memory_gib: int = 1, gpu_milli: int = 0) -> PodView:
    requests = {"cpu": str(cpu), "memory": f"{memory_gib}Gi"}
    if gpu_milli:
        requests["alibabacloud.com/gpu-milli"] = str(gpu_milli)
    spec = {"containers": [{"name": "c", "resources": {"requests": requests}}]}
    return PodView(Pod.model_validate({"metadata": {"name": name, "namespace": "d", "uid": name}, "spec": spec}))


def table(*nodes: Node) -> NodeTable:
    made = NodeTable()
    for each in nodes:
        made.add_node(each)
    return made


ONE_CORE = {Shape(1000, GIB): 1}


def measured(cluster: NodeTable, shapes: dict[Shape, int]) -> ClusterState:
    sampler = StateSampler(cluster, shapes)
    sampler.sample()
    (state,) = sampler.states()
    return state


def test_an_empty_cluster_measures_zero():
    state = measured(NodeTable(), ONE_CORE)
    assert state.allocated == state.imbalance == state.stranded == (0.0, 0.0, 0.0)


def test_allocation_is_the_share_of_all_capacity_and_imbalance_its_spread_over_nodes():
    cluster = table(node("a"), node("b"))
    cluster.add_pod(pod("p", cpu=4, memory_gib=4), "a")
    state = measured(cluster, ONE_CORE)
    assert state.allocated == (0.5, 0.25, 0.0)
    assert state.imbalance == (0.5, 0.25, 0.0)


def test_what_is_free_where_the_usual_pod_does_not_fit_is_stranded():
    cluster = table(node("a"), node("b"))
    cluster.add_pod(pod("p", cpu=4, memory_gib=1), "a")
    state = measured(cluster, {Shape(1000, GIB): 3, Shape(0, 0): 1})
    # Node a has 7 GiB free and no core: three of four pods of the trace cannot use them.
    assert state.stranded == (0.0, 7 / 16 * 3 / 4, 0.0)


def test_two_half_devices_strand_a_pod_that_wants_a_whole_one():
    cluster = table(node("a", gpus=2))
    for name, device in (("p", 0), ("q", 1)):
        cluster.add_pod(pod(name, gpu_milli=500), "a", (device,))
    whole, half = Shape(0, 0, 1, 1000), Shape(0, 0, 1, 500)
    assert measured(cluster, {whole: 1}).stranded[2] == 0.5
    assert measured(cluster, {half: 1}).stranded[2] == 0.0


def test_devices_of_another_model_are_stranded():
    cluster = table(node("a", gpus=1, model="T4"), node("b", gpus=1, model="A10"))
    shape = Shape(0, 0, 1, 1000, ("A10", "V100"))
    assert measured(cluster, {shape: 1}).stranded[2] == 0.5


def test_an_overcommitted_node_strands_nothing():
    cluster = table(node("a", cpu=1))
    cluster.add_pod(pod("p", cpu=2), "a")
    assert measured(cluster, ONE_CORE).stranded[0] == 0.0


@pytest.mark.parametrize("seed", range(5))
def test_measuring_as_we_go_equals_measuring_afresh(seed):
    rng = np.random.default_rng(seed)
    cluster = table(*(node(f"n{i}", gpus=int(rng.integers(0, 3))) for i in range(20)))
    shapes = {Shape(1000 * c, c * GIB, g, 500 * g): c + g for c in range(1, 4) for g in range(2)}
    sampler = StateSampler(cluster, shapes)
    placed: list[str] = []
    afresh = []
    for step in range(60):
        if placed and rng.random() < 0.3:
            cluster.remove_pod(placed.pop(int(rng.integers(len(placed)))))
        else:
            name = f"p{step}"
            cluster.add_pod(pod(name, cpu=int(rng.integers(1, 3))), f"n{rng.integers(20 if step < 40 else 19)}")
            placed.append(name)
        if step == 40:
            cluster.add_node(node("late", gpus=1))
        if step % 7 == 0:
            sampler.sample()
            afresh.append(measured(cluster, shapes))
    assert sampler.states() == afresh


def test_only_the_most_frequent_shapes_count_when_there_are_very_many():
    shapes = {Shape(i, 0): 1 for i in range(2000)} | {Shape(10**6, 0): 10}
    cluster = table(node("a"))
    stranded = measured(cluster, shapes).stranded[0]
    assert stranded == pytest.approx(10 / (999 + 10))
