"""The time of plugins as a table for a terminal, at the end of ``ksched run --profile-plugins``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from ksched.experiments.sweep import Sweep

_SHOWN = 20


def print_timing(sweep: Sweep) -> None:
    """Print the plugins' time, summed over the runs that were made just now."""
    from ksched.experiments.timing import per_plugin, timing

    console = Console(highlight=False)
    if not sweep.result.done:
        console.print("\nNo run was made, so no plugin was timed: finished runs are kept (choose a new -o DIR).")
        return
    times = timing(sweep.directory)
    times = times[times["run_id"].isin(sweep.result.done)]
    rows = per_plugin(times)
    total = float(rows["seconds"].sum())
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("plugin", "point"):
        table.add_column(heading)
    for heading in ("seconds", "share", "calls", "us/call", "rows", "reused"):
        table.add_column(heading, justify="right")
    for row in rows.head(_SHOWN).to_dict("records"):
        table.add_row(*_cells(row, total))
    console.print(f"\nTime of plugins, {times['run_id'].nunique()} runs, {total:.3g} s in all")
    console.print(table)
    if len(rows) > _SHOWN:
        console.print(f"... and {len(rows) - _SHOWN} more: ksched.timing({str(sweep.directory)!r})", markup=False)


def _cells(row: dict[Any, Any], total: float) -> tuple[str, ...]:
    seconds, calls = float(row["seconds"]), int(row["calls"])
    return (
        str(row["plugin"]),
        str(row["point"]),
        f"{seconds:.3f}",
        f"{seconds / total:.1%}" if total else "",
        f"{calls:,}",
        f"{1e6 * seconds / calls:.1f}" if calls else "",
        f"{int(row['rows']):,}" if row["rows"] else "",
        f"{row['reused']:.1%}" if row["reused"] == row["reused"] else "",
    )
