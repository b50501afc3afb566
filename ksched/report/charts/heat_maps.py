"""Heat maps: nodes over time, and policies over workloads."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from ksched.report.charts.curves import capitalised, time_unit
from ksched.report.charts.figure import VERDICT_COLOURS, Figure, csv_data
from ksched.report.comparison import SIGNIFICANT, Comparison
from ksched.report.headlines import resources_by_pressure, separating_column
from ksched.report.metrics import RESOURCE_NAMES
from ksched.report.node_use import label_expression, node_use

MOST_WORKLOADS = 80
_PANEL_WIDTH = 270
_INK = "#23272f"
"""Ink on the matrix's pale cells, on a light page and a dark one."""


def nodes(comparison: Comparison, workload: str) -> list[Figure]:
    """Allocation per node over time, a panel a policy, of the most contended resource."""
    import altair as alt

    pressed = resources_by_pressure(comparison)
    use = node_use(comparison, workload, pressed[0]) if pressed else None
    if use is None:
        return []
    last = use.width * (int(use.cells["bin"].max()) + 1)
    factor, unit = time_unit(last) if use.timed else (1.0, "")
    width = use.width / factor
    policies = list(dict.fromkeys(use.cells["policy"]))
    title = f"time, {unit}" if use.timed else "arrived demand, % of capacity"
    ticks = list(range(0, len(use.labels), max(1, math.ceil(len(use.labels) / 12))))
    rows = len(use.labels)
    spec = (
        alt.Chart(csv_data(use.cells))
        .transform_calculate(
            x=f"datum.bin * {width!r}",
            end=f"(datum.bin + 1) * {width!r}",
            below="datum.row + 1",
            label=_label(use.labels),
        )
        .mark_rect()
        .encode(
            x=alt.X("x:Q", title=title, axis=alt.Axis(grid=False, tickCount=5), scale=alt.Scale(nice=False)),
            x2="end:Q",
            y=alt.Y(
                "row:Q",
                title=None,
                scale=alt.Scale(domain=[rows, 0], nice=False),
                axis=alt.Axis(values=ticks, labelExpr=label_expression(use.labels), grid=False, labelBaseline="top"),
            ),
            y2="below:Q",
            color=alt.Color(
                "allocated:Q",
                title="allocated, %",
                scale=alt.Scale(scheme="viridis", domain=[0, 100], clamp=True),
                legend=alt.Legend(orient="top", gradientLength=200),
            ),
            tooltip=[
                alt.Tooltip("policy:N"),
                alt.Tooltip("label:N", title="nodes"),
                alt.Tooltip("x:Q", title=title, format=".4~g"),
                alt.Tooltip("allocated:Q", title="allocated, %", format=".1f"),
            ],
        )
        .properties(width=_PANEL_WIDTH, height=max(80, min(300, 9 * rows)))
        .facet(facet=alt.Facet("policy:N", title=None, sort=policies), columns=3)
    )
    name = RESOURCE_NAMES.get(use.resource, use.resource)
    grouped = any(" +" in label for label in use.labels)
    caption = (
        f"Requested share of each node's {name} {'over time' if use.timed else 'as demand arrives'}, of seed "
        f"{use.seed} under every policy. Nodes of one kind stand together"
        + ("; each row is the mean of so many neighbours (+ n: and n more)." if grouped else ".")
    )
    return [Figure("nodes", f"{capitalised(name)} node by node", caption, spec.to_dict())]


def _label(labels: tuple[str, ...]) -> str:
    return label_expression(labels).replace("datum.value", "datum.row")


def matrix(comparison: Comparison) -> list[Figure]:
    """Policies over workloads by the metric that separates them: green is better, a star is established."""
    import altair as alt

    column = separating_column(comparison)
    rows = comparison.frame
    rows = rows[(rows["metric"] == column.metric) & (rows["part"] == column.part)]
    better = comparison.metrics[column.metric].better
    if not len(rows) or better == "none" or len(comparison.workloads) > MOST_WORKLOADS:
        return []
    relative = bool(rows["unit"].iloc[0] != "%" and rows["relative"].notna().all())
    prefix = "relative" if relative else "diff"
    frame = rows[["policy", "workload", "verdict"]].copy()
    frame["difference"] = rows[prefix]
    frame["low"], frame["high"] = (rows[f"relative_{end}" if relative else end] for end in ("lo", "hi"))
    frame["gain"] = frame["difference"] * (1 if better == "higher" else -1)
    frame["text"] = [
        f"{difference:+.2g}{'*' if p < SIGNIFICANT and verdict != 'equal' else ''}".replace("-", "\N{MINUS SIGN}")
        for difference, p, verdict in zip(frame["difference"], rows["p_holm"], frame["verdict"], strict=True)
    ]
    extreme = float(frame["gain"].abs().max()) or 1.0
    return [_matrix(comparison, frame, f"{column.title}: every policy on every workload", relative, extreme, alt)]


def _matrix(
    comparison: Comparison, frame: pd.DataFrame, title: str, relative: bool, extreme: float, alt: Any
) -> Figure:
    unit = "% of the baseline" if relative else "points or units of the metric"
    base = alt.Chart()
    x = alt.X("policy:N", title=None, sort=list(comparison.policies), axis=alt.Axis(orient="top", labelAngle=0))
    y = alt.Y("workload:N", title=None, sort=list(comparison.workloads))
    tooltip = [
        alt.Tooltip("workload:N"),
        alt.Tooltip("policy:N"),
        alt.Tooltip("difference:Q", title=unit, format="+.4~g"),
        alt.Tooltip("low:Q", title="95 % interval from", format="+.4~g"),
        alt.Tooltip("high:Q", title="to", format="+.4~g"),
        alt.Tooltip("verdict:N"),
    ]
    shades = alt.Scale(
        domain=[-extreme, 0, extreme], range=[VERDICT_COLOURS["worse"], "#f4f5f7", VERDICT_COLOURS["better"]]
    )
    layers = [
        base.mark_rect(stroke="#ffffff", strokeWidth=1).encode(
            x=x, y=y, color=alt.Color("gain:Q", scale=shades, legend=None), tooltip=tooltip
        ),
        base.mark_text(fontSize=11, color=_INK).encode(x=x, y=y, text="text:N", tooltip=tooltip),
    ]
    shown = len(set(frame["policy"]))
    spec = alt.layer(*layers, data=csv_data(frame)).properties(
        width=max(200, min(860, 130 * shown)), height=26 * len(set(frame["workload"]))
    )
    caption = (
        f"Mean paired difference to {comparison.baseline}, {unit}; green is better, orange worse, a star marks p < "
        f"{SIGNIFICANT} after Holm's correction."
    )
    return Figure("matrix", title, caption, spec.to_dict())
