"""What changed since somebody looked: the basis of incremental evaluation.

A reader remembers the log's ``position`` when it computed something and later asks for the rows touched ``since``
then. One change costs one append; a reader pays for what changed, never for the size of the table.
"""

from __future__ import annotations

import numpy as np

from ksched.tables.arrays import IntArray

_KEEP = 1 << 15
"""Entries kept; a reader older than that recomputes everything, which is cheaper by then."""


class ChangeLog:
    """An append-only list of touched rows with a bounded memory.

    ``position`` is where the log ends now; hand it to :meth:`since` later.
    """

    __slots__ = ("_answer", "_asked", "_rows", "_start", "position")

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._start = 0
        self.position = 0
        # Many readers of one signature ask the same question one after another.
        self._asked = (-1, -1)
        self._answer: IntArray = np.array([], dtype=np.intp)

    def touch(self, row: int) -> None:
        """Record that ``row`` changed."""
        rows = self._rows
        rows.append(row)
        self.position += 1
        if len(rows) > 2 * _KEEP:
            del rows[:_KEEP]
            self._start += _KEEP

    def touch_all(self) -> None:
        """Record that every row may have changed: no older position can be served any more."""
        self._rows.clear()
        self.position += 1
        self._start = self.position

    def since(self, position: int) -> IntArray | None:
        """Distinct rows (intp[k]) touched after ``position``, in first-touch order; None means all rows."""
        if position < self._start:
            return None
        if self._asked != (position, self.position):
            self._asked = (position, self.position)
            self._answer = self._distinct(position)
        return self._answer

    def _distinct(self, position: int) -> IntArray:
        tail = self._rows[position - self._start :]
        if len(tail) > 1:
            tail = list(dict.fromkeys(tail))
        rows = np.array(tail, dtype=np.intp)
        rows.flags.writeable = False
        return rows
