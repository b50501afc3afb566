"""Metrics against an axis of numbers: what a weight sweep is run for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from ksched.report.comparison import Comparison
from ksched.report.grid import joined
from ksched.report.headlines import Column
from ksched.report.results import SEED_AXIS

COLUMNS = ["line", "x", "metric", "part", "y", "lo", "hi", "baseline", "own", "verdict"]


def swept_axes(comparison: Comparison) -> list[str]:
    """The axes other than the seed that have several values, all of them numbers."""
    axes = comparison.results.axes
    return [
        name for name, values in axes.items() if name != SEED_AXIS and len(values) > 1 and all(map(_number, values))
    ]


def _number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def sweep(comparison: Comparison, axis: str, columns: Sequence[Column]) -> pd.DataFrame:
    """One row for each cell of the grid and metric: ``line`` names the values of all other axes, ``x`` is the value of
    ``axis``, ``y`` the baseline's mean plus the mean paired difference, ``lo`` and ``hi`` its interval (equal to ``y``
    where there is none), ``own`` the cell's own mean; ``baseline`` is 1 where the cell is the baseline itself.

    The interval is that of the paired difference, so it is to be read against the baseline it was paired with.
    """
    others = [a for a, values in comparison.results.axes.items() if len(values) > 1 and a not in (axis, SEED_AXIS)]
    rows = []
    for (policy, workload), cell in comparison.cells.items():
        if axis not in cell:
            continue
        line = joined(cell, others) if others else axis
        for column in columns:
            point = _point(comparison, policy, workload, column)
            if point is not None:
                rows.append((line, float(cell[axis]), column.metric, column.part, *point))
    frame = pd.DataFrame(rows, columns=COLUMNS)
    lines = list(dict.fromkeys(frame["line"]))
    order = frame["line"].map(lines.index) if len(frame) else frame["line"]
    return frame.assign(order=order).sort_values(["order", "metric", "part", "x"], kind="stable").drop(columns="order")


def _point(comparison: Comparison, policy: str, workload: str, column: Column) -> tuple[float | str, ...] | None:
    key = (workload, column.metric, column.part)
    base, own = comparison.mean(comparison.baseline, *key), comparison.mean(policy, *key)
    if policy == comparison.baseline:
        return None if math.isnan(base) else (base, base, base, 1, own, "baseline")
    row = comparison.row(policy, *key)
    if row is None or math.isnan(base):
        return None
    y = base + row["diff"]
    low, high = (y if math.isnan(row[side]) else base + row[side] for side in ("lo", "hi"))
    return y, low, high, 0, own, str(row["verdict"])


def differing(frame: pd.DataFrame, columns: Sequence[Column]) -> list[Column]:
    """The columns in which the sweep is not flat."""
    spread: Mapping[tuple[str, str], float] = {
        (str(metric), str(part)): float(group["y"].max() - group["y"].min())
        for (metric, part), group in frame.groupby(["metric", "part"], sort=False)
    }
    return [column for column in columns if spread.get((column.metric, column.part), 0.0) > 0]
