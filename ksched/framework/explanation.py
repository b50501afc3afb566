"""What an explanation says: per node and plugin the rejections, the scores and the choice; as objects and as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ksched.framework.decisions import Decision
from ksched.framework.obstacles import Obstacle
from ksched.framework.pre_filter import PreFilterOutcome
from ksched.framework.status import Code, Status
from ksched.tables import PodView
from ksched.tables.arrays import AnyArray, BoolArray, Int64Array


@dataclass(frozen=True, slots=True)
class ScoreDetail:
    """One Score plugin over the feasible nodes: ``raw`` as returned, ``normalized`` int64 0..100, ``weight``."""

    plugin: str
    weight: int
    raw: AnyArray
    normalized: Int64Array

    @property
    def weighted(self) -> Int64Array:
        """What the plugin adds to the total."""
        return self.normalized * self.weight


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that was said about one pod.

    ``statuses``: per Filter that ran, per row, None (passes) or its status; extenders that reject nodes follow, by
    their urlPrefix. Extenders' scores come last.
    ``feasible`` bool[n]: can run the pod and was looked at; ``scores`` and ``totals`` cover these rows in row order.
    ``looked_at`` bool[n] is False for nodes left out because percentageOfNodesToScore found enough before them, or
    because the pod's nominated node fits. ``skipped_scores`` had nothing to say.
    """

    pod: PodView
    nodes: tuple[str, ...]
    pre_filter: PreFilterOutcome
    considered: BoolArray
    looked_at: BoolArray
    statuses: dict[str, list[Status | None]]
    feasible: BoolArray
    skipped_scores: tuple[str, ...]
    scores: tuple[ScoreDetail, ...]
    totals: Int64Array
    decision: Decision
    blocked: dict[int, Status] = field(default_factory=dict)
    """Rows that reject the pod once the nominated pods it must yield to are counted as running there, and why."""
    nominated_status: Status | None = None
    """Why the pod's nominated node, looked at before all others and whatever PreFilter says, does not fit."""
    via_nominated: bool = False
    """The pod's nominated node fits and is therefore the only one looked at."""
    obstacles: Mapping[str, tuple[Obstacle, ...]] = field(default_factory=dict)
    """For the nodes that were asked about: all that keeps the pod from them, nothing where it fits."""
    notes: tuple[str, ...] = ()
    """What was left out of the cluster and might surprise, in sentences."""

    def rejections(self) -> pd.DataFrame:
        """One row per node and plugin that rejects it: node, plugin, code, reason; several reasons joined by "; ".

        Every node that was looked at and is not feasible has a row. "PreFilter" is named where several plugins
        narrowed the search; "nominated pods" comes before a reason that holds only once these are counted.
        """
        rows = [
            (self.nodes[row], plugin, status.code.value, "; ".join(status.reasons))
            for plugin, statuses in (self._pre_filter_statuses() | self.statuses).items()
            for row, status in enumerate(statuses)
            if status is not None and (self.considered[row] or plugin not in self.statuses)
        ]
        rejected = {row[0] for row in rows}
        rows += [
            (self.nodes[row], status.plugin, status.code.value, f"nominated pods: {'; '.join(status.reasons)}")
            for row, status in self.blocked.items()
            if self.nodes[row] not in rejected
        ]
        frame = pd.DataFrame(rows, columns=["node", "plugin", "code", "reason"])
        return frame.sort_values(["node", "plugin"], kind="stable", ignore_index=True)

    def _pre_filter_statuses(self) -> dict[str, list[Status | None]]:
        """What PreFilter said, in the form of ``statuses``."""
        status = self.pre_filter.status
        if status is not None:
            return {status.plugin or "PreFilter": [status] * len(self.nodes)}
        left_out = Status(Code.UNSCHEDULABLE_AND_UNRESOLVABLE, ("left out of the search by PreFilter",))
        return {"PreFilter": [None if kept else left_out for kept in self.considered]}

    def ranking(self) -> pd.DataFrame:
        """One row per feasible node, best first: node, total, and a column per Score plugin with its points.

        Points are the normalised score times the weight; they add up to the total.
        """
        columns: dict[str, Any] = {"node": [self.nodes[row] for row in np.flatnonzero(self.feasible)]}
        columns["total"] = self.totals
        columns |= {detail.plugin: detail.weighted for detail in self.scores}
        frame = pd.DataFrame(columns)
        return frame.sort_values(["total", "node"], ascending=[False, True], kind="stable", ignore_index=True)

    def score_table(self) -> pd.DataFrame:
        """One row per feasible node (best first) and Score plugin: node, plugin, raw, normalized, weight, points."""
        rows = [self.nodes[row] for row in np.flatnonzero(self.feasible)]
        position = {name: i for i, name in enumerate(rows)}
        cells = [
            (node, d.plugin, d.raw[position[node]].item(), int(d.normalized[position[node]]), d.weight)
            for node in self.ranking()["node"]
            for d in self.scores
        ]
        frame = pd.DataFrame(cells, columns=["node", "plugin", "raw", "normalized", "weight"])
        return frame.assign(points=frame["normalized"] * frame["weight"])
