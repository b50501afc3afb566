"""The per-node GPU device table: how many thousandths of each device are free.

Devices are what resource sums cannot express: two half-free devices do not make a whole one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np

from ksched.objects import GpuRequest, NodeDevices
from ksched.tables.arrays import Int32Array, Int64Array, IntArray, grown, readonly
from ksched.tables.interning import Interner
from ksched.tables.memo import Memo

WHOLE = 1000
"""Milli-GPU of one device."""
TOTAL, LARGEST, WHOLLY_FREE = range(3)
NO_DEVICE = -1
"""``free`` of a slot the node has no device in."""


class DeviceState:
    """``model`` and ``free`` milli of a node's devices, ascending: what decides which pods they could take.

    ``idle`` is all that is free together, ``used`` the rest of the devices' milli.

    Equal states are one object (:func:`device_state`), so whatever follows from a state can be remembered by it (Memo).
    """

    __slots__ = ("_choices", "free", "idle", "model", "used")

    def __init__(self, model: str, free: tuple[int, ...]) -> None:
        self.model = model
        self.free = free
        self.idle = sum(free)
        self.used = len(free) * WHOLE - self.idle
        self._choices: dict[tuple[int, int], dict[int, DeviceState]] = {}

    def choices(self, request: GpuRequest) -> dict[int, DeviceState]:
        """The states a pod with ``request`` may leave, by what was free on the devices it takes; {} if it has no room.

        All of its devices have equally much free: a pod either shares one, or takes whole ones.
        """
        key = milli, count = request.milli, request.count
        found = self._choices.get(key)
        if found is None:
            free = self.free
            rooms = dict.fromkeys(free[bisect_left(free, milli) :])
            found = {room: self.taking(room, milli, count) for room in rooms if free.count(room) >= count}
            self._choices[key] = found
        return found

    def taking(self, free: int, milli: int, count: int = 1) -> DeviceState:
        """The state once ``milli`` is taken of ``count`` devices with ``free``; ValueError if there are too few."""
        left = list(self.free)
        for _ in range(count):
            left[left.index(free)] -= milli
        return device_state(self.model, left)

    def __repr__(self) -> str:
        return f"DeviceState({self.model!r}, {self.free})"


_states: Memo[tuple[str, tuple[int, ...]], DeviceState] = Memo()


def device_state(model: str, free: Iterable[int]) -> DeviceState:
    """The one object for devices of ``model`` with so much ``free`` each, in whatever order."""
    key = (model, tuple(sorted(free)))
    found = _states.get(key)
    if found is None:
        found = _states[key] = DeviceState(*key)
    return found


class DeviceColumns:
    """``free`` int64[slots, capacity] milli per device, ``count``, ``memory`` (bytes per device) and model ids.

    ``holders`` int32[1 + slots, capacity] counts the pods on a node by the whole devices each holds, those that share
    one as 0. ``room`` int64[3, capacity] sums ``free`` up: the milli of all devices, those of the freest one, and how
    many devices are wholly free (TOTAL, LARGEST, WHOLLY_FREE).
    """

    def __init__(self, capacity: int) -> None:
        self._set_free(np.full((1, capacity), NO_DEVICE, dtype=np.int64))
        self._set_holders(np.zeros((2, capacity), dtype=np.int32))
        self._set_room(np.zeros((3, capacity), dtype=np.int64))
        self._lists: dict[int, list[int]] = {}
        """What is free on the devices of a row, once more: single numbers are read and changed faster in a list."""
        self._states: dict[int, DeviceState] = {}
        """By row; what changed since is missing."""
        self.count: Int64Array = np.zeros(capacity, dtype=np.int64)
        self.memory: Int64Array = np.zeros(capacity, dtype=np.int64)
        self.models: Interner[str] = Interner([""])
        self.model_ids: Int32Array = np.zeros(capacity, dtype=np.int32)

    def _set_free(self, array: Int64Array) -> None:
        self._free, self.free = array, readonly(array)

    def _set_holders(self, array: Int32Array) -> None:
        self._holders, self.holders = array, readonly(array)

    def _set_room(self, array: Int64Array) -> None:
        self._room, self.room = array, readonly(array)

    def set_row(self, row: int, devices: NodeDevices | None) -> None:
        """Write what the Node says of its devices; when their number changed all of them become free."""
        count = devices.count if devices else 0
        if count > self._free.shape[0]:
            extra = np.full((count - self._free.shape[0], self._free.shape[1]), NO_DEVICE, dtype=np.int64)
            self._set_free(np.concatenate([self._free, extra]))
            more = np.zeros((count + 1 - self._holders.shape[0], self._holders.shape[1]), dtype=np.int32)
            self._set_holders(np.concatenate([self._holders, more]))
        changed = count != self.count[row]
        self.count[row] = count
        self.memory[row] = (devices.memory_b or 0) if devices else 0
        self.model_ids[row] = self.models.id((devices.model or "") if devices else "")
        self._states.pop(row, None)
        if changed:
            self.reset(row)

    def reset(self, row: int) -> None:
        """All devices of ``row`` wholly free, and nobody on them."""
        count = self.count.item(row)
        self._free[:count, row] = WHOLE
        self._free[count:, row] = NO_DEVICE
        self._holders[:, row] = 0
        self._lists[row] = free = [WHOLE] * count
        self._free_changed(row, free)

    def _free_changed(self, row: int, free: list[int]) -> None:
        room = self._room
        room[TOTAL, row], room[WHOLLY_FREE, row] = sum(free), free.count(WHOLE)
        room[LARGEST, row] = max(free) if free else 0
        self._states.pop(row, None)

    def hold(self, row: int, request: GpuRequest | None, devices: tuple[int, ...], sign: int) -> None:
        """A pod on ``row`` takes (sign +1) or gives back (-1) its share of each of ``devices``."""
        if request is None or not devices:
            return
        free = self._list(row)
        taken = 0
        for device in devices:
            if device < len(free):
                taken += 1
                free[device] -= sign * request.milli
                self._free[device, row] = free[device]
        if taken:
            self._holders[taken if request.milli == WHOLE else 0, row] += sign
        self._free_changed(row, free)

    def free_on(self, row: int) -> list[int]:
        """Free milli of each device of one row."""
        return self._list(row).copy()

    def _list(self, row: int) -> list[int]:
        free = self._lists.get(row)
        if free is None:
            free = self._lists[row] = self._free[: self.count.item(row), row].tolist()
        return free

    def held(self, rows: IntArray) -> tuple[Int64Array, Int32Array, Int64Array]:
        """What is held on ``rows``, for :meth:`restore`."""
        return self._free[:, rows], self._holders[:, rows], self._room[:, rows]

    def restore(self, rows: IntArray, held: tuple[Int64Array, Int32Array, Int64Array]) -> None:
        """Make what is held on ``rows`` what it was."""
        self._free[:, rows], self._holders[:, rows], self._room[:, rows] = held
        for row in rows.tolist():
            self._lists.pop(row, None)
            self._states.pop(row, None)

    def states(self, rows: Sequence[int]) -> list[DeviceState]:
        """The devices of each row: the same object for all rows whose devices are alike."""
        found = list(map(self._states.get, rows))
        if None in found:
            return [self.state(row) for row in rows]
        return cast("list[DeviceState]", found)

    def state(self, row: int) -> DeviceState:
        """The devices of one row."""
        found = self._states.get(row)
        if found is None:
            model = self.models.values[self.model_ids.item(row)]
            found = self._states[row] = device_state(model, self._list(row))
        return found

    def fullest_with_room(self, row: int, request: GpuRequest) -> tuple[int, ...]:
        """``request.count`` devices of ``row`` with ``request.milli`` free each, least free first; () if too few."""
        fitting = [(free, device) for device, free in enumerate(self._list(row)) if free >= request.milli]
        if len(fitting) < request.count:
            return ()
        return tuple(device for _, device in sorted(fitting)[: request.count])

    def grow(self, capacity: int) -> None:
        """Make room for ``capacity`` rows."""
        self._set_free(grown(self._free, capacity, NO_DEVICE))
        self._set_holders(grown(self._holders, capacity))
        self._set_room(grown(self._room, capacity))
        self.count = grown(self.count, capacity)
        self.memory = grown(self.memory, capacity)
        self.model_ids = grown(self.model_ids, capacity)

    def delete_row(self, row: int, count: int) -> None:
        """Close the gap row ``row`` leaves among ``count`` rows."""
        self._free[:, row : count - 1] = self._free[:, row + 1 : count]
        self._free[:, count - 1] = NO_DEVICE
        self._holders[:, row : count - 1] = self._holders[:, row + 1 : count]
        self._holders[:, count - 1] = 0
        self._lists.clear()
        self._states.clear()
        self._room[:, row : count - 1] = self._room[:, row + 1 : count]
        self._room[:, count - 1] = 0
        for array in (self.count, self.memory, self.model_ids):
            array[row : count - 1] = array[row + 1 : count]
            array[count - 1] = 0
