"""Forest plots: paired differences with their intervals."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from ksched.report.charts.figure import NEUTRAL, VERDICT_COLOURS, Figure, csv_data
from ksched.report.comparison import Comparison
from ksched.report.headlines import HEADLINES, headline_columns, ordered, separating_column

MOST_PANELS = 36
"""A forest of more panels is no picture any more; the matrix shows so many workloads."""


def over_workloads(comparison: Comparison) -> list[Figure]:
    """The metric that separates the policies, a panel a workload."""
    if len(comparison.workloads) > MOST_PANELS:
        return []
    column = separating_column(comparison)
    rows = comparison.frame
    rows = rows[(rows["metric"] == column.metric) & (rows["part"] == column.part)]
    return _forest(comparison, rows, "workload", f"{column.title}: difference to {comparison.baseline}")


def over_metrics(comparison: Comparison, workload: str) -> list[Figure]:
    """The headline metrics of one workload, a panel a metric."""
    wanted = [(c.metric, c.part) for c in headline_columns(comparison)[:HEADLINES]]
    rows = comparison.frame[comparison.frame["workload"] == workload]
    keys = pd.Series(list(zip(rows["metric"], rows["part"], strict=True)), index=rows.index, dtype="object")
    rows = rows[keys.isin(wanted)]
    rows = rows.assign(order=[wanted.index(k) for k in keys[rows.index]]).sort_values("order", kind="stable")
    return _forest(comparison, rows, "title", f"Paired differences to {comparison.baseline}")


def _forest(comparison: Comparison, rows: pd.DataFrame, facet: str, title: str) -> list[Figure]:
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
    present = ordered(list(frame["policy"]), comparison.policies)
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
        alt.layer(*layers, data=csv_data(frame))
        .properties(width=250, height=max(40, 22 * len(present)))
        .facet(facet=alt.Facet("panel:N", title=None, sort=panels), columns=3)
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
