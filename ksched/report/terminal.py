"""The table a comparison ends with in the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ksched.report import cautions, words
from ksched.report.comparison import Comparison
from ksched.report.departures import departures
from ksched.report.headlines import Column, cell, heading, headline_columns, mean_text
from ksched.report.numbers import change

_STYLES = {"better": "green", "worse": "red", "higher": "cyan", "lower": "cyan"}
_GAP = 2
_NAME = 22
"""Longest name of a policy or workload in one line; longer ones are folded."""
_LEAST_COLUMN = 12
MOST_ROWS = 60
MOST_DEPARTURES = 6


def comparison_table(
    comparison: Comparison, *, width: int = 100, divergence: Sequence[Mapping[str, Any]] | None = None
) -> RenderableType:
    """Policies against metrics, as many metrics as fit into ``width`` columns, with verdict and warnings around it.

    Every cell holds a policy's mean and, below it, the paired difference to the baseline with its 95 % interval;
    a star and a colour mark what is significant after correction. ``divergence``: see ``write_report``.
    """
    parts: list[RenderableType] = [Text(words.finding(comparison), style="bold")]
    parts += [Text(f"! {text}", style="yellow") for text in cautions.warnings(comparison)]
    parts += ["", _table(comparison, width)]
    legend = f"below each value: mean paired difference to {comparison.baseline} [95 % interval], * p < 0.05 after Holm"
    parts.append(Text(f"{legend} over the {len(comparison.primary)} primary metrics", style="dim"))
    departed = [one for one in departures(comparison, divergence) if one.decision is not None]
    parts += [Text(f"{one.policy}: {one.sentence}", style="dim") for one in departed[:MOST_DEPARTURES]]
    return Group(*parts)


def _table(comparison: Comparison, width: int) -> Table:
    many = len(comparison.workloads) > 1
    rows = [(w, p) for w in comparison.workloads for p in comparison.policies]
    shown = rows[:MOST_ROWS]
    names = [("workload", [w if p == comparison.policies[0] else "" for w, p in shown])] if many else []
    names.append(("policy", [p for _, p in shown]))
    left = width - sum(_width(header, [Text(v) for v in values]) for header, values in names)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    columns: list[list[Text]] = [[Text(value) for value in values] for _, values in names]
    for header, _ in names:
        table.add_column(header, max_width=_NAME, overflow="fold")
    for column in headline_columns(comparison):
        cells = [_cell(comparison, policy, workload, column) for workload, policy in shown]
        needed = max([_LEAST_COLUMN, *(len(line) for cell in cells for line in cell.plain.split("\n"))]) + _GAP
        if needed > left and len(columns) > len(names):
            break
        left -= needed
        table.add_column(heading(comparison, column), justify="right", max_width=max(1, needed - _GAP), overflow="fold")
        columns.append(cells)
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    if len(rows) > len(shown):
        table.caption = f"{len(rows) - len(shown)} more rows are in the report"
    return table


def _width(header: str, cells: list[Text]) -> int:
    return min(_NAME, max(len(header), *(len(cell.plain) for cell in cells))) + _GAP


def _cell(comparison: Comparison, policy: str, workload: str, column: Column) -> Text:
    own = mean_text(comparison, policy, workload, column)
    if policy == comparison.baseline:
        return Text(f"{own}\nbaseline", style="dim")
    row = cell(comparison, policy, workload, column)
    if row is None:
        return Text(own)
    return Text.assemble(own, "\n", (_change(row), _STYLES.get(str(row["verdict"]), "dim")))


def _change(row: dict[str, Any]) -> str:
    if row["verdict"] == "equal":
        return "equal"
    star = "*" if row["verdict"] in _STYLES else ""
    return change(row).replace(" points", " pt") + star
