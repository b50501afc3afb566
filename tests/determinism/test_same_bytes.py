"""The same experiment gives the same bytes: whatever the hash seed, the number of workers, the order, the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ksched.traces import write_trace
from ksched.traces.generate import generate
from ksched.traces.generator_config import GeneratorConfig

EXPERIMENT = """
name: same-bytes
axes:
  policy:
    default: {filter: [GpuShare]}
    random: {score: {Random: 1}, filter: [GpuShare]}
    best-fit: {score: {BestFit: 1}, filter: [GpuShare]}
  how:
    target: replay
    values:
      time: {mode: timestamp}
      fill: {mode: inflate, resource: cpu, ratio: 1.2}
  net:
    target: cluster
    values:
      instant: {}
      slow:
        apiserver:
          request: {kind: uniform, low: 1ms, high: 5ms}
          watch: {kind: lognormal, median: 10ms, sigma: 0.5}
  seed: [1, 2]
trace: {path: trace}
"""


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    write_trace(generate(GeneratorConfig(name="small", seed=5, pods=60, nodes=8)), folder / "trace")
    (folder / "experiment.yaml").write_text(EXPERIMENT)
    return folder / "experiment.yaml"


def results(experiment: Path, output: Path, *options: str, hash_seed: str) -> dict[str, bytes]:
    """Run the experiment in a process of its own; every file below runs/."""
    command = [sys.executable, "-m", "ksched", "run", str(experiment), "-o", str(output), *options]
    done = subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    runs = output / "runs"
    return {str(p.relative_to(runs)): p.read_bytes() for p in sorted(runs.rglob("*")) if p.is_file()}


def test_hash_seed_workers_and_order_do_not_matter(experiment, tmp_path):
    one = results(experiment, tmp_path / "one", "-j", "1", hash_seed="0")
    assert len(one) == 24 * 6, "24 runs of five tables and run.json"
    two = results(experiment, tmp_path / "two", "-j", "2", hash_seed="12345")
    assert list(one) == list(two)
    assert [name for name in one if one[name] != two[name]] == []


def test_a_run_does_not_depend_on_the_runs_before_it_in_its_process(experiment, tmp_path):
    options = ("-j", "1", "--only", "seed=2", "--only", "how=time", "--only", "net=slow")
    alone = results(experiment, tmp_path / "alone", *options, "--only", "policy=random", hash_seed="7")
    among = results(experiment, tmp_path / "among", *options, hash_seed="7")
    assert set(alone) < set(among)
    assert [name for name in alone if alone[name] != among[name]] == []


def test_seeds_and_policies_do_matter(experiment, tmp_path):
    files = results(experiment, tmp_path / "r", "-j", "1", "--only", "how=fill", "--only", "net=instant", hash_seed="0")
    decisions = [data for name, data in files.items() if name.endswith("decisions.parquet")]
    assert len(set(decisions)) == len(decisions) == 6
