"""An explanation as text for a terminal: who rejected what, who scored how, and the choice.

Rejections are grouped by filter and reason, because a large cluster rejects hundreds of nodes for three reasons. The
ranking shows points only; where they come from is spelled out for the chosen node and the next best.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ksched.framework.status import Code

if TYPE_CHECKING:
    import pandas as pd

    from ksched.framework.explanation import Explanation

_DETAILED = 2
"""Nodes whose points are spelled out unless the user names some: the best and the one it beat."""
_HEADER_WIDTH = 12
_TITLE = "bold"
_NUMBER_COLUMNS = ("raw", "normalised", "weight", "points")


def print_explanation(said: Explanation, wanted: frozenset[str], *, limit: int, seed: int | None) -> None:
    """Print ``said`` about the ``wanted`` nodes, listing at most ``limit`` nodes at a time.

    ``seed`` is named where it decided between equals, if the user gave it.
    """
    console = Console(highlight=False, soft_wrap=False)
    feasible = said.decision.feasible
    console.print(Text(f"{said.pod.key}: {_nodes(len(said.nodes))}, {feasible} feasible", style=_TITLE))
    for note in (*said.notes, *_left_out(said)):
        console.print(Text(note, style="dim"))
    _print_rejections(console, said, wanted, limit)
    _print_obstacles(console, said)
    _print_scores(console, said, wanted, limit)
    console.print()
    console.print(_choice(said, seed))


def _nodes(count: int) -> str:
    return f"{count} node" if count == 1 else f"{count} nodes"


def _left_out(said: Explanation) -> Iterator[str]:
    count = int((~said.looked_at).sum())
    if said.via_nominated:
        yield "the pod is nominated to a node that fits; no other was looked at"
    elif count:
        yield f"{_nodes(count)} not looked at, because percentageOfNodesToScore found enough before; they have no score"


def _print_obstacles(console: Console, said: Explanation) -> None:
    for node, obstacles in said.obstacles.items():
        _title(console, f"To fit on {node}")
        if not obstacles:
            console.print(Padding("nothing has to change: no filter rejects the pod there", (0, 0, 0, 2)))
        for obstacle in obstacles:
            for remedy in obstacle.remedies:
                line = Text.assemble((obstacle.plugin, "yellow"), f": {remedy}")
                console.print(Padding(line, (0, 0, 0, 2), expand=False))


def _print_rejections(console: Console, said: Explanation, wanted: frozenset[str], limit: int) -> None:
    rejections = said.rejections()
    rejections = rejections[rejections["node"].isin(wanted)]
    if rejections.empty:
        return
    console.print()
    console.print(Text("Rejected", style=_TITLE))
    by_reason = rejections.groupby(["plugin", "reason", "code"])
    groups = [(tuple(map(str, key)), list(group["node"])) for key, group in by_reason]
    groups.sort(key=lambda group: (-len(group[1]), group[0]))
    for (plugin, reason, code), names in groups:
        line = Text.assemble((plugin, "yellow"), f": {reason}")
        if code == Code.UNSCHEDULABLE_AND_UNRESOLVABLE.value:
            line.append("; evicting pods would not help", style="dim")
        console.print(Padding(line, (0, 0, 0, 2), expand=False))
        more = f", and {len(names) - limit} more (--limit {len(names)})" if len(names) > limit else ""
        listed = Text(f"{_nodes(len(names))}: {', '.join(names[:limit])}{more}")
        console.print(Padding(listed, (0, 0, 0, 6), expand=False))


def _print_scores(console: Console, said: Explanation, wanted: frozenset[str], limit: int) -> None:
    ranking = said.ranking()
    shown = ranking[ranking["node"].isin(wanted)]
    if shown.empty:
        return
    if not said.scores:
        console.print("\nNo plugin scores this pod; every feasible node is as good as another.")
        return
    detailed = _detailed(said, shown, whole=len(shown) == len(ranking))
    if len(shown) > len(detailed):
        _title(console, "Points, best node first")
        # The chosen node comes first among equals.
        order = shown.sort_values("node", key=lambda names: names != said.decision.node, kind="stable")
        console.print(_ranking_table(said, order.head(limit), console.width))
        if len(shown) > limit:
            console.print(f"... and {len(shown) - limit} more (--limit {len(shown)})")
    _title(console, "Scores: points = normalised x weight")
    console.print(_detail_table(said, detailed))
    if said.skipped_scores:
        console.print(Text(f"nothing to say about this pod: {', '.join(said.skipped_scores)}", style="dim"))


def _title(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style=_TITLE))


def _detailed(said: Explanation, shown: pd.DataFrame, *, whole: bool) -> list[str]:
    """The nodes to spell out: those the user named, or else the chosen one and the next best."""
    names: list[str] = shown["node"].tolist()
    if not whole:
        return names
    names.sort(key=lambda name: name != said.decision.node)
    return names[:_DETAILED]


def _ranking_table(said: Explanation, shown: pd.DataFrame, width: int) -> RenderableType:
    plugins = [detail.plugin for detail in said.scores]
    longest = max(len(name) for name in shown["node"])
    fits = 2 + longest + len("total") + sum(2 + len(plugin) for plugin in plugins) <= width
    table = _table()
    table.add_column("node", overflow="fold")
    for heading in ("total", *plugins):
        table.add_column(heading if fits else fold(heading, _HEADER_WIDTH), justify="right")
    for row in shown.itertuples(index=False):
        style = "green" if row[0] == said.decision.node else None
        table.add_row(*(Text(str(cell)) for cell in row), style=style)
    return Padding(table, (0, 0, 0, 2), expand=False)


def _detail_table(said: Explanation, names: list[str]) -> RenderableType:
    scores = said.score_table()
    table = _table()
    table.add_column("node", overflow="fold")
    table.add_column("plugin", overflow="fold")
    for heading in _NUMBER_COLUMNS:
        table.add_column(heading, justify="right")
    for name in names:
        style = "green" if name == said.decision.node else ""
        label = name
        mine = scores[scores["node"] == name]
        for _, plugin, raw, normalized, weight, points in mine.itertuples(index=False):
            table.add_row(Text(label, style=style), plugin, _number(raw), *map(str, (normalized, weight, points)))
            label = ""
        total = Text(str(mine["points"].sum()), style=style or "bold")
        table.add_row("", Text("total", style=style), "", "", "", total)
    return Padding(table, (0, 0, 0, 2), expand=False)


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")


def fold(name: str, width: int) -> str:
    """A CamelCase name on several lines of about ``width``: "NodeResourcesFit" -> "NodeResources", "Fit"."""
    lines = [""]
    for word in re.findall(r"[A-Z]*[^A-Z]+|[A-Z]+", name):
        if lines[-1] and len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(lines)


def _choice(said: Explanation, seed: int | None) -> Text:
    decision = said.decision
    if decision.node is None:
        return Text.assemble(("no node", "bold red"), f": {decision.message()}")
    text = Text.assemble(("chosen", "bold green"), f": {decision.node}")
    if decision.feasible == 1:
        return text.append(", the only feasible node")
    if decision.tied > 1:
        by = "" if seed is None else f" (seed {seed})"
        return text.append(f", drawn{by} from {_nodes(decision.tied)} with {decision.score} points")
    beaten = next(name for name in said.ranking()["node"] if name != decision.node)
    ahead = int(said.ranking()["total"].iloc[0] - said.ranking()["total"].iloc[1])
    return text.append(f" with {decision.score} points, {ahead} ahead of {beaten}")


def _number(value: float) -> str:
    return f"{value:.6g}" if value % 1 else f"{value:.0f}"
