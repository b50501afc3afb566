"""Cost of one decision against the number of nodes: filter, score and choose over all nodes, and assume the pod.

    pytest tests/benchmarks/test_node_count.py --benchmark-columns=median --benchmark-group-by=param:case

A round is BATCH decisions on a cluster that keeps filling, in CPU time; ``extra_info`` holds decisions per second.
"""

from __future__ import annotations

import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ksched.testing.factories import make_node
from measuring import decide
from node_count import BATCH, BATCHES, CASES, NodeCountRun, cluster, framework_over, numbered, spec

pytestmark = pytest.mark.benchmark(timer=time.process_time)
SIZES = (100, 1000, 5000, 10_000)


def report(benchmark: BenchmarkFixture, what: str) -> None:
    if benchmark.stats is not None:
        rate = benchmark.extra_info["decisions_per_second"] = round(BATCH / benchmark.stats.stats.median)
        print(f"\n{what}: {rate} decisions/s")


@pytest.mark.parametrize("nodes", SIZES)
@pytest.mark.parametrize("case", CASES)
def test_decisions(benchmark: BenchmarkFixture, case: str, nodes: int) -> None:
    run = NodeCountRun(case, nodes)
    benchmark.pedantic(run.batch, rounds=BATCHES)
    report(benchmark, f"{case}, {nodes} nodes")


@pytest.mark.parametrize("nodes", SIZES)
def test_nearly_full_cluster(benchmark: BenchmarkFixture, nodes: int) -> None:
    """All but a few nodes have no pod slot left."""
    framework = framework_over(cluster(nodes, pods=2))
    pods = numbered([spec(100)])
    for node in framework.table.nodes:
        for _ in range(2):
            framework.table.add_pod(next(pods), node.metadata.name or "")
    for i in range(10):
        framework.table.add_node(make_node(f"spare-{i}", cpu="64", memory="256Gi", pods=1000))

    def batch() -> None:
        assert decide(framework, (next(pods) for _ in range(BATCH))) == BATCH

    batch()
    benchmark.pedantic(batch, rounds=BATCHES)
    report(benchmark, f"nearly full, {nodes} nodes")
