"""What changed since somebody looked: the basis of incremental evaluation.

A reader remembers the log's ``position`` when it computed something and later asks for the rows touched ``since``
then. One change costs one append; a reader pays for what changed, never for the size of the table.
"""

from __future__ import annotations

import numpy as np

from ksched.tables.arrays import IntArray

_KEEP = 1 << 15
"""Entries kept; a reader older than that recomputes everything, which is cheaper by then."""
_FEW = 12
"""Up to here a dict finds the distinct ones faster than a pass over all rows."""


class ChangeLog:
    """An append-only list of touched rows with a bounded memory.

    ``position`` is where the log ends now; hand it to :meth:`since` later.
    """

    __slots__ = ("_answered_at", "_answers", "_highest", "_rows", "_start", "position")

    def __init__(self) -> None:
        self._rows: IntArray = np.empty(2 * _KEEP, dtype=np.intp)
        self._start = 0
        self._highest = 0
        self.position = 0
        # Many readers of one signature ask the same question one after another.
        self._answers: dict[int, IntArray] = {}
        self._answered_at = 0

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

    def since(self, position: int) -> IntArray | None:
        """Distinct rows (intp[k]) touched after ``position``, in no particular order; None means all rows."""
        if position < self._start:
            return None
        if self._answered_at != self.position:
            self._answered_at = self.position
            self._answers.clear()
        rows = self._answers.get(position)
        if rows is None:
            rows = self._answers[position] = self._distinct(position)
        return rows

    def _distinct(self, position: int) -> IntArray:
        count = self.position - position
        tail = self._rows[position - self._start : self.position - self._start]
        if count <= 1:
            rows = tail.copy()
        elif count <= _FEW:
            rows = np.fromiter(dict.fromkeys(tail.tolist()), np.intp)
        else:
            touched = np.zeros(self._highest + 1, dtype=np.bool_)
            touched[tail] = True
            rows = touched.nonzero()[0]
        rows.setflags(write=False)
        return rows
