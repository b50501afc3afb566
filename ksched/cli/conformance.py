"""``ksched conformance``: does ksched decide as kube-scheduler did, on a file of recorded decisions?"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from ksched.errors import InputError

if TYPE_CHECKING:
    from ksched.testing.conformance_run import Agreement, Difference, Judged

_FIRST = 10


def conformance(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl.gz", help="Recorded decisions, one case a line.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="RESULTS", help="Write our answers, in the form of expect.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", metavar="TAG", help="Only cases with this tag; may be repeated.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="Processes; 0: one per CPU.")] = 0,
    first: Annotated[int, typer.Option("--show", min=0, help="How many disagreements to show.")] = _FIRST,
) -> None:
    """Evaluate recorded decisions and compare. Exit code 1 on any disagreement, 2 if the file cannot be read.

    A case is one decision or a trajectory of many. What cannot be evaluated counts as disagreement.
    """
    from ksched.testing.conformance_run import Agreement, default_jobs, run, select

    lines = select(file, tag or ())
    totals = Agreement()
    shown: list[Judged] = []
    with _results(out) as results:
        for judged in _with_progress(run(lines, jobs=jobs or default_jobs()), len(lines)):
            totals.note(judged)
            if results is not None:
                results.write(judged.line + "\n")
            if not judged.agrees and len(shown) < first:
                shown.append(judged)
    _print_tags(totals)
    _print_parts(totals)
    for judged in shown:
        _print_case(judged)
    _print_verdict(totals, len(shown), out)
    if totals.agreeing != totals.cases:
        raise typer.Exit(1)


@contextmanager
def _results(path: Path | None) -> Iterator[TextIO | None]:
    """The results file, which appears when it is complete or not at all."""
    if path is None:
        yield None
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        stream = part.open("w", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(path)) from None
    try:
        with stream:
            yield stream
        part.replace(path)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", where=str(path)) from None
    finally:
        part.unlink(missing_ok=True)


def _with_progress(judged: Iterable[Judged], total: int) -> Iterator[Judged]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("cases", total=total)
        wrong = 0
        for one in judged:
            wrong += not one.agrees
            progress.update(task, advance=1, description=f"cases, {wrong} disagree" if wrong else "cases")
            yield one


def _print_tags(totals: Agreement) -> None:
    rows = [(tag, totals.tags_agreeing[tag], cases) for tag, cases in sorted(totals.tags.items())]
    _table("tag", rows, "cases")


def _print_parts(totals: Agreement) -> None:
    """Per plugin what it decides alone; then what all plugins decide together."""
    alone = sorted((plugin, part) for part, plugin in totals.values if plugin)
    together = sorted((plugin, part) for part, plugin in totals.values if not plugin)
    per_plugin: Counter[str] = Counter()
    agreeing: Counter[str] = Counter()
    for plugin, part in alone:
        per_plugin[plugin] += totals.values[part, plugin]
        agreeing[plugin] += totals.values_agreeing[part, plugin]
    _table("plugin", [(p, agreeing[p], n) for p, n in sorted(per_plugin.items())], "values")
    _table("plugin and part", [_row(totals, f"{plugin} {part}", part, plugin) for plugin, part in alone], "values")
    _table("whole decision", [_row(totals, part, part, plugin) for plugin, part in together], "values")


def _row(totals: Agreement, name: str, part: str, plugin: str) -> tuple[str, int, int]:
    return name, totals.values_agreeing[part, plugin], totals.values[part, plugin]


def _table(title: str, rows: Iterable[tuple[str, int, int]], what: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column(title)
    for column in ("agree", what, "%"):
        table.add_column(column, justify="right")
    for name, agreeing, compared in rows:
        style = None if agreeing == compared else "bold red"
        table.add_row(name, f"{agreeing:,}", f"{compared:,}", _percent(agreeing, compared), style=style)
    if table.row_count:
        console = Console(highlight=False)
        console.print(table)
        console.print()


def _percent(agreeing: int, compared: int) -> str:
    """Two decimals, never rounded up to 100."""
    return f"{agreeing * 10_000 // max(compared, 1) / 100:.2f}"


def _print_case(judged: Judged) -> None:
    typer.echo(f"{judged.case} [{', '.join(judged.tags)}]")
    if judged.error:
        typer.echo(f"  error: {judged.error}")
    for difference in judged.differences:
        _print_difference(difference)
    typer.echo("")


def _print_difference(difference: Difference) -> None:
    where = " ".join(part for part in (difference.plugin, difference.part, difference.where) if part)
    known = f"  (known deviation: {difference.deviation})" if difference.deviation else ""
    typer.echo(f"  {where}{known}")
    typer.echo(f"    kube-scheduler  {difference.expected}")
    typer.echo(f"    ksched          {difference.got}")


def _print_verdict(totals: Agreement, shown: int, out: Path | None) -> None:
    wrong = totals.cases - totals.agreeing
    values, agreeing = sum(totals.values.values()), sum(totals.values_agreeing.values())
    for name, cases in sorted(totals.deviations.items()):
        typer.echo(f"known deviation {name}: {cases:,} cases")
    if wrong > shown:
        typer.echo(f"({wrong - shown:,} more cases disagree; --show N shows more)")
    if totals.errors:
        typer.echo(f"{totals.errors:,} cases could not be evaluated")
    if out is not None:
        typer.echo(f"answers written to {out}")
    typer.echo(
        f"{totals.agreeing:,} of {totals.cases:,} cases agree ({_percent(totals.agreeing, totals.cases)} %), "
        f"{agreeing:,} of {values:,} values"
    )
