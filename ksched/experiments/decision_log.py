"""Table ``decisions``: every scheduling attempt; table ``events``: what was said about pods that found no node."""

from __future__ import annotations

from array import array

import pyarrow as pa
import pyarrow.compute as pc

from ksched.experiments.columns import Integers, Labels, Offsets
from ksched.framework import Decision, Rejection

TOP = 5
"""How many of the best nodes a decision keeps, with every plugin's weighted score."""

TOP_TYPE = pa.struct(
    [pa.field("node", pa.string()), pa.field("total", pa.int64()), pa.field("scores", pa.map_(pa.string(), pa.int64()))]
)
REJECTION_TYPE = pa.struct(
    [pa.field("plugin", pa.string()), pa.field("reason", pa.string()), pa.field("nodes", pa.int32())]
)


def main_reason(rejections: tuple[Rejection, ...]) -> str | None:
    """Why a pod was not placed, in one phrase that can be counted.

    The reason given for most nodes, among those that could go away (a node that does not match the pod's selector
    never could); equal counts by name.
    """
    if not rejections:
        return None
    counts: dict[tuple[bool, str], int] = {}
    for rejection in rejections:
        key = (rejection.resolvable, rejection.reason)
        counts[key] = counts.get(key, 0) + rejection.nodes
    return min(counts, key=lambda key: (not key[0], -counts[key], key[1]))[1]


class DecisionLog:
    """Appends decisions to flat columns; nested ones (top, rejections, victims) as values and offsets.

    ``nominated_node`` is where preemption makes room for the pod, ``victims`` ("namespace/name") are evicted for that;
    their own rows in the table ``pods`` have the outcome "preempted".
    """

    def __init__(self) -> None:
        self._t_us = Integers()
        self._pods: list[str] = []
        self._workloads: list[str] = []
        self._attempt = Integers()
        self._result = Labels()
        self._node = Labels()
        self._evaluated = Integers()
        self._feasible = Integers()
        self._score = Integers()
        self._has_score = Integers()
        self._tied = Integers()
        self._top = Offsets()
        self._top_node = Labels()
        self._top_total = Integers()
        self._scores = Offsets()
        self._score_plugin = Labels()
        self._score_value = Integers()
        self._nominated = Labels()
        self._victims = Offsets()
        self._victim: list[str] = []
        self._rejections = array("i")
        self._known_rejections: dict[tuple[Rejection, ...], int] = {(): 0}
        self._rejection_ends = Offsets()
        self._rejection_ends.close(0)
        self._rejection_plugin = Labels()
        self._rejection_reason = Labels()
        self._rejection_nodes = Integers()

    def __len__(self) -> int:
        return len(self._pods)

    def append(self, decision: Decision) -> int:
        """Record one attempt; returns a number for its rejections, the same for equal ones."""
        pod = decision.pod
        self._t_us.append(decision.time_ns // 1000)
        self._pods.append(pod.key)
        self._workloads.append(pod.workload)
        self._attempt.append(decision.attempt)
        self._result.append(decision.outcome.value)
        self._node.append(decision.node)
        self._evaluated.append(decision.evaluated)
        self._feasible.append(decision.feasible)
        self._score.append(decision.score or 0)
        self._has_score.append(decision.score is not None)
        self._tied.append(decision.tied)
        top = decision.top[:TOP]
        if top:
            self._top_node.extend([candidate.node for candidate in top])
            self._top_total.extend([candidate.total for candidate in top])
            end = len(self._score_value)
            for candidate in top:
                scores = candidate.scores
                self._score_plugin.extend(scores)
                self._score_value.extend(scores.values())
                end += len(scores)
                self._scores.close(end)
        self._top.close(len(self._top_total))
        self._nominated.append(decision.nominated_node)
        self._victim.extend(decision.victims)
        self._victims.close(len(self._victim))
        rejections = self._rejections_code(decision.rejections)
        self._rejections.append(rejections)
        return rejections

    def _rejections_code(self, rejections: tuple[Rejection, ...]) -> int:
        # A waiting pod is tried again and again and told the same: what is equal is kept once.
        code = self._known_rejections.get(rejections)
        if code is None:
            code = self._known_rejections[rejections] = len(self._known_rejections)
            for rejection in rejections:
                self._rejection_plugin.append(rejection.plugin)
                self._rejection_reason.append(rejection.reason)
                self._rejection_nodes.append(rejection.nodes)
            self._rejection_ends.close(len(self._rejection_nodes))
        return code

    def to_arrow(self) -> pa.Table:
        """The table ``decisions``."""
        scores = pa.MapArray.from_arrays(
            self._scores.to_arrow(), self._score_plugin.to_strings(), self._score_value.to_arrow()
        )
        top = pa.StructArray.from_arrays(
            [self._top_node.to_strings(), self._top_total.to_arrow(), scores], fields=list(TOP_TYPE)
        )
        rejections = pa.StructArray.from_arrays(
            [
                self._rejection_plugin.to_strings(),
                self._rejection_reason.to_strings(),
                self._rejection_nodes.to_arrow(pa.int32()),
            ],
            fields=list(REJECTION_TYPE),
        )
        distinct = pa.ListArray.from_arrays(self._rejection_ends.to_arrow(), rejections)
        return pa.table(
            {
                "seq": pa.array(range(len(self)), pa.int64()),
                "t_us": self._t_us.to_arrow(),
                "pod": pa.array(self._pods, pa.string()),
                "workload": pa.array(self._workloads, pa.string()),
                "attempt": self._attempt.to_arrow(pa.int32()),
                "result": self._result.to_arrow(),
                "node": self._node.to_strings(),
                "evaluated": self._evaluated.to_arrow(pa.int32()),
                "feasible": self._feasible.to_arrow(pa.int32()),
                "score": pc.if_else(self._has_score.to_arrow(pa.bool_()), self._score.to_arrow(), None),
                "tied": self._tied.to_arrow(pa.int32()),
                "top": pa.ListArray.from_arrays(self._top.to_arrow(), top),
                "rejections": distinct.take(pa.array(self._rejections, pa.int32())),
                "nominated_node": self._nominated.to_strings(),
                "victims": pa.ListArray.from_arrays(self._victims.to_arrow(), pa.array(self._victim, pa.string())),
            }
        )


class EventLog:
    """Events, each once with a count as the api-server's event series keep them; ``t_us`` is the first time."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, str, str], list[int]] = {}

    def append(self, t_us: int, kind: str, name: str, reason: str, message: str) -> None:
        """Record an event, or count one that was seen before."""
        row = self._rows.get((kind, name, reason, message))
        if row is None:
            self._rows[kind, name, reason, message] = [t_us, 1]
        else:
            row[1] += 1

    def to_arrow(self) -> pa.Table:
        """The table ``events``, in order of first occurrence."""
        keys = list(self._rows)
        values = list(self._rows.values())

        def text(position: int) -> pa.Array:
            return pa.array([key[position] for key in keys], pa.string())

        return pa.table(
            {
                "t_us": pa.array([t for t, _ in values], pa.int64()),
                "kind": text(0),
                "object": text(1),
                "reason": text(2),
                "message": text(3),
                "count": pa.array([n for _, n in values], pa.int32()),
            }
        )
