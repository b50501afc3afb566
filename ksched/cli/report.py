"""``ksched report``: write the report of a result directory and show its table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ksched.errors import InputError, PluginError

if TYPE_CHECKING:
    from ksched.report import Comparison

_LEAST_WIDTH = 60
_MOST_WIDTH = 140


def report(
    directory: Annotated[Path, typer.Argument(help="A result directory, the -o DIR of ksched run.")],
    baseline: Annotated[
        str | None,
        typer.Option(metavar="POLICY", help="Compare against this policy instead of the experiment's baseline."),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="REFERENCE", help="A metric of your own: module:function or path/to/file.py:function."),
    ] = None,
    published: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Published files of the export load-curves: drawn beside ours, and compared."
        ),
    ] = None,
    figures: Annotated[bool, typer.Option(help="Also write the figures as SVG and PDF files.")] = True,
) -> None:
    """Write DIR/report: one HTML file that opens offline, tables as Parquet and CSV, figures as SVG and PDF."""
    from ksched.report import compare, comparison_table, find_metric, open_results, write_report
    from ksched.report.published import compare_with

    own = [find_metric(reference, where="--metric") for reference in metric or ()]
    with Console(stderr=True).status("reading results"):
        comparison = compare(open_results(directory), baseline=baseline, metrics=own)
        beside = compare_with(comparison, published) if published is not None else None
        divergence = _divergence(directory, comparison) if baseline is not None else None
    console = Console()
    width = min(max(console.width, _LEAST_WIDTH), _MOST_WIDTH)
    console.print(comparison_table(comparison, width=width, divergence=divergence), width=width)
    with Console(stderr=True).status("drawing the report"):
        page = write_report(directory, comparison=comparison, divergence=divergence, published=beside, figures=figures)
    if beside is not None:
        console.print(f"\npublished: {beside.sentence()} {beside.left_out()}".rstrip(), markup=False, highlight=False)
    console.print(f"\nreport: {page}", markup=False, highlight=False, soft_wrap=True)
    _raise_failed_metrics(comparison)


def _divergence(directory: Path, comparison: Comparison) -> list[dict[str, Any]]:
    """First departures from a baseline that is not the experiment's own; they may need traces that are gone."""
    from ksched.experiments.divergence import divergences

    axis = comparison.compared[0]
    try:
        return divergences(directory, {axis: comparison.baseline})
    except InputError as error:
        Console(stderr=True).print(f"left out, where each policy departs from {comparison.baseline}: {error.message}")
        return []


def _raise_failed_metrics(comparison: Comparison) -> None:
    failed = comparison.failed_metrics
    if not failed:
        return
    first = next(iter(failed.values()))
    raise PluginError(
        f"{len(failed)} of the metrics failed; the rest is reported. {first.message}",
        where=first.where,
        hint=first.hint,
    )
