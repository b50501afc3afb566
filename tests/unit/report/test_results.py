"""Opening result directories, good and bad."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from ksched.errors import InputError
from ksched.report import open_results
from ksched.report.results import natural_key, to_pandas

from .fabricated import Effect, Plan, fabricate


def test_runs_and_axes_come_in_the_order_of_the_experiment(timed: Path) -> None:
    results = open_results(timed)
    assert results.axes == {
        "policy": ("default", "free-memory", "best-fit", "default-again"),
        "trace": ("demo",),
        "seed": ("42", "43", "44", "45", "46"),
    }
    assert (len(results.finished), len(results.failed), results.planned, results.stale) == (19, 1, 20, 0)
    assert results.failed[0].error == "the plugin BestFit returned NaN for node n-3"
    assert results.runs["status"].value_counts().to_dict() == {"finished": 19, "failed": 1}
    assert results.question.startswith("Does more weight")


def test_a_table_of_all_runs_carries_the_axes(timed: Path) -> None:
    pods = open_results(timed).table("pods", ["node", "t_scheduled_us"], policy="best-fit", seed="43")
    assert list(pods.columns) == ["policy", "trace", "seed", "node", "t_scheduled_us"]
    assert len(pods) == 400 and set(pods["seed"]) == {"43"}
    assert pods["t_scheduled_us"].isna().sum() == pods["node"].isna().sum() > 0


def test_times_beyond_float_precision_survive_nulls() -> None:
    exact = 2**53 + 1
    frame = to_pandas(pa.table({"a": pa.array([exact, None]), "b": [exact, exact], "c": ["x", None]}))
    assert list(frame.columns) == ["a", "b", "c"]
    assert int(frame["a"].iloc[0]) == exact and frame["a"].isna().iloc[1]
    assert frame["b"].dtype == "int64"


def test_a_run_that_answers_several_cells_stands_in_each(tmp_path: Path) -> None:
    """A policy that the swept weight does not touch is one run; the plan says which cells it answers."""
    fabricate(tmp_path, Plan({"default": Effect(), "weighted": Effect(fail=0.1)}, seeds=(1, 2), pods=50))
    plan = json.loads((tmp_path / "plan.json").read_text())
    for run in plan["runs"]:
        run["cells"] = [{**run["axes"], "weight": w} for w in ("5", "25")]
    plan["axes"]["weight"] = ["5", "25"]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    results = open_results(tmp_path)
    assert len(results.finished) == 8
    assert results.planned == 4
    assert results.axes["weight"] == ("5", "25")


def test_runs_the_plan_no_longer_lists_are_left_out_and_counted(tmp_path: Path) -> None:
    fabricate(tmp_path, Plan({"a": Effect(), "b": Effect()}, seeds=(1, 2), pods=50))
    plan = json.loads((tmp_path / "plan.json").read_text())
    plan["runs"] = [run for run in plan["runs"] if run["axes"]["policy"] == "a"]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    results = open_results(tmp_path)
    assert {run.axes["policy"] for run in results.finished} == {"a"}
    assert results.stale == 2


def test_without_a_plan_run_json_speaks(tmp_path: Path) -> None:
    fabricate(tmp_path, Plan({"a": Effect(), "b": Effect()}, seeds=(1,), pods=50))
    (tmp_path / "plan.json").unlink()
    assert len(open_results(tmp_path).finished) == 2


def test_numbers_sort_by_value_before_names() -> None:
    assert sorted(["100", "best", "5", "25", "a"], key=natural_key) == ["5", "25", "100", "a", "best"]


def _edit_run(change: Callable[[dict], None]) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        path = sorted((directory / "runs").iterdir())[0] / "run.json"
        facts = json.loads(path.read_text())
        change(facts)
        path.write_text(json.dumps(facts))

    return damage


def _first_run(directory: Path) -> Path:
    return sorted((directory / "runs").iterdir())[0]


def _only_failures(directory: Path) -> None:
    for run in sorted((directory / "runs").iterdir()):
        for table in run.glob("*.parquet"):
            table.unlink()
        (run / "traceback.txt").write_text("ValueError: boom\n")
        run.rename(run.with_name(run.name + ".failed"))


BAD = [
    ("no such directory", lambda d: shutil.rmtree(d), "there is no such directory"),
    ("an empty directory", lambda d: [shutil.rmtree(d), d.mkdir()], "this directory holds no results"),
    ("only failed runs", _only_failures, "no run of this experiment has finished"),
    ("an older schema", _edit_run(lambda f: f.update(schema_version=0)), "schema version 0, this ksched reads 1"),
    ("a newer schema", _edit_run(lambda f: f.update(schema_version=2)), "install a newer ksched"),
    ("no schema at all", _edit_run(lambda f: f.pop("schema_version")), "no 'schema_version'"),
    ("a missing fact", _edit_run(lambda f: f.pop("t_end_us")), "no 't_end_us'"),
    ("run.json is torn", lambda d: (_first_run(d) / "run.json").write_text('{"run_id": "x'), "cannot read this file"),
    ("run.json is gone", lambda d: (_first_run(d) / "run.json").unlink(), "has no run.json"),
    ("plan.json is torn", lambda d: (d / "plan.json").write_text("[1"), "cannot read this file"),
    ("the experiment copy is torn", lambda d: (d / "experiment.yaml").write_text("a: [1"), "cannot read this file"),
]


@pytest.mark.parametrize(("damage", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_directory_is_one_clear_message(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    directory = fabricate(tmp_path / "d", Plan({"a": Effect(), "b": Effect()}, seeds=(1,), pods=20))
    damage(directory)
    with pytest.raises(InputError) as caught:
        open_results(directory)
    assert message in str(caught.value)
    assert "Traceback" not in str(caught.value)


def _without_column(path: Path) -> None:
    table = pa.parquet.read_table(path)
    pa.parquet.write_table(table.drop_columns(["t_scheduled_us"]), path)


TABLES = [
    ("a missing table", lambda p: p.unlink(), "the table 'pods' of this run is missing"),
    ("a truncated table", lambda p: p.write_bytes(p.read_bytes()[:200]), "not a readable Parquet file"),
    ("a missing column", _without_column, "no column 't_scheduled_us'"),
]


@pytest.mark.parametrize(("damage", "message"), [row[1:] for row in TABLES], ids=[row[0] for row in TABLES])
def test_a_damaged_table_is_one_clear_message(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    directory = fabricate(tmp_path / "d", Plan({"a": Effect()}, seeds=(1,), pods=20))
    damage(_first_run(directory) / "pods.parquet")
    with pytest.raises(InputError) as caught:
        open_results(directory).finished[0].table("pods")
    assert message in str(caught.value)


def test_unknown_tables_and_axes_name_the_nearest(timed: Path) -> None:
    results = open_results(timed)
    with pytest.raises(InputError, match="did you mean 'pods'"):
        results.finished[0].table("pod")
    with pytest.raises(InputError, match="did you mean 'policy'"):
        results.table("pods", polcy="default")


def test_an_empty_selection_is_an_empty_frame(timed: Path) -> None:
    assert open_results(timed).table("pods", policy="none of these").empty
    assert isinstance(open_results(timed).runs, pd.DataFrame)
