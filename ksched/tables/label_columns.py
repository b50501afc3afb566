"""Node labels as columns: one int32 id per node and key, so that selectors run per distinct value, not per node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ksched.tables.arrays import AnyArray, Int32Array, IntArray, StrArray, grown
from ksched.tables.interning import Interner

ABSENT = 0
"""The id of "this node has no such label"."""


class LabelColumn:
    """One label key: ``ids`` int32[capacity], 0 where absent, and the distinct values behind the ids."""

    __slots__ = ("_text", "ids", "values")

    def __init__(self, capacity: int) -> None:
        self.ids: Int32Array = np.zeros(capacity, dtype=np.int32)
        self.values: Interner[str | None] = Interner([None])
        self._text: StrArray = np.array([""])

    def text(self, rows: IntArray | slice) -> StrArray:
        """Label values of ``rows``, "" where absent."""
        if len(self._text) != len(self.values):
            self._text = np.array([value or "" for value in self.values.values])
        return self._text[self.ids[rows]]

    def map(self, rows: IntArray | slice, fn: Callable[[str | None], object], dtype: npt.DTypeLike) -> AnyArray:
        """``fn`` of each row's value, called once per distinct value (None where absent)."""
        return map_distinct(self.ids[rows], self.values.values, fn, dtype)


def map_distinct(
    ids: Int32Array, values: Sequence[object], fn: Callable[..., object], dtype: npt.DTypeLike
) -> AnyArray:
    """``fn(values[id])`` for each id, calling ``fn`` once per distinct value or once per id, whichever is less."""
    if len(ids) < len(values):
        return np.array([fn(values[i]) for i in ids.tolist()], dtype=dtype)
    return np.array([fn(value) for value in values], dtype=dtype)[ids]


class LabelColumns:
    """All label keys seen on any node."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._columns: dict[str, LabelColumn] = {}
        self._nowhere = LabelColumn(capacity)

    def __getitem__(self, key: str) -> LabelColumn:
        return self._columns.get(key, self._nowhere)

    def set_row(self, row: int, labels: Mapping[str, str]) -> None:
        """Replace the labels of one row."""
        for column in self._columns.values():
            column.ids[row] = ABSENT
        for key, value in labels.items():
            if key not in self._columns:
                self._columns[key] = LabelColumn(self._capacity)
            column = self._columns[key]
            column.ids[row] = column.values.id(value)

    def grow(self, capacity: int) -> None:
        """Make room for ``capacity`` rows."""
        self._capacity = capacity
        for column in (*self._columns.values(), self._nowhere):
            column.ids = grown(column.ids, capacity)

    def delete_row(self, row: int, count: int) -> None:
        """Close the gap row ``row`` leaves among ``count`` rows."""
        for column in self._columns.values():
            column.ids[row : count - 1] = column.ids[row + 1 : count]
            column.ids[count - 1] = ABSENT
