"""Seeds in batches: which runs belong to one, when it ends, and that what is done is counted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ksched.experiments.batches import run_in_batches
from ksched.experiments.plan import Plan
from ksched.experiments.run_spec import RunSpec
from ksched.experiments.runner import SweepResult
from ksched.experiments.sweep import Sweep

SEEDS = [str(seed) for seed in range(100, 122)]


def plan(seeds: Sequence[str] = SEEDS) -> Plan:
    """Two policies on every seed, and a run to which the seed makes no difference."""
    experiment: Any = SimpleNamespace(axis_values={"policy": ["a", "b"], "seed": SEEDS})
    specs = [
        RunSpec(f"{policy}-{seed}", int(seed), {"policy": policy, "seed": seed}, {}, {})
        for policy in ("a", "b")
        for seed in seeds
    ]
    return Plan(experiment, (), (*specs, RunSpec("any", 100, {"policy": "c"}, {}, {})), 0)


@dataclass
class Runs:
    """Runs a plan like a result directory that keeps what it has."""

    fails: frozenset[str] = frozenset()
    finished: set[str] = field(default_factory=set)
    batches: list[int] = field(default_factory=list)

    def __call__(self, plan: Plan) -> Sweep:
        ids = [spec.run_id for spec in plan.selected]
        self.batches.append(len(ids))
        failed = {run_id: "no" for run_id in ids if run_id in self.fails}
        done = [run_id for run_id in ids if run_id not in self.finished and run_id not in failed]
        kept = [run_id for run_id in ids if run_id in self.finished]
        self.finished.update(done)
        return Sweep(Path("r"), plan, SweepResult(done, kept, failed))


@pytest.mark.parametrize(("stop_at", "batches"), [(10, [21]), (15, [21, 31]), (99, [21, 31, 41, 45])])
def test_batches_follow_the_order_of_the_file_until_it_is_enough(stop_at: int, batches: list[int]) -> None:
    runs, asked = Runs(), []

    def enough(directory: Path, seeds: Sequence[str]) -> bool:
        asked.append(list(seeds))
        return len(seeds) >= stop_at

    sweep = run_in_batches(plan(), runs, enough)
    assert runs.batches == batches
    assert asked == [SEEDS[: (n - 1) // 2] for n in batches]
    assert sorted(sweep.result.done) == sorted(runs.finished) and not sweep.result.kept


def test_a_second_start_asks_the_same_and_keeps_everything() -> None:
    runs = Runs()
    run_in_batches(plan(), runs, lambda _, seeds: len(seeds) >= 15)
    again = run_in_batches(plan(), runs, lambda _, seeds: len(seeds) >= 15)
    assert runs.batches == [21, 31, 21, 31]
    assert not again.result.done and len(again.result.kept) == 31


def test_a_failure_ends_it_without_a_question() -> None:
    def never(directory: Path, seeds: Sequence[str]) -> bool:
        raise AssertionError("nothing can be said about a batch with failures")

    sweep = run_in_batches(plan(), Runs(frozenset({"b-103"})), never)
    assert list(sweep.result.failed) == ["b-103"]


def test_only_selected_seeds_are_run() -> None:
    runs = Runs()
    run_in_batches(plan(SEEDS[2:5]), runs, lambda _, seeds: False)
    assert runs.batches == [7]
