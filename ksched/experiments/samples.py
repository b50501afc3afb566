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
GPU = RESOURCES.index("gpu")
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
        self._of_nodes: Ints = np.zeros((len(RESOURCES), 0), dtype=np.int64)
        self._free: Ints = self._of_nodes
        self._changes = Watermark(table, USAGE)
        self._node_changes = Watermark(table, NODE)
        self._capacities: list[_Capacity] = []

    def capacity(self) -> list[int]:
        """Capacity of all nodes: millicores, bytes, milli-GPU."""
        self._refresh()
        return [capacity.total for capacity in self._capacities]

    def measure(self) -> ClusterState:
        """The state now. An empty cluster, or one without a resource, gives zeros."""
        self._refresh()
        free = self._free
        used = self._of_nodes - free
        # An overcommitted node strands nothing. A sum, not a dot product: BLAS may add in any order.
        waste = np.maximum(free, 0) * (self._unfit / self._pods)
        allocated, imbalance, stranded = [], [], []
        sums = zip(self._capacities, used, used.sum(axis=1).tolist(), waste.sum(axis=1).tolist(), strict=True)
        for capacity, of_nodes, taken, wasted in sums:
            total = capacity.total
            allocated.append(taken / total if total else 0.0)
            imbalance.append(_deviation(of_nodes[capacity.nodes] / capacity.of_those) if total else 0.0)
            stranded.append(wasted / total if total else 0.0)
        return ClusterState(tuple(allocated), tuple(imbalance), tuple(stranded))

    def _refresh(self) -> None:
        """Bring up to date what depends on nodes alone, and per node what is free and how many of the trace's pods
        would not fit."""
        table = self._table
        cpu_and_memory = table.resource_rows((CPU, MEMORY))
        assert cpu_and_memory is not None  # every table has both
        allocatable, requested = table.allocatable[cpu_and_memory], table.requested[cpu_and_memory]
        rows = self._changes.advance()
        nodes = self._node_changes.advance()
        if nodes is None or len(nodes):
            rows = None
            devices = table.devices.count * WHOLE
            self._of_nodes = np.vstack([allocatable, devices])[:, : table.n].copy()
            self._capacities = [_Capacity.of(amounts) for amounts in self._of_nodes]
        if rows is None:
            rows = np.arange(table.n, dtype=np.intp)
            self._unfit = np.zeros(table.n, dtype=np.int64)
            self._free = np.zeros((len(RESOURCES), table.n), dtype=np.int64)
        # In blocks, so that many nodes times many shapes never stand in memory at once.
        for start in range(0, len(rows), 256):
            block = rows[start : start + 256]
            free = allocatable[:, block] - requested[:, block]
            devices_free = table.devices.free[:, block]
            self._free[:GPU, block] = free
            self._free[GPU, block] = np.maximum(devices_free, 0).sum(axis=0)
            self._unfit[block] = self._shapes.unfit(table, block, free, devices_free) @ self._counts


class _Capacity(NamedTuple):
    """Of one resource: ``total``, and which ``nodes`` have any, with how much ``of_those``."""

    total: int
    nodes: npt.NDArray[np.intp] | slice
    of_those: Ints

    @classmethod
    def of(cls, amounts: Ints) -> _Capacity:
        some = np.flatnonzero(amounts > 0)
        nodes = slice(None) if len(some) == len(amounts) else some  # a slice copies nothing
        return cls(int(amounts.sum()), nodes, amounts[nodes])


def _deviation(shares: npt.NDArray[np.float64]) -> float:
    """``np.std`` to the last bit, without its looking at what it was given, which takes longer than the sums."""
    apart = shares - shares.sum() / len(shares)
    apart *= apart
    return math.sqrt(apart.sum() / len(shares))


class _ShapeColumns:
    """Shapes as columns; what they want of devices is evaluated once per distinct demand."""

    def __init__(self, shapes: list[Shape]) -> None:
        self._cpu_and_memory = np.array([(s.cpu_milli, s.memory_b) for s in shapes], dtype=np.int64).reshape(-1, 2).T
        demands = sorted({(s.gpu_count, s.gpu_milli, s.models) for s in shapes})
        order = {demand: i for i, demand in enumerate(demands)}
        self._demand_of = np.array([order[s.gpu_count, s.gpu_milli, s.models] for s in shapes], dtype=np.intp)
        self._counts = np.array([count for count, _, _ in demands], dtype=np.int64)
        self._millis = np.array([milli for _, milli, _ in demands], dtype=np.int64)
        self._models = [models for _, _, models in demands]
        self._allowed: npt.NDArray[np.bool_] = np.zeros((0, len(demands)), dtype=np.bool_)

    def unfit(self, table: NodeTable, rows: npt.NDArray[np.intp], free: Ints, devices_free: Ints) -> Ints:
        """1 where a shape does not fit on a node, else 0, int64[rows, shapes].

        ``free`` cpu and memory int64[2, rows] and ``devices_free`` int64[slots, rows] are those of ``rows``.
        """
        lacking = free[:, :, None] < self._cpu_and_memory[:, None, :]
        unfit: npt.NDArray[np.bool_] = lacking[0] | lacking[1]
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
