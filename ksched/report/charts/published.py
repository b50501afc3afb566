"""Published load curves beside ours."""

from __future__ import annotations

from typing import Any

from ksched.report.charts.figure import Figure, colour, csv_data
from ksched.report.comparison import Comparison
from ksched.report.load_curves import FILES
from ksched.report.published import Published

_PANELS = dict(
    zip(FILES, ("Allocated, % of all GPUs", "Fragments, % of all GPUs", "Fragments, % of idle GPUs"), strict=True)
)
_STEP = 2
"""Every so many percent is a point: what lies between cannot be seen."""


def published_curves(comparison: Comparison, published: Published, workload: str) -> list[Figure]:
    """A panel a curve, a colour a policy; nothing where no run on the workload was published."""
    import altair as alt

    means = published.means
    frame = means[(means["workload"] == workload) & (means["percent"] % _STEP == 0)].dropna()
    if not len(frame):
        return []
    frame = frame.assign(panel=[_PANELS[file] for file in frame["file"]])
    frame = frame[["policy", "panel", "percent", "ours", "published"]]
    base = alt.Chart()
    x = alt.X("percent:Q", title="arrived demand, % of all GPUs", axis=alt.Axis(grid=False, tickCount=6))
    ours, theirs = (alt.Y(f"{name}:Q", title=None, axis=alt.Axis(tickCount=5)) for name in ("ours", "published"))
    shade = colour(comparison, list(dict.fromkeys(frame["policy"])))
    tooltip = [
        alt.Tooltip("policy:N"),
        alt.Tooltip("percent:Q", title="arrived, %"),
        alt.Tooltip("ours:Q", format=".2f"),
        alt.Tooltip("published:Q", format=".2f"),
    ]
    layers: list[Any] = [
        base.mark_line(strokeWidth=5, opacity=0.35).encode(x=x, y=ours, color=shade),
        base.mark_line(strokeWidth=1.4, strokeDash=[5, 3]).encode(x=x, y=theirs, color=shade),
        base.mark_circle(opacity=0, size=90).encode(x=x, y=ours, color=shade, tooltip=tooltip),
    ]
    spec = (
        alt.layer(*layers, data=csv_data(frame))
        .properties(width=280, height=210)
        .facet(column=alt.Column("panel:N", title=None, sort=list(_PANELS.values())))
        .resolve_scale(y="independent")
    )
    caption = "Wide lines: means over our runs; dashed: published means of the same runs. " + published.sentence(
        workload
    )
    return [Figure("published", "Published values beside ours", caption, spec.to_dict())]
