"""Probes: what they measure is the same step by step as afresh, and they measure when they should."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np
import pytest

from ksched.experiments.probes import FragmentationProbe, probe_table
from ksched.tables import ExpectedPod, NodeTable, PodView, compile_spec
from ksched.tables.fragmentation import BUCKETS
from ksched.testing import make_node, make_pod, make_table

from .small import POD, columns, experiment_file, make_trace, run_one

EXPECTED = [
    ExpectedPod(compile_spec(make_pod(cpu=cpu, gpu_milli=milli).spec), count)
    for cpu, milli, count in (("1", 500, 3), ("2", 2000, 2), ("1", None, 1))
]
GPU_NODE = {"gpu_count": 2, "gpu_model": "T4"}


def measured_afresh(table: NodeTable) -> list[float]:
    probe = FragmentationProbe(table, EXPECTED)
    probe.note()
    (values,) = probe.values().tolist()
    return values


def test_used_and_idle_add_up_to_all_devices() -> None:
    table = make_table([make_node("a", gpus=2), make_node("b", gpus=4), make_node("c")])
    table.add_pod(PodView(make_pod(gpu_milli=300)), "a")
    values = dict(zip(FragmentationProbe.columns, measured_afresh(table), strict=True))
    assert values["used"] == 300
    assert sum(values[bucket] for bucket in BUCKETS) == pytest.approx(5700)


@pytest.mark.parametrize("seed", range(3))
def test_measuring_step_by_step_equals_measuring_afresh(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = make_table([make_node(f"n{i}", cpu=8, gpus=i % 4) for i in range(8)])
    probe = FragmentationProbe(table, EXPECTED)
    placed: list[str] = []
    afresh = []
    for step in range(50):
        if placed and rng.random() < 0.3:
            table.remove_pod(placed.pop())
        else:
            pod = PodView(make_pod(f"p{step}", cpu=1, gpu_milli=int(rng.integers(1, 10)) * 100))
            table.add_pod(pod, f"n{rng.integers(8)}")
            placed.append(pod.uid)
        if step == 25:
            table.add_node(make_node("late", gpus=2))
        probe.note()
        afresh.append(measured_afresh(table))
    assert probe.values().tolist() == afresh


def test_a_cluster_without_nodes_measures_zero_and_an_empty_log_is_a_table() -> None:
    assert measured_afresh(NodeTable()) == [0.0] * 8
    empty = probe_table(FragmentationProbe(NodeTable(), EXPECTED), array("q"), np.zeros(1, dtype=np.int64))
    assert empty.num_rows == 0
    assert empty.column_names == ["seq", "arrived_pods", "arrived_gpu_milli", "used", *BUCKETS]


def test_in_mode_inflate_every_arrival_is_measured_a_failed_one_too(tmp_path: Path) -> None:
    pod = {**POD, "cpu_milli": 100.0, "gpu_count": 1, "gpu_milli": 1000}
    make_trace(tmp_path, [pod] * 3, [GPU_NODE])
    output = run_one(
        tmp_path, {"mode": "inflate", "ratio": 1.5}, probes=["fragmentation"], policy={"filter": ["GpuShare"]}
    )
    assert columns(output, "fragmentation", "arrived_pods", "arrived_gpu_milli", "used") == [
        (0, 0, 0.0),
        (1, 1000, 1000.0),
        (2, 2000, 2000.0),
        (3, 3000, 2000.0),
    ]


def test_by_the_clock_it_is_measured_with_every_sample(tmp_path: Path) -> None:
    make_trace(tmp_path, [{}, {"t_submit": 5_000_000}], [GPU_NODE])
    output = run_one(tmp_path, {"mode": "timestamp"}, probes=["fragmentation"])
    assert output.tables["fragmentation"].num_rows == output.tables["samples"].num_rows > 2


def test_without_being_asked_for_it_is_not_recorded_and_it_is_part_of_a_runs_identity(tmp_path: Path) -> None:
    from ksched.experiments.file import load_experiment
    from ksched.experiments.plan import make_plan

    make_trace(tmp_path, [{}], [GPU_NODE])
    assert "fragmentation" not in run_one(tmp_path, {"mode": "snapshot"}).tables
    ids = [
        make_plan(load_experiment(experiment_file(tmp_path, probes=probes))).selected[0].run_id
        for probes in ([], ["fragmentation"])
    ]
    assert ids[0] != ids[1]
