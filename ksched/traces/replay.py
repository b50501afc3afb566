"""Traces as arrivals of Kubernetes objects, in time order.

Modes: ``timestamp`` submits everything when the trace says and lets it end after its run time; ``inflate`` ignores
times, shuffles the pods and adds or drops some until their demand is a given multiple of capacity (the protocol of
Weng et al., ATC 2023); ``snapshot`` submits everything at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from ksched.errors import InputError
from ksched.objects import Deployment, Job, KubeObject, Pod, PodSpec
from ksched.traces.load import RESOURCES, capacities, requests
from ksched.traces.schema import ReplayMode, WorkloadKind
from ksched.traces.specs import (
    cluster_nodes,
    initial_nodes,
    object_name,
    priority_classes,
    shapes_of,
    us_to_ns,
    workload_rows,
)
from ksched.traces.trace import Trace, column, valid

WORKLOAD_ANNOTATION = "ksched.dev/workload"
INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index"
NAMESPACE = "default"
_ENDLESS = (None,)
"""``run_ns`` of an arrival of one pod that never ends."""
SERVICE_KINDS = (WorkloadKind.SERVICE, WorkloadKind.ALLOC_SET)

Array = np.ndarray[Any, np.dtype[Any]]
Expand = Literal["workloads", "pods"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """Objects to create at one time.

    ``time_ns`` is virtual time; in mode inflate it is only the arrival's number, since each follows the decision on
    the one before. ``run_ns`` has one entry per pod, by index within the workload: how long it runs once started,
    None until deleted. ``delete_ns`` is when the objects are to be deleted, None never. ``workload`` is the value of
    the pods' annotation ksched.dev/workload.
    """

    time_ns: int
    objects: tuple[KubeObject, ...]
    run_ns: tuple[int | None, ...]
    delete_ns: int | None
    workload: str


@dataclass(frozen=True, slots=True)
class InflateProblem:
    """What an order function for mode inflate decides on.

    ``names`` of all pods, ascending; per pod ``demand`` (of the resource, over all devices) and ``unit`` (per device;
    the same as demand but for GPUs); ``target`` is the demand to reach. Amounts are int64 in millicores, bytes or
    thousandths of GPUs. ``nodes`` is how many nodes there are.
    """

    names: list[str]
    demand: Array
    unit: Array
    target: float
    nodes: int = 0


class Order(NamedTuple):
    """``pods`` int64[m]: positions in ``problem.names`` in order of arrival; a repeated one is a clone.

    ``node_ranks`` int64[problem.nodes] is the place each node gets, nodes by name; None leaves their names alone.
    """

    pods: Array
    node_ranks: Array | None = None


OrderFunction = Callable[[InflateProblem, int], Order]
"""(problem, seed) -> order."""


class Replay:
    """Arrivals of a trace: ``len()`` is their number.

    Where objects leave they are made one by one and anew for each pass; those of inflate, where every pod stays until
    the end, are made once.

    ``pods`` is the number of pods they create. ``node_ranks`` is what to hand to :func:`cluster_nodes`.
    """

    def __init__(
        self,
        mode: ReplayMode,
        arrivals: int,
        pods: int,
        make: Callable[[], Iterable[Arrival]],
        node_ranks: Array | None = None,
    ) -> None:
        self.mode = mode
        self.pods = pods
        self.node_ranks = node_ranks
        self._arrivals = arrivals
        self._make = make

    def __len__(self) -> int:
        return self._arrivals

    def __iter__(self) -> Iterator[Arrival]:
        return iter(self._make())


def replay(
    trace: Trace,
    mode: ReplayMode | None = None,
    *,
    expand: Expand = "workloads",
    seed: int = 0,
    ratio: float = 1.3,
    resource: str = "gpu",
    order: OrderFunction | None = None,
) -> Replay:
    """The trace's arrivals in ``mode`` (default: the one its manifest recommends).

    ``expand`` concerns mode timestamp; ``seed``, ``ratio``, ``resource`` and ``order`` mode inflate. InputError when
    the trace does not support the mode.
    """
    mode = mode or trace.manifest.replay_mode
    if mode == "timestamp":
        return timestamp(trace, expand=expand)
    if mode == "inflate":
        return inflate(trace, seed=seed, ratio=ratio, resource=resource, order=order)
    if mode == "snapshot":
        return snapshot(trace)
    raise InputError(f"unknown replay mode {mode!r}", hint="known: timestamp, inflate, snapshot")


def timestamp(trace: Trace, *, expand: Expand = "workloads") -> Replay:
    """Everything at the trace's own times.

    Jobs become Jobs that are removed when finished, services Deployments that are deleted at their end; with
    ``expand="pods"`` all become bare Pods. A pod whose run time is unknown is deleted at its t_end. Only the last
    attempt of a logical pod is replayed, from the first one's submission.
    """
    if trace.manifest.time_quality == "none":
        raise InputError(
            "the trace has no times, so it cannot be replayed by timestamp",
            where=trace.where,
            hint="use mode inflate or snapshot",
        )
    if expand not in ("workloads", "pods"):
        raise InputError(f"expand: {expand!r} is neither workloads nor pods")
    work = _Work(trace)
    groups = _Groups(work)
    return Replay("timestamp", len(groups), len(work.rows), lambda: groups.arrivals(bare=expand == "pods"))


def snapshot(trace: Trace) -> Replay:
    """All pods at time 0 in order of submission, as bare Pods that never end."""
    work = _Work(trace)

    def arrivals() -> Iterator[Arrival]:
        for i in range(len(work.rows)):
            workload, pod = work.pod(i)
            yield Arrival(0, (pod,), _ENDLESS, None, workload)

    return Replay("snapshot", len(work.rows), len(work.rows), arrivals)


def inflate(
    trace: Trace,
    *,
    seed: int,
    ratio: float = 1.3,
    resource: str = "gpu",
    order: OrderFunction | None = None,
) -> Replay:
    """All pods as bare Pods in an order drawn by ``seed``, with clones added or pods dropped until their demand for
    ``resource`` (cpu, memory, gpu) is ``ratio`` times the capacity of all nodes. Nothing ever leaves.
    """
    if resource not in RESOURCES:
        raise InputError(f"resource: {resource!r} is none of {', '.join(RESOURCES)}")
    if not ratio > 0:
        raise InputError(f"ratio: {ratio} is not positive")
    work = _lasting_work(trace)
    names = work.names()
    by_name = sorted(range(len(names)), key=names.__getitem__)
    rows = work.rows[by_name]
    demand = requests(trace)[resource][rows]
    unit = np.minimum(demand, column(trace.pods, "gpu_milli")[rows]) if resource == "gpu" else demand
    capacity = capacities(trace)[resource]
    if not demand.any() or not capacity:
        missing = "capacity" if not capacity else "demand"
        raise InputError(f"there is no {missing} of {resource} to inflate to", where=trace.where)
    nodes = initial_nodes(trace)
    problem = InflateProblem([names[i] for i in by_name], demand, unit, ratio * capacity, nodes)
    chosen, node_ranks = (order or shuffle_then_sample)(problem, seed)

    @cache
    def arrivals() -> list[Arrival]:
        made = []
        seen = set()
        clones = 0
        for number, position in enumerate(chosen.tolist()):
            if position in seen:
                workload, pod = work.pod(by_name[position], f"{problem.names[position]}-tuned-{clones}")
                clones += 1
            else:
                workload, pod = work.lasting_pod(by_name[position])
            seen.add(position)
            made.append(Arrival(number, (pod,), _ENDLESS, None, workload))
        return made

    return Replay("inflate", len(chosen), len(chosen), arrivals, node_ranks)


def shuffle_then_sample(problem: InflateProblem, seed: int) -> Order:
    """The default order: a random permutation; then clones drawn with replacement until demand reaches the target,
    or, when it is above the target to begin with, random pods dropped until it no longer is.
    """
    n = len(problem.names)
    shuffle, tune = (np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(k,)))) for k in (0, 1))
    # Sorting uniform doubles rather than Generator.permutation: its draws may change with numpy's releases.
    order = np.argsort(shuffle.random(n), kind="stable")
    total = int(problem.demand.sum())
    if total > problem.target:
        victims = np.argsort(tune.random(n), kind="stable")
        left = total - np.cumsum(problem.demand[victims])
        dropped = victims[: int(np.searchsorted(-left, -problem.target)) + 1]
        return Order(np.asarray(order[~np.isin(order, dropped)]))
    parts = [order]
    while total < problem.target:
        drawn = np.floor(tune.random(1024) * n).astype(np.int64)
        reached = total + np.cumsum(problem.demand[drawn])
        kept = int(np.searchsorted(reached, problem.target)) + 1
        parts.append(drawn[:kept])
        total = int(reached[min(kept, len(drawn)) - 1])
    return Order(np.concatenate(parts))


# ------------------------------------------------------------------------------------------------ logical pods


class _Work:
    """Logical pods of a trace as numpy columns, and their objects on demand. ``rows`` are rows of ``pods``."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.shapes = shapes_of(trace)
        self.workload_row = workload_rows(trace)
        self.workload_id = column(trace.workloads, "workload_id")
        self.index = column(trace.pods, "index")
        self.service = np.isin(column(trace.workloads, "kind"), [kind.value for kind in SERVICE_KINDS])
        self.submit = column(trace.pods, "t_submit").copy()
        self.rows = _last_attempts(trace, self.submit)
        self.siblings = np.bincount(self.workload_row[self.rows], minlength=trace.workloads.num_rows)
        self._names = trace.workloads.column("name")
        self._listed: list[str] | None = None
        self._apps = trace.workloads.column("app")
        self._any_app = self._apps.null_count < len(self._apps)
        self._blank: dict[tuple[int, bool], Pod] = {}
        self._lasting: dict[int, tuple[str, Pod]] = {}

    def workload_name(self, workload: int) -> str:
        """The workload's Kubernetes name; ``workload`` is its row."""
        if self._listed is not None:
            return self._listed[workload]
        return object_name(self._names[workload].as_py(), int(self.workload_id[workload]))

    def names(self) -> list[str]:
        """The names of all logical pods as bare Pods. From now on the workloads' names are kept in memory."""
        self._listed = list(map(object_name, self._names.to_pylist(), self.workload_id.tolist()))
        rows = self.rows.tolist()
        workloads = self.workload_row[self.rows].tolist()
        return [
            self._pod_name(self._listed[workload], workload, row) for workload, row in zip(workloads, rows, strict=True)
        ]

    def _pod_name(self, name: str, workload: int, row: int) -> str:
        return name if self.siblings.item(workload) == 1 else f"{name}-{self.index[row]}"

    def labels(self, workload: int) -> dict[str, str]:
        app = self._apps[workload].as_py() if self._any_app else None
        return {"app": object_name(app, int(self.workload_id[workload]))} if app else {}

    def spec(self, row: int) -> PodSpec:
        policy = "Always" if self.service.item(self.workload_row.item(row)) else "Never"
        return self.shapes.spec(self.shapes.code.item(row), policy)

    def _blank_pod(self, row: int, workload: int) -> Pod:
        """A pod of the row's spec whose metadata are still to be filled in."""
        key = (self.shapes.code.item(row), self.service.item(workload))
        blank = self._blank.get(key)
        if blank is None:
            meta = {"name": "x", "namespace": NAMESPACE, "labels": {}, "annotations": {}}
            blank = self._blank[key] = Pod.model_validate({"metadata": meta, "spec": self.spec(row)})
        return blank

    def pod(self, i: int, name: str | None = None) -> tuple[str, Pod]:
        """(workload annotation, Pod) of logical pod ``i``; ``name`` makes it a clone with a workload of its own."""
        row = self.rows.item(i)
        workload = self.workload_row.item(row)
        pairing = name or self.workload_name(workload)
        annotations = {WORKLOAD_ANNOTATION: pairing}
        if name is None and self.siblings.item(workload) > 1:
            annotations[INDEX_ANNOTATION] = str(self.index[row])
        blank = self._blank_pod(row, workload)
        metadata = blank.metadata.replaced(
            name=name or self._pod_name(pairing, workload, row),
            labels=self.labels(workload),
            annotations=annotations,
        )
        return pairing, blank.replaced(metadata=metadata)

    def lasting_pod(self, i: int) -> tuple[str, Pod]:
        """The same without a name, made once and kept: for pods of which all orders have most."""
        made = self._lasting.get(i)
        if made is None:
            made = self._lasting[i] = self.pod(i)
        return made


@lru_cache(maxsize=1)
def _lasting_work(trace: Trace) -> _Work:
    """Orders drawn by different seeds are of the very same pods."""
    return _Work(trace)


def _last_attempts(trace: Trace, submit: Array) -> Array:
    """Rows of each logical pod's last attempt, by first submission; moves ``submit`` of those rows to it."""
    pods = trace.pods
    attempt = column(pods, "attempt")
    if not attempt.any():
        return np.arange(pods.num_rows)
    keys = (attempt, column(pods, "index"), column(pods, "workload_id"))
    order = np.lexsort(keys)
    new = np.ones(len(order), dtype=bool)
    new[1:] = (keys[1][order][1:] != keys[1][order][:-1]) | (keys[2][order][1:] != keys[2][order][:-1])
    first, last = order[new], order[np.append(new[1:], True)]
    submit[last] = submit[first]
    return np.asarray(last[np.lexsort((last, submit[last]))])


class _Groups:
    """Pods that are submitted together as one object: same workload, shape and time, run time known or not."""

    def __init__(self, work: _Work) -> None:
        self.work = work
        pods, rows = work.trace.pods, work.rows
        self.run = us_to_ns(column(pods, "run_us"), work.trace.where)
        self.has_run = valid(pods, "run_us")
        self.end = us_to_ns(column(pods, "t_end"), work.trace.where)
        self.has_end = valid(pods, "t_end")
        self.submit = us_to_ns(work.submit, work.trace.where)
        late = np.flatnonzero(self.has_end[rows] & (self.end[rows] < self.submit[rows]))
        if len(late):
            text = f"column t_end, row {rows[late[0]] + 1}: the pod ends before it is submitted"
            raise InputError(text, where=f"{work.trace.where}: pods", hint="see `ksched traces check`")
        keys = (self.submit[rows], work.workload_row[rows], work.shapes.code[rows], self.has_run[rows])
        # Within a group by index, so that run_ns[i] is that of completion index i.
        order = np.lexsort((work.index[rows], *reversed(keys)))
        new = np.ones(len(order), dtype=bool)
        new[1:] = np.logical_or.reduce([k[order][1:] != k[order][:-1] for k in keys])
        starts = np.flatnonzero(new)
        ends = np.append(starts[1:], len(order))
        # Equal times keep the order of the table: by the earliest row of each group.
        earliest = np.minimum.reduceat(order, starts) if len(starts) else starts
        by_time = np.lexsort((earliest, keys[0][order[starts]]))
        self._members = order
        self._slices = (starts[by_time], ends[by_time])
        owner = keys[1][order[starts]][by_time]
        self._part = _running_count(owner)

    def __len__(self) -> int:
        return len(self._slices[0])

    def arrivals(self, *, bare: bool) -> Iterator[Arrival]:
        for g in range(len(self)):
            members = self._members[self._slices[0][g] : self._slices[1][g]]
            rows = self.work.rows[members]
            service = bool(self.work.service[self.work.workload_row[rows[0]]])
            run = tuple(int(self.run[row]) if self.has_run[row] and not service else None for row in rows.tolist())
            delete = self._delete(rows, service)
            time = int(self.submit[rows[0]])
            if bare:
                made = [self.work.pod(i) for i in members.tolist()]
                yield Arrival(time, tuple(pod for _, pod in made), run, delete, made[0][0])
            else:
                name, obj = self._controller(g, rows, service)
                yield Arrival(time, (obj,), run, delete, name)

    def _delete(self, rows: Array, service: bool) -> int | None:
        if self.has_run[rows[0]] and not service:
            return None  # it ends by itself
        if self.has_end[rows].all():
            return int(self.end[rows].max())
        if self.has_run[rows[0]]:
            return int((self.submit[rows] + self.run[rows]).max())
        return None

    def _controller(self, group: int, rows: Array, service: bool) -> tuple[str, Deployment | Job]:
        workload = int(self.work.workload_row[rows[0]])
        name = self.work.workload_name(workload)
        if self._part[group]:
            name = f"{name}-part-{self._part[group]}"
        labels = self.work.labels(workload)
        metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
        template_meta: dict[str, Any] = {"annotations": {WORKLOAD_ANNOTATION: name}, "labels": labels}
        spec = self.work.spec(int(rows[0]))
        if service:
            template_meta["labels"] = {**labels, WORKLOAD_ANNOTATION: name}
            deployment = {
                "replicas": len(rows),
                "selector": {"matchLabels": {WORKLOAD_ANNOTATION: name}},
                "template": {"metadata": template_meta, "spec": spec},
            }
            return name, Deployment.model_validate({"metadata": metadata, "spec": deployment})
        job: dict[str, Any] = {
            "parallelism": len(rows),
            "completions": len(rows),
            "ttlSecondsAfterFinished": 0,
            "template": {"metadata": template_meta, "spec": spec},
        }
        if len(rows) > 1:
            job["completionMode"] = "Indexed"
        return name, Job.model_validate({"metadata": metadata, "spec": job})


def _running_count(values: Array) -> Array:
    """How many equal values come before each one."""
    order = np.argsort(values, kind="stable")
    new = np.ones(len(order), dtype=bool)
    new[1:] = values[order][1:] != values[order][:-1]
    starts = np.maximum.accumulate(np.where(new, np.arange(len(order)), 0))
    count = np.empty(len(order), dtype=np.int64)
    count[order] = np.arange(len(order)) - starts
    return count


__all__ = ["Arrival", "InflateProblem", "Order", "OrderFunction", "Replay", "cluster_nodes", "inflate",
           "priority_classes", "replay", "shuffle_then_sample", "snapshot", "timestamp"]  # fmt: skip
