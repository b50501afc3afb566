"""A sweep: same bytes whatever the workers do, failures that stay alone, and resuming after any kind of death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ksched.experiments.runner import Interrupted

from .fakes import contents, open_store, spec, sweep


def test_bytes_do_not_depend_on_workers_or_order(tmp_path):
    specs = [spec(n) for n in range(6)]
    sweep(specs, tmp_path / "one", jobs=1)
    sweep(specs[::-1], tmp_path / "two", jobs=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(contents(tmp_path / "one")) == 6 * 3


def test_finished_runs_are_kept_untouched(tmp_path):
    sweep([spec(n) for n in range(3)], tmp_path / "r")
    before = (tmp_path / "r/runs" / spec(0).run_id / "pods.parquet").stat().st_mtime_ns
    result = sweep([spec(n) for n in range(5)], tmp_path / "r")
    assert (len(result.kept), len(result.done)) == (3, 2)
    assert (tmp_path / "r/runs" / spec(0).run_id / "pods.parquet").stat().st_mtime_ns == before


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    ("behaviour", "message"), [("raise", "ValueError: no such luck"), ("bad-plugin", "score: plugin P")]
)
def test_a_failing_run_is_recorded_and_the_others_go_on(jobs, behaviour, message, tmp_path):
    store = open_store(tmp_path / "r")
    result = sweep([spec(0), spec(1, behaviour), spec(2)], store.root, jobs=jobs)
    assert sorted(result.done) == [spec(0).run_id, spec(2).run_id]
    assert message in result.failed[spec(1).run_id]
    folder = store.root / "runs" / f"{spec(1).run_id}.failed"
    assert "Traceback" in (folder / "traceback.txt").read_text()
    assert store.facts(spec(1).run_id)["status"] == "failed"


def test_a_failed_run_is_tried_again(tmp_path):
    store = open_store(tmp_path / "r")
    sweep([spec(1, "raise")], store.root, jobs=1)
    result = sweep([spec(1)], store.root, jobs=1)
    assert result.done == [spec(1).run_id]
    assert store.state(spec(1).run_id) == "done"


def test_a_run_that_kills_its_worker_fails_and_the_others_go_on(tmp_path):
    store = open_store(tmp_path / "r")
    result = sweep([spec(0), spec(1, "crash"), spec(2)], store.root, jobs=2)
    assert sorted(result.done + result.kept) == [spec(0).run_id, spec(2).run_id]
    assert "worker process died" in result.failed[spec(1).run_id]


def test_ctrl_c_says_what_is_finished(tmp_path):
    with pytest.raises(Interrupted, match="1 of 3 runs are finished in"):
        sweep([spec(0), spec(1, "interrupt"), spec(2)], tmp_path / "r", jobs=1)


def start(root: Path, jobs: int, runs: int) -> subprocess.Popen[bytes]:
    here = Path(__file__).parent
    return subprocess.Popen(
        [sys.executable, "-m", f"{here.name}.fakes", str(root), str(jobs), str(runs)],
        cwd=here.parent,
        start_new_session=True,
    )


def finished(root: Path) -> int:
    return len(list(root.glob("runs/*/run.json")))


def test_killed_at_any_moment_it_resumes_to_the_same_bytes(tmp_path):
    sweep([spec(n, "slow") for n in range(20)], tmp_path / "calm", jobs=2)
    stormy = tmp_path / "stormy"
    for enough in (1, 4, 9, 15):
        sweeping = start(stormy, 2, 20)
        while finished(stormy) < enough and sweeping.poll() is None:
            time.sleep(0.003)
        # The driver alone is killed; its workers must notice and drop their claims.
        os.kill(sweeping.pid, signal.SIGKILL)
        sweeping.wait()
    assert finished(stormy) < 20, "the sweep was never interrupted"
    assert start(stormy, 2, 20).wait(timeout=60) == 0
    assert contents(stormy) == contents(tmp_path / "calm")


def test_two_sweeps_on_one_directory_share_the_work(tmp_path):
    sweep([spec(n, "slow") for n in range(16)], tmp_path / "calm", jobs=1)
    both = [start(tmp_path / "shared", 1, 16) for _ in range(2)]
    assert [sweeping.wait(timeout=60) for sweeping in both] == [0, 0]
    assert contents(tmp_path / "shared") == contents(tmp_path / "calm")
