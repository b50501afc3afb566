"""Simulations for tests of the runner: quick, deterministic, and naughty on request by the policy's name."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from ksched.errors import InputError
from ksched.experiments.executors import make_executor
from ksched.experiments.run_spec import Progress, RunOutput, RunSpec
from ksched.experiments.runner import SweepResult, run_all
from ksched.experiments.store import ResultStore


def spec(number: int, behaviour: str = "good") -> RunSpec:
    return RunSpec(
        run_id=f"{number:016x}",
        seed=number,
        axes={"policy": behaviour, "seed": str(number)},
        config={"behaviour": behaviour},
        trace={"name": "fake", "content_hash": "0", "mode": "timestamp"},
    )


def simulate(run: RunSpec, progress: Progress) -> RunOutput:
    behaviour = run.config["behaviour"]
    if behaviour == "crash":
        os._exit(9)
    if behaviour == "raise":
        raise ValueError("no such luck")
    if behaviour == "bad-plugin":
        raise InputError("plugin P returned NaN", where="score")
    if behaviour == "interrupt":
        raise KeyboardInterrupt
    if behaviour == "slow":
        time.sleep(0.05)
    progress(1, 2)
    rng = np.random.default_rng(run.seed)
    pods = pa.table({"pod": [f"default/p{i}" for i in range(50)], "t_create_us": rng.integers(0, 1000, 50)})
    decisions = pa.table({"seq": np.arange(50), "score": rng.random(50)})
    return RunOutput({"pods": pods, "decisions": decisions}, t_end_us=1000, pending_time_meaningful=True)


def simulate_and_list_modules(run: RunSpec, progress: Progress) -> RunOutput:
    """A real simulation; its notes are the modules its process has imported."""
    from ksched.experiments.driver import simulate as real

    output = real(run, progress)
    return replace(output, notes=tuple(sorted(sys.modules)))


def sweep(specs: list[RunSpec], root: Path, jobs: int = 1, executor: str = "processes") -> SweepResult:
    """Run these: by default in local processes, or in this one."""
    return run_all(specs, open_store(root), simulate, make_executor(executor, jobs))


def contents(root: Path) -> dict[str, bytes]:
    """Everything that must be the same however a sweep went: all files below runs/."""
    runs = root / "runs"
    return {str(p.relative_to(runs)): p.read_bytes() for p in sorted(runs.rglob("*")) if p.is_file()}


def open_store(root: Path) -> ResultStore:
    return ResultStore.create(
        root, experiment="fake", plan={"experiment": "fake", "schema_version": 1}, source="name: fake\n"
    )


if __name__ == "__main__":
    # python fakes.py DIR JOBS|EXECUTOR RUNS: a sweep for tests that kill it
    root, where, runs = sys.argv[1:]
    jobs, executor = (int(where), "processes") if where.isdigit() else (1, where)
    sweep([spec(n, "slow") for n in range(int(runs))], Path(root), jobs, executor)
