"""The record of one scheduling attempt."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from ksched.tables import PodView


class Outcome(Enum):
    """How an attempt ended."""

    SCHEDULED = "scheduled"
    UNSCHEDULABLE = "unschedulable"
    ERROR = "error"


class Rejection(NamedTuple):
    """How many nodes a plugin rejected for a reason (a node with two reasons counts under both, as upstream)."""

    plugin: str
    reason: str
    nodes: int
    resolvable: bool


@dataclass(frozen=True, slots=True)
class Candidate:
    """A feasible node with its total and each plugin's weighted score."""

    node: str
    total: int
    scores: dict[str, int]


@dataclass(slots=True)
class Decision:
    """What was decided for a pod and why.

    ``nodes`` is the number of nodes in the cluster, ``evaluated`` how many were looked at, ``feasible`` how many could
    run the pod, ``tied`` how many shared the best total. ``top`` holds the best candidates, best first.
    """

    pod: PodView
    outcome: Outcome
    time_ns: int
    attempt: int
    nodes: int
    evaluated: int
    feasible: int = 0
    node: str | None = None
    score: int | None = None
    tied: int = 0
    top: tuple[Candidate, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    plugins: frozenset[str] = field(default_factory=frozenset)
    """Plugins that rejected the pod or a node: their events may make it schedulable."""
    nominated_node: str | None = None
    """The node PostFilter wants to make room on."""
    pre_filter_reasons: tuple[str, ...] = ()
    """Why PreFilter rejected the pod before any node was looked at."""
    victims: tuple[str, ...] = ()
    """Pods ("namespace/name") to be evicted for that."""
    post_filter: str = ""
    """Why PostFilter could not help either."""

    def message(self) -> str:
        """Why the pod was not placed, as upstream's FitError: "0/5 nodes are available: 3 Insufficient cpu.\""""
        if not self.nodes:
            return "no nodes available to schedule pods"
        if self.pre_filter_reasons:
            return f"0/{self.nodes} nodes are available: {', '.join(self.pre_filter_reasons)}."
        counts: dict[str, int] = {}
        for rejection in self.rejections:
            counts[rejection.reason] = counts.get(rejection.reason, 0) + rejection.nodes
        reasons = ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
        message = f"0/{self.nodes} nodes are available" + (f": {reasons}." if reasons else ".")
        return f"{message} {self.post_filter}" if self.post_filter else message
