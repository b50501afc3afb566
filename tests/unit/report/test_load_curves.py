"""The export load-curves: the published format, and the rounding that goes with it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from ksched.errors import InputError
from ksched.report.exports import write_exports
from ksched.report.load_curves import curves, key
from ksched.report.metrics import all_metrics
from ksched.report.results import Results, RunTables

from .fabricated import Effect, Plan, fabricate

GPUS = 80  # 20 nodes with 4 each


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(), newline="")))


def test_every_finished_run_has_a_row_in_each_file_in_the_order_of_the_plan(load_curves: Results) -> None:
    files = write_exports(load_curves.directory)
    assert [file.name for file in files] == [f"analysis_{n}_discrete.csv" for n in ("allo", "frag", "frag_ratio")]
    for file in files:
        rows = read(file)
        assert [(row["sc_policy"], row["seed"]) for row in rows] == [
            (p, s) for p in ("01-A", "02-B") for s in ("42", "43")
        ]
        assert {(row["workload"], row["tune"], row.get("total_gpus", "80")) for row in rows} == {("demo", "1.3", "80")}
        assert list(rows[0])[-131:] == [str(percent) for percent in range(131)]
        assert file.read_bytes().endswith(b"\r\n")


def test_a_column_is_the_mean_over_the_arrivals_at_that_percent(load_curves: Results) -> None:
    found = curves(load_curves.finished[0], GPUS)
    # 4, 5 and 6 of 80 GPUs are 5 %, 6.25 % and 7.5 %, which rounds to the even 8.
    assert found.allocated[[5, 6, 8]].tolist() == [5.0, 6.25, 7.5]
    assert found.fragments[5] == 0.75 * 95
    assert found.fragment_ratio[[5, 50, 100]].tolist() == [75.0, 75.0, 0.0]


def test_where_no_arrival_is_at_a_percent_its_neighbours_count_and_arrival_zero_does_not(load_curves: Results) -> None:
    found = curves(load_curves.finished[0], GPUS)
    assert found.allocated[7] == 6.88  # of 6.25 and 7.5
    assert found.allocated[0] == 1.25  # before the first arrival is no arrival


def test_metrics_of_the_last_state_are_shares_of_all_and_of_idle_gpus(load_curves: Results) -> None:
    found = all_metrics()
    tables = RunTables(load_curves.finished[0])
    assert found["fragmentation_final"](tables) == {"": 0.0}
    tables.__dict__["fragmentation"] = tables.fragmentation.iloc[:41]  # half full
    assert found["fragmentation_final"](tables) == {"": 37.5}
    assert found["fragmentation_ratio_final"](tables) == {"": 75.0}
    assert found["idle_gpu_final"](tables)["q3_satisfied"] == 12.5


def test_runs_without_the_table_say_what_to_write(load_curves: Results) -> None:
    run = load_curves.finished[0]
    run.counts.pop("fragmentation")
    with pytest.raises(InputError, match="probes: \\[fragmentation\\]"):
        curves(run, GPUS)


def test_an_experiment_that_asks_for_nothing_gets_nothing(tmp_path: Path) -> None:
    fabricate(tmp_path, Plan({"a": Effect()}, seeds=(1,)))
    assert write_exports(tmp_path) == []


def test_a_run_without_policy_axis_and_ratio_has_empty_cells_there(load_curves: Results) -> None:
    run = load_curves.finished[0]
    run.axes.pop("policy")
    run.config["replay"].pop("ratio")
    assert key(run) == ("demo", "", "", "42")
