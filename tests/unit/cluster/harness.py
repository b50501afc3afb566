"""What the cluster's tests share: manifests, a stand-in for the scheduler, a record of etcd's history."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from ksched.cluster import Cluster, ClusterConfig
from ksched.cluster.apiserver.cacher import committed
from ksched.cluster.apiserver.client import Client
from ksched.cluster.etcd.ops import WatchBatch, prefix_end
from ksched.cluster.priorities import SCHEDULE
from ksched.cluster.scheduler import Scheduler
from ksched.framework import default_configuration
from ksched.objects.manifests import parse
from ksched.objects.pod import Pod
from ksched.sim import SECOND

__all__ = [
    "SECOND",
    "Answers",
    "Diary",
    "History",
    "RoundRobin",
    "cluster",
    "job",
    "kube_scheduler",
    "node",
    "pod",
    "pod_spec",
]


class RoundRobin:
    """Binds each pod to the next node; takes the real scheduler's place where placement does not matter."""

    def __init__(self, cluster: Cluster, nodes: int = 2) -> None:
        self._kernel = cluster.kernel
        self._client = cluster.api.client("scheduler")
        self._nodes = nodes
        self._next = 0
        self._client.informer(Pod, field_selector="spec.nodeName=", on_add=self._added)

    def _added(self, pod: Pod) -> None:
        if pod.metadata.deletion_timestamp is None and not pod.spec.scheduling_gates:
            self._kernel.call_later(0, self._bind, pod, priority=SCHEDULE)

    def _bind(self, pod: Pod) -> None:
        node = f"n{self._next % self._nodes}"
        self._next += 1
        self._client.bind(pod.namespace, pod.name, node, uid=pod.metadata.uid)


def kube_scheduler(cluster: Cluster) -> Scheduler:
    """The real scheduler with the default profile."""
    client = cluster.api.client("kube-scheduler")
    return Scheduler(cluster.kernel, client, default_configuration(), seed=cluster.seed, streams=cluster.streams)


def node(name: str, **allocatable: str) -> Any:
    resources = {"cpu": "8", "memory": "32Gi", "pods": "110"} | allocatable
    return parse({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"allocatable": resources}})


def pod_spec(**fields: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "work", "resources": {"requests": {"cpu": "1"}}}
    return {"restartPolicy": "Never", "containers": [container]} | fields


def pod(name: str, *, metadata: dict[str, Any] | None = None, **fields: Any) -> Any:
    meta = {"name": name, "namespace": "default"} | (metadata or {})
    return parse({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod_spec(**fields)})


def job(name: str, workload: str, *, template: dict[str, Any] | None = None, **spec: Any) -> Any:
    meta = {"annotations": {"ksched.dev/workload": workload}}
    body = {"template": {"metadata": meta, "spec": pod_spec(**(template or {}))}} | spec
    return parse({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": body})


def cluster(
    config: dict[str, Any] | None = None,
    scheduler: Callable[[Cluster], Any] | None = RoundRobin,
    *,
    nodes: int = 2,
    seed: int = 0,
) -> Cluster:
    """A cluster with its nodes n0, n1 ... joined."""
    made = Cluster(ClusterConfig.model_validate(config or {}), scheduler, seed=seed)
    for i in range(nodes):
        made.client.create(node(f"n{i}"))
    made.run(0)
    return made


class Answers:
    """A ``then`` that keeps what it is told."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, Any]] = []

    def __call__(self, result: Any, error: Any) -> None:
        self.all.append((result, error))

    @property
    def result(self) -> Any:
        result, error = self.all[-1]
        assert error is None, error
        return result

    @property
    def error(self) -> Any:
        result, error = self.all[-1]
        assert result is None
        return error


class History:
    """Every revision of etcd as (time in s, revision, verb, key below /registry, object as a dict or None)."""

    def __init__(self, cluster: Cluster) -> None:
        self.rows: list[tuple[float, int, str, str, Any]] = []
        self._kernel = cluster.kernel
        cluster.etcd.store.watch(self._receive, b"/registry/", prefix_end(b"/registry/"), start_revision=2)

    def _receive(self, batch: WatchBatch) -> None:
        for event in batch.events:
            key = event.kv.key.decode().removeprefix("/registry/")
            verb = "delete" if event.is_delete else "create" if event.kv.version == 1 else "update"
            value = None if event.is_delete else committed(event.kv.value, event.kv.mod_revision).to_dict()
            self.rows.append((self._kernel.now / SECOND, batch.revision, verb, key, value))

    def of(self, prefix: str) -> list[tuple[float, int, str, str, Any]]:
        return [row for row in self.rows if row[3].startswith(prefix)]

    def digest(self) -> str:
        return hashlib.sha256(json.dumps(self.rows, sort_keys=True).encode()).hexdigest()


class Diary:
    """Everything that happens between components, one line each, in order:

    ``<s> <user> -> <verb> <object>``  a write that a client asks for,
    ``<s> etcd <revision> <verb> <object> <what it now says>``  what became of it,
    ``<s> <user> <- <event> <object> @<revision>``  a watch event as it reaches a client.
    """

    WRITES = ("create", "update", "update_status", "patch", "delete", "bind", "scale", "evict")

    def __init__(self, monkeypatch: Any) -> None:
        self.lines: list[str] = []
        self._kernel: Any = None
        for verb in self.WRITES:
            monkeypatch.setattr(Client, verb, self._writing(verb, getattr(Client, verb)))
        monkeypatch.setattr(Client, "watch", self._watching(Client.watch))

    def attach(self, cluster: Cluster, describe: Callable[[dict[str, Any]], str]) -> None:
        """Record ``cluster`` from now on; ``describe`` says of an object what matters."""
        self._kernel = cluster.kernel

        def receive(batch: WatchBatch) -> None:
            for event in batch.events:
                key = event.kv.key.decode().removeprefix("/registry/")
                verb = "delete" if event.is_delete else "create" if event.kv.version == 1 else "update"
                text = "" if event.is_delete else describe(committed(event.kv.value, event.kv.mod_revision).to_dict())
                self._line(f"etcd {batch.revision} {verb} {key} {text}")

        cluster.etcd.store.watch(receive, b"/registry/", prefix_end(b"/registry/"))

    def _line(self, text: str) -> None:
        if self._kernel is not None:
            self.lines.append(f"{self._kernel.now / SECOND:g} {text}".strip())

    def _writing(self, verb: str, method: Any) -> Any:
        def wrapper(client: Any, *args: Any, **options: Any) -> None:
            first = args[0]
            if isinstance(first, type):
                sub = f" {options['subresource']}" if options.get("subresource") else ""
                self._line(f"{client.user} -> {verb}{sub} {first.PLURAL}/{args[1]}/{args[2]}")
            elif isinstance(first, str):
                self._line(f"{client.user} -> {verb} pods/{first}/{args[1]}")
            else:
                name = first.name or f"{first.metadata.generate_name}*"
                self._line(f"{client.user} -> {verb} {first.PLURAL}/{first.namespace or 'default'}/{name}")
            method(client, *args, **options)

        return wrapper

    def _watching(self, method: Any) -> Any:
        def wrapper(client: Any, cls: Any, receive: Any, **options: Any) -> Any:
            def noted(events: Any) -> None:
                for event in events:
                    meta = event.object.metadata
                    where = f"{cls.PLURAL}/{meta.namespace}/{meta.name}"
                    self._line(f"{client.user} <- {event.type} {where} @{meta.resource_version}")
                receive(events)

            return method(client, cls, noted, **options)

        return wrapper
