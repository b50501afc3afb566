"""The figures (Altair). Each carries its data, is named, and comes out byte for byte the same every time."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from ksched.report import series, words
from ksched.report.comparison import Comparison
from ksched.report.metrics import RESOURCE_NAMES

if TYPE_CHECKING:
    import altair as alt

NEUTRAL = "#868c98"
PALETTE = [
    "#2f6fde", "#e07b1a", "#1f9d74", "#c2408f", "#8a63d2", "#c9a227", "#d64545", "#2aa5b8", "#7a8b2a", "#a0653a",
    "#5b8ff0", "#f0a860", "#5cc4a0", "#e07fb8", "#b399ea", "#e0c766", "#ea8585", "#6fcbd8", "#adbd5c", "#c99a76",
]  # fmt: skip
VERDICT_COLOURS = {
    "better": "#17916a", "worse": "#d9480f", "higher": "#2f6fde", "lower": "#2f6fde",
    "undecided": NEUTRAL, "untested": NEUTRAL, "equal": NEUTRAL,
}  # fmt: skip
_MEASURE_TITLES = {
    "allocated": ("Allocation", "requested share of capacity, %"),
    "imbalance": ("Imbalance", "std. deviation over nodes, %"),
    "stranded": ("Stranded capacity", "free but unusable share, %"),
}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Figure:
    """A chart: ``name`` (file-safe, unique in its workload), title, caption, Vega-Lite spec with its data inside."""

    name: str
    title: str
    caption: str
    spec: dict[str, Any]

    def svg(self) -> str:
        """The figure as SVG for a paper, on white, with ids that do not depend on what was drawn before."""
        import vl_convert

        return _stable_ids(vl_convert.vegalite_to_svg({**self.spec, "config": theme(dark=False, background="white")}))


def overview_figures(comparison: Comparison) -> list[Figure]:
    """Figures over all workloads: paired differences of the metric that separates the policies."""
    if len(comparison.policies) < 2 or len(comparison.workloads) < 2 or not len(comparison.frame):
        return []
    column = words.separating_column(comparison)
    rows = comparison.frame
    rows = rows[(rows["metric"] == column.metric) & (rows["part"] == column.part)]
    return _forest(comparison, rows, "workload", f"{column.title}: difference to {comparison.baseline}", columns=3)


def workload_figures(comparison: Comparison, workload: str) -> list[Figure]:
    """The figures of one workload, most telling first; those without data are left out."""
    figures = []
    if len(comparison.policies) > 1:
        wanted = [(c.metric, c.part) for c in words.headline_columns(comparison)[: words.HEADLINES]]
        rows = comparison.frame[comparison.frame["workload"] == workload]
        keys = pd.Series(list(zip(rows["metric"], rows["part"], strict=True)), index=rows.index, dtype="object")
        rows = rows[keys.isin(wanted)]
        rows = rows.assign(order=[wanted.index(k) for k in keys[rows.index]]).sort_values("order", kind="stable")
        figures += _forest(comparison, rows, "title", f"Paired differences to {comparison.baseline}", columns=3)
    curves = series.progress(comparison, workload)
    timed = any(r.pending_time_meaningful for runs in series.runs_of(comparison, workload).values() for r in runs)
    for measure in series.MEASURES:
        if len(curves) and curves[measure].max() > 0:
            figures.append(_progress(comparison, curves, measure, timed))
    waits = series.pending(comparison, workload)
    if len(waits):
        figures.append(_pending(comparison, waits))
    missed = series.failures(comparison, workload)
    if len(missed) and missed["pods"].sum() > 0:
        figures.append(_failures(comparison, missed))
    return figures


def theme(*, dark: bool, background: str | None = None) -> dict[str, Any]:
    """Vega-Lite config: quiet axes, system fonts, readable on a light or a dark page."""
    ink, faint, line = ("#d7dae0", "#9aa1ad", "#363c47") if dark else ("#23272f", "#5b6270", "#e3e6eb")
    return {
        "background": background,
        "font": _FONT,
        "view": {"stroke": None},
        "axis": {
            "labelColor": faint, "titleColor": faint, "gridColor": line, "domainColor": line, "tickColor": line,
            "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "labelLimit": 260,
        },
        "legend": {"labelColor": ink, "titleColor": faint, "labelFontSize": 12, "labelLimit": 260},
        "header": {"labelColor": ink, "labelFontSize": 12, "labelFontWeight": "bold", "labelLimit": 300},
        "title": {"color": ink},
    }  # fmt: skip


def _colour(comparison: Comparison, present: Sequence[str]) -> alt.Color:
    """One colour a policy in all figures; the baseline is grey."""
    import altair as alt

    others = [p for p in comparison.policies if p != comparison.baseline]
    range_ = {p: PALETTE[i % len(PALETTE)] for i, p in enumerate(others)} | {comparison.baseline: NEUTRAL}
    domain = words.ordered(present, comparison.policies)
    legend = alt.Legend(orient="top", title=None, columns=5, symbolType="stroke", symbolStrokeWidth=3, symbolOpacity=1)
    return alt.Color("policy:N", scale=alt.Scale(domain=domain, range=[range_[p] for p in domain]), legend=legend)


def _data(frame: pd.DataFrame) -> alt.InlineData:
    """The frame as inline CSV (half the size of JSON rows); columns of texts stay texts even when they look like
    numbers, as the names of weights do."""
    import altair as alt

    text = frame.to_csv(index=False, float_format="%.5g", lineterminator="\n")
    kinds = {str(c): "number" if pd.api.types.is_numeric_dtype(frame[c]) else "string" for c in frame.columns}
    return alt.InlineData(values=text, format=alt.CsvDataFormat(type="csv", parse=kinds))


def _progress(comparison: Comparison, curves: pd.DataFrame, measure: str, timed: bool) -> Figure:
    import altair as alt

    title, axis = _MEASURE_TITLES[measure]
    lo, hi = f"{measure}_lo", f"{measure}_hi"
    frame = curves[["policy", "resource", "x", measure, lo, hi]].copy()
    factor, unit = _time_unit(float(frame["x"].max())) if timed else (1.0, "")
    frame["x"] /= factor
    frame["resource"] = [_capitalised(RESOURCE_NAMES.get(r, r)) for r in frame["resource"]]
    resources = list(dict.fromkeys(frame["resource"]))
    trimmed = measure == "allocated" and not timed
    if trimmed:
        frame = pd.concat([_after_parting(frame[frame["resource"] == r], measure) for r in resources])
    base = alt.Chart()
    axis_x = alt.Axis(grid=False, tickCount=6, labelFlush=False, labelOverlap="greedy", labelSeparation=4)
    scale = alt.Scale(zero=not trimmed, nice=not trimmed)
    x = alt.X("x:Q", title=f"time, {unit}" if timed else "arrived demand, % of capacity", axis=axis_x, scale=scale)
    y = alt.Y(f"{measure}:Q", title=axis, axis=alt.Axis(tickCount=5), scale=scale)
    colour = _colour(comparison, list(dict.fromkeys(frame["policy"])))
    tooltip = [
        alt.Tooltip("policy:N"),
        alt.Tooltip("x:Q", title=f"time, {unit}" if timed else "arrived, %", format=".4~g"),
        alt.Tooltip(f"{measure}:Q", title="mean, %", format=".2f"),
        alt.Tooltip(f"{lo}:Q", title="lowest seed, %", format=".2f"),
        alt.Tooltip(f"{hi}:Q", title="highest seed, %", format=".2f"),
    ]
    layers: list[Any] = [
        base.mark_area(opacity=0.16).encode(
            x=x, y=alt.Y(f"{lo}:Q", title=axis, scale=scale), y2=f"{hi}:Q", color=colour
        ),
        base.mark_line(strokeWidth=1.8).encode(x=x, y=y, color=colour),
        base.mark_circle(opacity=0, size=90).encode(x=x, y=y, color=colour, tooltip=tooltip),
    ]
    spec = (
        alt.layer(*layers, data=_data(frame))
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


def _time_unit(longest_s: float) -> tuple[float, str]:
    for least, factor, name in ((172_800, 86_400, "days"), (7_200, 3_600, "hours"), (300, 60, "minutes")):
        if longest_s >= least:
            return float(factor), name
    return 1.0, "seconds"


def _pending(comparison: Comparison, frame: pd.DataFrame) -> Figure:
    import altair as alt

    base = alt.Chart()
    x = alt.X("seconds:Q", title="seconds from creation to binding", scale=alt.Scale(type="log", nice=False))
    x = x.axis(grid=False, format="~g", tickCount=8)
    colour = _colour(comparison, list(dict.fromkeys(frame["policy"])))
    title = "share of created pods, %"
    lowest = math.floor(min(90.0, float(frame["lo"].min())) / 10) * 10
    y_scale = alt.Scale(domain=[lowest, 100])
    tooltip = [
        alt.Tooltip("policy:N"),
        alt.Tooltip("seconds:Q", format=".3~g"),
        alt.Tooltip("share:Q", title="bound by then, %", format=".2f"),
    ]
    layers: list[Any] = [
        base.mark_area(opacity=0.16).encode(x=x, y=alt.Y("lo:Q", title=title, scale=y_scale), y2="hi:Q", color=colour),
        base.mark_line(strokeWidth=1.8).encode(x=x, y=alt.Y("share:Q"), color=colour),
        base.mark_circle(opacity=0, size=90).encode(x=x, y=alt.Y("share:Q"), color=colour, tooltip=tooltip),
    ]
    spec = alt.layer(*layers, data=_data(frame)).properties(width=900, height=260)
    caption = (
        "Share of all created pods that were bound within so many seconds (logarithmic; shorter waits stand at the "
        "left end). Pods that were never bound keep a curve below 100 %. Line: mean over seeds, band: lowest to "
        "highest seed."
    )
    return Figure("pending", "Pending time", caption, spec.to_dict())


def _failures(comparison: Comparison, frame: pd.DataFrame) -> Figure:
    import altair as alt

    present = words.ordered(list(frame["policy"]), comparison.policies)
    reasons = list(dict.fromkeys(frame["reason"]))[:12]
    frame = frame[frame["reason"].isin(reasons)]
    base = alt.Chart()
    colour = _colour(comparison, present)
    colour = colour.legend(orient="top", title=None, columns=5, symbolType="square")
    y = alt.Y("reason:N", title=None, sort=reasons, axis=alt.Axis(labelLimit=320))
    offset = alt.YOffset("policy:N", sort=present)
    tooltip = [
        alt.Tooltip("policy:N"),
        alt.Tooltip("reason:N"),
        alt.Tooltip("pods:Q", title="mean", format=",.1f"),
        alt.Tooltip("lo:Q", title="lowest seed", format=",.0f"),
        alt.Tooltip("hi:Q", title="highest seed", format=",.0f"),
    ]
    layers: list[Any] = [
        base.mark_bar(cornerRadiusEnd=2).encode(
            x=alt.X("pods:Q", title="pods never scheduled", axis=alt.Axis(tickCount=8)),
            y=y,
            yOffset=offset,
            color=colour,
            tooltip=tooltip,
        ),
        base.mark_rule(color=NEUTRAL).encode(x=alt.X("lo:Q"), x2="hi:Q", y=y, yOffset=offset),
    ]
    height = max(60, len(reasons) * (len(present) * 13 + 14))
    spec = alt.layer(*layers, data=_data(frame)).properties(width=720, height=height)
    caption = "Pods that were never scheduled, by the scheduler's last reason; the thin rule spans the seeds."
    return Figure("unscheduled", "Unscheduled pods by reason", caption, spec.to_dict())


def _forest(comparison: Comparison, rows: pd.DataFrame, facet: str, title: str, columns: int) -> list[Figure]:
    """Points with intervals, one panel a metric or workload, each with its own axis; nothing when there are no rows."""
    import altair as alt

    some = rows.groupby(facet, sort=False)["verdict"].transform(lambda verdicts: (verdicts != "equal").any())
    rows = rows[some.astype(bool)]
    if not len(rows):
        return []
    relative = facet == "workload" and rows["unit"].iloc[0] != "%" and rows["relative"].notna().all()
    prefix = {"diff": "relative", "lo": "relative_lo", "hi": "relative_hi"} if relative else {}
    frame = rows[["policy", facet, "unit", "verdict"]].copy()
    for name in ("diff", "lo", "hi"):
        frame[name] = rows[prefix.get(name, name)]
    frame["interval"] = [
        "none" if math.isnan(lo) else f"{lo:+.4g} to {hi:+.4g}" for lo, hi in zip(frame["lo"], frame["hi"], strict=True)
    ]
    # Without an interval the rule shrinks to the point, so that every panel has an extent.
    frame["lo"], frame["hi"] = frame["lo"].fillna(frame["diff"]), frame["hi"].fillna(frame["diff"])
    frame["panel"] = [
        _panel(str(panel), str(unit)) if facet == "title" else str(panel)
        for panel, unit in zip(frame[facet], frame["unit"], strict=True)
    ]
    panels = list(dict.fromkeys(frame["panel"]))
    present = words.ordered(list(frame["policy"]), comparison.policies)
    frame = frame[["policy", "panel", "verdict", "diff", "lo", "hi", "interval"]]
    shown = [v for v in VERDICT_COLOURS if v in set(frame["verdict"])]
    colour = alt.Color(
        "verdict:N",
        scale=alt.Scale(domain=shown, range=[VERDICT_COLOURS[v] for v in shown]),
        legend=alt.Legend(orient="top", title=None, symbolType="circle"),
    )
    base = alt.Chart()
    y = alt.Y("policy:N", title=None, sort=present)
    unit = "% of the baseline" if relative else "points" if rows["unit"].iloc[0] == "%" else str(rows["unit"].iloc[0])
    padded = alt.Scale(padding=8)
    x = alt.X("diff:Q", title=None if facet == "title" else unit, axis=alt.Axis(tickCount=5), scale=padded)
    tooltip = [
        alt.Tooltip("policy:N"),
        alt.Tooltip("diff:Q", title="difference", format="+.4~g"),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("verdict:N"),
    ]
    layers: list[Any] = [
        base.mark_rule(color=NEUTRAL, strokeDash=[3, 3]).encode(x=alt.datum(0)),
        base.mark_rule(strokeWidth=2).encode(
            x=alt.X("lo:Q", title=None if facet == "title" else unit, scale=padded), x2="hi:Q", y=y, color=colour
        ),
        base.mark_point(filled=True, size=64, opacity=1).encode(x=x, y=y, color=colour, tooltip=tooltip),
    ]
    spec = (
        alt.layer(*layers, data=_data(frame))
        .properties(width=250, height=max(40, 22 * len(present)))
        .facet(facet=alt.Facet("panel:N", title=None, sort=panels), columns=columns)
        .resolve_scale(x="independent")
    )
    caption = (
        f"Mean paired difference to {comparison.baseline} with its 95 % interval; each panel has its own axis. An "
        "interval beside the dashed zero line is no verdict yet: colours follow the Holm-corrected test."
    )
    return [Figure("differences", title, caption, spec.to_dict())]


def _panel(title: str, unit: str) -> str:
    unit = "points" if unit == "%" else unit
    return title if title.endswith(unit) else f"{title}, {unit}"


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _stable_ids(svg: str) -> str:
    """Vega numbers clip paths and gradients by a counter of the process; number them by appearance instead."""
    names = dict.fromkeys(re.findall(r'\bid="([A-Za-z_]+\d+)"', svg))
    renamed = {name: f"{name.rstrip('0123456789')}_{i}" for i, name in enumerate(names)}
    return re.sub(r'(\bid="|url\(#|href="#)([A-Za-z_]+\d+)(?=["\)])', lambda m: m[1] + renamed.get(m[2], m[2]), svg)
