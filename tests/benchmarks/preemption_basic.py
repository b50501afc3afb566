"""PreemptionBasic of upstream's scheduler_perf: pods of high priority arrive at a cluster full of low-priority pods.

Every node (4 cpu) holds four pods of 900m; each arriving pod wants 3 cpu, so three of them have to go. Victims vanish
at once; a pod's second attempt comes when others have had their first.
"""

from __future__ import annotations

from collections.abc import Iterator

from ksched.framework import Framework, Outcome, default_configuration
from ksched.objects import Pod
from ksched.tables import NodeTable, PodView
from ksched.testing.factories import make_node, make_pod

LOW = make_pod("low", cpu="900m", memory="500Mi", priority=0)
HIGH = make_pod("high", cpu=3, memory="500Mi", priority=10)
PER_BACKOFF = 400
"""Pods that get their first attempt before the first of them gets its second."""
VICTIMS = 3


def named(pod: Pod, name: str, **status: str | None) -> Pod:
    """``pod`` under another name, with another status."""
    return pod.replaced(
        metadata=pod.metadata.replaced(name=name, uid=f"uid-{name}"), status=pod.status.replaced(**status)
    )


def full_framework(nodes: int) -> Framework:
    """The default profile over a full cluster."""
    table = NodeTable()
    for i in range(nodes):
        table.add_node(make_node(f"node-{i}", cpu=4, memory="32Gi"))
    for i in range(4 * nodes):
        started = f"2024-01-01T{i // 3600 % 24:02d}:{i // 60 % 60:02d}:{i % 60:02d}Z"
        table.add_pod(PodView(named(LOW, f"low-{i}", start_time=started)), f"node-{i % nodes}")
    return Framework(default_configuration().profiles[0], table, seed=1)


def preempt_all(framework: Framework, pods: int) -> None:
    """Both attempts of so many pods."""
    for first in range(0, pods, PER_BACKOFF):
        _preempt(framework, (f"high-{i}" for i in range(first, min(first + PER_BACKOFF, pods))))


def _preempt(framework: Framework, names: Iterator[str]) -> None:
    """First attempts of some pods, then their second ones."""
    table, nominated = framework.table, []
    for name in names:
        pod = PodView(named(HIGH, name))
        cycle = framework.new_cycle(pod)
        decision = framework.schedule(pod, cycle)
        result = framework.post_filter(cycle, pod, decision)
        assert decision.outcome is Outcome.UNSCHEDULABLE
        assert len(result.victims) == VICTIMS
        for victim in result.victims:
            table.remove_pod(victim.uid)
        framework.nominator.add(pod, result.nominated_node)
        nominated.append((name, result.nominated_node))
    for name, node in nominated:
        pod = PodView(named(HIGH, name, nominated_node_name=node))
        assert framework.schedule(pod, framework.new_cycle(pod, attempt=2)).node == node
        framework.nominator.remove(pod.uid)
        table.add_pod(pod, node)
