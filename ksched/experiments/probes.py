"""Probes: measures of the cluster that only some experiments need, taken often and so kept current step by step.

An experiment file names them (``probes: [fragmentation]``); each becomes a result table of its own name. In mode
inflate they measure after every arrival, else with every sample.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ksched.experiments.columns import integers
from ksched.framework.columns import Watermark
from ksched.objects import CPU
from ksched.tables import NODE, USAGE, DeviceState, ExpectedPod, NodeTable
from ksched.tables.fragmentation import BUCKETS, fragmentation, typical_pods

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_NO_NODE = 0


class Probe(Protocol):
    """One measure of the cluster; ``columns`` names its numbers.

    ``note()`` notes what they follow from at this moment, ``values()`` are those of all moments noted,
    float64[moments, columns].
    """

    @property
    def columns(self) -> tuple[str, ...]: ...

    def note(self) -> None: ...

    def values(self) -> Floats: ...


class FragmentationProbe:
    """GPU milli used, and the idle ones by bucket as the workload's usual pods see them; all milli of devices.

    What is noted of a moment is which nodes look otherwise than before. A look is what decides a node's numbers (its
    devices, its level of free cpu); thousands of nodes and moments share few of them, which are numbered.
    """

    columns = ("used", *BUCKETS)

    def __init__(self, table: NodeTable, expected: Sequence[ExpectedPod]) -> None:
        self._table = table
        self._cpu = table.resource_row(CPU)
        self._fragmentation = fragmentation(typical_pods(expected))
        self._changes = Watermark(table, NODE | USAGE)
        self._looks: dict[tuple[DeviceState, int], int] = {}
        self._of_nodes: list[int] = []
        """The number of the look each row has now."""
        self._before, self._after = array("q"), array("q")
        """The looks of one changed row after the other, _NO_NODE where there was none, or is none any more."""
        self._ends = array("q")
        """Where each moment ends in them."""

    def note(self) -> None:
        """See :class:`Probe`."""
        rows = self._changes.touched()
        if rows is None:
            before = self._of_nodes
            self._of_nodes = after = [self._look(row) for row in range(self._table.n)]
            self._before.extend([*before, *[_NO_NODE] * len(after)])
            self._after.extend([*[_NO_NODE] * len(before), *after])
        else:
            for row in rows if isinstance(rows, list) else rows.tolist():
                self._before.append(self._of_nodes[row])
                self._of_nodes[row] = look = self._look(row)
                self._after.append(look)
        self._ends.append(len(self._after))

    def _look(self, row: int) -> int:
        table, cpu, looks = self._table, self._cpu, self._looks
        level = self._fragmentation.level(table.allocatable.item(cpu, row) - table.requested.item(cpu, row))
        return looks.setdefault((table.devices.state(row), level), 1 + len(looks))

    def values(self) -> Floats:
        """See :class:`Probe`. Sums are of whole numbers, so no error builds up from step to step."""
        masses = [(state.used, *self._fragmentation.buckets(state, level)) for state, level in self._looks]
        of_looks = np.array([(0,) * len(self.columns), *masses], dtype=np.int64)
        sums = np.zeros((len(self._after) + 1, len(self.columns)), dtype=np.int64)
        np.cumsum(of_looks[self._after] - of_looks[self._before], axis=0, out=sums[1:])
        values = sums[self._ends].astype(np.float64)
        values[:, 1:] /= max(self._fragmentation.pods, 1)
        return values


PROBES: dict[str, Callable[[NodeTable, Sequence[ExpectedPod]], Probe]] = {"fragmentation": FragmentationProbe}


def probe_table(probe: Probe, arrived_pods: array[int], gpu_demand: Ints) -> pa.Table:
    """The result table of one probe: columns ``seq``, ``arrived_pods``, ``arrived_gpu_milli`` (demand so far), then the
    probe's own as float64.

    ``arrived_pods`` at each moment it noted; ``gpu_demand``: milli-GPU that the first k pods request together,
    int64[pods + 1] by k.
    """
    columns: Mapping[str, pa.Array] = {
        "seq": pa.array(np.arange(len(arrived_pods))),
        "arrived_pods": integers(arrived_pods),
        "arrived_gpu_milli": pa.array(gpu_demand[arrived_pods]),
        **{name: pa.array(column) for name, column in zip(probe.columns, probe.values().T, strict=True)},
    }
    return pa.table(columns)
