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

    ``position`` is where the log ends now; hand it to :meth:`touched` or :meth:`since` later.
    """

    __slots__ = ("_rows", "_start", "position")

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._start = 0
        self.position = 0

    def touch(self, row: int) -> None:
        """Record that ``row`` changed."""
        rows = self._rows
        if len(rows) == 2 * _KEEP:
            del rows[:_KEEP]
            self._start += _KEEP
        rows.append(row)
        self.position += 1

    def touch_all(self) -> None:
        """Record that every row may have changed: no older position can be served any more."""
        self._rows.clear()
        self.position += 1
        self._start = self.position

    def touched(self, position: int) -> list[int] | None:
        """Distinct rows touched after ``position``, in the order of their first touch; None means all rows."""
        if position < self._start:
            return None
        return list(dict.fromkeys(self._rows[position - self._start :]))

    def since(self, position: int) -> IntArray | None:
        """The same as an array, intp[k]."""
        rows = self.touched(position)
        return None if rows is None else np.array(rows, dtype=np.intp)
