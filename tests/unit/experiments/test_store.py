"""What a result directory promises: whole runs or none, one experiment, one writer a run, the same bytes."""

from __future__ import annotations

import json
import os

import pyarrow as pa
import pytest

from ksched.errors import InputError
from ksched.experiments.store import Claimed, ResultStore, write_table

from .fakes import open_store

TABLE = {"pods": pa.table({"pod": ["a", "b"], "t": [1, 2]})}


def test_a_run_is_missing_then_done(tmp_path):
    store = open_store(tmp_path / "r")
    assert store.state("aa") == "missing"
    with store.claim("aa"):
        store.commit("aa", {"run_id": "aa"}, TABLE)
    assert store.state("aa") == "done"
    facts = json.loads((store.root / "runs/aa/run.json").read_text())
    assert facts["files"]["pods.parquet"]["bytes"] == (store.root / "runs/aa/pods.parquet").stat().st_size


def test_a_success_replaces_the_failure_before_it(tmp_path):
    store = open_store(tmp_path / "r")
    store.commit_failure("aa", {"error": "x"}, "Traceback ...")
    assert store.state("aa") == "failed"
    assert (store.root / "runs/aa.failed/traceback.txt").read_text() == "Traceback ..."
    store.commit("aa", {"run_id": "aa"}, TABLE)
    assert store.state("aa") == "done"
    assert not (store.root / "runs/aa.failed").exists()


def test_a_run_with_a_truncated_file_is_computed_again(tmp_path):
    store = open_store(tmp_path / "r")
    store.commit("aa", {"run_id": "aa"}, TABLE)
    os.truncate(store.root / "runs/aa/pods.parquet", 10)
    assert store.state("aa") == "missing"
    store.commit("aa", {"run_id": "aa"}, TABLE)
    assert store.state("aa") == "done"


def test_a_claim_keeps_others_out_and_ends_with_its_holder(tmp_path):
    store = open_store(tmp_path / "r")
    with store.claim("aa"), pytest.raises(Claimed), ResultStore(store.root).claim("aa"):
        pass
    with store.claim("aa"):
        pass


def test_a_claim_clears_what_a_dead_process_left(tmp_path):
    store = open_store(tmp_path / "r")
    (store.partial / "aa.host.123").mkdir()
    (store.partial / "bb.host.123").mkdir()
    with store.claim("aa"):
        pass
    assert [p.name for p in store.partial.iterdir()] == ["bb.host.123"]


def test_kept_runs_follow_a_renamed_axis_value(tmp_path):
    store = open_store(tmp_path / "r")
    store.commit("aa", {"run_id": "aa", "axes": {"policy": "old"}}, TABLE)
    store.relabel("aa", {"policy": "new"})
    assert json.loads((store.root / "runs/aa/run.json").read_text())["axes"] == {"policy": "new"}
    assert store.state("aa") == "done"


def test_a_directory_of_another_experiment_is_refused(tmp_path):
    open_store(tmp_path / "r")
    with pytest.raises(InputError, match="holds results of the experiment 'fake', not of 'other'"):
        ResultStore.create(tmp_path / "r", experiment="other", plan={}, source="")


def test_a_directory_of_another_schema_is_refused(tmp_path):
    store = open_store(tmp_path / "r")
    (store.root / "plan.json").write_text('{"experiment": "fake", "schema_version": 0}')
    with pytest.raises(InputError, match="schema version 0"):
        open_store(tmp_path / "r")


def test_a_directory_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="holds other files and no results"):
        open_store(tmp_path)


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "r").write_text("x")
    with pytest.raises(InputError, match="not a directory"):
        open_store(tmp_path / "r")


def test_a_place_where_nothing_can_be_written_is_one_message():
    with pytest.raises(InputError, match="cannot write results"):
        ResultStore.create(
            __import__("pathlib").Path("/proc/nowhere/r"), experiment="x", plan={"experiment": "x"}, source=""
        )


def test_a_full_disk_leaves_finished_runs_whole_and_says_so(tmp_path, monkeypatch):
    store = open_store(tmp_path / "r")
    store.commit("aa", {"run_id": "aa"}, TABLE)

    def full(path, table):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("ksched.experiments.store.write_table", full)
    with pytest.raises(InputError, match=r"No space left on device(.|\n)*finished runs are whole"):
        store.commit("bb", {"run_id": "bb"}, TABLE)
    assert [p.name for p in store.runs.iterdir()] == ["aa"]
    assert list(store.partial.iterdir()) == []
    assert store.state("aa") == "done"


def test_parquet_bytes_ignore_chunks_and_metadata(tmp_path):
    whole = pa.table({"t": [1, 2, 3], "s": ["a", "b", "a"]})
    pieces = pa.concat_tables([whole.slice(0, 1), whole.slice(1)]).replace_schema_metadata({"written": "today"})
    write_table(tmp_path / "a", whole)
    write_table(tmp_path / "b", pieces)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
