"""The policies compared in "Beware of Fragmentation", on nodes whose scores can be done by hand."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest

from ksched.framework import Cycle
from ksched.objects import Pod
from ksched.objects.gpu import GPU_INDEX_ANNOTATION
from ksched.tables import ExpectedPod, NodeTable, NodeView, PodView, compile_spec
from ksched.testing import make_node, make_pod, make_table
from ksched_plugins.gpu.dot_product import DotProd
from ksched_plugins.gpu.fgd import FGD
from ksched_plugins.gpu.gpu_best_fit import GpuBestFit
from ksched_plugins.gpu.gpu_clustering import GpuClustering
from ksched_plugins.gpu.gpu_packing import GpuPacking, points
from ksched_plugins.gpu.gpu_random import GpuRandom
from ksched_plugins.gpu.largest_node import LargestNode

LARGEST = LargestNode(cpu_milli=8000, gpu_milli=4000)


def held(milli: int, devices: str, node: str = "n", cpu: int = 0) -> tuple[Pod, str]:
    name = f"{node}-{devices}-{milli}"
    return make_pod(name, cpu=cpu, gpu_milli=milli, annotations={GPU_INDEX_ANNOTATION: devices}), node


def scores(plugin: Any, pod: Pod, table: NodeTable) -> dict[str, int]:
    view = PodView(pod)
    nodes = NodeView(table)
    found = plugin.score(Cycle(table, view, now=0, seed=0), view, nodes)
    return dict(zip(nodes.names.tolist(), found.tolist(), strict=True))


def chosen(plugin: Any, pod: Pod, table: NodeTable, node: str = "n", seed: int = 0) -> tuple[int, ...] | None:
    view = PodView(pod)
    cycle = Cycle(table, view, now=0, seed=seed)
    plugin.reserve(cycle, view, node)
    return cycle.devices


def test_dot_product_prefers_the_node_with_least_free_of_what_is_wanted() -> None:
    table = make_table([make_node("full", cpu=2, gpus=1), make_node("free", cpu=8, gpus=4)])
    # full: cpu 2/8 * 4/8, gpu 1/4 * 2/4 -> mean 0.125; free: 1 * 4/8 and 1 * 2/4 -> mean 0.5
    assert scores(DotProd(LARGEST), make_pod(cpu=4, gpu_milli=2000), table) == {"full": 87, "free": 50}


def test_dot_product_stays_in_range_on_nodes_larger_than_the_largest() -> None:
    table = make_table([make_node("n", cpu=80, gpus=40)])
    assert scores(DotProd(LARGEST), make_pod(cpu=8, gpu_milli=4000), table) == {"n": 0}


def test_best_fit_scores_by_what_would_remain_of_cpu_and_gpu_alike() -> None:
    table = make_table([make_node("n", cpu=8, gpus=4), make_node("no-gpu", cpu=4)])
    # n: 6/8 and 3.5/4 remain; no-gpu: 2/8 and -0.5/4
    assert scores(GpuBestFit(LARGEST), make_pod(cpu=2, gpu_milli=500), table) == {"n": 18, "no-gpu": 93}


PACKING = [
    ("a node that is wholly free", (1000, 1000), 1, 500, 31),
    ("the more devices the worse until there are many", (1000,) * 8, 1, 500, 25),
    ("with more than half of 33 the count itself", (1000,) * 20, 1, 500, 20),
    ("a share on the fullest device with room", (300, 600, 1000), 1, 500, 94),
    ("a share that opens a device", (300, 1000), 1, 500, 49),
    ("whole devices of a node in use", (300, 1000, 1000), 2, 1000, 48),
    ("never below 33", (300, *(1000,) * 30), 30, 1000, 33),
    ("no room", (300, 400), 1, 500, 0),
]


@pytest.mark.parametrize(("free", "count", "milli", "score"), [r[1:] for r in PACKING], ids=[r[0] for r in PACKING])
def test_packing_opens_devices_and_nodes_last(free: tuple[int, ...], count: int, milli: int, score: int) -> None:
    request = PodView(make_pod(gpu_milli=count * milli)).gpu
    assert request is not None
    assert points(free, request) == score


def test_packing_and_clustering_find_all_nodes_alike_for_a_pod_without_gpus() -> None:
    table = make_table([make_node("a", gpus=2), make_node("b")], [held(300, "0", "a")])
    for plugin in (GpuPacking(), GpuClustering(LARGEST)):
        assert scores(plugin, make_pod(cpu=1), table) == {"a": 0, "b": 0}


def test_packing_scores_nodes_by_their_devices() -> None:
    table = make_table([make_node("a", gpus=2), make_node("b", gpus=2)], [held(600, "1", "b")])
    assert scores(GpuPacking(), make_pod(gpu_milli=300), table) == {"a": 31, "b": 96}


def test_clustering_prefers_nodes_of_its_own_kind_then_mixed_ones_then_empty_ones() -> None:
    nodes = [make_node(name, gpus=4) for name in ("own", "mixed", "empty", "others")]
    placed = [held(300, "0", "own"), held(300, "0", "mixed"), held(1000, "1", "mixed"), held(1000, "0", "others")]
    found = scores(GpuClustering(LARGEST), make_pod(gpu_milli=500), make_table(nodes, placed))
    # 25 points times the share of GPU used come on top
    assert found == {"own": 75 + 1, "mixed": 50 + 8, "empty": 25, "others": 6}


def test_for_clustering_a_whole_device_is_no_share_and_more_devices_than_any_node_has_are_a_kind_too() -> None:
    table = make_table([make_node("n", gpus=4)], [held(300, "0")])
    assert scores(GpuClustering(LARGEST), make_pod(gpu_milli=1000), table) == {"n": 1}
    assert scores(GpuClustering(LARGEST), make_pod(gpu_milli=9000), table) == {"n": 1}


# ------------------------------------------------------------------------------------------------------- random


def test_random_draws_a_device_with_room_and_every_one_sometimes() -> None:
    table = make_table([make_node("n", gpus=4)], [held(800, "2")])
    drawn = Counter(chosen(GpuRandom(), make_pod(gpu_milli=300), table, seed=seed) for seed in range(100))
    assert set(drawn) == {(0,), (1,), (3,)}
    assert min(drawn.values()) > 15


def test_random_gives_whole_devices_by_index_and_none_where_there_is_no_room() -> None:
    table = make_table([make_node("n", gpus=3)], [held(800, "0")])
    assert chosen(GpuRandom(), make_pod(gpu_milli=2000), table) == (1, 2)
    assert chosen(GpuRandom(), make_pod(gpu_milli=3000), table) is None
    assert chosen(GpuRandom(), make_pod(cpu=1), table) is None


def test_random_gives_its_points_to_one_node_whatever_the_order_of_rows() -> None:
    nodes = [make_node(name) for name in "abcdefgh"]
    ahead = scores(GpuRandom(), make_pod(), make_table(nodes))
    assert sorted(ahead.values()) == [0] * 7 + [100]
    assert scores(GpuRandom(), make_pod(), make_table(nodes[::-1])) == ahead


# ---------------------------------------------------------------------------------------------------------- FGD


def fgd(*expected: tuple[int, Pod]) -> FGD:
    plugin = FGD()
    plugin.expect([ExpectedPod(compile_spec(pod.spec), count) for count, pod in expected])
    return plugin


def sigmoid(milli: float) -> int:
    return int(100 / (1 + math.exp(-milli / 1000)))


def test_fgd_scores_by_the_fragments_a_pod_leaves_or_takes_away() -> None:
    plugin = fgd((1, make_pod(cpu=1, gpu_milli=500)))
    table = make_table([make_node("whole", gpus=1), make_node("half", gpus=1)], [held(500, "0", "half")])
    # 200 of a whole device leave 800, which the usual pod can use; of a half one 300, which it cannot.
    assert scores(plugin, make_pod(cpu=1, gpu_milli=200), table) == {"whole": 50, "half": sigmoid(-300)}


def test_fgd_counts_cpu_it_takes_from_idle_devices() -> None:
    plugin = fgd((1, make_pod(cpu=3, gpu_milli=500)))
    table = make_table([make_node("n", cpu=4, gpus=2), make_node("large", cpu=8, gpus=2)])
    assert scores(plugin, make_pod(cpu=2), table) == {"n": sigmoid(-2000), "large": 50}


def test_fgd_chooses_the_device_it_scored_the_node_by() -> None:
    plugin = fgd((1, make_pod(cpu=0, gpu_milli=500)))
    table = make_table([make_node("n", gpus=3)], [held(500, "0"), held(700, "1")])
    # Device 1 has 300 nobody can use, so a pod of 300 is best there; one of 500 fills device 0.
    assert chosen(plugin, make_pod(gpu_milli=300), table) == (1,)
    assert scores(plugin, make_pod(gpu_milli=300), table) == {"n": sigmoid(300)}
    assert chosen(plugin, make_pod(gpu_milli=600), table) == (2,)
    assert chosen(plugin, make_pod(gpu_milli=1000), table) == (2,)
    assert chosen(plugin, make_pod(cpu=1), table) is None


def test_fgd_gives_ties_to_the_lowest_index() -> None:
    plugin = fgd((1, make_pod(cpu=0, gpu_milli=100)))
    assert chosen(plugin, make_pod(gpu_milli=100), make_table([make_node("n", gpus=3)])) == (0,)


def test_fgd_gives_no_points_where_devices_have_no_room() -> None:
    plugin = fgd((1, make_pod(gpu_milli=500)))
    table = make_table([make_node("n", gpus=2), make_node("none")], [held(800, "0"), held(800, "1")])
    assert scores(plugin, make_pod(gpu_milli=300), table) == {"n": 0, "none": 0}
    assert scores(plugin, make_pod(gpu_milli=2000), table) == {"n": 0, "none": 0}


def test_fgd_finds_all_nodes_alike_when_nobody_told_what_is_usual() -> None:
    table = make_table([make_node("a", gpus=1), make_node("b", gpus=4)])
    assert set(scores(FGD(), make_pod(gpu_milli=500), table).values()) == {50}
