"""The small policies: examples and packing baselines."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ksched.framework import Cycle
from ksched.objects import Node
from ksched.tables import NodeView, PodView
from ksched.testing import ask, make_node, make_pod, make_table
from ksched_plugins.examples.free_memory import FreeMemory
from ksched_plugins.examples.require_label import RequireLabel, RequireLabelArgs
from ksched_plugins.packing.best_fit import BestFit
from ksched_plugins.packing.first_fit import FirstFit
from ksched_plugins.packing.random_choice import Random
from ksched_plugins.packing.remaining import FitArgs
from ksched_plugins.packing.worst_fit import WorstFit

NODES = [make_node("ssd", labels={"disktype": "ssd"}), make_node("hdd", labels={"disktype": "hdd"}), make_node("bare")]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        pytest.param({}, ["ssd"], id="by default nodes need an SSD"),
        pytest.param({"value": "hdd"}, ["hdd"], id="any value can be required"),
        pytest.param({"value": None}, ["ssd", "hdd"], id="or any value at all"),
        pytest.param({"key": "nowhere"}, [], id="a label no node has leaves none"),
    ],
)
def test_require_label(args: dict[str, Any], expected: list[str]) -> None:
    verdicts = ask(RequireLabel(RequireLabelArgs.model_validate(args)), make_pod(), NODES).filter
    assert verdicts is not None
    assert [name for name, verdict in verdicts.items() if verdict is None] == expected


def test_require_label_says_what_is_missing() -> None:
    verdicts = ask(RequireLabel(RequireLabelArgs()), make_pod(), NODES).filter
    assert verdicts is not None
    assert verdicts["bare"] == ("Unschedulable", ("node has no label disktype=ssd",))


def test_free_memory_is_the_percentage_that_is_free() -> None:
    nodes = [make_node("a", memory="4Gi"), make_node("b", memory="16Gi")]
    assert ask(FreeMemory(), make_pod(), nodes, [(make_pod("p", memory="1Gi"), "a")]).raw == {"a": 75, "b": 100}


def chosen(plugin: Any, pod: PodView, nodes: list[Node], attempt: int = 1) -> list[str]:
    table = make_table(nodes)
    cycle = Cycle(table, pod, now=0, seed=1, attempt=attempt)
    cycle.plugin = plugin.name
    points = plugin.score(cycle, pod, NodeView(table))
    assert sorted(points.tolist()) == [0] * (len(nodes) - 1) + [100]
    return [name for name, p in zip(table.names().tolist(), points.tolist(), strict=True) if p == 100]


def test_first_fit_takes_the_lowest_name_whatever_the_order_of_rows() -> None:
    nodes = [make_node(name) for name in ("c", "b", "a", "d")]
    assert chosen(FirstFit(), PodView(make_pod()), nodes) == ["a"]


def test_random_draws_every_node_about_as_often_and_the_same_one_for_the_same_attempt() -> None:
    nodes = [make_node(f"n{i}") for i in range(4)]
    pod = PodView(make_pod())
    drawn = [chosen(Random(), pod, nodes, attempt)[0] for attempt in range(400)]
    assert drawn == [chosen(Random(), pod, nodes[::-1], attempt)[0] for attempt in range(400)]
    counts = Counter(drawn)
    # 400 fair draws of four: 100 +- 8.7, so five standard deviations.
    assert all(56 < counts[f"n{i}"] < 144 for i in range(4))


SMALL, LARGE = make_node("small", cpu=2, memory="4Gi"), make_node("large", cpu=16, memory="64Gi")
FIT_ROWS: list[tuple[str, dict[str, Any], dict[str, Any], list[Node], list[tuple[Any, str]], str, str]] = [
    ("a small empty node has less left than a large one", {}, {"cpu": 1}, [SMALL, LARGE], [], "small", "large"),
    (
        "of equal nodes the fuller one has less left",
        {},
        {"cpu": 1},
        [make_node("a"), make_node("b")],
        [(make_pod("p", cpu=2), "b")],
        "b",
        "a",
    ),
    (
        "only the resources of the arguments count",
        {"resources": {"memory": 1}},
        {"cpu": 1},
        [make_node("a", cpu=1, memory="8Gi"), make_node("b", cpu=64, memory="4Gi")],
        [],
        "b",
        "a",
    ),
    (
        "gpu counts the devices' milli",
        {"resources": {"gpu": 1}},
        {"gpu_milli": 500},
        [make_node("a", gpus=4), make_node("b", gpus=1)],
        [],
        "b",
        "a",
    ),
]


@pytest.mark.parametrize(
    ("args", "pod", "nodes", "placed", "best", "worst"), [r[1:] for r in FIT_ROWS], ids=[r[0] for r in FIT_ROWS]
)
def test_best_fit_and_worst_fit(
    args: dict[str, Any],
    pod: dict[str, Any],
    nodes: list[Node],
    placed: list[tuple[Any, str]],
    best: str,
    worst: str,
) -> None:
    for cls, winner in ((BestFit, best), (WorstFit, worst)):
        raw = ask(cls(FitArgs.model_validate(args)), make_pod(**pod), nodes, placed).raw
        assert raw is not None
        assert max(raw, key=raw.__getitem__) == winner


def test_what_remains_is_a_share_of_the_largest_node_by_weight() -> None:
    nodes = [make_node("half", cpu=4, memory="4Gi"), make_node("full", cpu=8, memory="16Gi")]
    raw = ask(WorstFit(FitArgs(resources={"cpu": 3, "memory": 1})), make_pod(cpu=2, memory="4Gi"), nodes).raw
    # (3 * 2/8 + 1 * 0/16) / 4 and (3 * 6/8 + 1 * 12/16) / 4
    assert raw is not None
    assert [raw["half"], raw["full"]] == pytest.approx([0.1875, 0.75])
