"""The artifact's order: a permutation, then clones or drops, and a number for every node."""

from __future__ import annotations

import os

import numpy as np
import pytest

from ksched.traces import load_trace
from ksched.traces.fgd_order import fgd_order
from ksched.traces.go_random import GoRandom
from ksched.traces.replay import InflateProblem, cluster_nodes, inflate

from .factories import trace


def problem(demand: list[int], unit: list[int], target: float, nodes: int = 3) -> InflateProblem:
    names = [f"p{i:02d}" for i in range(len(demand))]
    return InflateProblem(names, np.array(demand), np.array(unit), target, nodes)


def test_clones_follow_the_shuffled_pods_in_the_order_they_are_drawn() -> None:
    made = fgd_order(problem([500] * 10, [500] * 10, 8000.0), seed=42)
    draws = GoRandom(42)
    draws.int63()
    shuffled = draws.shuffled(10)
    assert made.pods.tolist() == [*shuffled, *(draws.intn(10) for _ in range(6))]


def test_the_clone_that_would_exceed_the_target_ends_it_by_its_share_of_one_device() -> None:
    # One device of 1000 still fits below the target, so the clone of four comes and overshoots.
    made = fgd_order(problem([4000], [1000], 5000.0), seed=1)
    assert made.pods.tolist() == [0, 0]


def test_above_the_target_random_pods_are_dropped_and_the_others_keep_their_order() -> None:
    below = fgd_order(problem([1000] * 50, [1000] * 50, 50_000.0), seed=5).pods.tolist()
    made = fgd_order(problem([1000] * 50, [1000] * 50, 20_500.0), seed=5).pods.tolist()
    assert len(made) == 20
    assert made == [position for position in below if position in set(made)]


def test_every_node_gets_a_number_that_sorts_before_its_name() -> None:
    made = fgd_order(problem([1000], [1000], 1000.0, nodes=20), seed=3)
    assert made.node_ranks is not None
    assert sorted(made.node_ranks.tolist()) == list(range(20))
    nodes = cluster_nodes(trace([{"name": "b"}, {"name": "a"}]), ranks=np.array([7, 1]))
    assert [node.name for node in nodes] == ["0001-b", "0007-a"]
    assert [node.metadata.labels["kubernetes.io/hostname"] for node in nodes] == ["0001-b", "0007-a"]


@pytest.mark.data
@pytest.mark.skipif("KSCHED_DATA" not in os.environ, reason="KSCHED_DATA is not set: no real traces here")
def test_the_published_trace_grows_to_the_published_number_of_pods() -> None:
    replay = inflate(load_trace("openb:default"), seed=42, order=fgd_order)
    assert len(replay) == 10866
    assert replay.node_ranks is not None and len(replay.node_ranks) == 1213
