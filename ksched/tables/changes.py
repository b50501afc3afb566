"""What changed since somebody looked: the basis of incremental evaluation.

A reader remembers the log's ``position`` when it computed something and later asks for the rows touched ``since``
then. One change costs one append; a reader pays for what changed, never for the size of the table.
"""

from __future__ import annotations

import numpy as np

from ksched.tables.arrays import IntArray

_KEEP = 1 << 15
"""Entries kept; a reader older than that recomputes everything, which is cheaper by then."""
_FEW = 24
"""Up to here a list is faster to make and to go through than an array."""


class ChangeLog:
    """An append-only list of touched rows with a bounded memory.

    ``position`` is where the log ends now; hand it to :meth:`touched` or :meth:`since` later.
    """

    __slots__ = ("_highest", "_rows", "_start", "position")

    def __init__(self) -> None:
        self._rows: IntArray = np.empty(2 * _KEEP, dtype=np.intp)
        self._start = 0
        self._highest = 0
        self.position = 0

    def touch(self, row: int) -> None:
        """Record that ``row`` changed."""
        place = self.position - self._start
        if place == len(self._rows):
            self._rows[:_KEEP] = self._rows[_KEEP:]
            self._start += _KEEP
            place = _KEEP
        self._rows[place] = row
        self.position += 1
        if row > self._highest:
            self._highest = row

    def touch_all(self) -> None:
        """Record that every row may have changed: no older position can be served any more."""
        self.position += 1
        self._start = self.position

    def touched(self, position: int) -> list[int] | IntArray | None:
        """Distinct rows touched after ``position``, in no particular order: a list of few, an array of many (intp[k]).

        None means all rows.
        """
        if position < self._start:
            return None
        tail = self._rows[position - self._start : self.position - self._start]
        if len(tail) <= 3 * _FEW:
            rows = list(dict.fromkeys(tail.tolist()))
            return rows if len(rows) <= _FEW else np.array(rows, dtype=np.intp)
        touched = np.zeros(self._highest + 1, dtype=np.bool_)
        touched[tail] = True
        distinct: IntArray = touched.nonzero()[0]
        return distinct if len(distinct) > _FEW else distinct.tolist()

    def since(self, position: int) -> IntArray | None:
        """:meth:`touched` as an array, intp[k]."""
        rows = self.touched(position)
        return None if rows is None else np.asarray(rows, dtype=np.intp)
