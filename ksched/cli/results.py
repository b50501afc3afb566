"""``ksched results``: look through result directories, compare them, and throw away what no plan needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperGroup

from ksched.cli.run import short_path

if TYPE_CHECKING:
    import pandas as pd

out = Console()

LIST = "list"
_LISTED = ("status", "n_decisions", "wall_s", "max_rss_mib")
_MIB = 1 << 20


class _ListByDefault(TyperGroup):
    """``ksched results DIR`` means ``ksched results list DIR``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [LIST, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_ListByDefault,
    no_args_is_help=True,
    help="List, filter, compare and prune results. 'ksched results DIR' is short for 'ksched results list DIR'.",
)

Directories = Annotated[list[Path], typer.Argument(metavar="DIR...", help="Result directories.")]
Only = Annotated[list[str] | None, typer.Option(metavar="AXIS=VALUE", help="These only; repeat to add values or axes.")]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", metavar="NAME", help="Add this metric: a name, or file.py:function. May be repeated."),
]


@app.command(LIST)
def list_(
    directories: Directories,
    only: Only = None,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="These only: done, failed, missing or stale (in no plan).")
    ] = None,
    metric: Metrics = None,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="AXIS", help="Of several directories: join on these axes, not on all they share."),
    ] = None,
) -> None:
    """List the runs of a directory, or join several directories on the axes they share."""
    from ksched.report.runs import results, side_by_side

    if len(directories) > 1 and status is None:
        out.print(_table(side_by_side(directories, only=only or (), metrics=metric or (), by=by or ())))
        return
    frame = results(*directories, only=only or (), status=status, metrics=metric or ())
    columns = list(frame.columns)
    axes, own = columns[: columns.index("run_id")], columns[columns.index("error") + 1 :]
    shown = frame[["run_id", *axes, *_LISTED, *own]].copy()
    shown[axes] = shown[axes].fillna("any")  # an axis that makes no difference to a run has no value there
    out.print(_table(shown))
    for row in frame[frame["status"] == "failed"].itertuples():
        out.print(f"{row.run_id}: {str(row.error).splitlines()[0]}", markup=False, soft_wrap=True)
    counts = frame["status"].value_counts()
    out.print(", ".join(f"{counts[name]} {name}" for name in counts.index) or "no runs", markup=False)


@app.command()
def diff(
    one: Annotated[str, typer.Argument(metavar="RUN", help="DIR/runs/ID, DIR/ID, or DIR/axis=value,axis=value.")],
    other: Annotated[str, typer.Argument(metavar="RUN", help="The run to compare it with.")],
) -> None:
    """Show what makes two runs different runs: configuration, trace, plugin sources, ksched, seed."""
    from ksched.report.run_differences import run_differences

    frame = run_differences(one, other)
    if frame.empty:
        out.print("the same run: nothing that can change a result differs")
        return
    for row in frame.itertuples():
        out.print(f"{row.what}\n  {_cell(row.one)} | {_cell(row.other)}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def prune(
    directory: Annotated[Path, typer.Argument(help="A result directory.")],
    what: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="Only these: stale (runs that today's plan does not need), failed (records of failed runs), "
            "partial (leftovers of processes that died).",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go and remove nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove what the experiment as last started does not need."""
    from ksched.experiments.prune import find_prunable, known_kinds
    from ksched.experiments.prune import prune as remove
    from ksched.experiments.store import ResultStore

    store = ResultStore(directory)
    found = find_prunable(store, known_kinds(what or ()))
    for item in found:
        out.print(f"{item.kind:8} {short_path(item.path)}", markup=False, highlight=False, soft_wrap=True)
    size = f"{len(found)} to remove, {sum(item.bytes for item in found) / _MIB:.1f} MiB"
    out.print(size if found else "nothing to remove")
    if dry_run or not found:
        return
    if not yes:
        typer.confirm("Remove them?", abort=True)
    removed = remove(store, found)
    out.print(f"{len(removed)} removed" + (", the others are in use" if len(removed) < len(found) else ""))


def _table(frame: pd.DataFrame) -> Table:
    table = Table(*(str(column) for column in frame.columns), box=None, pad_edge=False)
    for row in frame.itertuples(index=False):
        table.add_row(*map(_cell, row))
    return table


def _cell(value: Any) -> str:
    if value is None or value != value:  # NaN
        return "-"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.5g}"
    return f"{value:,.0f}" if isinstance(value, float) else str(value)
