"""What differs between two runs as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ksched.objects.resources import CPU, MEMORY, shown

if TYPE_CHECKING:
    from ksched.experiments.diff import DecisionDiff, RunDiff
    from ksched.experiments.judgement import Judgement, Row

_TITLE = "bold"
_UNITS = {"cpu_milli": CPU, "memory_b": MEMORY}
_OUTCOMES = {
    "scheduled_only_in_a": "scheduled under a only",
    "scheduled_only_in_b": "scheduled under b only",
    "on_another_node": "on another node",
    "at_another_time": "on the same node at another time",
    "other_outcome": "with another outcome",
    "only_in_a": "exist in a only",
    "only_in_b": "exist in b only",
}


def print_diff(found: RunDiff, *, limit: int) -> None:
    """Print ``found``, listing at most ``limit`` pods."""
    console = Console(highlight=False, soft_wrap=False)
    for side, run in (("a", found.a), ("b", found.b)):
        console.print(Text(f"{side}: {run.label} (run {run.run_id})"))
    if not found.differing:
        console.print(Text("\nno decision differs", style=_TITLE))
    for number, decision in enumerate(found.decisions, start=1):
        console.print(Text(f"\nDecision that differs, {number} of {found.differing}", style=_TITLE))
        _print_decision(console, decision)
    _print_outcomes(console, found, limit)


def _print_decision(console: Console, decision: DecisionDiff) -> None:
    for side, choice, number in zip("ab", (decision.a, decision.b), decision.numbers, strict=True):
        said = "never decided" if choice is None else f"decision {number}: {choice}"
        console.print(Text(f"  {side}: {said}"))
    for node, sides in decision.state.items():
        same = sides[0] == sides[1]
        for side, free in zip("ab", sides, strict=True):
            if side == "a" or not same:
                console.print(Text(f"  free on {node}{'' if same else f' in {side}'}: {_amounts(free)}", style="dim"))
    if decision.rows:
        for side in "ab":
            console.print()
            console.print(Padding(_scores(side, decision), (0, 0, 0, 2), expand=False))


def _amounts(free: dict[str, int]) -> str:
    return ", ".join(f"{name.removesuffix('_milli').removesuffix('_b')} {_amount(name, n)}" for name, n in free.items())


def _amount(name: str, value: int) -> str:
    return shown(_UNITS.get(name, name), value)


def _scores(side: str, decision: DecisionDiff) -> Table:
    """The points of one policy, a column a plugin."""
    said = [(row.node, _judged(row, side)) for row in decision.rows]
    plugins = list(dict.fromkeys(plugin for _, judged in said for plugin in judged.scores))
    choice = decision.a if side == "a" else decision.b
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(f"{side}: node", overflow="fold")
    for heading in ("total", *plugins):
        table.add_column(heading, justify="right", overflow="fold")
    table.add_column("")
    for node, judged in said:
        points = [str(judged.scores[plugin].points) if plugin in judged.scores else "" for plugin in plugins]
        total = "" if judged.total is None else str(judged.total)
        why = judged.reason if judged.looked_at else "not looked at"
        style = "green" if choice is not None and node == choice.node else None
        table.add_row(node, total, *points, why, style=style)
    return table


def _judged(row: Row, side: str) -> Judgement:
    return row.policy if side == "a" else row.baseline


def _print_outcomes(console: Console, found: RunDiff, limit: int) -> None:
    console.print(Text(f"\nWhat followed: {len(found.pods)} of {found.counts['pods']} pods differ", style=_TITLE))
    for key, words in _OUTCOMES.items():
        if found.counts[key]:
            console.print(f"  {found.counts[key]} {words}")
    if found.pods.empty:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("pod", "a: node", "at", "outcome", "b: node", "at", "outcome"):
        table.add_column(heading, overflow="fold")
    for row in found.pods.head(limit).to_dict("records"):
        name = row["pod_a"] if _present(row["pod_a"]) else row["pod_b"]
        table.add_row(name, *(cell for side in "ab" for cell in _cells(row, side)))
    console.print()
    console.print(Padding(table, (0, 0, 0, 2), expand=False))
    if len(found.pods) > limit:
        console.print(f"  ... and {len(found.pods) - limit} more (--limit {len(found.pods)})")


def _cells(row: dict[Any, Any], side: str) -> tuple[str, str, str]:
    node, at, outcome = (row[f"{name}_{side}"] for name in ("node", "t_scheduled_us", "outcome"))
    when = f"{at / 1e6:g} s" if _present(at) else ""
    return (str(node) if _present(node) else "", when, str(outcome) if _present(outcome) else "")


def _present(value: Any) -> bool:
    return not pd.isna(value)
