"""Cost of one scheduling decision: filter, score and choose over all nodes, and assume the pod.

    pytest tests/benchmarks --benchmark-columns=mean,ops --benchmark-group-by=func

Each round makes BATCH decisions on a cluster that keeps filling; "ops" is batches per second, and ``extra_info`` holds
decisions per second. Nodes: 32 CPU, 128 GiB, 110 pods, three zones; pods: 100m and 128 MiB, as upstream's
scheduler_perf SchedulingBasic. The default profile, no sampling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ksched.framework import Framework, default_configuration
from ksched.objects import Pod, PodSpec
from ksched.tables import NodeTable, PodView
from ksched.testing.factories import make_node, make_pod

BATCH = 200
SIZES = (100, 1000, 5000, 10_000)


def cluster(nodes: int, *, pods: int = 110) -> NodeTable:
    table = NodeTable()
    for i in range(nodes):
        labels = {"kubernetes.io/hostname": f"node-{i:05d}", "topology.kubernetes.io/zone": f"zone-{i % 3}"}
        table.add_node(make_node(f"node-{i:05d}", cpu="32", memory="128Gi", pods=pods, labels=labels))
    return table


def numbered(specs: list[PodSpec]) -> Iterator[PodView]:
    """Endless pods of their own names and uids, taking turns at ``specs``."""
    template = make_pod("template")
    for i in count():
        meta = template.metadata.replaced(name=f"pod-{i}", uid=f"uid-{i}")
        yield PodView(Pod.replaced(template, metadata=meta, spec=specs[i % len(specs)]))


def spec(milli: int, mebi: int = 128) -> PodSpec:
    return make_pod("template", cpu=f"{milli}m", memory=f"{mebi}Mi").spec


def decide(framework: Framework, pods: Iterator[PodView], batch: int = BATCH) -> Callable[[], None]:
    table = framework.table

    def run() -> None:
        for _ in range(batch):
            pod = next(pods)
            decision = framework.schedule(pod)
            if decision.node is not None:
                table.add_pod(pod, decision.node)

    return run


def measure(benchmark: BenchmarkFixture, run: Callable[[], None], batch: int = BATCH) -> None:
    run()  # compile and fill the caches: their cost is that of the first pod of a template, not of a decision
    benchmark.pedantic(run, rounds=8, iterations=1)
    if benchmark.stats is not None:
        benchmark.extra_info["decisions_per_second"] = round(batch / benchmark.stats.stats.mean)


@pytest.mark.parametrize("nodes", SIZES)
def test_one_template(benchmark: BenchmarkFixture, nodes: int) -> None:
    framework = Framework(default_configuration().profiles[0], cluster(nodes))
    measure(benchmark, decide(framework, numbered([spec(100)])))


@pytest.mark.parametrize("nodes", SIZES)
def test_500_signatures_interleaved(benchmark: BenchmarkFixture, nodes: int) -> None:
    framework = Framework(default_configuration().profiles[0], cluster(nodes))
    pods = numbered([spec(100 + i) for i in range(500)])
    decide(framework, pods, 500)()
    measure(benchmark, decide(framework, pods))


@pytest.mark.parametrize("nodes", SIZES)
def test_all_distinct(benchmark: BenchmarkFixture, nodes: int) -> None:
    framework = Framework(default_configuration().profiles[0], cluster(nodes))
    pods = numbered([spec(10 + i, 64 + i % 977) for i in range(BATCH * 10)])
    measure(benchmark, decide(framework, pods))


@pytest.mark.parametrize("nodes", SIZES)
def test_nearly_full_cluster(benchmark: BenchmarkFixture, nodes: int) -> None:
    """All but a few nodes have no pod slot left."""
    table = cluster(nodes, pods=2)
    framework = Framework(default_configuration().profiles[0], table)
    pods = numbered([spec(100)])
    for node in table.nodes:
        for _ in range(2):
            table.add_pod(next(pods), node.metadata.name or "")
    for i in range(10):
        table.add_node(make_node(f"spare-{i}", cpu="64", memory="256Gi", pods=1000))
    measure(benchmark, decide(framework, pods))
