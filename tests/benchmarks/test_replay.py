"""Cost of a replayed pod through the whole cluster with zero latencies.

    pytest tests/benchmarks/test_replay.py --benchmark-columns=mean

A bare pod is created, stored in etcd, watched, scheduled, bound, started, finished and deleted; a Job's pod also passes
the Job controller. ``extra_info`` holds microseconds per pod. The cluster is warm; nodes take 100 pods each.
"""

from __future__ import annotations

import gc
from itertools import count

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from ksched.cluster import Cluster
from ksched.cluster.priorities import END, SUBMIT
from ksched.cluster.scheduler import Scheduler
from ksched.framework import default_configuration
from ksched.objects import Job, Pod, default, parse
from ksched.sim import SECOND
from ksched.testing.factories import make_node, make_pod

BATCH = 500


def running_cluster(nodes: int) -> Cluster:
    def scheduler(cluster: Cluster) -> Scheduler:
        client = cluster.api.client("kube-scheduler")
        return Scheduler(cluster.kernel, client, default_configuration(), seed=0, streams=cluster.streams)

    cluster = Cluster(scheduler_factory=scheduler)
    for i in range(nodes):
        cluster.client.create(make_node(f"node-{i:04d}", cpu=32, memory="128Gi", pods=100))
    cluster.run(0)
    return cluster


@pytest.mark.parametrize("nodes", [100, 1000])
def test_bare_pod(benchmark: BenchmarkFixture, nodes: int) -> None:
    cluster = running_cluster(nodes)
    kernel, numbers = cluster.kernel, count()
    template = make_pod("template", cpu="100m", memory="128Mi", restartPolicy="Never")

    def submit(pod: Pod, number: int) -> None:
        cluster.processes.add(f"default/{pod.name}", [SECOND])
        cluster.client.create(pod)
        kernel.call_later(2 * SECOND, cluster.client.delete, Pod, "default", pod.name, priority=END)

    def replay() -> None:
        for number in (next(numbers) for _ in range(BATCH)):
            pod = template.replaced(metadata=template.metadata.replaced(name=f"pod-{number}"))
            kernel.call_later(number % BATCH * SECOND // 10, submit, pod, number, priority=SUBMIT)
        cluster.run(kernel.now + (BATCH // 10 + 10) * SECOND)

    _measure(benchmark, replay)
    assert len(cluster.scheduler.pods.store) == 0


@pytest.mark.parametrize("nodes", [100, 1000])
def test_job_pod(benchmark: BenchmarkFixture, nodes: int) -> None:
    cluster = running_cluster(nodes)
    kernel, numbers = cluster.kernel, count()
    template = make_pod("template", cpu="100m", memory="128Mi", restartPolicy="Never")
    spec = {"ttlSecondsAfterFinished": 0, "template": {"spec": template.spec.to_dict()}}
    manifest = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "template", "namespace": "default"}}
    job = default(parse(manifest | {"spec": spec}))
    assert isinstance(job, Job)

    def replay() -> None:
        for number in (next(numbers) for _ in range(BATCH)):
            meta = job.metadata.replaced(name=f"job-{number}")
            kernel.call_later(
                number % BATCH * SECOND // 10, cluster.client.create, job.replaced(metadata=meta), priority=SUBMIT
            )
        cluster.run(kernel.now + (BATCH // 10 + 10) * SECOND)

    _measure(benchmark, replay)


def _measure(benchmark: BenchmarkFixture, replay: object) -> None:
    assert callable(replay)
    replay()
    gc.freeze()
    benchmark.pedantic(replay, rounds=5, iterations=1)
    if benchmark.stats is not None:
        benchmark.extra_info["us_per_pod"] = round(1e6 * benchmark.stats.stats.mean / BATCH)
