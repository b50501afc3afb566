"""Unscheduled pods by reason, as bars."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ksched.report.charts.figure import NEUTRAL, Figure, colour, csv_data
from ksched.report.comparison import Comparison
from ksched.report.headlines import ordered


def failures(comparison: Comparison, frame: pd.DataFrame) -> Figure:
    """Bars by reason and policy; ``frame`` is that of series.failures."""
    import altair as alt

    present = ordered(list(frame["policy"]), comparison.policies)
    reasons = list(dict.fromkeys(frame["reason"]))[:12]
    frame = frame[frame["reason"].isin(reasons)]
    base = alt.Chart()
    shade = colour(comparison, present).legend(orient="top", title=None, columns=5, symbolType="square")
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
            color=shade,
            tooltip=tooltip,
        ),
        base.mark_rule(color=NEUTRAL).encode(x=alt.X("lo:Q"), x2="hi:Q", y=y, yOffset=offset),
    ]
    height = max(60, len(reasons) * (len(present) * 13 + 14))
    spec = alt.layer(*layers, data=csv_data(frame)).properties(width=720, height=height)
    caption = "Pods that were never scheduled, by the scheduler's last reason; the thin rule spans the seeds."
    return Figure("unscheduled", "Unscheduled pods by reason", caption, spec.to_dict())
