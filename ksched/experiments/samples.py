"""The state of the cluster as a few numbers: allocation, imbalance and stranded capacity per resource.

Everything is computed from the columns of the scheduler's NodeTable. What a node strands is kept per node and computed
again only for nodes whose pods changed since the last sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ksched.framework.columns import Watermark
from ksched.objects import CPU, MEMORY
from ksched.tables import NODE, USAGE, WHOLE, NodeTable

Ints = npt.NDArray[np.int64]

RESOURCES = ("cpu", "memory", "gpu")
GPU = RESOURCES.index("gpu")
MAX_SHAPES = 1000
"""A trace with more distinct request shapes is judged by its most frequent ones."""

_MUCH = 20_000
"""Samples times nodes that are worked out at once."""


class Shape(NamedTuple):
    """What a pod requests: cpu in millicores, memory in bytes, GPUs as devices x milli of each, models allowed."""

    cpu_milli: int
    memory_b: int
    gpu_count: int = 0
    gpu_milli: int = 0
    models: tuple[str, ...] = ()


class ClusterState(NamedTuple):
    """The state of the cluster at one moment, per resource of RESOURCES.

    ``capacity`` of all nodes in millicores, bytes and milli-GPU; of it are the others shares, each 0..1 (imbalance:
    standard deviation over nodes). An empty cluster, or one without a resource, has zeros.
    """

    capacity: tuple[int, ...]
    allocated: tuple[float, ...]
    imbalance: tuple[float, ...]
    stranded: tuple[float, ...]


class _Noted(NamedTuple):
    """What a sample looks at: the ``rows`` that changed since the one before, and what is free there."""

    rows: npt.NDArray[np.intp]
    free: Ints
    """Cpu and memory int64[2, rows]."""
    devices_free: Ints
    """int64[slots, rows]"""
    models: npt.NDArray[np.int32]
    """Ids of the models of their devices."""


class StateSampler:
    """Measures a NodeTable. ``shapes`` is how often each request shape occurs in the trace.

    A sample only notes what has changed; the measures are worked out for many samples at once, because a few nodes
    are too little for what each of numpy's many calls costs.
    """

    def __init__(self, table: NodeTable, shapes: Mapping[Shape, int]) -> None:
        self._table = table
        # Most frequent first; equal counts in the shapes' own order, so that the cut does not depend on the input's.
        common = sorted(shapes.items(), key=lambda item: (-item[1], item[0]))[:MAX_SHAPES]
        self._shapes = _ShapeColumns([shape for shape, _ in common], table)
        self._counts: Ints = np.array([count for _, count in common], dtype=np.int64)
        self._pods = max(int(self._counts.sum()), 1)
        self._changes = Watermark(table, USAGE)
        self._node_changes = Watermark(table, NODE)
        self._noted: list[_Noted] = []
        self._states: list[ClusterState] = []
        # By node, as of the last sample that was worked out.
        self._of_nodes: Ints = np.zeros((len(RESOURCES), 0), dtype=np.int64)
        self._free: Ints = self._of_nodes
        self._unfit: Ints = np.zeros(0, dtype=np.int64)
        self._capacities: list[_Capacity] = []

    def sample(self) -> None:
        """Take a sample now."""
        table = self._table
        cpu_and_memory = table.resource_rows((CPU, MEMORY))
        assert cpu_and_memory is not None  # every table has both
        allocatable = table.allocatable[cpu_and_memory]
        rows, nodes = self._changes.advance(), self._node_changes.advance()
        if nodes is None or len(nodes):
            self._work_out()
            self._start(np.vstack([allocatable, table.devices.count * WHOLE])[:, : table.n])
            rows = None
        if rows is None:
            rows = np.arange(table.n, dtype=np.intp)
        free = allocatable[:, rows] - table.requested[cpu_and_memory][:, rows]
        self._noted.append(_Noted(rows, free, table.devices.free[:, rows], table.devices.model_ids[rows]))
        if len(self._noted) * table.n >= _MUCH:
            self._work_out()

    def states(self) -> list[ClusterState]:
        """The state at each sample."""
        self._work_out()
        return self._states

    def _start(self, of_nodes: Ints) -> None:
        """Nodes changed: forget what depended on them."""
        self._of_nodes = of_nodes
        self._capacities = [_Capacity.of(amounts) for amounts in of_nodes]
        self._free = np.zeros(of_nodes.shape, dtype=np.int64)
        self._unfit = np.zeros(of_nodes.shape[1], dtype=np.int64)

    def _work_out(self) -> None:
        """The states at the samples that are only noted so far."""
        noted, self._noted = self._noted, []
        if not noted:
            return
        free, unfit = self._free_and_unfit(noted)
        free_then = np.empty((len(noted), *self._free.shape), dtype=np.int64)
        unfit_then = np.empty((len(noted), 1, len(self._unfit)), dtype=np.int64)
        end = 0
        for sample, (rows, *_) in enumerate(noted):
            start, end = end, end + len(rows)
            self._free[:, rows], self._unfit[rows] = free[:, start:end], unfit[start:end]
            free_then[sample], unfit_then[sample] = self._free, self._unfit
        used = self._of_nodes - free_then
        # An overcommitted node strands nothing. A sum, not a dot product: BLAS may add in any order.
        waste = np.maximum(free_then, 0) * (unfit_then / self._pods)
        totals = tuple(capacity.total for capacity in self._capacities)
        sums = zip(used.sum(axis=2).tolist(), self._imbalance(used), waste.sum(axis=2).tolist(), strict=True)
        for taken, imbalance, wasted in sums:
            self._states.append(ClusterState(totals, _shares(taken, totals), imbalance, _shares(wasted, totals)))

    def _free_and_unfit(self, noted: list[_Noted]) -> tuple[Ints, Ints]:
        """By changed row of one sample after the other: what is free int64[resources, rows], and how many of the
        trace's pods would not fit, int64[rows]."""
        free = np.concatenate([sample.free for sample in noted], axis=1)
        devices_free = np.concatenate([sample.devices_free for sample in noted], axis=1)
        models = np.concatenate([sample.models for sample in noted])
        unfit = np.empty(len(models), dtype=np.int64)
        # In blocks, so that many nodes times many shapes never stand in memory at once.
        for start in range(0, len(unfit), 256):
            block = slice(start, start + 256)
            shapes = self._shapes.unfit(free[:, block], devices_free[:, block], models[block])
            unfit[block] = shapes @ self._counts
        return np.vstack([free, np.maximum(devices_free, 0).sum(axis=0)]), unfit

    def _imbalance(self, used: Ints) -> list[tuple[float, ...]]:
        """By sample, of ``used`` int64[samples, resources, nodes]."""
        deviations = [
            _deviations(used[:, resource].take(capacity.nodes, axis=1) / capacity.of_those)
            if capacity.total
            else [0.0] * len(used)
            for resource, capacity in enumerate(self._capacities)
        ]
        return list(zip(*deviations, strict=True))


class _Capacity(NamedTuple):
    """Of one resource: ``total``, and which ``nodes`` have any, with how much ``of_those``."""

    total: int
    nodes: npt.NDArray[np.intp]
    of_those: Ints

    @classmethod
    def of(cls, amounts: Ints) -> _Capacity:
        nodes = np.flatnonzero(amounts > 0)
        return cls(int(amounts.sum()), nodes, amounts[nodes])


def _shares(amounts: Sequence[float], totals: Sequence[int]) -> tuple[float, ...]:
    return tuple([amount / total if total else 0.0 for amount, total in zip(amounts, totals, strict=True)])


def _deviations(shares: npt.NDArray[np.float64]) -> list[float]:
    """Row by row ``np.std`` to the last bit, without its looking at what it was given."""
    count = shares.shape[1]
    apart = shares - (shares.sum(axis=1) / count)[:, np.newaxis]
    apart *= apart
    deviations: list[float] = np.sqrt(apart.sum(axis=1) / count).tolist()
    return deviations


class _ShapeColumns:
    """Shapes as columns; what they want of devices is evaluated once per distinct demand."""

    def __init__(self, shapes: list[Shape], table: NodeTable) -> None:
        self._devices = table.devices
        self._cpu_and_memory = np.array([(s.cpu_milli, s.memory_b) for s in shapes], dtype=np.int64).reshape(-1, 2).T
        demands = sorted({(s.gpu_count, s.gpu_milli, s.models) for s in shapes})
        order = {demand: i for i, demand in enumerate(demands)}
        self._demand_of = np.array([order[s.gpu_count, s.gpu_milli, s.models] for s in shapes], dtype=np.intp)
        self._counts = np.array([count for count, _, _ in demands], dtype=np.int64)
        self._millis = np.array([milli for _, milli, _ in demands], dtype=np.int64)
        self._models = [models for _, _, models in demands]
        self._allowed: npt.NDArray[np.bool_] = np.zeros((0, len(demands)), dtype=np.bool_)

    def unfit(self, free: Ints, devices_free: Ints, models: npt.NDArray[np.int32]) -> Ints:
        """1 where a shape does not fit on a node, else 0, int64[rows, shapes]; what a row is: see :class:`_Noted`."""
        lacking = free[:, :, None] < self._cpu_and_memory[:, None, :]
        unfit: npt.NDArray[np.bool_] = lacking[0] | lacking[1]
        unfit |= self._devices_unfit(devices_free, models)[:, self._demand_of]
        return unfit.astype(np.int64)

    def _devices_unfit(self, devices_free: Ints, models: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        known = self._devices.models
        if len(self._allowed) != len(known):
            self._allowed = np.array([[not some or model in some for some in self._models] for model in known.values])
        too_few = (devices_free[:, :, None] >= self._millis).sum(axis=0) < self._counts
        unfit: npt.NDArray[np.bool_] = too_few | ~self._allowed[models]
        return unfit
