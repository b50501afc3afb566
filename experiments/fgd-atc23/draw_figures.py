"""Redraw the paper's figures from the CSV files of a result directory, the published values beside ours.

    python experiments/fgd-atc23/draw_figures.py RESULTS [PUBLISHED] -o DIR

RESULTS holds ``analysis_{allo,frag,frag_ratio}_discrete.csv`` as ``ksched run`` writes them, PUBLISHED the files of the
paper's artifact (``experiments/analysis/expected_results``), plain or gzipped. Of the published runs those are drawn
that are in RESULTS too, so that like is compared with like. DIR gets, as SVG and PDF:

    load-WORKLOAD   allocation and fragments against the demand that has arrived (figures 7 and 9 of the paper)
    unallocated     GPUs not allocated when 100 % has arrived, all workloads (figures 11 to 14)
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from ksched.errors import InputError
from ksched.report.charts.figure import PALETTE, Figure, theme
from ksched.report.load_curves import FILES, KEYS
from ksched.report.published import read

if TYPE_CHECKING:
    import altair as alt

OURS, PUBLISHED = "ksched", "published"
ALLOCATION, FRAGMENTS, FRAGMENT_RATIO = FILES
FULL = 100
"""The percent of demand at which workloads are compared."""
PREFIX = "openb_pod_list_"
WIDEST = 5
"""Workloads in a row of bars, unless a family has more."""
PALE = 0.4
"""Opacity of published bars."""


class Panel(NamedTuple):
    """One of the charts of a workload: the values of ``file`` from ``start`` percent on."""

    file: str
    title: str
    axis: str
    start: int


PANELS = (
    Panel(ALLOCATION, "Allocation", "allocated GPUs, % of all", 0),
    Panel(ALLOCATION, "Allocation near saturation", "allocated GPUs, % of all", 80),
    Panel(FRAGMENTS, "Fragments", "fragments, % of all GPUs", 0),
    Panel(FRAGMENT_RATIO, "Fragments among idle GPUs", "fragments, % of idle GPUs", 0),
)


def load(results: Path, published: Path | None) -> pd.DataFrame:
    """All values, one a row: file, source, workload, policy, seed, percent, value.

    InputError when a file is missing, or when PUBLISHED has none of the runs.
    """
    ours = {name: read(results, name) for name in FILES}
    parts = [_long(name, OURS, list(rows.values())) for name, rows in ours.items()]
    if published is not None:
        theirs = {name: read(published, name) for name in FILES}
        common = {name: [row for key, row in theirs[name].items() if key in ours[name]] for name in FILES}
        if not any(common.values()):
            raise InputError(
                "none of these runs is in the results",
                where=str(published),
                hint=f"the columns {', '.join(KEYS)} say which runs are the same",
            )
        parts += [_long(name, PUBLISHED, rows) for name, rows in common.items() if rows]
    return pd.concat(parts, ignore_index=True)


def _long(file: str, source: str, rows: Sequence[dict[str, str]]) -> pd.DataFrame:
    """One row a value; cells that are empty, where demand never was near, are left out."""
    wide = pd.DataFrame(rows).rename(columns={"sc_policy": "policy"})
    percents = [column for column in wide.columns if column.isdecimal()]
    long = wide.melt(["workload", "policy", "seed"], percents, "percent", "value")
    long = long[long["value"] != ""].astype({"percent": int, "value": float})
    return long.assign(file=file, source=source)


def over_seeds(values: pd.DataFrame) -> pd.DataFrame:
    """``mean`` of each value over its ``seeds``, and ``lo`` and ``hi`` one standard deviation (n - 1) off."""
    groups = values.groupby(["file", "source", "workload", "policy", "percent"])["value"]
    found = groups.agg(["mean", "std", "count"]).reset_index().rename(columns={"count": "seeds"})
    spread = found["std"].fillna(0.0)  # of a single seed
    return found.assign(lo=found["mean"] - spread, hi=found["mean"] + spread).drop(columns="std")


def figures(values: pd.DataFrame) -> list[Figure]:
    """One figure a workload, then the bars over all of them; without what demand never reached."""
    found = over_seeds(values)
    workloads = sorted(found["workload"].unique(), key=family_and_degree)
    policies = sorted(found["policy"].unique())
    drawn = [_load_figure(found[found["workload"] == name], name, policies) for name in workloads]
    full = found[(found["file"] == ALLOCATION) & (found["percent"] == FULL)]
    return [*drawn, _unallocated(full, policies)] if len(full) else drawn


def family_and_degree(workload: str) -> tuple[str, int]:
    """("gpushare", 40) for openb_pod_list_gpushare40; the unchanged trace comes first."""
    match = re.fullmatch(r"(.*?)(\d*)", workload.removeprefix(PREFIX))
    family, degree = match.groups() if match else (workload, "")
    return "" if family == "default" else family, int(degree or 0)


def _load_figure(found: pd.DataFrame, workload: str, policies: Sequence[str]) -> Figure:
    import altair as alt

    parts = [(panel, found[(found["file"] == panel.file) & (found["percent"] >= panel.start)]) for panel in PANELS]
    charts = [_panel(part, panel, policies) for panel, part in parts if len(part)]
    grid = alt.concat(*charts, columns=2, spacing=30)
    name = workload.removeprefix(PREFIX)
    caption = f"Lines: mean of ksched over {_seeds(found)}, bands: one standard deviation."
    if PUBLISHED in set(found["source"]):
        caption += " Circles: published means of the same runs."
    chart = grid.properties(title=alt.Title(f"Workload {name}", subtitle=caption, anchor="start", offset=14))
    return Figure(f"load-{name}", f"Workload {name}", caption, chart.to_dict())


def _panel(found: pd.DataFrame, panel: Panel, policies: Sequence[str]) -> Any:
    import altair as alt

    last = int(found["percent"].max())
    ours, published = (found[found["source"] == source] for source in (OURS, PUBLISHED))
    x_scale = alt.Scale(domain=[panel.start, last], nice=False)
    x = alt.X("percent:Q", title="arrived demand, % of all GPUs", scale=x_scale, axis=alt.Axis(grid=False, tickCount=7))
    # Scales that end at a tick keep the titles of neighbours at one height.
    y_axis, y_scale = alt.Axis(tickCount=6), alt.Scale(zero=not panel.start, nice=6)
    y = alt.Y("mean:Q", title=panel.axis, axis=y_axis, scale=y_scale)
    colour = _colour(policies, symbol="stroke")
    layers: list[Any] = [
        alt.Chart(ours).mark_area(opacity=0.15).encode(x, alt.Y("lo:Q"), alt.Y2("hi:Q"), colour),
        alt.Chart(ours).mark_line(strokeWidth=1.6).encode(x, y, colour),
    ]
    step = 5 if panel.start else 10
    circles = published[published["percent"] % step == 0]
    if len(circles):
        layers.append(alt.Chart(circles).mark_point(size=34, strokeWidth=1.2, fill=None).encode(x, y, colour))
    return alt.layer(*layers).properties(width=380, height=230, title=alt.Title(panel.title, fontSize=12))


def _unallocated(found: pd.DataFrame, policies: Sequence[str]) -> Figure:
    import altair as alt

    bars = found.assign(mean=100 - found["mean"], lo=100 - found["hi"], hi=100 - found["lo"])
    bars["name"] = bars["workload"].str.removeprefix(PREFIX)
    highest = float(bars["hi"].max())
    workloads = sorted(bars["workload"].unique(), key=family_and_degree)
    sources = [source for source in (OURS, PUBLISHED) if source in set(bars["source"])]
    rows = [_bars(bars[bars["name"].isin(names)], names, policies, sources, highest) for names in _rows(workloads)]
    caption = f"Bars: mean over {_seeds(found)}, rules: one standard deviation to either side."
    if PUBLISHED in sources:
        caption += " Full colour: ksched, pale: published values of the same runs."
    title = f"GPUs not allocated when {FULL} % of demand has arrived"
    chart = alt.vconcat(*rows, spacing=16).properties(
        title=alt.Title(title, subtitle=caption, anchor="start", offset=14)
    )
    return Figure("unallocated", title, caption, chart.to_dict())


def _rows(workloads: Sequence[str]) -> list[list[str]]:
    """Names of workloads by row: families stay together, and small ones share a row."""
    rows: list[list[str]] = [[]]
    for _, family in groupby(workloads, key=lambda workload: family_and_degree(workload)[0]):
        names = [workload.removeprefix(PREFIX) for workload in family]
        if rows[-1] and len(rows[-1]) + len(names) > WIDEST:
            rows.append([])
        rows[-1] += names
    return rows


def _bars(
    bars: pd.DataFrame, names: Sequence[str], policies: Sequence[str], sources: Sequence[str], highest: float
) -> Any:
    import altair as alt

    # A place beside each other for every policy and source; one left empty keeps workloads apart.
    places = [f"{policy} {source}" for policy in policies for source in sources]
    base = alt.Chart(bars.assign(place=bars["policy"] + " " + bars["source"]))
    x = alt.X("name:N", title=None, sort=list(names), axis=alt.Axis(labelAngle=0, ticks=False, labelFontSize=12))
    offset = alt.XOffset("place:N", scale=alt.Scale(domain=places, paddingOuter=0.4))
    y = alt.Y("mean:Q", title="unallocated GPUs, %", scale=alt.Scale(domain=[0, highest], nice=True))
    opacity = alt.Opacity("source:N", scale=alt.Scale(domain=[OURS, PUBLISHED], range=[1, PALE]), legend=None)
    layers: list[Any] = [
        base.mark_bar().encode(x, y, offset, _colour(policies, symbol="square"), opacity),
        base.mark_rule(color="#23272f").encode(x, alt.Y("lo:Q"), alt.Y2("hi:Q"), offset),
    ]
    return alt.layer(*layers).properties(width=170 * len(names), height=150)


def _colour(policies: Sequence[str], *, symbol: str) -> alt.Color:
    """One colour a policy in all figures."""
    import altair as alt

    scale = alt.Scale(domain=list(policies), range=[PALETTE[i % len(PALETTE)] for i in range(len(policies))])
    legend = alt.Legend(orient="bottom", title=None, columns=6, symbolType=symbol, symbolStrokeWidth=3, symbolOpacity=1)
    return alt.Color("policy:N", scale=scale, legend=legend)


def _seeds(found: pd.DataFrame) -> str:
    """How many seeds stand behind our means, in words."""
    counts = found.loc[found["source"] == OURS, "seeds"]
    fewest, most = int(counts.min()), int(counts.max())
    if fewest != most:
        return f"{fewest} to {most} seeds"
    return "one seed" if most == 1 else f"{most} seeds"


def write(drawn: Sequence[Figure], folder: Path) -> list[Path]:
    """Write every figure as SVG and PDF, all drawn before the first is written; returns the files."""
    import vl_convert

    contents: dict[str, bytes] = {}
    for figure in drawn:
        contents[f"{figure.name}.svg"] = figure.svg().encode()
        spec = {**figure.spec, "config": theme(dark=False, background="white")}
        contents[f"{figure.name}.pdf"] = vl_convert.vegalite_to_pdf(spec)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def main(arguments: Sequence[str]) -> int:
    """Draw everything; 2 when the input cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, metavar="RESULTS")
    parser.add_argument("published", type=Path, nargs="?", metavar="PUBLISHED")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    chosen = parser.parse_args(arguments)
    try:
        written = write(figures(load(chosen.results, chosen.published)), chosen.output)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(str(path) for path in written))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
