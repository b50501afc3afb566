"""Probes: measures of the cluster that only some experiments need, taken often and so kept current step by step.

An experiment file names them (``probes: [fragmentation]``); each becomes a result table of its own name. In mode
inflate they measure after every arrival, else with every sample.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from ksched.framework.columns import Watermark
from ksched.objects import CPU
from ksched.tables import NODE, USAGE, WHOLE, ExpectedPod, NodeTable
from ksched.tables.fragmentation import BUCKETS, fragmentation, typical_pods


class Probe(Protocol):
    """One measure of the cluster; ``columns`` names the numbers that :meth:`measure` returns."""

    @property
    def columns(self) -> tuple[str, ...]: ...

    def measure(self) -> Sequence[float]: ...


class FragmentationProbe:
    """GPU milli used, and the idle ones by bucket as the workload's usual pods see them; all milli of devices."""

    columns = ("used", *BUCKETS)

    def __init__(self, table: NodeTable, expected: Sequence[ExpectedPod]) -> None:
        self._table = table
        self._fragmentation = fragmentation(typical_pods(expected))
        self._changes = Watermark(table, NODE | USAGE)
        self._nodes: list[tuple[int, ...]] = []
        self._totals = [0] * len(self.columns)
        self._measured: list[float] = [0.0] * len(self.columns)

    def measure(self) -> Sequence[float]:
        """float[columns]; sums are kept in whole numbers, so no error builds up from step to step."""
        rows = self._changes.advance()
        if rows is not None and not len(rows):
            return self._measured
        if rows is None:
            self._nodes = self._measure_nodes(list(range(self._table.n)))
            self._totals = [sum(values) for values in zip(*self._nodes, strict=True)] or [0] * len(self.columns)
        else:
            changed = rows.tolist()
            for row, now in zip(changed, self._measure_nodes(changed), strict=True):
                before, self._nodes[row] = self._nodes[row], now
                self._totals = [total + new - old for total, new, old in zip(self._totals, now, before, strict=True)]
        used, *idle = self._totals
        pods = max(self._fragmentation.pods, 1)
        self._measured = [float(used), *[mass / pods for mass in idle]]
        return self._measured

    def _measure_nodes(self, rows: list[int]) -> list[tuple[int, ...]]:
        table, fragmentation = self._table, self._fragmentation
        cpu = table.resource_row(CPU)
        measured = []
        for row, state in zip(rows, table.devices.states(rows), strict=True):
            level = fragmentation.level(table.allocatable.item(cpu, row) - table.requested.item(cpu, row))
            measured.append((len(state.free) * WHOLE - sum(state.free), *fragmentation.buckets(state, level)))
        return measured


PROBES: dict[str, Callable[[NodeTable, Sequence[ExpectedPod]], Probe]] = {"fragmentation": FragmentationProbe}


class ProbeLog:
    """The result table of one probe: its columns beside what had arrived by then."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._arrived_pods = array("q")
        self._arrived_gpu = array("q")
        self._values = array("d")

    def append(self, arrived_pods: int, arrived_gpu_milli: int) -> None:
        """Measure now."""
        self._arrived_pods.append(arrived_pods)
        self._arrived_gpu.append(arrived_gpu_milli)
        self._values.extend(self._probe.measure())

    def to_arrow(self) -> pa.Table:
        """Columns ``seq``, ``arrived_pods``, ``arrived_gpu_milli`` (demand so far), then the probe's as float64."""
        n, names = len(self._arrived_pods), self._probe.columns
        values = np.frombuffer(self._values, dtype=np.float64) if n else np.zeros(0)
        columns: Mapping[str, pa.Array] = {
            "seq": pa.array(np.arange(n)),
            "arrived_pods": pa.array(np.array(self._arrived_pods, dtype=np.int64)),
            "arrived_gpu_milli": pa.array(np.array(self._arrived_gpu, dtype=np.int64)),
            **{name: pa.array(column) for name, column in zip(names, values.reshape(n, len(names)).T, strict=True)},
        }
        return pa.table(columns)
