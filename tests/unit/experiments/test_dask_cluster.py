"""The same sweep on a Dask cluster: same bytes, whatever dies, and a scheduler that never holds more than it needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ksched.errors import InputError
from ksched.experiments.executors import Executor, make_executor
from ksched.experiments.runner import Silent, run_all

from .fakes import contents, open_store, simulate, spec, sweep

distributed = pytest.importorskip("distributed", reason="needs the extra ksched[dask]")
pytestmark = pytest.mark.filterwarnings("default")  # Dask's own warnings are not ours to fix


@pytest.fixture(scope="module")
def cluster() -> Iterator[distributed.LocalCluster]:
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as local:
        yield local


def on(cluster: distributed.LocalCluster) -> Executor:
    return make_executor(f"dask://{cluster.scheduler_address.removeprefix('tcp://')}", 1)


def test_results_are_the_same_bytes_as_in_this_process_and_failures_stay_alone(cluster, tmp_path):
    specs = [spec(n) for n in range(8)] + [spec(8, "raise")]
    sweep(specs, tmp_path / "here")
    result = run_all(specs, open_store(tmp_path / "dask"), simulate, on(cluster))
    assert (len(result.done), list(result.failed)) == (8, [spec(8).run_id])
    finished = [{k: v for k, v in contents(tmp_path / d).items() if ".failed" not in k} for d in ("here", "dask")]
    assert finished[0] == finished[1]


class Heard(Silent):
    """Notes of which runs there was progress."""

    def __init__(self) -> None:
        self.runs: set[str] = set()

    def running(self, run_id: str, done: int, total: int) -> None:
        self.runs.add(run_id)


def test_progress_comes_back_from_the_workers(cluster, tmp_path):
    specs = [spec(n, "slow") for n in range(6)]
    heard = Heard()
    run_all(specs, open_store(tmp_path / "r"), simulate, on(cluster), heard)
    assert heard.runs
    assert heard.runs <= {s.run_id for s in specs}


def test_a_killed_worker_costs_no_run_and_changes_no_byte(cluster, tmp_path):
    specs = [spec(n, "slow") for n in range(24)]
    sweep(specs, tmp_path / "calm", jobs=2)
    store = open_store(tmp_path / "dask")
    pids = [nanny.pid for nanny in cluster.workers.values()]

    def kill_one() -> None:
        while len(list(store.runs.iterdir())) < 6:
            time.sleep(0.005)
        os.kill(pids[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    result = run_all(specs, store, simulate, on(cluster))
    killer.join()
    assert len(result.done) + len(result.kept) == 24
    assert contents(tmp_path / "dask") == contents(tmp_path / "calm")


@pytest.mark.slow
def test_a_run_that_kills_its_workers_fails_and_the_others_go_on(cluster, tmp_path):
    result = run_all([spec(0), spec(1, "crash"), spec(2)], open_store(tmp_path / "r"), simulate, on(cluster))
    assert sorted(result.done + result.kept) == [spec(0).run_id, spec(2).run_id]
    assert "worker process died" in result.failed[spec(1).run_id]


def test_the_scheduler_never_has_more_than_two_runs_a_worker(cluster, tmp_path, monkeypatch):
    executor = on(cluster)
    most = 0
    submit = executor.submit

    def counted(task):
        nonlocal most
        submit(task)
        most = max(most, len(executor._futures))

    monkeypatch.setattr(executor, "submit", counted)
    run_all([spec(n) for n in range(30)], open_store(tmp_path / "r"), simulate, executor)
    assert 0 < most <= 4


def test_a_killed_driver_loses_no_finished_run_and_resumes_to_the_same_bytes(cluster, tmp_path):
    specs = [spec(n, "slow") for n in range(24)]
    sweep(specs, tmp_path / "calm", jobs=2)
    here = Path(__file__).parent
    address = cluster.scheduler_address.removeprefix("tcp://")
    driver = subprocess.Popen(
        [sys.executable, "-m", f"{here.name}.fakes", str(tmp_path / "dask"), f"dask://{address}", "24"], cwd=here.parent
    )
    runs = tmp_path / "dask" / "runs"
    while not runs.is_dir() or len(list(runs.iterdir())) < 6:
        time.sleep(0.01)
    driver.kill()
    driver.wait()
    finished = set(os.listdir(runs))
    assert 6 <= len(finished) < 24
    result = run_all(specs, open_store(tmp_path / "dask"), simulate, on(cluster))
    assert set(result.kept) >= finished
    assert contents(tmp_path / "dask") == contents(tmp_path / "calm")


def test_no_scheduler_there_is_one_message(monkeypatch):
    monkeypatch.setattr("ksched.experiments.dask_cluster._CONNECT_S", 0.5)
    with pytest.raises(InputError, match=r"no Dask scheduler at localhost:1\b"):
        make_executor("dask://localhost:1", 1)


def test_workers_with_several_threads_are_refused(tmp_path):
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=True, dashboard_address=":0") as local,
        pytest.raises(InputError, match="has 2 threads"),
    ):
        run_all([spec(0)], open_store(tmp_path / "r"), simulate, on(local))


@pytest.mark.parametrize("name", ["dask", "dask://", "proceses", "threads"])
def test_an_unknown_executor_is_explained(name):
    with pytest.raises(InputError, match="use processes or dask://HOST:PORT"):
        make_executor(name, 1)
