"""Decisions per second in the scenarios of upstream's scheduler_perf.

    pytest tests/benchmarks/test_scheduler_perf.py -s --benchmark-columns=median

The default profile, every node scored, one CPU. A round is BATCH decisions on a cluster that keeps filling; what is
measured is CPU time.
"""

from __future__ import annotations

import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from measuring import BATCH, ScenarioRun
from scheduler_perf import SCENARIOS, SIZES, Scenario


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("nodes", SIZES)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_decisions(benchmark: BenchmarkFixture, scenario: Scenario, nodes: int) -> None:
    run = ScenarioRun(scenario, nodes)
    benchmark.pedantic(run.decide, setup=lambda: ((run.batch(),), {}), rounds=run.batches)
    if benchmark.stats is not None:
        rate = benchmark.extra_info["decisions_per_second"] = round(BATCH / benchmark.stats.stats.median)
        print(f"\n{scenario.name}, {nodes} nodes: {rate} decisions/s")
    unplaced = -(-run.tried // 6) if scenario.name == "Unschedulable" else 0
    assert run.placed == run.tried - unplaced
