"""Worker processes: what they import, and what their death costs."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from ksched.errors import InputError
from ksched.experiments.executors import Processes, Task
from ksched.experiments.file import load_experiment
from ksched.experiments.plan import make_plan
from ksched.experiments.run_spec import Outcome
from ksched.experiments.runner import Silent, run_all
from ksched.experiments.store import ResultStore
from ksched.result_directory import read_json

from .fakes import contents, open_store, simulate, simulate_and_list_modules, spec, sweep
from .small import experiment_file, make_trace


def planned(path: Path, output: Path):
    plan = make_plan(load_experiment(path))
    return plan, ResultStore.create(output, experiment=plan.experiment.name, plan=plan.to_json(), source="")


def test_a_worker_imports_neither_charts_nor_statistics_nor_the_terminal(tmp_path):
    make_trace(tmp_path, [{}])
    plan, store = planned(experiment_file(tmp_path), tmp_path / "r")
    run_all(plan.selected, store, simulate_and_list_modules, Processes(1))
    modules = set(store.facts(plan.selected[0].run_id)["notes"])
    assert "ksched.experiments.driver" in modules
    assert not modules & {
        "altair",
        "pandas",
        "scipy",
        "jinja2",
        "rich",
        "typer",
        "duckdb",
        "distributed",
        "ksched.report",
    }


@pytest.mark.slow
def test_a_run_of_the_quickstart_stays_below_300_mib(tmp_path):
    path = Path(__file__).parents[3] / "experiments" / "quickstart"
    plan, store = planned(path, tmp_path / "r")
    from ksched.experiments.driver import simulate as real

    run_all(plan.selected[:1], store, real, Processes(1))
    assert store.timing(plan.selected[0].run_id)["max_rss_kib"] < 300 * 1024


class KillOnce(Silent):
    """Kills the process that computes a run when the run is first heard of."""

    def __init__(self, executor: Processes, run_id: str) -> None:
        self.executor = executor
        self.run_id: str | None = run_id

    def running(self, run_id: str, done: int, total: int) -> None:
        if run_id == self.run_id:
            self.run_id = None
            (process,) = [p for p in self.executor._busy.values() if p.run_id == run_id]
            os.kill(process._process.pid, signal.SIGKILL)


def test_a_killed_worker_costs_no_run_and_changes_no_byte(tmp_path):
    specs = [spec(n, "slow") for n in range(6)]
    sweep(specs, tmp_path / "calm")
    executor = Processes(2)
    watcher = KillOnce(executor, specs[3].run_id)
    result = run_all(specs, open_store(tmp_path / "r"), simulate, executor, watcher)
    assert watcher.run_id is None, "the worker was never killed"
    assert (len(result.done) + len(result.kept), result.failed) == (6, {})
    assert contents(tmp_path / "r") == contents(tmp_path / "calm")


def test_workers_that_cannot_start_are_one_message(tmp_path, monkeypatch):
    monkeypatch.setattr("ksched.experiments.executors._serve", os.abort)
    with pytest.raises(InputError, match="worker processes die while they start"):
        run_all([spec(n) for n in range(5)], open_store(tmp_path / "r"), simulate, Processes(1))


def test_nothing_is_left_running_when_a_sweep_is_over(tmp_path):
    executor = Processes(2)
    with executor:
        for n in range(2):
            executor.submit(Task(spec(n, "slow"), open_store(tmp_path / "r"), simulate))
        processes = [p._process for p in executor._busy.values()]
        assert executor.room() == []
    assert not any(process.is_alive() for process in processes)


def test_a_run_says_what_its_identity_is_made_of(tmp_path):
    make_trace(tmp_path, [{}])
    plan, store = planned(experiment_file(tmp_path), tmp_path / "r")
    (one,) = plan.selected
    from ksched.experiments.driver import simulate as real

    outcome = Task(one, store, real)(lambda done, total: None)
    assert outcome == Outcome(one.run_id, "done", seconds=outcome.seconds)
    facts = read_json(store.run_folder(one.run_id) / "run.json")
    assert set(facts["ksched"]) == {"version", "source"}
    assert facts["plugins"]["NodeResourcesFit"] == one.plugin_hashes["NodeResourcesFit"]


def test_another_ksched_than_the_one_that_planned_a_run_does_not_compute_it(tmp_path):
    from dataclasses import replace

    store = open_store(tmp_path / "r")
    other = replace(spec(1), ksched={"version": "0", "source": "another"})
    result = run_all([other, spec(2)], store, simulate, Processes(1))
    assert result.done == [spec(2).run_id]
    assert "ksched itself changed" in result.failed[other.run_id]
