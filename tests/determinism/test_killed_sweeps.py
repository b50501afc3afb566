"""A sweep killed at any moment, or run by two at once, ends with the bytes of an undisturbed one."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ksched.traces import write_trace
from ksched.traces.generate import generate
from ksched.traces.generator_config import GeneratorConfig

EXPERIMENT = """
name: killed
axes:
  policy: {random: {score: {Random: 1}, filter: [GpuShare]}, best: {score: {BestFit: 1}, filter: [GpuShare]}}
  seed: {range: [1, 30]}
trace: {path: trace, replay: {mode: timestamp}}
"""
KILLS = 10


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    write_trace(generate(GeneratorConfig(name="small", seed=5, pods=60, nodes=8)), folder / "trace")
    (folder / "experiment.yaml").write_text(EXPERIMENT)
    return folder / "experiment.yaml"


def start(experiment: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ksched", "run", str(experiment), "-o", str(output), "-j", "2"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def contents(output: Path) -> dict[str, bytes]:
    """All that a sweep leaves but wall-clock times, locks and leftovers of the dead, links followed."""
    kept = ("runs", "tables", "plan.json", "experiment.yaml")
    paths = [p for name in kept for p in sorted([output / name, *(output / name).rglob("*")]) if p.is_file()]
    return {str(p.relative_to(output)): p.read_bytes() for p in paths}


@pytest.fixture(scope="module")
def undisturbed(experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("undisturbed") / "r"
    assert start(experiment, output).wait() == 0
    return contents(output)


@pytest.mark.slow
def test_killed_at_ten_random_moments_it_resumes_to_the_same_bytes(experiment, undisturbed, tmp_path):
    moments = random.Random(2024)
    output = tmp_path / "r"
    killed = 0
    while killed < KILLS:
        sweep = start(experiment, output)
        time.sleep(moments.uniform(0.3, 4.0))
        if sweep.poll() is not None:
            break
        sweep.kill()
        sweep.wait()
        killed += 1
    assert killed > KILLS // 2, "the sweep ended before it could be killed"
    assert start(experiment, output).wait() == 0
    assert contents(output) == undisturbed


@pytest.mark.slow
def test_two_sweeps_at_once_on_one_directory_share_the_work(experiment, undisturbed, tmp_path):
    both = [start(experiment, tmp_path / "r") for _ in range(2)]
    assert [sweep.wait() for sweep in both] == [0, 0]
    assert contents(tmp_path / "r") == undisturbed
