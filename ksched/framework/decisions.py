"""The record of one scheduling attempt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from ksched.framework.verdicts import Rejection, Verdicts
from ksched.tables import PodView


class Outcome(Enum):
    """How an attempt ended."""

    SCHEDULED = "scheduled"
    UNSCHEDULABLE = "unschedulable"
    ERROR = "error"


class Tally(NamedTuple):
    """How many nodes got each verdict, by its id in ``verdicts``; what a decision's rejections are spelled out from."""

    verdicts: Verdicts
    nodes: Mapping[int, int]

    def rejections(self) -> tuple[Rejection, ...]:
        """Most nodes first."""
        return self.verdicts.rejections(self.nodes)


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
    tally: Tally | None = None
    """What filters said, None where they were not asked. Nobody asks most decisions for more than this."""
    nominated_node: str | None = None
    """The node PostFilter wants to make room on."""
    pre_filter_reasons: tuple[str, ...] = ()
    """Why PreFilter rejected the pod before any node was looked at."""
    victims: tuple[str, ...] = ()
    """Pods ("namespace/name") to be evicted for that."""
    post_filter: str = ""
    """Why PostFilter could not help either."""
    _rejections: tuple[Rejection, ...] | None = field(default=None, init=False, repr=False)
    _plugins: frozenset[str] | None = field(default=None, init=False, repr=False)

    @property
    def rejections(self) -> tuple[Rejection, ...]:
        """Why nodes were rejected, unless they are set what the ``tally`` says."""
        if self._rejections is None:
            self._rejections = self.tally.rejections() if self.tally is not None else ()
        return self._rejections

    @rejections.setter
    def rejections(self, rejections: tuple[Rejection, ...]) -> None:
        self._rejections = rejections

    @property
    def plugins(self) -> frozenset[str]:
        """Plugins that rejected the pod or a node: their events may make it schedulable."""
        if self._plugins is None:
            self._plugins = frozenset([rejection.plugin for rejection in self.rejections])
        return self._plugins

    @plugins.setter
    def plugins(self, plugins: frozenset[str]) -> None:
        self._plugins = plugins

    def message(self) -> str:
        """Why the pod was not placed, as upstream's FitError: "0/5 nodes are available: 3 Insufficient cpu.\""""
        if not self.nodes:
            return "no nodes available to schedule pods"
        if self.pre_filter_reasons:
            return f"0/{self.nodes} nodes are available: {', '.join(self.pre_filter_reasons)}."
        message = _fit_error(self.nodes, self.rejections)
        return f"{message} {self.post_filter}" if self.post_filter else message


@lru_cache(maxsize=1024)
def _fit_error(nodes: int, rejections: tuple[Rejection, ...]) -> str:
    """Remembered: pods alike are told the same again and again."""
    counts: dict[str, int] = {}
    for rejection in rejections:
        counts[rejection.reason] = counts.get(rejection.reason, 0) + rejection.nodes
    reasons = ", ".join(sorted([f"{count} {reason}" for reason, count in counts.items()]))
    return f"0/{nodes} nodes are available" + (f": {reasons}." if reasons else ".")
