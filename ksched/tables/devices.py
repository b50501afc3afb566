"""The per-node GPU device table: how many thousandths of each device are free.

Devices are what resource sums cannot express: two half-free devices do not make a whole one.
"""

from __future__ import annotations

import numpy as np

from ksched.objects import GpuRequest, NodeDevices
from ksched.tables.arrays import Int32Array, Int64Array, IntArray, grown, readonly
from ksched.tables.interning import Interner

WHOLE = 1000
"""Milli-GPU of one device."""
NO_DEVICE = -1
"""``free`` of a slot the node has no device in."""


class DeviceColumns:
    """``free`` int64[slots, capacity] milli per device, ``count``, ``memory`` (bytes per device) and model ids."""

    def __init__(self, capacity: int) -> None:
        self._set_free(np.full((1, capacity), NO_DEVICE, dtype=np.int64))
        self.count: Int64Array = np.zeros(capacity, dtype=np.int64)
        self.memory: Int64Array = np.zeros(capacity, dtype=np.int64)
        self.models: Interner[str] = Interner([""])
        self.model_ids: Int32Array = np.zeros(capacity, dtype=np.int32)

    def _set_free(self, array: Int64Array) -> None:
        self._free, self.free = array, readonly(array)

    def set_row(self, row: int, devices: NodeDevices | None) -> None:
        """Write what the Node says of its devices; when their number changed all of them become free."""
        count = devices.count if devices else 0
        if count > self._free.shape[0]:
            extra = np.full((count - self._free.shape[0], self._free.shape[1]), NO_DEVICE, dtype=np.int64)
            self._set_free(np.concatenate([self._free, extra]))
        changed = count != self.count[row]
        self.count[row] = count
        self.memory[row] = (devices.memory_b or 0) if devices else 0
        self.model_ids[row] = self.models.id((devices.model or "") if devices else "")
        if changed:
            self.reset(row)

    def reset(self, row: int) -> None:
        """All devices of ``row`` wholly free."""
        count = self.count[row]
        self._free[:count, row] = WHOLE
        self._free[count:, row] = NO_DEVICE

    def hold(self, row: int, request: GpuRequest | None, devices: tuple[int, ...], sign: int) -> None:
        """A pod on ``row`` takes (sign +1) or gives back (-1) its share of each of ``devices``."""
        if request is None:
            return
        for device in devices:
            if device < self.count[row]:
                self._free[device, row] -= sign * request.milli

    def restore(self, rows: IntArray, free: Int64Array) -> None:
        """Make ``free`` int64[slots, k] of ``rows`` what it was."""
        self._free[:, rows] = free

    def fullest_with_room(self, row: int, request: GpuRequest) -> tuple[int, ...]:
        """``request.count`` devices of ``row`` with ``request.milli`` free each, least free first; () if too few."""
        free = self._free[: self.count[row], row]
        fitting = [(int(free[device]), device) for device in np.flatnonzero(free >= request.milli).tolist()]
        if len(fitting) < request.count:
            return ()
        return tuple(device for _, device in sorted(fitting)[: request.count])

    def grow(self, capacity: int) -> None:
        """Make room for ``capacity`` rows."""
        self._set_free(grown(self._free, capacity, NO_DEVICE))
        self.count = grown(self.count, capacity)
        self.memory = grown(self.memory, capacity)
        self.model_ids = grown(self.model_ids, capacity)

    def delete_row(self, row: int, count: int) -> None:
        """Close the gap row ``row`` leaves among ``count`` rows."""
        self._free[:, row : count - 1] = self._free[:, row + 1 : count]
        self._free[:, count - 1] = NO_DEVICE
        for array in (self.count, self.memory, self.model_ids):
            array[row : count - 1] = array[row + 1 : count]
            array[count - 1] = 0
