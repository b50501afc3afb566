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
Floats = npt.NDArray[np.float64]

RESOURCES = ("cpu", "memory", "gpu")
GPU = RESOURCES.index("gpu")
MAX_SHAPES = 1000
"""A trace with more distinct request shapes is judged by its most frequent ones."""

_SHARE, _WASTE = range(2)
_MUCH = 40_000
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
    """What a sample looks at: the ``rows`` that changed since the one before, and what pods hold there."""

    rows: npt.NDArray[np.intp]
    requested: Ints
    """Cpu and memory int64[2, rows]."""
    devices_free: Ints
    """int64[slots, rows]"""


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
        # A count of pods is a whole number, which BLAS adds up exactly in whatever order.
        self._counts: Floats = np.array([count for _, count in common], dtype=np.float64)
        self._pods = max(sum([count for _, count in common]), 1)
        self._changes = Watermark(table, NODE | USAGE)
        self._noted: list[_Noted] = []
        self._states: list[ClusterState] = []
        self._nodes = _Nodes(table)

    def sample(self) -> None:
        """Take a sample now."""
        table, changes = self._table, self._changes
        rows = changes.advance()
        if rows is None or changes.moved & NODE:
            self._work_out()
            self._nodes = _Nodes(table)
            rows = np.arange(table.n, dtype=np.intp)
        requested = table.requested[_cpu_and_memory(table)]
        self._noted.append(_Noted(rows, requested[:, rows], table.devices.free[:, rows]))
        if len(self._noted) * table.n >= _MUCH:
            self._work_out()

    def states(self) -> list[ClusterState]:
        """The state at each sample."""
        self._work_out()
        return self._states

    def _work_out(self) -> None:
        """The states at the samples that are only noted so far."""
        noted, self._noted = self._noted, []
        if not noted:
            return
        nodes = self._nodes
        used, measures = self._of_rows(noted)
        used_then = np.empty((len(noted), *nodes.used.shape), dtype=np.int64)
        measures_then = np.empty((len(noted), *nodes.measures.shape))
        end = 0
        for sample, (rows, *_) in enumerate(noted):
            start, end = end, end + len(rows)
            nodes.used[:, rows], nodes.measures[..., rows] = used[:, start:end], measures[..., start:end]
            used_then[sample], measures_then[sample] = nodes.used, nodes.measures
        totals = tuple(capacity.total for capacity in nodes.capacities)
        imbalances = nodes.imbalance(measures_then[:, _SHARE])
        # A sum, not a dot product: BLAS may add in any order.
        wastes = measures_then[:, _WASTE].sum(axis=2).tolist()
        sums = zip(used_then.sum(axis=2).tolist(), imbalances, wastes, strict=True)
        for taken, imbalance, wasted in sums:
            self._states.append(ClusterState(totals, _shares(taken, totals), imbalance, _shares(wasted, totals)))

    def _of_rows(self, noted: list[_Noted]) -> tuple[Ints, Floats]:
        """By changed row of one sample after the other: what is used int64[resources, rows], and which share of the
        row's capacity that is and what the row strands, float64[2, resources, rows]."""
        rows = np.concatenate([sample.rows for sample in noted])
        capacity, models = self._nodes.amounts[:, rows], self._nodes.models[rows]
        devices_free = np.concatenate([sample.devices_free for sample in noted], axis=1)
        free = capacity.copy()
        free[:GPU] -= np.concatenate([sample.requested for sample in noted], axis=1)
        free[GPU] = np.maximum(devices_free, 0).sum(axis=0)
        unfit = np.empty(len(rows))
        # In blocks, so that many nodes times many shapes never stand in memory at once.
        for start in range(0, len(rows), 256):
            block = slice(start, start + 256)
            unfit[block] = self._shapes.unfit(free[:GPU, block], devices_free[:, block], models[block]) @ self._counts
        used = capacity - free
        # An overcommitted node strands nothing.
        return used, np.stack([used / np.maximum(capacity, 1), np.maximum(free, 0) * (unfit / self._pods)])


class _Nodes:
    """What nodes have: ``amounts`` int64[resources, nodes] and ``models``, the ids of their devices' models.

    As of the last sample that was worked out: what is ``used`` of the amounts int64[resources, nodes], and
    ``measures`` float64[2, resources, nodes], the share that is used and what is stranded (_SHARE, _WASTE).
    """

    def __init__(self, table: NodeTable) -> None:
        devices, n = table.devices, table.n
        self.amounts: Ints = np.vstack([table.allocatable[_cpu_and_memory(table)], devices.count * WHOLE])[:, :n]
        self.models = devices.model_ids[:n].copy()
        self.capacities = [_Capacity.of(amounts) for amounts in self.amounts]
        self.used: Ints = np.zeros(self.amounts.shape, dtype=np.int64)
        self.measures: Floats = np.zeros((2, *self.amounts.shape))

    def imbalance(self, shares: Floats) -> list[tuple[float, ...]]:
        """By sample, of ``shares`` float64[samples, resources, nodes]."""
        deviations = [capacity.deviations(shares[:, i]) for i, capacity in enumerate(self.capacities)]
        return list(zip(*deviations, strict=True))


class _Capacity(NamedTuple):
    """Of one resource: ``total``, and which ``nodes`` have any."""

    total: int
    nodes: npt.NDArray[np.intp]

    @classmethod
    def of(cls, amounts: Ints) -> _Capacity:
        return cls(int(amounts.sum()), np.flatnonzero(amounts > 0))

    def deviations(self, shares: Floats) -> list[float]:
        """By sample, of ``shares`` float64[samples, nodes]."""
        if not self.total:
            return [0.0] * len(shares)
        return _deviations(shares if len(self.nodes) == shares.shape[1] else shares.take(self.nodes, axis=1))


def _cpu_and_memory(table: NodeTable) -> npt.NDArray[np.intp] | slice:
    rows = table.resource_rows((CPU, MEMORY))
    assert rows is not None  # every table has both
    return rows


def _shares(amounts: Sequence[float], totals: Sequence[int]) -> tuple[float, ...]:
    return tuple([amount / total if total else 0.0 for amount, total in zip(amounts, totals, strict=True)])


def _deviations(shares: Floats) -> list[float]:
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

    def unfit(self, free: Ints, devices_free: Ints, models: npt.NDArray[np.int32]) -> Floats:
        """1 where a shape does not fit on a node, else 0, float64[rows, shapes].

        By row: free cpu and memory int64[2, rows], free milli of each device int64[slots, rows], model of devices.
        """
        lacking = free[:, :, None] < self._cpu_and_memory[:, None, :]
        unfit: npt.NDArray[np.bool_] = lacking[0] | lacking[1]
        unfit |= self._devices_unfit(devices_free, models).take(self._demand_of, axis=1)
        return unfit.astype(np.float64)

    def _devices_unfit(self, devices_free: Ints, models: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        known = self._devices.models
        if len(self._allowed) != len(known):
            self._allowed = np.array([[not some or model in some for some in self._models] for model in known.values])
        too_few = (devices_free[:, :, None] >= self._millis).sum(axis=0) < self._counts
        unfit: npt.NDArray[np.bool_] = too_few | ~self._allowed[models]
        return unfit
