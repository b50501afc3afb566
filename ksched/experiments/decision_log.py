"""Table ``decisions``: every scheduling attempt; table ``events``: what was said about pods that found no node."""

from __future__ import annotations

from array import array
from itertools import chain

import numpy as np
import pyarrow as pa

from ksched.experiments.columns import BLOCK, Labels, Lengths, integers
from ksched.experiments.rejection_log import RejectionLog
from ksched.framework import Candidate, Decision, Rejection

TOP = 5
"""How many of the best nodes a decision keeps, with every plugin's weighted score."""

TOP_TYPE = pa.struct(
    [pa.field("node", pa.string()), pa.field("total", pa.int64()), pa.field("scores", pa.map_(pa.string(), pa.int64()))]
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
    """Decisions as flat columns; nested ones (top, rejections, victims) as values and offsets.

    Each is kept as it is until there are enough of them to write a block of every column.

    ``nominated_node`` is where preemption makes room for the pod, ``victims`` ("namespace/name") are evicted for that;
    their own rows in the table ``pods`` have the outcome "preempted".
    """

    def __init__(self) -> None:
        self._unwritten: list[Decision] = []
        self._t_us = array("q")
        self._pods: list[str] = []
        self._workloads: list[str] = []
        self._attempt = array("q")
        self._outcomes = Labels()
        self._node: list[str | None] = []
        self._evaluated = array("q")
        self._feasible = array("q")
        self._score: list[int | None] = []
        self._tied = array("q")
        self._top = Lengths()
        self._top_node = Labels()
        self._top_total = array("q")
        self._scores = Lengths()
        self._score_plugin = Labels()
        self._score_value = array("q")
        # By decision; of the fewest there is anything to say.
        self._nominated: dict[int, str] = {}
        self._victims: dict[int, tuple[str, ...]] = {}
        self._rejections = RejectionLog()

    def append(self, decision: Decision) -> None:
        """Record one attempt, of which nothing changes any more."""
        self._unwritten.append(decision)
        if len(self._unwritten) == BLOCK:
            self._write()

    def _write(self) -> None:
        """Append what is unwritten to the columns."""
        decisions, self._unwritten = self._unwritten, []
        pods = [decision.pod for decision in decisions]
        for number, decision in enumerate(decisions, start=len(self._pods)):
            if decision.nominated_node is not None:
                self._nominated[number] = decision.nominated_node
            if decision.victims:
                self._victims[number] = decision.victims
        self._append_tops([decision.top[:TOP] for decision in decisions])
        self._t_us.extend([decision.time_ns // 1000 for decision in decisions])
        self._pods.extend([pod.key for pod in pods])
        self._workloads.extend([pod.workload for pod in pods])
        self._attempt.extend([decision.attempt for decision in decisions])
        self._outcomes.extend([decision.outcome.value for decision in decisions])
        self._node.extend([decision.node for decision in decisions])
        self._evaluated.extend([decision.evaluated for decision in decisions])
        self._feasible.extend([decision.feasible for decision in decisions])
        self._score.extend([decision.score for decision in decisions])
        self._tied.extend([decision.tied for decision in decisions])
        self._rejections.extend(decisions)

    def _append_tops(self, tops: list[tuple[Candidate, ...]]) -> None:
        candidates = list(chain.from_iterable(tops))
        scores = [candidate.scores for candidate in candidates]
        self._top.extend(map(len, tops))
        self._top_node.extend([candidate.node for candidate in candidates])
        self._top_total.extend([candidate.total for candidate in candidates])
        self._scores.extend(map(len, scores))
        self._score_plugin.extend(chain.from_iterable(scores))
        self._score_value.extend(chain.from_iterable([of_plugins.values() for of_plugins in scores]))

    def to_arrow(self) -> pa.Table:
        """The table ``decisions``."""
        self._write()
        decisions = range(len(self._pods))
        return pa.table(
            {
                "seq": pa.array(np.arange(len(self._pods))),
                "t_us": integers(self._t_us),
                "pod": pa.array(self._pods, pa.string()),
                "workload": pa.array(self._workloads, pa.string()),
                "attempt": integers(self._attempt, pa.int32()),
                "result": self._outcomes.to_arrow(),
                "node": pa.array(self._node, pa.string()),
                "evaluated": integers(self._evaluated, pa.int32()),
                "feasible": integers(self._feasible, pa.int32()),
                "score": pa.array(self._score, pa.int64()),
                "tied": integers(self._tied, pa.int32()),
                "top": pa.ListArray.from_arrays(self._top.offsets(), self._tops()),
                "rejections": self._rejections.to_arrow(),
                "nominated_node": pa.array(map(self._nominated.get, decisions), pa.string()),
                "victims": pa.array([self._victims.get(decision, ()) for decision in decisions], pa.list_(pa.string())),
            }
        )

    def _tops(self) -> pa.Array:
        scores = pa.MapArray.from_arrays(
            self._scores.offsets(), self._score_plugin.to_strings(), integers(self._score_value)
        )
        columns = [self._top_node.to_strings(), integers(self._top_total), scores]
        return pa.StructArray.from_arrays(columns, fields=list(TOP_TYPE))


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
