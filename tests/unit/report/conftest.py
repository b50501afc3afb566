"""Fabricated result directories, written once a session; tests that change one make their own copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksched.report import Comparison, compare, open_results

from .fabricated import Effect, Plan, fabricate

FOUR = {
    "default": Effect(),
    "free-memory": Effect(fail=0.05, wait_s=3.0, imbalance=0.06, placement=1),
    "best-fit": Effect(fail=0.01, wait_s=1.8, imbalance=0.16, stranded=0.03, placement=2),
    "default-again": Effect(),
}


@pytest.fixture(scope="session")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four policies, one workload, five seeds, replayed by timestamp; one run failed."""
    plan = Plan(FOUR, failed=[("best-fit", "demo", 44)])
    return fabricate(tmp_path_factory.mktemp("timed"), plan)


@pytest.fixture(scope="session")
def inflated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four policies, two workloads, four seeds, inflated; no GPUs."""
    plan = Plan(FOUR, traces=("busy", "calm"), seeds=range(42, 46), mode="inflate", gpus=False)
    return fabricate(tmp_path_factory.mktemp("inflated"), plan)


@pytest.fixture(scope="session")
def found(timed: Path) -> Comparison:
    """The comparison of :func:`timed`."""
    return compare(open_results(timed))


@pytest.fixture(scope="session")
def found_inflated(inflated: Path) -> Comparison:
    """The comparison of :func:`inflated`."""
    return compare(open_results(inflated))
