"""Where the time goes: seconds, calls and rows per plugin and extension point, and how much the caches saved.

A :class:`Meter` puts a subclass that reads the clock between a plugin and its callers. Nothing else changes, and
without a meter nothing is there: measuring costs only whoever asks for it. What it measures is wall clock, so it
belongs beside results and never into them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

from ksched.framework.decisions import Decision
from ksched.framework.framework import Framework
from ksched.framework.protocols import POINTS
from ksched.framework.selection import nodes_to_find
from ksched.tables import NodeView

METHODS = {method: point for point, method in POINTS.items()} | {
    "normalize_score": "normalizeScore",
    "add_pod": "preFilterExtensions",
    "remove_pod": "preFilterExtensions",
    "unreserve": "reserve",
    "signature": "signature",
    "skips": "skips",
}
"""Method -> what its time is filed under; ``unreserve`` counts with ``reserve``."""


@dataclass(slots=True)
class Cell:
    """One plugin at one point. ``needed`` and ``computed`` count rows where results are cached, else 0."""

    plugin: str
    point: str
    calls: int = 0
    ns: int = 0
    rows: int = 0
    needed: int = 0
    computed: int = 0


class Meter:
    """Measures the plugins of one framework, from the moment it is made.

    Time spent in another plugin on the way (preemption trying filters) counts for that one, not twice.
    """

    def __init__(self, framework: Framework) -> None:
        self._framework = framework
        self._cells: dict[tuple[str, str], Cell] = {}
        self._inner_ns: list[int] = []
        """For each call under way, outermost first, the time of the plugin calls inside it."""
        for plugin in framework.plugins.values():
            self._measure(plugin)

    def _measure(self, plugin: Any) -> None:
        cls = type(plugin)
        methods = {
            method: self._timed(getattr(cls, method), self._cell(plugin.name, point))
            for method, point in METHODS.items()
            if callable(getattr(cls, method, None))
        }
        # A subclass without attributes of its own has the same layout, so a living instance can be given it.
        plugin.__class__ = type(cls.__name__, (cls,), {"__slots__": (), "__module__": cls.__module__, **methods})

    def _cell(self, plugin: str, point: str) -> Cell:
        return self._cells.setdefault((plugin, point), Cell(plugin, point))

    def _timed(self, method: Callable[..., Any], cell: Cell) -> Callable[..., Any]:
        inner = self._inner_ns

        def timed(plugin: Any, *args: Any) -> Any:
            start = perf_counter_ns()
            inner.append(0)
            try:
                return method(plugin, *args)
            finally:
                elapsed = perf_counter_ns() - start
                cell.calls += 1
                cell.ns += elapsed - inner.pop()
                if inner:
                    inner[-1] += elapsed
                if args and isinstance(args[-1], NodeView):
                    cell.rows += len(args[-1])
                    # A cached column asks with a node-local cycle; what-ifs do too, from inside another plugin.
                    if args[0].node_local and not inner:
                        cell.computed += len(args[-1])

        return timed

    def decided(self, decision: Decision) -> None:
        """Hook for every decision: its cached columns were needed for all nodes that were looked at."""
        framework, n = self._framework, decision.nodes
        if decision.pod.scheduler_name != framework.profile.scheduler_name or not decision.evaluated:
            return
        sampled = nodes_to_find(n, framework.profile.percentage_of_nodes_to_score) < n
        rows = n if sampled else decision.evaluated
        entry = framework.signatures.entry(decision.pod)
        for column in entry.filters:
            self._cell(column.plugin.name, "filter").needed += rows
        if decision.feasible:
            for part in entry.parts:
                self._cell(part.plugin.name, "score").needed += rows

    def rows(self) -> list[dict[str, Any]]:
        """One plain mapping per plugin and point that was called; ``reused`` is the share of rows not recomputed,
        None where nothing is cached."""
        return [
            {
                "profile": self._framework.profile.scheduler_name,
                "plugin": cell.plugin,
                "point": cell.point,
                "calls": cell.calls,
                "seconds": round(cell.ns / 1e9, 6),
                "rows": cell.rows,
                "rows_needed": cell.needed,
                "rows_computed": cell.computed if cell.needed else 0,
                "reused": round(max(0.0, 1 - cell.computed / cell.needed), 6) if cell.needed else None,
            }
            for cell in self._cells.values()
            if cell.calls or cell.needed
        ]
