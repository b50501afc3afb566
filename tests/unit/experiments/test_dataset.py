"""``DIR/tables``: every table of all finished runs is one Parquet data set, whoever reads it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.dataset
import pytest

from ksched.experiments.dataset import update_dataset
from ksched.experiments.store import ResultStore

from .fakes import simulate, spec
from .small import experiment_file, make_trace

SPECS = [spec(n) for n in range(3)]


def open_store(root: Path, specs=SPECS) -> ResultStore:
    runs = [{"run_id": s.run_id, "axes": s.axes, "cells": [s.axes]} for s in specs]
    plan = {"experiment": "fake", "schema_version": 1, "axes": {"policy": ["good"], "seed": []}, "runs": runs}
    return ResultStore.create(root, experiment="fake", plan=plan, source="")


def finish(store: ResultStore, run) -> None:
    output = simulate(run, lambda done, total: None)
    store.commit(run.run_id, {"run_id": run.run_id, "axes": run.axes}, output.tables)


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    store = open_store(tmp_path / "results")
    for run in SPECS[:2]:
        finish(store, run)
    update_dataset(store)
    return store


def test_the_table_of_runs_has_one_row_a_cell(store):
    runs = pd.read_parquet(store.tables / "runs.parquet")
    assert runs.to_dict("list") == {
        "policy": ["good"] * 3,
        "seed": ["0", "1", "2"],
        "run": [f"run-{s.run_id}" for s in SPECS],
        "run_id": [s.run_id for s in SPECS],
        "status": ["done", "done", "missing"],
    }


def expected(store: ResultStore) -> pd.Series:
    parts = [pd.read_parquet(store.run_folder(s.run_id) / "pods.parquet") for s in SPECS[:2]]
    return pd.Series({s.axes["seed"]: part["t_create_us"].sum() for s, part in zip(SPECS, parts, strict=False)})


def test_pandas_reads_the_folder_and_joins(store):
    pods = pd.read_parquet(store.tables / "pods").astype({"run": "str"})
    joined = pods.merge(pd.read_parquet(store.tables / "runs.parquet"), on="run")
    assert joined.groupby("seed")["t_create_us"].sum().to_dict() == expected(store).to_dict()


def test_arrow_reads_only_the_parts_it_is_asked_for(store):
    pods = pyarrow.dataset.dataset(store.tables / "pods", partitioning="hive")
    one = pods.to_table(filter=pyarrow.dataset.field("run") == f"run-{SPECS[0].run_id}")
    assert (len(pods.files), one.num_rows) == (2, 50)


def test_duckdb_reads_the_glob_and_joins(store):
    duckdb = pytest.importorskip("duckdb")
    rows = duckdb.sql(
        f"SELECT seed, sum(t_create_us) FROM '{store.tables}/pods/*/*.parquet' "
        f"JOIN '{store.tables}/runs.parquet' USING (run) GROUP BY seed"
    ).fetchall()
    assert dict(rows) == expected(store).to_dict()


def test_polars_reads_the_folder_and_joins(store):
    polars = pytest.importorskip("polars")
    pods = polars.scan_parquet(store.tables / "pods")
    runs = polars.scan_parquet(store.tables / "runs.parquet")
    joined = pods.join(runs, on="run").group_by("seed").agg(polars.col("t_create_us").sum()).collect()
    assert dict(joined.iter_rows()) == expected(store).to_dict()


def test_runs_no_plan_needs_leave_and_new_ones_come(store):
    other = open_store(store.root, SPECS[1:])
    finish(other, SPECS[2])
    update_dataset(other)
    assert sorted(p.name for p in (store.tables / "pods").iterdir()) == [f"run=run-{s.run_id}" for s in SPECS[1:]]


def test_parts_are_links_that_move_with_the_directory(store, tmp_path):
    store.root.rename(tmp_path / "moved")
    assert len(pd.read_parquet(tmp_path / "moved" / "tables" / "pods")) == 100


def test_every_table_of_a_real_sweep_reads_as_one(tmp_path):
    from ksched.experiments import run_experiment
    from ksched.result_directory import TABLES

    make_trace(tmp_path, [{}, {"t_submit": 5, "cpu_milli": 5000.0}])
    path = experiment_file(tmp_path, axes={"policy": {"default": {}, "best": {"score": {"BestFit": 1}}}})
    sweep = run_experiment(path, tmp_path / "r", jobs=1, progress=False)
    written = [name for name in TABLES if name != "fragmentation"]  # which nobody asked for
    assert {folder.name for folder in (sweep.directory / "tables").iterdir() if folder.is_dir()} == set(written)
    for name in written:
        frame = pd.read_parquet(sweep.directory / "tables" / name)
        assert frame["run"].nunique() == (2 if len(frame) else 0), name
