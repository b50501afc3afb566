"""The state of the cluster as a few numbers: allocation, imbalance and stranded capacity per resource.

Everything is computed from the columns of the scheduler's NodeTable. What a node strands is kept per node and computed
again only for nodes whose pods changed since the last sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ksched.framework.columns import Watermark
from ksched.objects import CPU, MEMORY
from ksched.tables import NODE, USAGE, WHOLE, NodeTable

Ints = npt.NDArray[np.int64]

RESOURCES = ("cpu", "memory", "gpu")
MAX_SHAPES = 1000
"""A trace with more distinct request shapes is judged by its most frequent ones."""


class Shape(NamedTuple):
    """What a pod requests: cpu in millicores, memory in bytes, GPUs as devices x milli of each, models allowed."""

    cpu_milli: int
    memory_b: int
    gpu_count: int = 0
    gpu_milli: int = 0
    models: tuple[str, ...] = ()


class ClusterState(NamedTuple):
    """Per resource of RESOURCES, each 0..1 of the cluster's capacity (imbalance: standard deviation over nodes)."""

    allocated: tuple[float, ...]
    imbalance: tuple[float, ...]
    stranded: tuple[float, ...]


class StateSampler:
    """Measures a NodeTable. ``shapes`` is how often each request shape occurs in the trace."""

    def __init__(self, table: NodeTable, shapes: Mapping[Shape, int]) -> None:
        self._table = table
        # Most frequent first; equal counts in the shapes' own order, so that the cut does not depend on the input's.
        common = sorted(shapes.items(), key=lambda item: (-item[1], item[0]))[:MAX_SHAPES]
        self._shapes = _ShapeColumns([shape for shape, _ in common])
        self._counts: Ints = np.array([count for _, count in common], dtype=np.int64)
        self._pods = max(int(self._counts.sum()), 1)
        self._unfit: Ints = np.zeros(0, dtype=np.int64)
        self._gpu_free: Ints = np.zeros(0, dtype=np.int64)
        self._changes = Watermark(table, USAGE)
        self._node_changes = Watermark(table, NODE)
        self._capacities: list[_Capacity] = []

    def capacity(self) -> Ints:
        """Capacity of all nodes, int64[3]: millicores, bytes, milli-GPU."""
        self._refresh()
        return np.array([capacity.total for capacity in self._capacities], dtype=np.int64)

    def measure(self) -> ClusterState:
        """The state now. An empty cluster, or one without a resource, gives zeros."""
        self._refresh()
        unfit = self._unfit / self._pods
        allocated, imbalance, stranded = [], [], []
        for capacity, free in zip(self._capacities, self._free(), strict=True):
            total = capacity.total
            used = capacity.of_nodes - free
            allocated.append(int(used.sum()) / total if total else 0.0)
            imbalance.append(_deviation(used[capacity.nodes] / capacity.of_those) if total else 0.0)
            # An overcommitted node strands nothing. A sum, not a dot product: BLAS may add in any order.
            stranded.append(float((np.maximum(free, 0) * unfit).sum()) / total if total else 0.0)
        return ClusterState(tuple(allocated), tuple(imbalance), tuple(stranded))

    def _free(self) -> tuple[Ints, Ints, Ints]:
        table, n = self._table, self._table.n
        cpu, memory = table.resource_row(CPU), table.resource_row(MEMORY)
        return (
            table.allocatable[cpu, :n] - table.requested[cpu, :n],
            table.allocatable[memory, :n] - table.requested[memory, :n],
            self._gpu_free,
        )

    def _refresh(self) -> None:
        """Bring up to date what depends on nodes alone, and per node its free GPUs and how many of the trace's pods
        would not fit."""
        table = self._table
        rows = self._changes.advance()
        nodes = self._node_changes.advance()
        if nodes is None or len(nodes):
            rows = None
            cpu, memory = table.resource_row(CPU), table.resource_row(MEMORY)
            of_nodes = (table.allocatable[cpu], table.allocatable[memory], table.devices.count * WHOLE)
            self._capacities = [_Capacity.of(amounts[: table.n]) for amounts in of_nodes]
        if rows is None:
            rows = np.arange(table.n, dtype=np.intp)
            self._unfit = np.zeros(table.n, dtype=np.int64)
            self._gpu_free = np.zeros(table.n, dtype=np.int64)
        # In blocks, so that many nodes times many shapes never stand in memory at once.
        for start in range(0, len(rows), 256):
            block = rows[start : start + 256]
            free = table.devices.free[:, block]
            self._gpu_free[block] = np.maximum(free, 0).sum(axis=0)
            self._unfit[block] = self._shapes.unfit(table, block, free) @ self._counts


class _Capacity(NamedTuple):
    """Of one resource: ``total``, ``of_nodes`` int64[n], and which ``nodes`` have any, with how much ``of_those``."""

    total: int
    of_nodes: Ints
    nodes: npt.NDArray[np.intp] | slice
    of_those: Ints

    @classmethod
    def of(cls, amounts: Ints) -> _Capacity:
        some = np.flatnonzero(amounts > 0)
        nodes = slice(None) if len(some) == len(amounts) else some  # a slice copies nothing
        return cls(int(amounts.sum()), amounts.copy(), nodes, amounts[nodes].copy())


def _deviation(shares: npt.NDArray[np.float64]) -> float:
    """``np.std`` to the last bit, without its looking at what it was given, which takes longer than the sums."""
    apart = shares - shares.sum() / len(shares)
    apart *= apart
    return math.sqrt(apart.sum() / len(shares))


class _ShapeColumns:
    """Shapes as columns; what they want of devices is evaluated once per distinct demand."""

    def __init__(self, shapes: list[Shape]) -> None:
        self._cpu = np.array([s.cpu_milli for s in shapes], dtype=np.int64)
        self._memory = np.array([s.memory_b for s in shapes], dtype=np.int64)
        demands = sorted({(s.gpu_count, s.gpu_milli, s.models) for s in shapes})
        order = {demand: i for i, demand in enumerate(demands)}
        self._demand_of = np.array([order[s.gpu_count, s.gpu_milli, s.models] for s in shapes], dtype=np.intp)
        self._counts = np.array([count for count, _, _ in demands], dtype=np.int64)
        self._millis = np.array([milli for _, milli, _ in demands], dtype=np.int64)
        self._models = [models for _, _, models in demands]
        self._allowed: npt.NDArray[np.bool_] = np.zeros((0, len(demands)), dtype=np.bool_)

    def unfit(self, table: NodeTable, rows: npt.NDArray[np.intp], devices_free: Ints) -> Ints:
        """1 where a shape does not fit on a node, else 0, int64[rows, shapes]; ``devices_free`` is of those rows."""
        cpu, memory = table.resource_row(CPU), table.resource_row(MEMORY)
        cpu_free = table.allocatable[cpu, rows] - table.requested[cpu, rows]
        memory_free = table.allocatable[memory, rows] - table.requested[memory, rows]
        unfit: npt.NDArray[np.bool_] = cpu_free[:, None] < self._cpu
        unfit |= memory_free[:, None] < self._memory
        unfit |= self._devices_unfit(table, rows, devices_free)[:, self._demand_of]
        return unfit.astype(np.int64)

    def _devices_unfit(self, table: NodeTable, rows: npt.NDArray[np.intp], devices_free: Ints) -> npt.NDArray[np.bool_]:
        devices = table.devices
        if len(self._allowed) != len(devices.models):
            self._allowed = np.array(
                [[not models or model in models for models in self._models] for model in devices.models.values]
            )
        too_few = (devices_free[:, :, None] >= self._millis).sum(axis=0) < self._counts
        unfit: npt.NDArray[np.bool_] = too_few | ~self._allowed[devices.model_ids[rows]]
        return unfit
