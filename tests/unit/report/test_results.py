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
from ksched.experiments.dataset import update_dataset
from ksched.experiments.store import ResultStore
from ksched.report import open_results
from ksched.report.results import natural_key, to_pandas
from ksched.report.runs import results as list_results
from ksched.report.runs import side_by_side

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


@pytest.fixture
def by_workload(tmp_path: Path) -> Path:
    """An experiment whose traces are an axis called "workload", as a column of the pods is, and "makespan"."""
    fabricate(tmp_path, Plan({"default": Effect(), "other": Effect(fail=0.1)}, traces=("x", "y"), seeds=(1,), pods=50))
    renamed = {"trace": "workload", "seed": "makespan"}
    for path in [tmp_path / "plan.json", *sorted(tmp_path.glob("runs/*/run.json"))]:
        document = json.loads(path.read_text())
        for run in document.get("runs", [document]):
            run["axes"] = {renamed.get(k, k): v for k, v in run["axes"].items()}
            run["cells"] = [run["axes"]]
        if "runs" in document:
            document["axes"] = {renamed.get(k, k): v for k, v in document["axes"].items()}
        else:
            files = {f.name: {"bytes": f.stat().st_size} for f in path.parent.glob("*.parquet")}
            document["files"] = files
        path.write_text(json.dumps(document))
    return tmp_path


def test_an_axis_called_like_a_column_is_told_apart_from_it(by_workload: Path) -> None:
    results = open_results(by_workload)
    assert results.axis_columns == {"policy": "policy", "workload": "axis_workload", "makespan": "makespan"}
    pods = results.table("pods", workload="y")
    assert set(pods["axis_workload"]) == {"y"}
    assert set(pods["workload"]) == {f"job-{i}" for i in range(50)}
    # One name beside every table, so that they can be joined with each other.
    assert list(results.table("samples", ["t_us"]).columns) == ["policy", "axis_workload", "makespan", "t_us"]
    assert set(results.runs["workload"]) == {"x", "y"}


def test_an_axis_called_like_a_metric_is_told_apart_from_it(by_workload: Path) -> None:
    frame = list_results(by_workload, metrics=["makespan"])
    assert set(frame["axis_makespan"]) == {"1"}
    assert "makespan" in frame.columns[-1] and frame["makespan"].dtype == "float64"
    both = side_by_side([by_workload], metrics=["scheduled_pods", "makespan"], by=["makespan", "workload"])
    assert both[["makespan", "workload"]].to_numpy().tolist() == [["1", "x"], ["1", "y"]]


def test_the_runs_of_a_data_set_can_be_joined_with_its_tables(by_workload: Path) -> None:
    store = ResultStore(by_workload)
    (by_workload / "partial").mkdir()
    update_dataset(store)
    runs = pd.read_parquet(store.tables / "runs.parquet")
    joined = pd.read_parquet(store.tables / "pods").merge(runs, on="run")
    assert set(joined["axis_workload"]) == {"x", "y"} and joined["workload"].nunique() == 50


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


def _edit_plan(directory: Path, **changes: object) -> None:
    path = directory / "plan.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _rename_experiment(directory: Path) -> None:
    _edit_plan(directory, experiment="other")


def _replan(directory: Path) -> None:
    _edit_plan(directory, runs=[{"run_id": "feedfeedfeedfeed", "axes": {"policy": "a"}}])


def _only_the_file(directory: Path) -> None:
    shutil.rmtree(directory / "runs")
    (directory / "plan.json").unlink()


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
    ("a plan of something else", lambda d: _edit_plan(d, runs=5), "this is no plan of an experiment"),
    ("two experiments mixed", _rename_experiment, "plan.json is of the experiment 'other', experiment.yaml of 'demo'"),
    ("runs of another experiment", _replan, "none of the 2 finished runs here belongs to the plan of 'demo'"),
    ("the folder of an experiment", _only_the_file, "this is the folder of an experiment, not of its results"),
    ("a file", lambda d: [shutil.rmtree(d), d.write_text("x")], "this is a file, not a directory of results"),
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
