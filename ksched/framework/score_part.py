"""One Score plugin's share of the total for one signature: raw, normalised and when either must be redone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ksched.framework.columns import ScoreColumn
from ksched.framework.invoke import Raw, as_scores, culprit, guarded, out_of_bounds, out_of_range, raw_scores
from ksched.framework.normalizers import Normalizer
from ksched.tables import NodeTable, NodeView
from ksched.tables.arrays import BoolArray, Int64Array, IntArray

_UNSET: Any = object()
_UNIFORM: Any = object()


def _unsure(inputs: Any) -> bool:
    return False


class ScorePart:
    """``normalized`` int8[n]: 0..100 fits, and there is one per signature.

    It is valid for the feasible rows it was last brought :meth:`up_to_date` for. ``local`` is how the plugin is asked.
    With a declared normaliser only its inputs depend on which rows are feasible; while they stay the same, rows that
    did not change keep their normalised score.
    """

    __slots__ = (
        "_bad",
        "_fresh",
        "_inputs",
        "_normalizer",
        "_undeclared",
        "_version",
        "_within_bounds",
        "column",
        "kept",
        "local",
        "name",
        "plugin",
        "uniform",
        "weight",
    )

    def __init__(self, plugin: Any, weight: int, column: ScoreColumn, local: tuple[Any, Any]) -> None:
        self.plugin = plugin
        self.name: str = plugin.name
        self.weight = weight
        self.column = column
        self.local = local
        self._normalizer: Normalizer | None = getattr(plugin, "normalizer", None)
        self._within_bounds: Callable[[Any], bool] = getattr(self._normalizer, "within_bounds", _unsure)
        self._undeclared = self._normalizer is None and hasattr(plugin, "normalize_score")
        self.uniform = False
        """Whether ``normalized`` is known to be the same in all rows."""
        self._inputs: Any = _UNSET
        self._version = -1
        self._bad: BoolArray | None = None
        self.kept: npt.NDArray[np.int8] = np.array([], dtype=np.int8)
        """``normalized`` as it is once :meth:`up_to_date` returned False, or while all rows are ``uniform``."""
        self._fresh: tuple[IntArray, Int64Array] | None = None
        """Rows and their normalised scores where all others are 0 and none of it is in the array yet: often everything
        changes again before anybody wants more than :meth:`points`."""

    @property
    def normalized(self) -> npt.NDArray[np.int8]:
        """The plugin's normalised scores, int8[n]."""
        self._keep()
        return self.kept

    def _keep(self) -> None:
        if self._fresh is not None:
            rows, scores = self._fresh
            self._fresh = None
            self.kept = np.zeros(len(self.column.raw), dtype=np.int8)
            self.kept[rows] = scores

    def points(self, rows: IntArray) -> Int64Array:
        """The normalised scores of ``rows``, int64; must not be written to."""
        if self._fresh is not None and self._fresh[0] is rows:
            return self._fresh[1]
        return self.normalized.take(rows).astype(np.int64)

    def up_to_date(
        self, table: NodeTable, changed: NodeView | None, feasible: BoolArray, chosen: IntArray, *, whole: bool
    ) -> bool:
        """Make ``normalized`` right for the ``feasible`` rows, by number ``chosen`` (at least one).

        Of the rows that the signature's filters pass the column changed since the last call only in ``changed`` (None:
        in any), which includes those they did not pass then. ``whole``: ``feasible`` is all they pass, not some of it.
        Returns True if other rows may have changed too.
        """
        column = self.column
        self.uniform = column.uniform and not self._undeclared
        if self._undeclared:
            self._normalize_all(table, chosen)
            return True
        if self._normalizer is None:
            return self._take(table, changed, feasible)
        if column.uniform:
            return self._normalize_uniform(table, self._normalizer)
        return self._normalize(table, self._normalizer, changed, feasible, chosen, whole)

    def _take(self, table: NodeTable, changed: NodeView | None, feasible: BoolArray) -> bool:
        """Raw scores are final. Those out of range matter only where a row is feasible, which changes: keep them."""
        raw = self.column.raw
        inputs = (_UNIFORM, raw.item(0)) if self.uniform else _UNSET
        everything = changed is None or len(self.kept) != len(raw) or (self.uniform and inputs != self._inputs)
        self._inputs = inputs
        if everything or changed is None:
            self.kept, self._bad = as_scores(raw)
        elif changed.n and not self.uniform:
            self._write(changed.select, raw[changed.select])
        if self._bad is not None:
            bad = self._bad & feasible
            if bad.any():
                self._blame(table, bad, raw, raw)
        return everything

    def _write(self, rows: IntArray | slice, values: Raw) -> None:
        scores, bad = as_scores(values)
        self.kept[rows] = scores
        if bad is not None and self._bad is None:
            self._bad = np.zeros(len(self.kept), dtype=np.bool_)
        if self._bad is not None:
            self._bad[rows] = False if bad is None else bad

    def _normalize_uniform(self, table: NodeTable, normalizer: Normalizer) -> bool:
        """All rows are equal, so which are feasible is of no matter."""
        column = self.column
        if column.version == self._version:
            return False
        self._version = column.version
        raw = column.raw
        inputs = normalizer.inputs(raw[:1])
        # Equal inputs of rows that were not all equal would not do: theirs are other scores.
        everything = bool((_UNIFORM, inputs) != self._inputs) or (self._fresh is None and len(self.kept) != len(raw))
        self._inputs = (_UNIFORM, inputs)
        if everything:
            value = normalizer.apply(raw[:1], inputs)
            bad = out_of_bounds(value)
            if bad is not None:
                self._blame(table, bad, value, raw[:1], np.zeros(1, dtype=np.intp))
            self.kept, self._fresh = np.full(len(raw), value[0].astype(np.int8)), None
        return everything

    def _normalize(
        self,
        table: NodeTable,
        normalizer: Normalizer,
        changed: NodeView | None,
        feasible: BoolArray,
        chosen: IntArray,
        whole: bool,
    ) -> bool:
        """Only feasible rows are normalised: what the normaliser would make of others nobody promised."""
        raw = self.column.raw
        of_chosen = raw.take(chosen)
        inputs = normalizer.inputs(of_chosen)
        everything = changed is None or inputs != self._inputs or (self._fresh is None and len(self.kept) != len(raw))
        if not everything and changed is not None:
            self._keep()
            # All that changed is feasible for the signature, but some may lie outside a mere part of its rows.
            chosen = changed.rows if whole else changed.rows[feasible[changed.select]]
            of_chosen = raw.take(chosen)
        # Rows that were left out this time would not be known to be missing the next.
        self._inputs = inputs if whole else _UNSET
        self._version = self.column.version
        if len(chosen):
            values = normalizer.apply(of_chosen, inputs)
            bad = None if self._within_bounds(inputs) else out_of_bounds(values)
            if bad is not None:
                self._blame(table, bad, values, of_chosen, chosen)
            if everything:
                self._fresh = chosen, values.astype(np.int64, copy=False)
            else:
                self.kept[chosen] = values
        return everything or not whole

    def _normalize_all(self, table: NodeTable, chosen: IntArray) -> None:
        raw = self.column.raw
        of_chosen = raw[chosen]
        given = guarded(self.plugin, "normalize_score", *self.local, of_chosen)
        scores = raw_scores(self.plugin, given, len(chosen), "normalize_score")
        bad = out_of_bounds(scores)
        if bad is not None:
            self._blame(table, bad, scores, raw[chosen], chosen)
        self._fresh = chosen, scores.astype(np.int64)

    def _blame(self, table: NodeTable, bad: BoolArray, values: Raw, raw: Raw, rows: IntArray | None = None) -> None:
        """Raises the PluginError for ``bad``, some of the normalised scores ``values`` of feasible ``rows``."""
        position = culprit(bad, raw)
        row = position if rows is None else int(rows[position])
        raise out_of_range(self.plugin, values[position], str(table.names()[row]))
