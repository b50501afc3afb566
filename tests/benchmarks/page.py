"""docs/performance.md and its plot, from the figures measure.py wrote; text between the page's markers is replaced."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FIGURES, BEFORE = HERE / "figures.json", HERE / "before.json"
DOCS = HERE.parents[1] / "docs"
PAGE, PLOT = DOCS / "performance.md", DOCS / "images" / "decision-cost.svg"
SIZES = ("500", "1000", "5000")
SMALLEST_SHARE = 0.03
_PARTS_SHOWN = 6

KUBE_SCHEDULER: dict[str, tuple[int, int | None]] = {
    "SchedulingBasic": (137, 1001),
    "SchedulingPreferredPodAffinity": (109, 516),
    "TopologySpreading": (100, 286),
    "SchedulingPodAntiAffinity": (99, 304),
    "PreemptionBasic": (40, None),
}
"""Pods per second of kube-scheduler v1.30 in process, 5000 nodes: every node scored, and with its default sampling."""


def write() -> None:
    """Rewrite the page's tables and draw the plot."""
    figures, before = read(FIGURES), read(BEFORE)
    text, drawing = filled(PAGE.read_text(encoding="utf-8"), figures, before), plot(figures)
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    PLOT.write_text(drawing, encoding="utf-8")
    PAGE.write_text(text, encoding="utf-8")


def read(path: Path) -> dict[str, Any]:
    """Figures as measure.py wrote them."""
    found = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def filled(text: str, figures: dict[str, Any], before: dict[str, Any]) -> str:
    """``text`` with what stands between ``<!-- NAME -->`` and ``<!-- end of NAME -->`` replaced by the table NAME."""
    for name, table in tables(figures, before).items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        head, _, rest = text.partition(begin)
        _, found, tail = rest.partition(end)
        if not found:
            raise ValueError(f"no place for {name!r} in the page")
        text = f"{head}{begin}{table}{end}{tail}"
    return text


def tables(figures: dict[str, Any], before: dict[str, Any]) -> dict[str, str]:
    """The page's generated parts by name, in Markdown."""
    return {
        "machine": "{cpu}, one core; Python {python}, numpy {numpy}.\n".format(**figures["machine"]),
        "scenarios": _table(
            ["scenario", "500 nodes", "1,000", "5,000", "before, 5,000"],
            _scenarios(figures["decisions_per_second"], before["decisions_per_second"]),
        ),
        "kube-scheduler": _table(
            ["5,000 nodes", "kube-scheduler, all", "kube-scheduler, sampling", "ksched, all", "times as many"],
            _comparison(figures["decisions_per_second"]),
        ),
        "node count": _table(
            ["pods", *(f"{int(nodes):,} nodes" for nodes in next(iter(figures["microseconds"].values()))), "grows"],
            _node_count(figures["microseconds"], before["microseconds"]),
        ),
        "time": _table(["scenario", "where the time goes"], _time(figures["time_goes"])),
    }


def _scenarios(rates: dict[str, Any], before: dict[str, Any]) -> Iterator[list[str]]:
    for name, by_size in rates.items():
        yield [name, *(f"{by_size[size]:,}" for size in SIZES), f"{before[name]['5000']:,}" if name in before else "-"]


def _comparison(rates: dict[str, Any]) -> Iterator[list[str]]:
    for name, (every, sampling) in KUBE_SCHEDULER.items():
        ours = rates[name]["5000"]
        yield [name, f"{every:,}", f"{sampling:,}" if sampling else "-", f"{ours:,}", f"{ours / every:.0f}"]


def _node_count(costs: dict[str, Any], before: dict[str, Any]) -> Iterator[list[str]]:
    for when, found in (("", costs), (", before", before)):
        for case, by_nodes in found.items():
            values = list(by_nodes.values())
            yield [case + when, *(f"{value:,.0f} µs" for value in values), f"{values[-1] / values[0]:.1f}-fold"]


def _time(parts: dict[str, Any]) -> Iterator[list[str]]:
    for name, shares in parts.items():
        yield [name, ", ".join(f"{part} {share:.0%}" for part, share in list(shares.items())[:_PARTS_SHOWN])]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table with blank lines around it; columns of numbers are right-aligned."""
    listed = list(rows)
    numeric = [all(row[i][:1].isdigit() or row[i] == "-" for row in listed) for i in range(len(head))]
    rule = ["---:" if number else "---" for number in numeric]
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, *listed)]
    return "\n" + "\n".join([lines[0], "|" + "|".join(rule) + "|", *lines[1:]]) + "\n\n"


def plot(figures: dict[str, Any]) -> str:
    """Cost of a decision against the number of nodes, as SVG; the same figures give the same bytes."""
    import altair as alt

    from ksched.report.charts import Figure

    rows = [
        {"pods": case, "nodes": int(nodes), "cost": cost}
        for case, by_nodes in figures["microseconds"].items()
        for nodes, cost in by_nodes.items()
    ]
    counts, costs = sorted({row["nodes"] for row in rows}), [row["cost"] for row in rows]
    lines = (
        alt.Chart(alt.Data(values=rows), width=460, height=300)
        .mark_line(point=True)
        .encode(
            x=alt.X("nodes:Q", title="nodes")
            .scale(type="log", domain=[counts[0], counts[-1]])
            .axis(values=counts, format=",d"),
            y=alt.Y("cost:Q", title="CPU time of a decision, µs")
            .scale(type="log", nice=False, domain=[min(costs) / 2, 2 * max(costs)])
            .axis(format=",d"),
            color=alt.Color("pods:N", title="pods", sort=list(figures["microseconds"])),
        )
    )
    caption = "Cost of a decision against the number of nodes, both axes logarithmic"
    return Figure(PLOT.stem, caption, caption, lines.to_dict()).svg()
