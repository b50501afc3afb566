"""Fabricated result directories, written once a session; tests that change one make their own copy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from ksched.report import Comparison, compare, open_results
from ksched.report.results import Results

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


@pytest.fixture
def load_curves(tmp_path: Path) -> Results:
    """Runs with a table ``fragmentation``: one GPU arrives and is used per step, a quarter of the rest is usable."""
    fabricate(tmp_path, Plan({"01-A": Effect(), "02-B": Effect()}, seeds=(42, 43), mode="inflate"))
    arrived = np.arange(105) * 1000
    used = np.minimum(arrived, 80_000)
    table = pa.table(
        {
            "arrived_pods": np.arange(105),
            "arrived_gpu_milli": arrived,
            "used": used.astype(float),
            "q2_lack_gpu": 0.75 * (80_000 - used),
            **{
                name: np.zeros(105)
                for name in ("q1_lack_both", "q4_lack_cpu", "xl_satisfied", "xr_lack_cpu", "no_access")
            },
            "q3_satisfied": 0.25 * (80_000 - used),
        }
    )
    for folder in (tmp_path / "runs").iterdir():
        pq.write_table(table, folder / "fragmentation.parquet")
        facts = json.loads((folder / "run.json").read_text())
        facts["counts"]["fragmentation"] = 105
        facts["config"]["replay"]["ratio"] = 1.3
        (folder / "run.json").write_text(json.dumps(facts))
    experiment = yaml.safe_load((tmp_path / "experiment.yaml").read_text())
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump({**experiment, "exports": ["load-curves"]}))
    return open_results(tmp_path)
