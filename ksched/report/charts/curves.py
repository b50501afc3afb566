"""Curves over time or over arrived demand, and the distribution of pending times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ksched.report import series
from ksched.report.charts.figure import Figure, colour, csv_data
from ksched.report.comparison import Comparison
from ksched.report.metrics import RESOURCE_NAMES

_MEASURE_TITLES = {
    "allocated": ("Allocation", "requested share of capacity, %"),
    "imbalance": ("Imbalance", "std. deviation over nodes, %"),
    "stranded": ("Stranded capacity", "free but unusable share, %"),
}


def progress(comparison: Comparison, curves: pd.DataFrame, measure: str, timed: bool) -> Figure:
    """One measure of the cluster (a key of series.MEASURES), a panel a resource."""
    import altair as alt

    title, axis = _MEASURE_TITLES[measure]
    lo, hi = f"{measure}_lo", f"{measure}_hi"
    frame = curves[["policy", "resource", "x", measure, lo, hi]].copy()
    factor, unit = time_unit(float(frame["x"].max())) if timed else (1.0, "")
    frame["x"] /= factor
    frame["resource"] = [capitalised(RESOURCE_NAMES.get(r, r)) for r in frame["resource"]]
    resources = list(dict.fromkeys(frame["resource"]))
    trimmed = measure == "allocated" and not timed
    if trimmed:
        frame = pd.concat([_after_parting(frame[frame["resource"] == r], measure) for r in resources])
    base = alt.Chart()
    axis_x = alt.Axis(grid=False, tickCount=6, labelFlush=False, labelOverlap="greedy", labelSeparation=4)
    scale = alt.Scale(zero=not trimmed, nice=not trimmed)
    x = alt.X("x:Q", title=f"time, {unit}" if timed else "arrived demand, % of capacity", axis=axis_x, scale=scale)
    y = alt.Y(f"{measure}:Q", title=axis, axis=alt.Axis(tickCount=5), scale=scale)
    shade = colour(comparison, list(dict.fromkeys(frame["policy"])))
    tooltip = [
        alt.Tooltip("policy:N"),
        alt.Tooltip("x:Q", title=f"time, {unit}" if timed else "arrived, %", format=".4~g"),
        alt.Tooltip(f"{measure}:Q", title="mean, %", format=".2f"),
        alt.Tooltip(f"{lo}:Q", title="lowest seed, %", format=".2f"),
        alt.Tooltip(f"{hi}:Q", title="highest seed, %", format=".2f"),
    ]
    layers: list[Any] = [
        base.mark_area(opacity=0.16).encode(
            x=x, y=alt.Y(f"{lo}:Q", title=axis, scale=scale), y2=f"{hi}:Q", color=shade
        ),
        base.mark_line(strokeWidth=1.8).encode(x=x, y=y, color=shade),
        base.mark_circle(opacity=0, size=90).encode(x=x, y=y, color=shade, tooltip=tooltip),
    ]
    spec = (
        alt.layer(*layers, data=csv_data(frame))
        .properties(width=_facet_width(len(resources)), height=210)
        .facet(column=alt.Column("resource:N", title=None, sort=resources))
        .resolve_scale(x="shared" if timed else "independent", y="independent" if trimmed else "shared")
    )
    seeds = "line: mean over seeds, band: lowest to highest seed"
    over = "over time" if timed else "as demand arrives"
    caption = {
        "allocated": f"Requested share of the cluster's capacity {over}; {seeds}."
        + (" Panels begin where the curves part; before, every pod fits under every policy." if trimmed else ""),
        "imbalance": f"How unevenly nodes are filled {over}: standard deviation of their allocated share; {seeds}.",
        "stranded": f"Capacity that is free but on nodes where the trace's expected pod does not fit; {seeds}.",
    }[measure]
    return Figure(measure, f"{title} {over}", caption, spec.to_dict())


def _after_parting(frame: pd.DataFrame, measure: str) -> pd.DataFrame:
    """The end of the curves, from shortly before policies part for good by 0.3 % of capacity; the whole curves when
    they never do, or do early."""
    by_x = frame.groupby("x")[measure]
    together = by_x.max() - by_x.min() <= 0.3
    if together.iloc[-1] or not together.any():
        return frame
    end = float(frame["x"].max())
    start = float(together[together].index[-1]) - 0.1 * end
    return frame[frame["x"] >= start] if start > 0.3 * end else frame


def _facet_width(facets: int) -> int:
    return {1: 900, 2: 450}.get(facets, 290)


def time_unit(longest_s: float) -> tuple[float, str]:
    """(seconds in the unit, its name) for an axis of so many seconds."""
    for least, factor, name in ((172_800, 86_400, "days"), (7_200, 3_600, "hours"), (300, 60, "minutes")):
        if longest_s >= least:
            return float(factor), name
    return 1.0, "seconds"


def pending(comparison: Comparison, frame: pd.DataFrame) -> Figure:
    """Share of pods bound within so many seconds; ``frame`` is that of series.pending."""
    import altair as alt

    base = alt.Chart()
    x = alt.X("seconds:Q", title="seconds from creation to binding", scale=alt.Scale(type="log", nice=False))
    x = x.axis(grid=False, format="~g", tickCount=8)
    shade = colour(comparison, list(dict.fromkeys(frame["policy"])))
    title = "share of created pods, %"
    lowest = math.floor(min(90.0, float(frame["lo"].min())) / 10) * 10
    y_scale = alt.Scale(domain=[lowest, 100])
    tooltip = [
        alt.Tooltip("policy:N"),
        alt.Tooltip("seconds:Q", format=".3~g"),
        alt.Tooltip("share:Q", title="bound by then, %", format=".2f"),
    ]
    layers: list[Any] = [
        base.mark_area(opacity=0.16).encode(x=x, y=alt.Y("lo:Q", title=title, scale=y_scale), y2="hi:Q", color=shade),
        base.mark_line(strokeWidth=1.8).encode(x=x, y=alt.Y("share:Q"), color=shade),
        base.mark_circle(opacity=0, size=90).encode(x=x, y=alt.Y("share:Q"), color=shade, tooltip=tooltip),
    ]
    spec = alt.layer(*layers, data=csv_data(frame)).properties(width=900, height=260)
    caption = (
        "Share of all created pods that were bound within so many seconds (logarithmic; shorter waits stand at the "
        "left end). Pods that were never bound keep a curve below 100 %. Line: mean over seeds, band: lowest to "
        "highest seed."
    )
    return Figure("pending", "Pending time", caption, spec.to_dict())


def load(comparison: Comparison, curves: Mapping[str, pd.DataFrame]) -> list[Figure]:
    """How the advantage over the baseline depends on load, over all workloads; nothing for replays by time."""
    import altair as alt

    frame = series.gain_by_load(comparison, curves)
    if not len(frame):
        return []
    frame["resource"] = [capitalised(RESOURCE_NAMES.get(r, r)) for r in frame["resource"]]
    resources = list(dict.fromkeys(frame["resource"]))
    shade = colour(comparison, list(dict.fromkeys(frame["policy"])))
    base = alt.Chart()
    title = f"allocated beyond {comparison.baseline}, points"
    x = alt.X("x:Q", title="arrived demand, % of capacity", axis=alt.Axis(grid=False, tickCount=6))
    tooltip = [
        alt.Tooltip("policy:N"),
        alt.Tooltip("x:Q", title="arrived, %", format=".4~g"),
        alt.Tooltip("gain:Q", title="mean, points", format="+.2f"),
        alt.Tooltip("lo:Q", title="lowest workload", format="+.2f"),
        alt.Tooltip("hi:Q", title="highest workload", format="+.2f"),
    ]
    layers: list[Any] = [
        base.mark_area(opacity=0.12).encode(x=x, y=alt.Y("lo:Q", title=title), y2="hi:Q", color=shade),
        base.mark_line(strokeWidth=1.8).encode(x=x, y=alt.Y("gain:Q", title=title), color=shade),
        base.mark_circle(opacity=0, size=90).encode(x=x, y="gain:Q", color=shade, tooltip=tooltip),
    ]
    spec = (
        alt.layer(*layers, data=csv_data(frame))
        .properties(width=_facet_width(len(resources)), height=210)
        .facet(column=alt.Column("resource:N", title=None, sort=resources))
        .resolve_scale(y="independent")
    )
    caption = (
        f"Allocated share of capacity minus that under {comparison.baseline}, at the same arrived demand; line: mean "
        "over workloads (each a mean over seeds), band: lowest to highest workload."
    )
    return [Figure("load", "Advantage by load", caption, spec.to_dict())]


def capitalised(text: str) -> str:
    """cpu -> Cpu; CPU stays."""
    return text[:1].upper() + text[1:]
