"""Taints as a column of interned lists: clusters have few distinct ones, however many nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ksched.objects import Taint
from ksched.tables.arrays import Int32Array, grown


class TaintColumn:
    """``ids`` int32[capacity] into ``lists``, the distinct lists of taints; 0 is the empty list."""

    def __init__(self, capacity: int) -> None:
        self.ids: Int32Array = np.zeros(capacity, dtype=np.int32)
        self.lists: list[tuple[Taint, ...]] = [()]
        self._known: dict[tuple[tuple[str | None, ...], ...], int] = {(): 0}

    def set_row(self, row: int, taints: Sequence[Taint]) -> None:
        """Replace the taints of one row. When a taint was added (timeAdded) makes no difference to scheduling."""
        key = tuple((taint.key, taint.value, taint.effect) for taint in taints)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = len(self.lists)
            self.lists.append(tuple(taints))
        self.ids[row] = found

    def grow(self, capacity: int) -> None:
        """Make room for ``capacity`` rows."""
        self.ids = grown(self.ids, capacity)

    def delete_row(self, row: int, count: int) -> None:
        """Close the gap row ``row`` leaves among ``count`` rows."""
        self.ids[row : count - 1] = self.ids[row + 1 : count]
        self.ids[count - 1] = 0
