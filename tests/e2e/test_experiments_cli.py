"""`ksched run`, `results` and `compare` as a user types them: what they print, what they leave, how they fail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ksched.cli import main
from ksched.traces import write_trace
from ksched.traces.generate import generate
from ksched.traces.generator_config import GeneratorConfig

Ksched = Callable[..., tuple[int, str]]

GOOD = """
name: small
question: Does it run?
axes:
  policy: {default: {filter: [GpuShare]}, random: {score: {Random: 1}, filter: [GpuShare]}}
  seed: [1, 2]
trace: {path: trace, replay: {mode: inflate, resource: cpu, ratio: 0.7}}
"""


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trace") / "trace"
    write_trace(generate(GeneratorConfig(name="small", seed=5, pods=40, nodes=8)), folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path, trace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "trace").symlink_to(trace)
    (tmp_path / "experiment.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ksched(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ksched:
    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["ksched", *arguments])
        monkeypatch.setenv("COLUMNS", "200")
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        captured = capfd.readouterr()
        return code, captured.out + captured.err

    return call


def test_a_plan_can_be_looked_at_without_running(folder: Path, ksched: Ksched) -> None:
    code, text = ksched("run", "experiment.yaml", "--dry-run", "--only", "policy=random")
    assert code == 0
    assert text.count("missing") == 2
    assert "2 runs, 0 of them finished" in text
    assert not (folder / "results").exists()


def test_runs_are_kept_and_listed(folder: Path, ksched: Ksched) -> None:
    code, text = ksched("run", "experiment.yaml", "-o", "out", "-j", "1", "--only", "seed=1")
    assert (code, "2 runs done" in text) == (0, True), text
    code, text = ksched("run", "experiment.yaml", "-o", "out", "-j", "1")
    assert (code, "2 runs done" in text, "2 kept" in text) == (0, True, True), text
    code, text = ksched("results", "out", "--only", "policy=random")
    assert (code, "2 done" in text, "random" in text, "default" in text) == (0, True, True, False), text


def test_compare_ends_with_a_table_and_a_page(folder: Path, ksched: Ksched) -> None:
    code, text = ksched("compare", "experiment.yaml", "-j", "1")
    assert code == 0, text
    assert "random" in text
    assert "baseline" in text
    page = folder / "results" / "small" / "report" / "index.html"
    assert "</html>" in page.read_text()


def test_python_needs_no_more_words_than_the_command_line(folder: Path) -> None:
    from ksched.experiments import run_experiment
    from ksched.report import open_results

    sweep = run_experiment("experiment.yaml", "out", jobs=1, progress=False, only=["policy=default"])
    assert len(sweep.result.done) == 2
    pods = open_results(sweep.directory).table("pods")
    assert set(pods["policy"]) == {"default"}


RAISES = "raise ValueError('no such luck')"
PLUGIN = """
import numpy as np
class Bad:
    name = "Bad"
    node_local = {local}
    def {method}(self, cycle, pod, nodes):
        {body}
"""
BAD_PLUGINS = {
    "a score that raises": ("score", RAISES, "no such luck"),
    "a filter that raises": ("filter", RAISES, "no such luck"),
    "a score of the wrong shape": ("score", "return np.zeros(3, dtype=np.int64)", "Bad"),
    "a score of NaN": ("score", "return np.full(len(nodes), np.nan)", "Bad"),
    "a score out of range": ("score", "return np.full(len(nodes), 101, dtype=np.int64)", "101"),
    "a filter of the wrong type": ("filter", "return 'yes'", "Bad"),
    "a filter that writes into the table": ("filter", "nodes.allocatable('cpu')[:] = 0", "read-only"),
}


@pytest.mark.parametrize("case", BAD_PLUGINS, ids=str)
def test_a_bad_plugin_fails_its_runs_with_one_message(case: str, folder: Path, ksched: Ksched) -> None:
    method, body, message = BAD_PLUGINS[case]
    (folder / "bad.py").write_text(PLUGIN.format(method=method, body=body, local=True))
    enable = "score: {'bad.py:Bad': 1}" if method == "score" else "filter: ['bad.py:Bad']"
    text = GOOD.replace("random: {score: {Random: 1}, filter: [GpuShare]}", f"bad: {{{enable}}}").replace(
        "[1, 2]", "[1]"
    )
    (folder / "experiment.yaml").write_text(text)
    code, text = ksched("run", "experiment.yaml", "-o", "out", "-j", "1")
    assert code == 2, text
    assert "1 of 2 runs failed; the first (policy=bad seed=1" in text
    assert message in text
    assert "Traceback" not in text
    assert "1 runs done" in text, "the other policy's run is whole"
    (failed,) = (folder / "out" / "runs").glob("*.failed")
    assert "Traceback" in (failed / "traceback.txt").read_text()


BAD_FILES = {
    "an unknown plugin": (GOOD.replace("Random:", "Radnom:"), "did you mean 'Random'?"),
    "a typo in a key": (GOOD.replace("axes:", "axis:"), "did you mean 'axes'?"),
    "a typo deep inside": (GOOD.replace("ratio:", "ration:"), "did you mean 'ratio'?"),
    "malformed YAML": (GOOD.replace("[1, 2]", "[1, 2"), "experiment.yaml:"),
    "a missing trace": (GOOD.replace("path: trace", "path: nothing"), "no such trace directory"),
    "no runs": (GOOD.replace("[1, 2]", "[]"), "has no values"),
    "a mode the trace cannot do": (GOOD.replace("resource: cpu", "resource: cpus"), "'cpu'"),
}


@pytest.mark.parametrize("case", BAD_FILES, ids=str)
def test_a_bad_file_is_one_message_and_leaves_nothing(case: str, folder: Path, ksched: Ksched) -> None:
    text, message = BAD_FILES[case]
    (folder / "experiment.yaml").write_text(text)
    code, output = ksched("run", "experiment.yaml", "-o", "out")
    assert code == 2, output
    assert message in output
    assert "Traceback" not in output
    assert not (folder / "out").exists()


def test_a_truncated_trace_is_one_message(folder: Path, trace: Path, ksched: Ksched) -> None:
    (folder / "trace").unlink()
    (folder / "trace").mkdir()
    for file in trace.iterdir():
        data = file.read_bytes()
        (folder / "trace" / file.name).write_bytes(data[: len(data) // 2] if file.name == "pods.parquet" else data)
    code, text = ksched("run", "experiment.yaml", "-o", "out")
    assert code == 2, text
    assert "pods.parquet" in text
    assert "Traceback" not in text


@pytest.mark.parametrize("only", ["policy=radnom", "polciy=random", "random"])
def test_a_selection_that_names_nothing(only: str, folder: Path, ksched: Ksched) -> None:
    code, text = ksched("run", "experiment.yaml", "-o", "out", "--only", only)
    assert (code, "--only" in text, "Traceback" in text) == (2, True, False), text


def test_output_that_cannot_be_written(folder: Path, ksched: Ksched) -> None:
    (folder / "file").write_text("x")
    for place in ("file", "file/out", "/proc/out"):
        code, text = ksched("run", "experiment.yaml", "-o", place)
        assert (code, "Traceback" in text) == (2, False), text
        assert "-o DIR" in text


def test_a_directory_of_another_experiment(folder: Path, ksched: Ksched) -> None:
    assert ksched("run", "experiment.yaml", "-o", "out", "-j", "1", "--only", "seed=1")[0] == 0
    (folder / "experiment.yaml").write_text(GOOD.replace("name: small", "name: other"))
    code, text = ksched("run", "experiment.yaml", "-o", "out")
    assert (code, "holds results of the experiment 'small', not of 'other'" in text) == (2, True), text


def test_results_of_something_else(folder: Path, ksched: Ksched) -> None:
    code, text = ksched("results", "trace")
    assert (code, "no result directory" in text) == (2, True), text


def test_a_stranger_s_plugin_in_a_profile_is_compared_with_the_defaults(folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "policy.py").write_text(
        "class LeastPods:\n"
        "    name = 'LeastPods'\n"
        "    node_local = True\n"
        "    def score(self, cycle, pod, nodes):\n"
        "        return 100 - 100 * nodes.requested('pods') // nodes.allocatable('pods')\n"
    )
    (folder / "mine" / "profile.yaml").write_text(
        "apiVersion: kubescheduler.config.k8s.io/v1\n"
        "kind: KubeSchedulerConfiguration\n"
        "profiles:\n"
        "- plugins:\n"
        "    score: {disabled: [{name: '*'}], enabled: [{name: 'policy.py:LeastPods', weight: 1}]}\n"
    )
    text = GOOD.replace("random: {score: {Random: 1}, filter: [GpuShare]}", "mine: mine/profile.yaml")
    (folder / "experiment.yaml").write_text(text)
    # From another directory and with two workers: the file is found wherever the command is typed.
    command = [
        sys.executable,
        "-m",
        "ksched",
        "run",
        str(folder / "experiment.yaml"),
        "-o",
        str(folder / "out"),
        "-j",
        "2",
    ]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert "4 runs done" in done.stderr


SEEDS = GOOD.replace("[1, 2]", "{range: [1, 12]}")


def test_seeds_are_added_until_the_interval_is_narrow_enough(folder: Path, ksched: Ksched) -> None:
    (folder / "experiment.yaml").write_text(SEEDS)
    command = ("compare", "experiment.yaml", "-o", "out", "-j", "1", "--until", "scheduled pods=1000")
    code, text = ksched(*command)
    assert (code, "20 runs done" in text) == (0, True), text
    assert "reached after 10 of 12 seeds" in " ".join(text.split()), text
    page = (folder / "out" / "report" / "index.html").read_bytes()
    assert b"reached after 10 of 12 seeds" in page
    code, text = ksched(*command)
    assert (code, "0 runs done" in text, "20 kept" in text) == (0, True, True), text
    assert (folder / "out" / "report" / "index.html").read_bytes() == page
    code, text = ksched(*command[:-1], "imbalance_final.cpu=0.0001")
    assert (code, "4 runs done" in text) == (0, True), text
    assert "not reached with 12 of 12 seeds" in " ".join(text.split()), text


WRONG_METRICS = {
    "an unknown metric in --until": ([], ["--until", "pendign_p99=5%"], "did you mean 'pending_p99'?"),
    "no width in --until": ([], ["--until", "pending_p99"], "not of the form METRIC=WIDTH"),
    "an unknown primary metric": (["primary: [pendign_p99]"], [], "did you mean 'pending_p99'?"),
    "a metric that is not there": (["metrics: [mine.py:f]"], [], "the file 'mine.py' does not exist"),
}


@pytest.mark.parametrize("case", WRONG_METRICS, ids=str)
def test_a_wrong_metric_is_said_before_anything_runs(case: str, folder: Path, ksched: Ksched) -> None:
    lines, options, message = WRONG_METRICS[case]
    (folder / "experiment.yaml").write_text("\n".join([GOOD, *lines, ""]))
    code, text = ksched("compare", "experiment.yaml", "-o", "out", *options)
    assert (code, message in text, (folder / "out").exists()) == (2, True, False), text
