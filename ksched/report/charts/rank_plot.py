"""Mean ranks over workloads with Nemenyi's critical difference."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ksched.report.charts.figure import NEUTRAL, Figure, csv_data
from ksched.report.comparison import Comparison
from ksched.report.headlines import separating_column
from ksched.report.leaders import ranks
from ksched.report.numbers import p_text

_AHEAD = "#2f6fde"


def rank_plot(comparison: Comparison) -> list[Figure]:
    """Every policy's mean rank with half a critical difference to either side: bars that do not overlap are policies
    that differ. Nothing when there are too few workloads or policies to rank."""
    import altair as alt

    column = separating_column(comparison)
    found = ranks(comparison, column)
    if found is None:
        return []
    half = found.critical_difference / 2
    first = found.ranks[0]
    frame = pd.DataFrame({"policy": found.policies, "rank": found.ranks})
    frame["lo"], frame["hi"] = frame["rank"] - half, frame["rank"] + half
    frame["standing"] = [
        "not told apart from the best" if rank - first <= found.critical_difference else "behind the best"
        for rank in found.ranks
    ]
    shade = alt.Color(
        "standing:N",
        scale=alt.Scale(domain=["not told apart from the best", "behind the best"], range=[_AHEAD, NEUTRAL]),
        legend=alt.Legend(orient="top", title=None, symbolType="circle"),
    )
    base = alt.Chart()
    y = alt.Y("policy:N", title=None, sort=list(found.policies))
    scale = alt.Scale(zero=False, padding=8)
    title = "mean rank, 1 is best"
    tooltip = [alt.Tooltip("policy:N"), alt.Tooltip("rank:Q", title="mean rank", format=".2f")]
    layers: list[Any] = [
        base.mark_rule(strokeWidth=2).encode(x=alt.X("lo:Q", title=title, scale=scale), x2="hi:Q", y=y, color=shade),
        base.mark_point(filled=True, size=70, opacity=1).encode(
            x=alt.X("rank:Q", title=title, scale=scale), y=y, color=shade, tooltip=tooltip
        ),
    ]
    spec = alt.layer(*layers, data=csv_data(frame)).properties(width=720, height=max(60, 26 * len(frame)))
    caption = (
        f"Each of {found.workloads} workloads ranks the policies by their mean over seeds. Bars reach half of "
        f"Nemenyi's critical difference ({found.critical_difference:.2f}) to either side: where two do not overlap, "
        "the policies differ at the 5 % level. Friedman's test, Iman and Davenport's F: p "
        f"{_p(found.p_f)} (Demšar 2006)."
    )
    return [Figure("ranks", f"{column.title}: ranks over all workloads", caption, spec.to_dict())]


def _p(p: float) -> str:
    text = p_text(p)
    return text if text.startswith("<") else f"= {text}"
