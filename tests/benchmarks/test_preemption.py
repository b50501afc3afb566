"""PreemptionBasic of upstream's scheduler_perf: pods of high priority arrive at a cluster full of low-priority pods.

Every node (4 cpu) holds four pods of 900m; each arriving pod wants 3 cpu, so three of them have to go. Victims vanish
at once; a pod's second attempt comes a second later, when others have had their first. What is measured is the CPU time
of both attempts, every node looked at. Run with ``pytest tests/benchmarks/test_preemption.py -s``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ksched.cluster import Cluster, ClusterConfig
from ksched.cluster.scheduler import Scheduler
from ksched.framework import Framework, Outcome, default_configuration
from ksched.objects import Pod
from ksched.sim import SECOND
from ksched.tables import NodeTable, PodView
from ksched.testing.factories import make_node, make_pod

LOW = make_pod("low", cpu="900m", memory="500Mi", priority=0)
HIGH = make_pod("high", cpu=3, memory="500Mi", priority=10)
PER_BACKOFF = 400
"""Pods that get their first attempt before the first of them gets its second."""


def named(pod: Pod, name: str, **status: str | None) -> Pod:
    return pod.replaced(
        metadata=pod.metadata.replaced(name=name, uid=f"uid-{name}"), status=pod.status.replaced(**status)
    )


def full_table(nodes: int) -> NodeTable:
    table = NodeTable()
    for i in range(nodes):
        table.add_node(make_node(f"node-{i}", cpu=4, memory="32Gi"))
    for i in range(4 * nodes):
        started = f"2024-01-01T{i // 3600 % 24:02d}:{i // 60 % 60:02d}:{i % 60:02d}Z"
        table.add_pod(PodView(named(LOW, f"low-{i}", start_time=started)), f"node-{i % nodes}")
    return table


def preempt(framework: Framework, names: Iterator[str]) -> None:
    """First attempts of some pods, then their second ones."""
    table, nominated = framework.table, []
    for name in names:
        pod = PodView(named(HIGH, name))
        cycle = framework.new_cycle(pod)
        decision = framework.schedule(pod, cycle, top=5)
        result = framework.post_filter(cycle, pod, decision)
        assert decision.outcome is Outcome.UNSCHEDULABLE
        assert len(result.victims) == 3
        for victim in result.victims:
            table.remove_pod(victim.uid)
        framework.nominator.add(pod, result.nominated_node)
        nominated.append((name, result.nominated_node))
    for name, node in nominated:
        pod = PodView(named(HIGH, name, nominated_node_name=node))
        assert framework.schedule(pod, framework.new_cycle(pod, attempt=2), top=5).node == node
        framework.nominator.remove(pod.uid)
        table.add_pod(pod, node)


@pytest.mark.parametrize(("nodes", "pods"), [(500, 400), (1000, 800), (5000, 2000)])
def test_preemption_basic(nodes: int, pods: int) -> None:
    framework = Framework(default_configuration().profiles[0], full_table(nodes), seed=1)
    begin = time.process_time()
    for first in range(0, pods, PER_BACKOFF):
        preempt(framework, (f"high-{i}" for i in range(first, min(first + PER_BACKOFF, pods))))
    rate = pods / (time.process_time() - begin)
    print(f"\nPreemptionBasic {nodes} nodes, {pods} pods: {rate:.0f} preemptions/s of CPU, decisions only")
    assert rate > 40, "slower than kube-scheduler itself"


@pytest.mark.parametrize(("nodes", "pods", "shared"), [(500, 400, True), (500, 200, False), (2000, 400, True)])
def test_preemption_basic_in_the_modelled_cluster(nodes: int, pods: int, shared: bool) -> None:
    """``shared``: the pods share one spec object, as those of one template do; else each has its own."""

    def scheduler(cluster: Cluster) -> Scheduler:
        client = cluster.api.client("scheduler")
        return Scheduler(cluster.kernel, client, default_configuration(), seed=1, streams=cluster.streams)

    def high(name: str) -> Pod:
        return renamed(HIGH, name) if shared else make_pod(name, cpu=3, memory="500Mi", priority=10)

    cluster = Cluster(ClusterConfig(), scheduler)
    for i in range(nodes):
        cluster.client.create(make_node(f"node-{i}", cpu=4, memory="32Gi"))
    cluster.run(SECOND)
    for i in range(4 * nodes):
        cluster.client.create(renamed(LOW, f"low-{i}"))
    cluster.run(10 * SECOND)
    begin = time.process_time()
    for i in range(pods):
        cluster.client.create(high(f"high-{i}"))
    cluster.run(60 * SECOND)
    rate = pods / (time.process_time() - begin)
    assert sum(pod.spec.node_name is not None for pod in cluster.scheduler.pods.list() if pod.spec.priority) == pods
    print(f"\nPreemptionBasic {nodes} nodes, {pods} pods: {rate:.0f} preemptions/s of CPU, with the modelled cluster")


def renamed(pod: Pod, name: str) -> Pod:
    return pod.replaced(metadata=pod.metadata.replaced(name=name, uid=None))
