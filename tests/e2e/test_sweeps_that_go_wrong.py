"""A full disk, a policy edited meanwhile, a slip of the pen: one message, exit code 2, finished results whole."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import ksched
from ksched.traces import write_trace
from ksched.traces.generate import generate
from ksched.traces.generator_config import GeneratorConfig

from .conftest import Cli

POLICY = """
class Mine:
    name = "Mine"
    node_local = True
    def score(self, cycle, pod, nodes):
        return nodes.free("cpu") * 0
"""
EXPERIMENT = """
name: small
axes:
  policy: {mine: {score: {"mine.py:Mine": 1}, filter: [GpuShare]}, best: {score: {BestFit: 1}, filter: [GpuShare]}}
  seed: [1, 2]
trace: {path: trace, replay: {mode: inflate, resource: cpu, ratio: 0.7}}
"""


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trace") / "trace"
    write_trace(generate(GeneratorConfig(name="small", seed=5, pods=40, nodes=8)), folder)
    return folder


@pytest.fixture
def folder(cli: Cli, tmp_path: Path, trace: Path) -> Path:
    (tmp_path / "trace").symlink_to(trace)
    (tmp_path / "mine.py").write_text(POLICY)
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def no_space() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_full_disk_leaves_finished_runs_whole_and_says_so(jobs, folder, cli):
    assert cli("run", "experiment.yaml", "-o", "out", "-j", "1", "--only", "seed=1").code == 0
    before = files(folder / "out" / "runs")
    command = [sys.executable, "-m", "ksched", "run", "experiment.yaml", "-o", "out", "-j", jobs]
    # No file may grow beyond 6000 bytes: to a writer that is the same as a disk that fills up.
    full = subprocess.run(command, cwd=folder, capture_output=True, text=True, preexec_fn=no_space)
    assert full.returncode == 2, full.stderr
    assert full.stderr.count("error: ") == 1
    assert "cannot write results" in full.stderr
    assert "finished runs are whole" in full.stderr
    assert "Traceback" not in full.stderr
    assert files(folder / "out" / "runs") == before
    assert cli("run", "experiment.yaml", "-o", "out", "-j", "1").code == 0, "with space again it goes on"
    assert set(before) < set(files(folder / "out" / "runs"))


def test_an_edited_policy_is_run_again_and_the_others_are_kept(folder, cli):
    assert "4 runs done" in cli("run", "experiment.yaml", "-o", "out", "-j", "1").err
    (folder / "mine.py").write_text(POLICY.replace("* 0", "* 0 + 1"))
    again = cli("run", "experiment.yaml", "-o", "out", "-j", "1").err
    assert "2 runs done" in again
    assert "2 kept" in again
    assert ksched.results(folder / "out")["status"].value_counts().to_dict() == {"done": 4, "stale": 2}


def test_a_policy_edited_while_its_experiment_runs_fails_its_runs_alone(folder, cli):
    # The file edits itself when it decides the first time, as somebody with an editor would.
    (folder / "mine.py").write_text(
        POLICY.replace("        return", "        open(__file__, 'a').write('# edited\\n')\n        return")
    )
    outcome = cli("run", "experiment.yaml", "-o", "out", "-j", "1")
    assert outcome.code == 2
    assert "Traceback" not in outcome.err
    assert "the source of Mine changed after the experiment was started" in outcome.err
    frame = ksched.results(folder / "out")
    assert list(frame.sort_values(["policy", "seed"])["status"])[:2] == ["done", "done"], "best-fit is not affected"
    assert "failed" in set(frame[frame["policy"] == "mine"]["status"])


def test_failed_runs_are_tried_again_and_finished_ones_kept(folder, cli):
    (folder / "mine.py").write_text(POLICY.replace("return", "raise ValueError('no luck')\n        return"))
    assert cli("run", "experiment.yaml", "-o", "out", "-j", "1").code == 2
    again = cli("run", "experiment.yaml", "-o", "out", "-j", "1")
    assert "0 runs done" in again.err
    assert "2 kept, 2 failed" in again.err
    (folder / "mine.py").write_text(POLICY)
    assert "2 runs done" in cli("run", "experiment.yaml", "-o", "out", "-j", "1").err


MILLION = EXPERIMENT.replace("[1, 2]", "{range: [1, 500000]}")


def test_a_million_runs_must_be_meant(folder, cli):
    (folder / "experiment.yaml").write_text(MILLION)
    assert cli("run", "experiment.yaml", "-o", "out").complains("multiply to 1,000,000 runs", "--yes")
    assert not (folder / "out").exists()


def test_a_million_runs_are_asked_about_on_a_terminal(folder, cli, monkeypatch):
    (folder / "experiment.yaml").write_text(MILLION)
    asked = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda text, abort: asked.append(text) or sys.exit(1))
    assert cli("run", "experiment.yaml", "-o", "out").code == 1
    assert asked == ["The axes multiply to 1,000,000 runs. Go on?"]
    assert not (folder / "out").exists()


def test_arguments_and_weights_of_a_policy_are_axes(folder, cli):
    (folder / "experiment.yaml").write_text("""
name: small
axes:
  weight: [0, 1, 5]
  strategy: [LeastAllocated, MostAllocated]
policy:
  score: {FreeMemory: "${weight}", NodeResourcesFit: 1}
  filter: [GpuShare]
  args: {NodeResourcesFit: {scoringStrategy: {type: "${strategy}", resources: [{name: cpu, weight: 1}]}}}
trace: {path: trace, replay: {mode: inflate, resource: cpu, ratio: 0.7}}
""")
    done = cli("run", "experiment.yaml", "-o", "out", "-j", "1", "--only", "weight=5", "--only", "weight=0")
    assert "4 runs done" in done.err
    named = cli("results", "diff", "out/weight=5,strategy=LeastAllocated", "out/weight=5,strategy=MostAllocated").out
    assert "args.scoringStrategy.type\n  LeastAllocated | MostAllocated" in named


@pytest.mark.parametrize("name", ["run_id", "status", "wall_s"])
def test_an_axis_called_like_a_column_of_runs_is_refused(name, folder, cli):
    (folder / "experiment.yaml").write_text(EXPERIMENT.replace("  seed:", f"  {name}: [1]\n  seed:"))
    assert cli("run", "experiment.yaml").complains(f"{name!r} cannot be the name of an axis", "experiment.yaml:")


def test_an_unknown_executor_is_one_message_and_leaves_nothing(folder, cli):
    assert cli("run", "experiment.yaml", "-o", "out", "--executor", "dsak://x:1").complains("use processes or dask://")
    assert not (folder / "out").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can mount a small file system")
@pytest.mark.slow
def test_a_disk_that_really_is_full(folder, cli):
    script = (
        "mkdir disk && mount -t tmpfs -o size=200k,nr_inodes=400 none disk && "
        f"{sys.executable} -m ksched run experiment.yaml -o disk/out -j 1; code=$?; cp -r disk/out copy; exit $code"
    )
    (folder / "experiment.yaml").write_text(EXPERIMENT.replace("[1, 2]", "{range: [1, 20]}"))
    full = subprocess.run(["unshare", "-m", "sh", "-c", script], cwd=folder, capture_output=True, text=True)
    if "unshare" in full.stderr or "mount:" in full.stderr:
        pytest.skip(f"no mounts here: {full.stderr.strip()}")
    assert full.returncode == 2, full.stderr
    assert "No space left on device" in full.stderr
    assert list((folder / "copy" / "partial").iterdir()) == []
    done = [folder / "copy" / "runs" / name for name in os.listdir(folder / "copy" / "runs")]
    assert done
    whole = {p.name: files(p) for p in done}
    assert cli("run", "experiment.yaml", "-o", "out", "-j", "1").code == 0
    assert all(files(folder / "out" / "runs" / name) == content for name, content in whole.items())
