"""A sweep: same bytes whatever the workers do, failures that stay alone, and resuming after any kind of death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ksched.experiments.runner import Interrupted, run_all

from .fakes import open_store, simulate, spec


def contents(root: Path) -> dict[str, bytes]:
    """Everything that must be the same: all files below runs/."""
    runs = root / "runs"
    return {str(p.relative_to(runs)): p.read_bytes() for p in sorted(runs.rglob("*")) if p.is_file()}


def sweep(root: Path, count: int, jobs: int, order: int = 1):
    return run_all([spec(n) for n in range(count)][::order], open_store(root), simulate, jobs=jobs)


def test_bytes_do_not_depend_on_workers_or_order(tmp_path):
    sweep(tmp_path / "one", 6, jobs=1)
    sweep(tmp_path / "two", 6, jobs=2, order=-1)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(contents(tmp_path / "one")) == 6 * 3


def test_finished_runs_are_kept_untouched(tmp_path):
    sweep(tmp_path / "r", 3, jobs=1)
    before = (tmp_path / "r/runs" / spec(0).run_id / "pods.parquet").stat().st_mtime_ns
    result = sweep(tmp_path / "r", 5, jobs=1)
    assert (len(result.kept), len(result.done)) == (3, 2)
    assert (tmp_path / "r/runs" / spec(0).run_id / "pods.parquet").stat().st_mtime_ns == before


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    ("behaviour", "message"), [("raise", "ValueError: no such luck"), ("bad-plugin", "score: plugin P")]
)
def test_a_failing_run_is_recorded_and_the_others_go_on(jobs, behaviour, message, tmp_path):
    store = open_store(tmp_path / "r")
    result = run_all([spec(0), spec(1, behaviour), spec(2)], store, simulate, jobs=jobs)
    assert sorted(result.done) == [spec(0).run_id, spec(2).run_id]
    assert message in result.failed[spec(1).run_id]
    folder = store.root / "runs" / f"{spec(1).run_id}.failed"
    assert "Traceback" in (folder / "traceback.txt").read_text()
    assert store.failure(spec(1).run_id)["status"] == "failed"


def test_a_failed_run_is_tried_again(tmp_path):
    store = open_store(tmp_path / "r")
    run_all([spec(1, "raise")], store, simulate, jobs=1)
    result = run_all([spec(1)], store, simulate, jobs=1)
    assert result.done == [spec(1).run_id]
    assert store.state(spec(1).run_id) == "done"


def test_a_run_that_kills_its_worker_fails_and_the_others_go_on(tmp_path):
    store = open_store(tmp_path / "r")
    result = run_all([spec(0), spec(1, "crash"), spec(2)], store, simulate, jobs=2)
    assert sorted(result.done + result.kept) == [spec(0).run_id, spec(2).run_id]
    assert "worker process died" in result.failed[spec(1).run_id]


def test_ctrl_c_says_what_is_finished(tmp_path):
    with pytest.raises(Interrupted, match="1 of 3 runs are finished in"):
        run_all([spec(0), spec(1, "interrupt"), spec(2)], open_store(tmp_path / "r"), simulate, jobs=1)


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
    run_all([spec(n, "slow") for n in range(20)], open_store(tmp_path / "calm"), simulate, jobs=2)
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
    run_all([spec(n, "slow") for n in range(16)], open_store(tmp_path / "calm"), simulate, jobs=1)
    both = [start(tmp_path / "shared", 1, 16) for _ in range(2)]
    assert [sweeping.wait(timeout=60) for sweeping in both] == [0, 0]
    assert contents(tmp_path / "shared") == contents(tmp_path / "calm")
