"""Pods that may be evicted, lined up per row in the order they are spared again, and what they hold as arrays.

A dry run over hundreds of rows then takes a few array operations per place in the line instead of a visit to every pod.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ksched.tables import NodeTable, PlacedPod
from ksched.tables.arrays import AnyArray, BoolArray, Int64Array, IntArray


class Lineups:
    """Per row of ``table``: ``pods``, their number ``count`` int64[n], and whether nothing but resources and devices
    is at stake (``plain`` bool[n]). What they hold is padded to the longest line, ``width``."""

    def __init__(self, table: NodeTable, n: int) -> None:
        self.pods: list[tuple[PlacedPod, ...]] = [()] * n
        self.count: Int64Array = np.zeros(n, dtype=np.int64)
        self.plain: BoolArray = np.ones(n, dtype=np.bool_)
        self.has_devices: BoolArray = np.zeros(n, dtype=np.bool_)
        self.held: Int64Array = np.zeros((n, 0, 0), dtype=np.int64)
        self._table = table

    @property
    def width(self) -> int:
        """The length of the longest line so far."""
        return int(self.held.shape[1])

    def set(self, row: int, pods: Sequence[PlacedPod]) -> None:
        """Line up ``pods`` of ``row``: the first is the first to be spared."""
        self.pods[row] = tuple(pods)
        self.count[row] = len(pods)
        held = [self._table.held_by(placed.pod) for placed in pods]
        self.held = padded(self.held, 1, len(pods))
        self.held = padded(self.held, 2, len(self._table.held))
        self.held[row] = 0
        for place, of_pod in enumerate(held):
            self.held[row, place, : len(of_pod)] = of_pod
        self.plain[row] = not any(placed.pod.host_ports for placed in pods)
        self.has_devices[row] = any(placed.devices for placed in pods)

    def hold(self, rows: IntArray, place: int, sign: int) -> None:
        """Put the pods at ``place`` in the line of distinct ``rows`` back (+1) or take them off (-1)."""
        self._table.shift(rows, sign * self.held[rows, place])
        for row in rows[self.has_devices[rows]].tolist():
            self._hold_devices(row, self.pods[row][place], sign)

    def evict_all(self, rows: IntArray) -> None:
        """Take every pod in the line of distinct ``rows`` off."""
        self._table.shift(rows, -self.held[rows].sum(axis=1))
        for row in rows[self.has_devices[rows]].tolist():
            for placed in self.pods[row]:
                self._hold_devices(row, placed, -1)

    def _hold_devices(self, row: int, placed: PlacedPod, sign: int) -> None:
        self._table.devices.hold(row, placed.pod.gpu, placed.devices, sign)


def padded(array: AnyArray, axis: int, size: int) -> AnyArray:
    """``array`` with zeros up to ``size`` along ``axis``."""
    missing = size - array.shape[axis]
    if missing <= 0:
        return array
    shape = list(array.shape)
    shape[axis] = missing
    return np.concatenate([array, np.zeros(shape, dtype=array.dtype)], axis=axis)
