"""One Score plugin's share of the total for one signature: raw, normalised and when either must be redone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ksched.framework.columns import ScoreColumn
from ksched.framework.invoke import Raw, as_scores, culprit, guarded, out_of_range, raw_scores
from ksched.framework.normalizers import Normalizer
from ksched.tables import NodeTable
from ksched.tables.arrays import BoolArray, IntArray

_UNSET: Any = object()


class ScorePart:
    """``normalized`` int8[n] (0..100 fits, and there is one per signature).

    It is valid for the feasible rows it was last brought :meth:`up_to_date` for. ``local`` is how the plugin is asked.
    With a declared normaliser only its inputs depend on which rows are feasible; while they stay the same, rows that
    did not change keep their normalised score.
    """

    __slots__ = (
        "_bad",
        "_inputs",
        "_normalizer",
        "_undeclared",
        "_version",
        "column",
        "local",
        "name",
        "normalized",
        "plugin",
        "weight",
    )

    def __init__(self, plugin: Any, weight: int, column: ScoreColumn, local: tuple[Any, Any]) -> None:
        self.plugin = plugin
        self.name: str = plugin.name
        self.weight = weight
        self.column = column
        self.local = local
        self._normalizer: Normalizer | None = getattr(plugin, "normalizer", None)
        self._undeclared = self._normalizer is None and hasattr(plugin, "normalize_score")
        self._inputs: Any = _UNSET
        self._version = -1
        self._bad: BoolArray | None = None
        self.normalized: npt.NDArray[np.int8] = np.array([], dtype=np.int8)

    def up_to_date(self, table: NodeTable, moved: int, rows: IntArray | None, feasible: BoolArray) -> bool:
        """Make ``normalized`` right for the feasible rows (at least one).

        Since the last call the column groups ``moved`` changed in ``rows``. Returns True if rows other than ``rows``
        may have changed too.
        """
        column = self.column
        if column.watched & moved:
            column.refresh()
        if self._undeclared:
            self._normalize_all(table, column.raw, feasible)
            everything = True
        else:
            everything = self._normalize(rows, feasible)
        if self._bad is not None and (self._bad & feasible).any():
            row = culprit(self._bad & feasible, column.raw)
            raise out_of_range(self.plugin, self._apply(column.raw)[row], str(table.names()[row]))
        return everything

    @property
    def uniform(self) -> bool:
        """Whether ``normalized`` is known to be the same in all rows."""
        return self.column.uniform and not self._undeclared

    def _normalize(self, rows: IntArray | None, feasible: BoolArray) -> bool:
        column, raw = self.column, self.column.raw
        unchanged = column.version == self._version
        if unchanged and (self._normalizer is None or column.uniform):
            return False
        self._version = column.version
        inputs = self._reduce(raw, feasible)
        everything = rows is None or inputs != self._inputs or len(self.normalized) != len(raw)
        self._inputs = inputs
        if everything or rows is None:
            self.normalized, self._bad = as_scores(self._apply(raw))
        elif len(rows) and not unchanged:
            self._write(rows, self._apply(raw[rows]))
        return everything

    def _reduce(self, raw: Raw, feasible: BoolArray) -> Any:
        if self._normalizer is None:
            return None
        return self._normalizer.inputs(raw[:1] if self.column.uniform else raw[feasible])

    def _apply(self, raw: Raw) -> Raw:
        return raw if self._normalizer is None else self._normalizer.apply(raw, self._inputs)

    def _write(self, rows: IntArray, values: Raw) -> None:
        scores, bad = as_scores(values)
        self.normalized[rows] = scores
        if bad is not None and self._bad is None:
            self._bad = np.zeros(len(self.normalized), dtype=np.bool_)
        if self._bad is not None:
            self._bad[rows] = False if bad is None else bad

    def _normalize_all(self, table: NodeTable, raw: Raw, feasible: BoolArray) -> None:
        chosen = raw[feasible]
        given = guarded(self.plugin, "normalize_score", *self.local, chosen)
        scores = raw_scores(self.plugin, given, len(chosen), "normalize_score")
        values = np.zeros(len(raw), dtype=scores.dtype)
        values[feasible] = scores
        self.normalized, bad = as_scores(values)
        if bad is not None:
            row = culprit(bad, raw)
            raise out_of_range(self.plugin, values[row], str(table.names()[row]))
