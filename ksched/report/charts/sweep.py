"""Sweep plots: the headline metrics against an axis of numbers, with the intervals of the paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ksched.report.charts.figure import NEUTRAL, PALETTE, Figure, csv_data
from ksched.report.comparison import Comparison
from ksched.report.headlines import HEADLINES, heading, headline_columns
from ksched.report.numbers import scale
from ksched.report.sweeps import differing, sweep, swept_axes

MOST_LINES = 12
"""More lines in one panel cannot be told apart; such a grid is read as a matrix."""
WIDE_RATIO = 20
"""From this ratio of the largest to the smallest number on the axis is logarithmic."""


def sweeps(comparison: Comparison) -> list[Figure]:
    """A figure for every swept axis: those with several values that are all numbers."""
    if not len(comparison.frame):
        return []
    return [figure for axis in swept_axes(comparison) for figure in _figure(comparison, axis)]


def _figure(comparison: Comparison, axis: str) -> list[Figure]:
    import altair as alt

    frame = sweep(comparison, axis, headline_columns(comparison))
    shown = differing(frame, headline_columns(comparison))[:HEADLINES]
    lines = list(dict.fromkeys(frame["line"]))
    if not shown or len(lines) > MOST_LINES:
        return []
    panels = []
    for column in shown:
        mine = frame[(frame["metric"] == column.metric) & (frame["part"] == column.part)]
        unit = comparison.metrics[column.metric].unit
        chosen = scale(unit, *mine["y"])
        title = heading(comparison, column)
        suffix = chosen.suffix.strip() or unit
        panels.append(
            mine[["line", "x", "baseline", "verdict"]]
            .assign(**{name: mine[name] / chosen.factor for name in ("y", "lo", "hi", "own")})
            .assign(panel=title if title.endswith(suffix) else f"{title}, {suffix}")
        )
    data = pd.concat(panels)
    base = alt.Chart()
    points = sorted(set(data["x"]))
    x = alt.X(
        "x:Q",
        title=axis,
        scale=_scale(points),
        axis=alt.Axis(values=points, grid=False, format="~g", labelOverlap=True),
    )
    y = alt.Y("y:Q", title=None, scale=alt.Scale(zero=False, padding=8), axis=alt.Axis(tickCount=5))
    colour = _colour(comparison, lines)
    tooltip = [
        alt.Tooltip("line:N"),
        alt.Tooltip("x:Q", title=axis, format="~g"),
        alt.Tooltip("y:Q", title="baseline + paired difference", format=".4~g"),
        alt.Tooltip("lo:Q", title="interval from", format=".4~g"),
        alt.Tooltip("hi:Q", title="to", format=".4~g"),
        alt.Tooltip("own:Q", title="own mean", format=".4~g"),
        alt.Tooltip("verdict:N"),
    ]
    is_baseline = alt.datum.baseline == 1
    layers: list[Any] = [
        base.mark_rule(strokeDash=[4, 3]).encode(y=y, color=colour).transform_filter(is_baseline),
        base.mark_line(strokeWidth=1.8).encode(x=x, y=y, color=colour),
        base.mark_rule(strokeWidth=2).encode(x=x, y=alt.Y("lo:Q", title=None), y2="hi:Q", color=colour),
        base.mark_point(filled=True, size=55, opacity=1).encode(x=x, y=y, color=colour, tooltip=tooltip),
        base.mark_point(shape="diamond", filled=True, size=150, opacity=1)
        .encode(x=x, y=y, color=colour)
        .transform_filter(is_baseline),
    ]
    if axis not in comparison.compared:
        layers = layers[1:-1]  # the baseline is a line of its own
    spec = (
        alt.layer(*layers, data=csv_data(data))
        .properties(width=270, height=170)
        .facet(facet=alt.Facet("panel:N", title=None, sort=list(dict.fromkeys(data["panel"]))), columns=3)
        .resolve_scale(y="independent")
        .resolve_axis(x="independent")
    )
    marked = f"Diamond and dashed line: the baseline, {comparison.baseline}."
    if axis not in comparison.compared:
        marked = f"Every point is paired with {comparison.baseline} at the same {axis}."
    caption = (
        f"Mean over seeds against {axis}, as the baseline's mean plus the mean paired difference; bars: the 95 % "
        f"interval of that difference, not corrected for many tests. {marked} Each panel has its own axis."
    )
    return [Figure(f"sweep-{axis}", f"Sweep of {axis}", caption, spec.to_dict())]


def _scale(points: Sequence[float]) -> Any:
    """Logarithmic where the numbers span decades, with a linear part around zero where they include it."""
    import altair as alt

    positive = [p for p in points if p > 0]
    if len(positive) < 2 or min(points) < 0 or max(positive) / min(positive) < WIDE_RATIO:
        return alt.Scale(zero=False, padding=12)
    if min(points) > 0:
        return alt.Scale(type="log", padding=12, nice=False)
    return alt.Scale(type="symlog", constant=min(positive), padding=12, nice=False)


def _colour(comparison: Comparison, lines: Sequence[str]) -> Any:
    """One colour a line; the baseline's own line, where there is one, is grey as everywhere."""
    import altair as alt

    others = [line for line in lines if line != comparison.baseline]
    shades = {line: PALETTE[i % len(PALETTE)] for i, line in enumerate(others)} | {comparison.baseline: NEUTRAL}
    legend = alt.Legend(orient="top", title=None, columns=5, symbolType="stroke", symbolStrokeWidth=3)
    return alt.Color(
        "line:N",
        scale=alt.Scale(domain=list(lines), range=[shades[line] for line in lines]),
        legend=legend if len(lines) > 1 else None,
    )
