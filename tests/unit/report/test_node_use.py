"""The numbers behind the heat map, on runs small enough to work out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ksched.report import Comparison, compare, node_use, open_results
from ksched.report.node_use import _held, _nodes, _size
from ksched.report.results import Run, RunTables

from .fabricated import Effect, Plan, fabricate

S = 1_000_000


def run_of(*, timed: bool) -> RunTables:
    """Three pods on two nodes of four cores: 2 cores on a from 10 s to 30 s, 4 on b from 20 s on, 1 never placed."""
    tables = RunTables(Run(Path("nowhere"), "r", {}, 1, {}, 40 * S, timed))
    pods = pd.DataFrame(
        {
            "node": ["a", "b", None],
            "cpu_milli": [2000, 4000, 1000],
            "t_scheduled_us": pd.array([10 * S, 20 * S, None], dtype="Int64"),
            "t_finished_us": pd.array([30 * S, None, None], dtype="Int64"),
            "t_deleted_us": pd.array([None, None, None], dtype="Int64"),
        }
    )
    tables.__dict__["pods"] = pods
    tables.__dict__["nodes"] = pd.DataFrame({"node": ["b", "a"], "cpu_milli": 4000, "memory_b": 1})
    return tables


def test_each_bin_is_the_mean_over_its_time() -> None:
    held = _held(run_of(timed=True), "cpu", True, {"a": 0, "b": 1}, 2, np.array([0.0, 20.0, 40.0]))
    assert held.tolist() == [[1000, 1000], [0, 4000]]


def test_without_time_pods_stay_from_their_arrival_on() -> None:
    # Demand has reached 25 %, 75 % and 87.5 % of 8 cores when the pods have arrived.
    held = _held(run_of(timed=False), "cpu", False, {"a": 0, "b": 1}, 2, np.array([0.0, 50.0, 100.0]))
    assert held.tolist() == [[1000, 2000], [0, 2000]]


def test_nodes_of_one_kind_stand_together_in_natural_order() -> None:
    nodes = pd.DataFrame(
        {"node": ["n10", "n2", "g1", "n1"], "gpu_model": ["", "", "V100", ""], "gpu_count": [0, 0, 4, 0]}
        | {"cpu_milli": [4000, 4000, 8000, 4000], "memory_b": 1}
    )
    assert _nodes(nodes, "cpu")["node"].tolist() == ["n1", "n2", "n10", "g1"]
    assert _nodes(nodes, "gpu")[["node", "capacity"]].to_numpy().tolist() == [["g1", 4000]]


def test_many_maps_get_coarser_and_too_many_are_left_out() -> None:
    assert _size(6) == (node_use.MOST_ROWS, node_use.MOST_BINS)
    rows, bins = _size(100)
    assert node_use.FEWEST_CELLS <= rows * bins <= node_use.CELL_BUDGET // 100
    assert _size(1000) is None


def test_rows_are_groups_of_neighbours_and_add_up_to_the_cluster(found: Comparison, timed: Path) -> None:
    use = node_use.node_use(found, "demo", "cpu")
    assert (use.seed, use.timed, len(use.labels)) == ("42", True, 20)
    cells = use.cells[use.cells["policy"] == "default"]
    pods = open_results(timed).table("pods", policy="default", seed="42").dropna(subset=["t_scheduled_us"])
    end = next(run.t_end_us for run in found.results.finished if run.axes["policy"] == "default")
    stop = pods["t_finished_us"].fillna(end).clip(upper=end)
    held = (pods["cpu_milli"] * (stop - pods["t_scheduled_us"]).clip(lower=0)).sum() / (20 * 32_000) / end
    assert cells["allocated"].mean() == pytest.approx(100 * held, rel=1e-9)


def test_a_big_cluster_is_binned_with_labels(tmp_path: Path) -> None:
    comparison = compare(open_results(fabricate(tmp_path, Plan({"a": Effect()}, seeds=(1,), nodes=500, pods=60))))
    use = node_use.node_use(comparison, "demo", "cpu")
    assert len(use.labels) == node_use.MOST_ROWS and use.labels[0] == "n-0 +10"
    assert sum(int(label.partition(" +")[2] or 0) + 1 for label in use.labels) == 500
