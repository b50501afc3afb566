"""What two policies say about the same nodes, side by side, as plain values that JSON can hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, zip_longest
from math import isfinite

from ksched.framework.explanation import Explanation

MOST_ROWS = 8


@dataclass(frozen=True)
class PluginScore:
    """One plugin's score of one node: as returned, normalised to 0..100, its weight, and normalised x weight.

    ``raw`` is None where it is no finite number.
    """

    raw: float | None
    normalized: int
    weight: int
    points: int


@dataclass(frozen=True)
class Judgement:
    """What one policy said about one node; ``total`` None and ``reason`` for a node that cannot run the pod."""

    feasible: bool
    looked_at: bool
    reason: str
    total: int | None
    scores: dict[str, PluginScore]


@dataclass(frozen=True)
class Row:
    """One node as both policies saw it."""

    node: str
    policy: Judgement
    baseline: Judgement


def compared(policy: Explanation, baseline: Explanation, most: int = MOST_ROWS) -> Iterator[Row]:
    """Both choices first, then each one's next best in turn; nodes that neither can use only to fill up."""
    chosen = [said.decision.node for said in (policy, baseline)]
    turns = zip_longest(policy.ranking()["node"], baseline.ranking()["node"])
    ordered = dict.fromkeys(name for name in chain(chosen, *turns, policy.nodes) if name is not None)
    mine, theirs = Judgements(policy), Judgements(baseline)
    for name in list(ordered)[:most]:
        yield Row(name, mine[name], theirs[name])


class Judgements:
    """An explanation by node."""

    def __init__(self, said: Explanation) -> None:
        self._said = said
        self._row = {name: row for row, name in enumerate(said.nodes)}
        self._position = {name: i for i, name in enumerate(n for n in said.nodes if said.feasible[self._row[n]])}
        self._reasons: dict[str, str] = {}
        for rejection in said.rejections().to_dict("records"):
            node, text = str(rejection["node"]), f"{rejection['plugin']}: {rejection['reason']}"
            self._reasons[node] = f"{self._reasons[node]}; {text}" if node in self._reasons else text

    def __getitem__(self, node: str) -> Judgement:
        """What was said about ``node``; KeyError for one that is not in the cluster."""
        said, row = self._said, self._row[node]
        position = self._position.get(node)
        if position is None:
            return Judgement(False, bool(said.looked_at[row]), self._reasons.get(node, ""), None, {})
        scores = {
            detail.plugin: PluginScore(
                _finite(detail.raw[position].item()),
                int(detail.normalized[position]),
                detail.weight,
                int(detail.weighted[position]),
            )
            for detail in said.scores
        }
        return Judgement(True, True, "", int(said.totals[position]), scores)


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
