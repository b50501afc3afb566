"""Preemptions per second: PreemptionBasic of upstream's scheduler_perf, decided alone and in the modelled cluster.

    pytest tests/benchmarks/test_preemption.py -s --benchmark-columns=median

A preemption is both attempts of a pod, every node looked at; what is measured is CPU time.
"""

from __future__ import annotations

import time

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ksched.cluster import Cluster, ClusterConfig
from ksched.cluster.scheduler import Scheduler
from ksched.framework import default_configuration
from ksched.objects import Pod
from ksched.sim import SECOND
from ksched.testing.factories import make_node, make_pod
from preemption_basic import HIGH, LOW, VICTIMS, full_framework, preempt_all

pytestmark = pytest.mark.benchmark(timer=time.process_time)


def report(benchmark: BenchmarkFixture, what: str, pods: int) -> None:
    if benchmark.stats is not None:
        rate = benchmark.extra_info["preemptions_per_second"] = round(pods / benchmark.stats.stats.median)
        print(f"\nPreemptionBasic, {what}: {rate} preemptions/s")


@pytest.mark.parametrize(("nodes", "pods"), [(500, 400), (1000, 800), (5000, 2000)])
def test_preemption_basic(benchmark: BenchmarkFixture, nodes: int, pods: int) -> None:
    framework = full_framework(nodes)
    benchmark.pedantic(preempt_all, args=(framework, pods), rounds=1)
    report(benchmark, f"{nodes} nodes", pods)
    assert sum(1 for _ in framework.table.pods()) == 4 * nodes + pods - VICTIMS * pods


@pytest.mark.parametrize(("nodes", "pods", "shared"), [(500, 400, True), (500, 200, False), (2000, 400, True)])
def test_preemption_basic_in_the_modelled_cluster(
    benchmark: BenchmarkFixture, nodes: int, pods: int, shared: bool
) -> None:
    """``shared``: the pods share one spec object, as those of one template do; else each has its own."""
    cluster = full_cluster(nodes)

    def preempt() -> None:
        for i in range(pods):
            name = f"high-{i}"
            made = renamed(HIGH, name) if shared else make_pod(name, cpu=3, memory="500Mi", priority=10)
            cluster.client.create(made)
        cluster.run(60 * SECOND)

    benchmark.pedantic(preempt, rounds=1)
    report(benchmark, f"{nodes} nodes of the modelled cluster, {'one template' if shared else 'all different'}", pods)
    assert sum(pod.spec.node_name is not None for pod in cluster.scheduler.pods.list() if pod.spec.priority) == pods


def full_cluster(nodes: int) -> Cluster:
    def scheduler(cluster: Cluster) -> Scheduler:
        client = cluster.api.client("scheduler")
        return Scheduler(cluster.kernel, client, default_configuration(), seed=1, streams=cluster.streams)

    cluster = Cluster(ClusterConfig(), scheduler)
    for i in range(nodes):
        cluster.client.create(make_node(f"node-{i}", cpu=4, memory="32Gi"))
    cluster.run(SECOND)
    for i in range(4 * nodes):
        cluster.client.create(renamed(LOW, f"low-{i}"))
    cluster.run(10 * SECOND)
    return cluster


def renamed(pod: Pod, name: str) -> Pod:
    return pod.replaced(metadata=pod.metadata.replaced(name=name, uid=None))
