"""``ksched report``: write the report of a result directory and show its table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

_LEAST_WIDTH = 60
_MOST_WIDTH = 140


def report(
    directory: Annotated[Path, typer.Argument(help="A result directory, the -o DIR of ksched run.")],
    baseline: Annotated[
        str | None,
        typer.Option(metavar="POLICY", help="Compare against this policy instead of the experiment's baseline."),
    ] = None,
    figures: Annotated[bool, typer.Option(help="Also write the figures as SVG files.")] = True,
) -> None:
    """Write DIR/report: one HTML file that opens offline, tables as Parquet and CSV, figures as SVG."""
    from ksched.report import compare, comparison_table, open_results, write_report

    with Console(stderr=True).status("reading results"):
        comparison = compare(open_results(directory), baseline=baseline)
    console = Console()
    width = min(max(console.width, _LEAST_WIDTH), _MOST_WIDTH)
    console.print(comparison_table(comparison, width=width), width=width)
    with Console(stderr=True).status("drawing the report"):
        page = write_report(directory, comparison=comparison, figures=figures)
    console.print(f"\nreport: {page}", markup=False, highlight=False, soft_wrap=True)


report_command = report
