"""The recorder: watches the api-server and the scheduler, changes nothing, and ends up with the result tables.

It listens at the api-server's own watch cache, so it sees every change at the moment it is committed, whatever
latencies clients have, and costs the simulated cluster nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from ksched.cluster.apiserver.cacher import ADDED, DELETED, MODIFIED, WatchEvent
from ksched.cluster.apiserver.selection import Selection
from ksched.cluster.apiserver.server import ApiServer
from ksched.experiments.columns import integers
from ksched.experiments.decision_log import DecisionLog, EventLog, main_reason
from ksched.experiments.pod_log import Ints, NodeLog, PodLog
from ksched.experiments.probes import Probe, probe_table
from ksched.experiments.samples import GPU, RESOURCES, Shape, StateSampler
from ksched.framework import Decision, Rejection
from ksched.objects import Node, Pod
from ksched.tables import NodeTable

_WORDS_KEPT = 4096
_BIRTH = 1
"""The first revision of an etcd: a watch from there sees everything."""


class SampleLog:
    """Table ``samples``: the state of the cluster at some moments of the run."""

    def __init__(self, sampler: StateSampler) -> None:
        self._sampler = sampler
        self._counts = {name: array("q") for name in _COUNTS}

    def append(self, counts: Mapping[str, int]) -> None:
        """Take a sample now."""
        for name in _COUNTS:
            self._counts[name].append(counts[name])
        self._sampler.sample()

    def to_arrow(self, demand: Ints) -> pa.Table:
        """The table ``samples``. ``demand``: see PodLog.demand."""
        states = self._sampler.states()
        columns = {"seq": pa.array(np.arange(len(states)))}
        columns |= {name: integers(column) for name, column in self._counts.items()}
        capacities = np.array([state.capacity for state in states], dtype=np.int64).reshape(-1, len(RESOURCES))
        arrived = np.zeros(capacities.shape)
        np.divide(demand[self._counts["arrived_pods"]], capacities, out=arrived, where=capacities != 0)
        for i, resource in enumerate(RESOURCES):
            columns[f"arrived_{resource}"] = pa.array(arrived[:, i])
        for measure in ("allocated", "imbalance", "stranded"):
            for i, resource in enumerate(RESOURCES):
                values = [getattr(state, measure)[i] for state in states]
                columns[f"{measure}_{resource}"] = pa.array(values, pa.float64())
        return pa.table(columns)


_COUNTS = ("t_us", "arrived_pods", "pending_pods", "running_pods", "scheduled_pods", "failed_pods")


class Recorder:
    """Fills the result tables of one run."""

    def __init__(
        self,
        api: ApiServer,
        table: NodeTable,
        shapes: Mapping[Shape, int],
        probes: Mapping[str, Probe] = MappingProxyType({}),
    ) -> None:
        self._kernel = api.kernel
        self._table = table
        self.pods = PodLog()
        self.nodes = NodeLog()
        self.decisions = DecisionLog()
        self.events = EventLog()
        self.samples = SampleLog(StateSampler(table, shapes))
        self._attempts = 0
        self._words: dict[tuple[int, tuple[Rejection, ...], tuple[str, ...]], tuple[str, str]] = {}
        self._last_sample = (-1, 0, 0)
        self._probes = probes
        self._probed = array("q")
        """How many pods had arrived each time the probes measured."""
        self._last_probe = (-1, 0, 0)
        self._final_nodes: pa.Table | None = None
        self.failed = 0
        """Pods given up after a failed attempt (inflate)."""
        self.arrives_when_tried = False
        """Whether a pod has arrived once the scheduler tries to place it, where times mean nothing, or once created."""
        api.watch(Pod, Selection("Pod"), _BIRTH, self._pod_changed)
        api.watch(Node, Selection("Node"), _BIRTH, self._node_changed)

    @property
    def now_us(self) -> int:
        """Virtual time in microseconds."""
        return self._kernel.now // 1000

    @property
    def arrived(self) -> int:
        """How many pods have arrived."""
        return self.pods.tried if self.arrives_when_tried else len(self.pods)

    def _pod_changed(self, event: WatchEvent) -> None:
        kind, pod = event.type, event.object
        t_us = self._kernel.now // 1000
        if kind == MODIFIED:
            self.pods.changed(pod, t_us)
        elif kind == ADDED:
            self.pods.added(pod, t_us)
        elif kind == DELETED:
            self.pods.deleted(pod, t_us)

    def _node_changed(self, event: WatchEvent) -> None:
        t_us = self._kernel.now // 1000
        if event.type == ADDED:
            self.nodes.added(event.object, t_us)
        elif event.type == DELETED:
            self.nodes.deleted(event.object, t_us)

    def decided(self, decision: Decision) -> None:
        """The scheduler's hook: one scheduling attempt."""
        self.decisions.append(decision)
        self._attempts += 1
        if decision.node is not None:
            self.pods.attempted(decision.pod, decision.attempt, None)
            return
        # Waiting pods are tried again and again with the same answer; it is spelled out once.
        key = (decision.nodes, decision.rejections, decision.pre_filter_reasons)
        words = self._words.get(key)
        if words is None:
            if len(self._words) >= _WORDS_KEPT:
                self._words.clear()
            words = self._words[key] = (main_reason(decision.rejections) or "no node", decision.message())
        self.pods.attempted(decision.pod, decision.attempt, words[0])
        self.events.append(decision.time_ns // 1000, "Pod", decision.pod.key, "FailedScheduling", words[1])

    def finish(self) -> None:
        """Measure the cluster at the end, unless the last sample saw just that; from now on it is not needed."""
        if self._last_sample != (self.now_us, self._attempts, self.pods.running):
            self.sample()
        self._final_nodes = self.nodes.to_arrow(self._table)

    def sample(self) -> None:
        """Measure the cluster now."""
        self._last_sample = (self.now_us, self._attempts, self.pods.running)
        counts = {
            "t_us": self.now_us,
            "arrived_pods": self.arrived,
            "pending_pods": self.pods.pending,
            "running_pods": self.pods.running,
            "scheduled_pods": self.pods.scheduled,
            "failed_pods": self.failed,
        }
        self.samples.append(counts)
        self.probe()

    def probe(self) -> None:
        """Let the experiment's probes measure now, unless they just did."""
        if not self._probes:
            return
        arrived = self.arrived
        moment = (self._kernel.now // 1000, self._attempts, arrived)
        if moment != self._last_probe:
            self._last_probe = moment
            self._probed.append(arrived)
            for probe in self._probes.values():
                probe.note()

    def tables(self, *, can_end: bool) -> dict[str, pa.Table]:
        """The result tables by name, after :meth:`finish`. ``can_end``: see PodLog.to_arrow."""
        demand = self.pods.demand(as_tried=self.arrives_when_tried)
        return {
            "pods": self.pods.to_arrow(can_end=can_end),
            "nodes": self._final_nodes,
            "decisions": self.decisions.to_arrow(),
            "samples": self.samples.to_arrow(demand),
            "events": self.events.to_arrow(),
            **{name: probe_table(probe, self._probed, demand[:, GPU]) for name, probe in self._probes.items()},
        }
