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

from ksched.experiments.columns import integers
from ksched.framework.columns import Watermark
from ksched.objects import CPU
from ksched.tables import NODE, USAGE, DeviceState, ExpectedPod, NodeTable
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
        self._cpu = table.resource_row(CPU)
        self._fragmentation = fragmentation(typical_pods(expected))
        self._pods = max(self._fragmentation.pods, 1)
        self._changes = Watermark(table, NODE | USAGE)
        self._nodes: list[tuple[DeviceState, tuple[int, ...]]] = []
        self._used = 0
        self._idle = [0] * len(BUCKETS)
        self._measured: list[float] = [0.0] * len(self.columns)

    def measure(self) -> Sequence[float]:
        """float[columns]; sums are kept in whole numbers, so no error builds up from step to step."""
        rows = self._changes.advance()
        if rows is None:
            self._measure_all()
        elif not len(rows):
            return self._measured
        else:
            for row in rows.tolist():
                self._measure_again(row)
        pods = self._pods
        self._measured = [float(self._used), *[mass / pods for mass in self._idle]]
        return self._measured

    def _measure_all(self) -> None:
        self._nodes = [self._measure_node(row) for row in range(self._table.n)]
        self._used = sum(state.used for state, _ in self._nodes)
        by_bucket = zip(*(masses for _, masses in self._nodes), strict=True)
        self._idle = [sum(masses) for masses in by_bucket] or [0] * len(BUCKETS)

    def _measure_again(self, row: int) -> None:
        state_before, before = self._nodes[row]
        state, now = self._measure_node(row)
        if state is state_before and now is before:
            return
        self._nodes[row] = state, now
        self._used += state.used - state_before.used
        self._idle = [total + new - old for total, new, old in zip(self._idle, now, before, strict=True)]

    def _measure_node(self, row: int) -> tuple[DeviceState, tuple[int, ...]]:
        table, cpu = self._table, self._cpu
        level = self._fragmentation.level(table.allocatable.item(cpu, row) - table.requested.item(cpu, row))
        state = table.devices.state(row)
        return state, self._fragmentation.buckets(state, level)


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
            "seq": pa.array(range(n), pa.int64()),
            "arrived_pods": integers(self._arrived_pods),
            "arrived_gpu_milli": integers(self._arrived_gpu),
            **{name: pa.array(column) for name, column in zip(names, values.reshape(n, len(names)).T, strict=True)},
        }
        return pa.table(columns)
