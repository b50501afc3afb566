"""Policies beside those of "Beware of Fragmentation", on nodes whose scores can be done by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ksched.framework import Cycle
from ksched.objects import Pod
from ksched.objects.gpu import GPU_INDEX_ANNOTATION
from ksched.tables import ExpectedPod, NodeTable, NodeView, PodView, compile_spec
from ksched.testing import make_node, make_pod, make_table
from ksched_plugins.gpu.demand_fgd import DemandFGD
from ksched_plugins.gpu.dominant_share import DominantShareFit
from ksched_plugins.gpu.fgd import FGD
from ksched_plugins.gpu.tetris import Tetris

GIB = 1 << 30


def held(node: str, cpu: float, memory: int = 0, gpu_milli: int = 0) -> tuple[Pod, str]:
    annotations = {GPU_INDEX_ANNOTATION: "0"} if gpu_milli else {}
    name = f"on-{node}"
    return make_pod(name, cpu=cpu, memory=memory, gpu_milli=gpu_milli, annotations=annotations), node


def scores(plugin: Any, pod: Pod, table: NodeTable) -> dict[str, float]:
    view = PodView(pod)
    nodes = NodeView(table)
    found = plugin.score(Cycle(table, view, now=0, seed=0), view, nodes)
    return dict(zip(nodes.names.tolist(), found.tolist(), strict=True))


def test_tetris_takes_the_mean_product_of_shares_over_cpu_memory_and_gpu() -> None:
    nodes = [make_node("free", cpu=8, memory=8 * GIB, gpus=2), make_node("used", cpu=8, memory=8 * GIB, gpus=2)]
    table = make_table(nodes, [held("used", cpu=4, memory=6 * GIB, gpu_milli=500)])
    pod = make_pod(cpu=2, memory=4 * GIB, gpu_milli=500)
    # demand: 1/4 of the cpu, 1/2 of the memory, 1/4 of the GPU
    expected = {"free": (1 / 4 + 1 / 2 + 1 / 4) / 3, "used": (1 / 4 * 1 / 2 + 1 / 2 * 1 / 4 + 1 / 4 * 3 / 4) / 3}
    assert scores(Tetris(), pod, table) == pytest.approx({name: 100 * share for name, share in expected.items()})


def test_tetris_prefers_the_node_with_more_of_what_is_wanted_most() -> None:
    nodes = [make_node(name, cpu=8, memory=8 * GIB, gpus=2) for name in ("cpu-left", "gpu-left")]
    table = make_table(nodes, [held("cpu-left", cpu=0, gpu_milli=1000), held("gpu-left", cpu=4)])
    found = scores(Tetris(), make_pod(cpu=1, gpu_milli=1000), table)
    assert found["gpu-left"] > found["cpu-left"]
    found = scores(Tetris(), make_pod(cpu=4, gpu_milli=100), table)
    assert found["cpu-left"] > found["gpu-left"]


def test_dominant_share_is_the_largest_share_that_would_remain() -> None:
    nodes = [make_node("gpu", cpu=8, memory=8 * GIB, gpus=2), make_node("cpu", cpu=8, memory=8 * GIB, gpus=2)]
    table = make_table(nodes, [held("gpu", cpu=4, memory=6 * GIB), held("cpu", 0, 6 * GIB, gpu_milli=1000)])
    # gpu: 2/8 cpu, 1/8 memory, 3/4 GPU remain; cpu: 6/8, 1/8 and 1/4
    found = scores(DominantShareFit(), make_pod(cpu=2, memory=GIB, gpu_milli=500), table)
    assert found == pytest.approx({"gpu": 25.0, "cpu": 25.0})
    # One cpu less remains of both: it matters only where cpu is the dominant share.
    found = scores(DominantShareFit(), make_pod(cpu=3, memory=GIB, gpu_milli=500), table)
    assert found == pytest.approx({"gpu": 25.0, "cpu": 37.5})


def test_a_machine_has_no_share_of_a_resource_it_lacks() -> None:
    table = make_table([make_node("n", cpu=4, memory=4 * GIB)])
    pod = make_pod(cpu=4, memory=2 * GIB)
    assert scores(DominantShareFit(), pod, table) == {"n": 50.0}
    assert scores(Tetris(), pod, table) == pytest.approx({"n": 100 * 1.5 / 3})


@pytest.mark.parametrize("plugin", [Tetris(), DominantShareFit()])
def test_scores_stay_in_range_where_the_pod_does_not_fit(plugin: Any) -> None:
    table = make_table([make_node("n", cpu=1, memory=GIB, gpus=1)], [held("n", cpu=1, memory=GIB, gpu_milli=1000)])
    (found,) = scores(plugin, make_pod(cpu=64, memory=64 * GIB, gpu_milli=8000), table).values()
    assert 0 <= found <= 100


def sigmoid(milli: float) -> int:
    return int(100 / (1 + math.exp(-milli / 1000)))


def expecting(plugin: FGD, *expected: tuple[int, Pod]) -> FGD:
    plugin.expect([ExpectedPod(compile_spec(pod.spec), count) for count, pod in expected])
    return plugin


def test_a_shape_too_rare_for_fgd_counts_in_demand_fgd_by_what_it_asks_for() -> None:
    # Of 21 pods one is large, but half of what is asked for is its.
    usual = [(20, make_pod("small", cpu=0, gpu_milli=100)), (1, make_pod("large", cpu=0, gpu_milli=2000))]
    table = make_table([make_node("pair", gpus=2), make_node("single", gpus=1)])
    share = make_pod(cpu=0, gpu_milli=500)
    assert scores(expecting(FGD(), *usual), share, table) == {"pair": 50, "single": 50}
    # Half of 1500 on the pair become fragments; on the single node half of 500 that were fragments are used.
    assert scores(expecting(DemandFGD(), *usual), share, table) == {"pair": sigmoid(-750), "single": sigmoid(250)}


def test_pods_without_gpus_have_no_say_in_demand_fgd() -> None:
    share, none = make_pod("share", cpu=1, gpu_milli=500), make_pod("none", cpu=4)
    table = make_table([make_node("a", cpu=4, gpus=1), make_node("b", cpu=16, gpus=2)])
    pod = make_pod(cpu=2, gpu_milli=300)
    alone = scores(expecting(DemandFGD(), (1, share)), pod, table)
    assert scores(expecting(DemandFGD(), (1, share), (9, none)), pod, table) == alone
    assert scores(expecting(FGD(), (1, share), (9, none)), pod, table) != alone


def test_demand_fgd_finds_all_nodes_alike_where_only_pods_without_gpus_are_usual() -> None:
    table = make_table([make_node("a", gpus=1), make_node("b", gpus=4)])
    plugin = expecting(DemandFGD(), (5, make_pod(cpu=1)))
    assert set(scores(plugin, make_pod(gpu_milli=500), table).values()) == {50}
