"""Choosing among feasible nodes: the best total, ties broken by a keyed draw; and upstream's sampling of nodes."""

from __future__ import annotations

from enum import Enum

import numpy as np

from ksched.tables.arrays import BoolArray, Int64Array, IntArray

INFEASIBLE = np.iinfo(np.int64).min
"""Total of a node that cannot run the pod."""

MIN_FEASIBLE_NODES = 100
_MIN_PERCENTAGE = 5
_BASE_PERCENTAGE = 50
_NODES_PER_PERCENT = 125


class TieBreak(Enum):
    """How one of several best nodes is chosen."""

    RANDOM = "random"
    """By the seeded stream, as kube-scheduler chooses uniformly."""
    NAME = "name"
    """The lexicographically smallest name."""


def best(totals: Int64Array) -> IntArray:
    """Rows with the highest total, ascending; at least one row must be feasible."""
    rows: IntArray = (totals == totals[totals.argmax()]).nonzero()[0]  # argmax is faster than max
    return rows


def top(totals: Int64Array, first: IntArray, count: int) -> IntArray:
    """The ``count`` best rows, best first and rows ascending among equals; ``first`` are the rows of the best total."""
    if len(first) >= count:
        return first[:count]
    size = min(count, len(totals))
    # The boundary total may be shared: take every row at or above it before cutting.
    boundary = np.partition(totals, len(totals) - size)[len(totals) - size]
    rows = np.flatnonzero(totals >= max(boundary, INFEASIBLE + 1))
    return rows[np.argsort(-totals[rows], kind="stable")][:count]


def nodes_to_find(nodes: int, percentage: int) -> int:
    """How many feasible nodes are enough (upstream: schedule_one.go numFeasibleNodesToFind).

    ``percentage`` 0 is adaptive: 50 % less one per 125 nodes, at least 5 %; never fewer than 100 nodes.
    """
    if nodes < MIN_FEASIBLE_NODES:
        return nodes
    if percentage == 0:
        percentage = max(_BASE_PERCENTAGE - nodes // _NODES_PER_PERCENT, _MIN_PERCENTAGE)
    if percentage >= 100:
        return nodes
    return max(nodes * percentage // 100, MIN_FEASIBLE_NODES)


def sample(feasible: BoolArray, start: int, wanted: int) -> IntArray:
    """The rows looked at, going round from ``start``, until one more than ``wanted`` feasible ones turn up.

    The last, surplus one is not among them: upstream ends its search there and begins the next one with it.
    """
    n = len(feasible)
    order = np.concatenate([np.arange(start, n), np.arange(start)])
    hits = np.flatnonzero(feasible[order])
    return order if len(hits) <= wanted else order[: hits[wanted]]
