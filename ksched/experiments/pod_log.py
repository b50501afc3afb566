"""Tables ``pods`` and ``nodes``: a row for every pod and every node that ever existed."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ksched.experiments.columns import BLOCK, NEVER, Labels, integers, times
from ksched.objects import CPU, MEMORY, Node, Pod, allocatable_amounts, node_devices
from ksched.objects.resources import PODS
from ksched.tables import NodeTable, PodView, SpecInfo, compile_spec
from ksched.tables.pod_view import completion_index, pairing_id

Ints = npt.NDArray[np.int64]

ZONE_LABEL = "topology.kubernetes.io/zone"
_PREEMPTED = "PreemptionByScheduler"
"""Reason of the DisruptionTarget condition that kube-scheduler sets on its victims."""


_ROOM = 1024
"""Rows by which columns that are filled in later grow at once: a multiple of BLOCK."""
_NEVER = array("q", [NEVER]) * _ROOM
_ZERO = array("q", [0]) * _ROOM
_NONE = [None] * _ROOM


class PodLog:
    """One row per pod, in order of creation. Only pods that live are looked up; the rest is columns.

    What a pod says of itself is written a block of pods at a time; columns that are filled in later hold room for pods
    to come, so that a new pod costs nothing there.
    """

    def __init__(self) -> None:
        self._unwritten: list[Pod] = []
        self._names: list[str] = []
        self._workload: list[str] = []
        self._index = array("q")
        self._t_create = array("q")
        self._infos: list[SpecInfo] = []
        self._t_scheduled = array("q")
        self._t_running = array("q")
        self._t_finished = array("q")
        self._t_deleted = array("q")
        self._node: list[str | None] = []
        self._outcome = Labels()
        self._reason: list[str | None] = []
        self._attempts = array("q")
        self._tried = array("q")
        """Rows in the order in which the scheduler first tried to place them."""
        self._room = 0
        self._row: dict[str, int] = {}
        self.pending = 0
        """Pods that exist and have no node."""
        self.running = 0
        """Pods that have a node and have not ended."""
        self.scheduled = 0
        """Pods that ever got a node."""
        self.endless: set[str] = set()
        """Workloads whose pods run until they are deleted, and nobody will."""
        self._running_endless = 0
        self.on_moved: Callable[[], object] | None = None
        """Called after a pod got a node, ended or was deleted."""

    def __len__(self) -> int:
        return len(self._t_create)

    @property
    def tried(self) -> int:
        """Pods that the scheduler tried to place."""
        return len(self._tried)

    @property
    def busy(self) -> int:
        """Pods that have a node and will leave it."""
        return self.running - self._running_endless

    def added(self, pod: Pod, t_us: int) -> None:
        """A pod was created."""
        spec = pod.spec
        row = len(self._t_create)
        if not row % BLOCK:
            self._write()
            if row == self._room:
                self._make_room()
        self._row[pod.metadata.uid or pod.key] = row
        self._t_create.append(t_us)
        self._unwritten.append(pod)
        if spec.scheduling_gates:
            self._outcome[row] = "gated"
        self.pending += 1
        if spec.node_name:
            self.changed(pod, t_us)

    def _write(self) -> None:
        """Append what the latest pods said of themselves to the columns."""
        pods, self._unwritten = self._unwritten, []
        names, annotations = [pod.key for pod in pods], [pod.metadata.annotations for pod in pods]
        self._names.extend(names)
        self._workload.extend(map(pairing_id, annotations, names))
        self._index.extend(map(completion_index, annotations))
        self._infos.extend([compile_spec(pod.spec) for pod in pods])

    def _make_room(self) -> None:
        self._room += _ROOM
        for times_of in (self._t_scheduled, self._t_running, self._t_finished, self._t_deleted):
            times_of.extend(_NEVER)
        self._attempts.extend(_ZERO)
        self._node.extend(_NONE)
        self._reason.extend(_NONE)
        self._outcome.fill("pending", _ROOM)

    def changed(self, pod: Pod, t_us: int) -> None:
        """A pod was bound, or its status moved on."""
        meta = pod.metadata
        row = self._row.get(meta.uid or "")
        if row is None:
            return
        node = pod.spec.node_name
        if node and self._t_scheduled[row] == NEVER:
            self._t_scheduled[row] = t_us
            self._node[row] = node
            self._outcome[row] = "scheduled"
            self._reason[row] = None
            self.pending -= 1
            self.running += 1
            self.scheduled += 1
            if self.endless:
                self._running_endless += _workload(pod) in self.endless
            if self.on_moved is not None:
                self.on_moved()
        phase = pod.status.phase
        if phase == "Running" and self._t_running[row] == NEVER:
            self._t_running[row] = t_us
        elif phase in ("Succeeded", "Failed") and self._t_finished[row] == NEVER:
            self._t_finished[row] = t_us
            self._left(row, pod)
            # A pod that was told to stop ends as Failed too; that is no failure.
            if phase == "Failed" and not meta.deletion_timestamp:
                self._outcome[row] = "failed"
                self._reason[row] = pod.status.reason
        if meta.deletion_timestamp and _is_preempted(pod):
            self._outcome[row] = "preempted"

    def deleted(self, pod: Pod, t_us: int) -> None:
        """A pod is gone from the api-server."""
        row = self._row.pop(pod.metadata.uid or "", None)
        if row is None:
            return
        self._t_deleted[row] = t_us
        if self._t_finished[row] == NEVER:
            self._left(row, pod)

    def _left(self, row: int, pod: Pod) -> None:
        if self._t_scheduled[row] == NEVER:
            self.pending -= 1
        else:
            self.running -= 1
            if self.endless:
                self._running_endless -= _workload(pod) in self.endless
        if self.on_moved is not None:
            self.on_moved()

    def attempted(self, pod: PodView, attempt: int, reason: str | None) -> None:
        """The scheduler tried to place a pod; ``reason`` says why it could not."""
        row = self._row.get(pod.uid)
        if row is None:
            return
        if not self._attempts[row]:
            self._tried.append(row)
        self._attempts[row] = attempt
        if reason is not None:
            self._outcome[row] = "unschedulable"
            self._reason[row] = reason

    def to_arrow(self, *, can_end: bool) -> pa.Table:
        """The table ``pods``. ``can_end``: whether pods of this run end at all, so that living ones are censored."""
        self._write()
        n = len(self)
        finished, deleted = times(self._t_finished[:n]), times(self._t_deleted[:n])
        alive = pc.and_(pc.is_null(finished), pc.is_null(deleted))
        i32 = pa.int32()
        specs = _Specs(self._infos)
        return pa.table(
            {
                "pod": pa.array(self._names, pa.string()),
                "workload": pa.array(self._workload, pa.string()),
                "index": integers(self._index, i32),
                "incarnation": pa.array(_occurrences(zip(self._workload, self._index, strict=True)), i32),
                "t_create_us": integers(self._t_create),
                "t_scheduled_us": times(self._t_scheduled[:n]),
                "t_running_us": times(self._t_running[:n]),
                "t_finished_us": finished,
                "t_deleted_us": deleted,
                "node": pa.array(self._node[:n], pa.string()),
                "outcome": self._outcome.to_arrow()[:n],
                "reason": pa.array(self._reason[:n], pa.string()),
                "attempts": integers(self._attempts[:n], i32),
                "cpu_milli": specs.column(lambda info: info.requests.get(CPU, 0)),
                "memory_b": specs.column(lambda info: info.requests.get(MEMORY, 0)),
                "gpu_milli": specs.column(lambda info: info.gpu.total_milli if info.gpu else 0),
                "gpu_count": specs.column(lambda info: info.gpu.count if info.gpu else 0).cast(i32),
                "priority": specs.column(lambda info: info.priority).cast(i32),
                "censored": alive if can_end else pa.array(np.zeros(n, dtype=np.bool_)),
            }
        )

    def demand(self, *, as_tried: bool = False) -> Ints:
        """What the first k pods request together, int64[pods + 1, 3] by k: millicores, bytes and milli-GPU.

        The first to be created, or ``as_tried`` the first that the scheduler tried to place.
        """
        self._write()
        infos = [self._infos[row] for row in self._tried] if as_tried else self._infos
        demand = np.zeros((len(infos) + 1, 3), dtype=np.int64)
        if infos:
            np.cumsum(_Specs(infos).read(_requested), axis=0, out=demand[1:])
        return demand


class _Specs:
    """What the specs of many pods say: thousands share a few, which are read once each."""

    def __init__(self, infos: Sequence[SpecInfo]) -> None:
        self._distinct = {info: number for number, info in enumerate(dict.fromkeys(infos))}
        self._numbers = np.fromiter(map(self._distinct.__getitem__, infos), dtype=np.intp, count=len(infos))

    def read(self, read: Callable[[SpecInfo], int | tuple[int, ...]]) -> Ints:
        """int64[pods] or int64[pods, k]: ``read`` of every pod's spec."""
        return np.array([read(info) for info in self._distinct], dtype=np.int64)[self._numbers]

    def column(self, read: Callable[[SpecInfo], int]) -> pa.Array:
        """The same as a column."""
        return pa.array(self.read(read))


def _workload(pod: Pod) -> str:
    return pairing_id(pod.metadata.annotations, pod.key)


def _occurrences(values: Iterable[Hashable]) -> list[int]:
    """For each value how often it came before."""
    seen: dict[Hashable, int] = {}
    before = []
    for value in values:
        count = seen.get(value, 0)
        seen[value] = count + 1
        before.append(count)
    return before


def _is_preempted(pod: Pod) -> bool:
    return any(c.type == "DisruptionTarget" and c.reason == _PREEMPTED for c in pod.status.conditions)


class NodeLog:
    """One row per lifetime of a node, in order of joining."""

    def __init__(self) -> None:
        self._rows: list[tuple[Node, int]] = []
        self._removed: dict[int, int] = {}
        self._row: dict[str, int] = {}

    def added(self, node: Node, t_us: int) -> None:
        """A node joined."""
        self._row[node.name] = len(self._rows)
        self._rows.append((node, t_us))

    def deleted(self, node: Node, t_us: int) -> None:
        """A node left."""
        row = self._row.pop(node.name, None)
        if row is not None:
            self._removed[row] = t_us

    def to_arrow(self, table: NodeTable) -> pa.Table:
        """The table ``nodes``; what is requested at the end comes from the scheduler's ``table``."""
        nodes = [node for node, _ in self._rows]
        allocatable = [allocatable_amounts(node.status) for node in nodes]
        devices = [node_devices(node) for node in nodes]
        final = self._final(table)

        def column(values: list[int], kind: pa.DataType | None = None) -> pa.Array:
            return pa.array(values, kind or pa.int64())

        return pa.table(
            {
                "node": pa.array([node.name for node in nodes], pa.string()),
                "t_add_us": column([t for _, t in self._rows]),
                "t_remove_us": pa.array([self._removed.get(row) for row in range(len(nodes))], pa.int64()),
                "cpu_milli": column([amounts.get(CPU, 0) for amounts in allocatable]),
                "memory_b": column([amounts.get(MEMORY, 0) for amounts in allocatable]),
                "pods": column([amounts.get(PODS, 0) for amounts in allocatable]),
                "gpu_count": column([d.count for d in devices], pa.int32()),
                "gpu_model": pa.array([d.model for d in devices], pa.string()),
                "zone": pa.array([node.metadata.labels.get(ZONE_LABEL, "") for node in nodes], pa.string()),
                "final_cpu_milli": pa.array(final[:, 0]),
                "final_memory_b": pa.array(final[:, 1]),
                "final_pods": pa.array(final[:, 2]),
                "final_gpu_milli": pa.array(final[:, 3]),
            }
        )

    def _final(self, table: NodeTable) -> Ints:
        """Requested cpu, memory, pods and milli-GPU at the end, int64[nodes, 4]; zero for a node that left."""
        rows: list[int] = []
        infos: list[SpecInfo] = []
        for name, row in self._row.items():
            if name in table.index:
                on_node = [placed.pod.info for placed in table.pods_on(name)]
                rows += [row] * len(on_node)
                infos += on_node
        final = np.zeros((len(self._rows), 4), dtype=np.int64)
        if infos:
            np.add.at(final, rows, _Specs(infos).read(_held))
        return final


def _requested(info: SpecInfo) -> tuple[int, int, int]:
    """Cpu, memory and milli-GPU."""
    return (info.requests.get(CPU, 0), info.requests.get(MEMORY, 0), info.gpu.total_milli if info.gpu else 0)


def _held(info: SpecInfo) -> tuple[int, int, int, int]:
    """What a pod counts for on its node: cpu, memory, pods and milli-GPU."""
    cpu, memory, gpu_milli = _requested(info)
    return cpu, memory, 1, gpu_milli
