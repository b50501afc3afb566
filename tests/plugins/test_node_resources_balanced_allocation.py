"""NodeResourcesBalancedAllocation, row by row (upstream: balanced_allocation_test.go)."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ksched.testing import ask, make_node, make_pod
from ksched_plugins.kubernetes.node_resources_balanced_allocation import (
    NodeResourcesBalancedAllocation,
    NodeResourcesBalancedAllocationArgs,
)


def balanced(*resources: str) -> NodeResourcesBalancedAllocation:
    args = {"resources": [{"name": name} for name in resources]} if resources else {}
    return NodeResourcesBalancedAllocation(NodeResourcesBalancedAllocationArgs.model_validate(args))


FPGA = "example.com/fpga"
ROWS: list[tuple[str, tuple[str, ...], dict[str, Any], dict[str, Any], int]] = [
    ("equal fractions are perfect", (), {"cpu": 4, "memory": "8Gi"}, {"cpu": 1, "memory": "2Gi"}, 100),
    ("half the difference of 3/4 and 1/4 is lost", (), {"cpu": 4, "memory": "8Gi"}, {"cpu": 3, "memory": "2Gi"}, 75),
    ("no requests are balanced: the scoring defaults do not count here", (), {"cpu": 4, "memory": "8Gi"}, {}, 100),
    ("fractions are capped at one", (), {"cpu": 1, "memory": "8Gi"}, {"cpu": 3, "memory": "8Gi"}, 100),
    ("one resource is always balanced", ("cpu",), {"cpu": 4}, {"cpu": 3}, 100),
    ("a node without memory is judged by cpu alone", (), {"cpu": 4, "memory": None}, {"cpu": 3}, 100),
    (
        "three resources: the standard deviation of 1, 0.5 and 0",
        ("cpu", "memory", FPGA),
        {"cpu": 2, "memory": "8Gi", "resources": {FPGA: 1000}},
        {"cpu": 2, "memory": "4Gi", "requests": {FPGA: 1}},
        59,
    ),
    (
        "of three resources a node has two, half their difference is lost",
        ("cpu", "memory", FPGA),
        {"cpu": 4, "memory": "8Gi"},
        {"cpu": 3, "memory": "2Gi", "requests": {FPGA: 1}},
        75,
    ),
    (
        "an extended resource the pod does not ask for does not count",
        ("cpu", "memory", FPGA),
        {"cpu": 4, "memory": "8Gi", "resources": {FPGA: 4}},
        {"cpu": 1, "memory": "2Gi"},
        100,
    ),
]


@pytest.mark.parametrize(("resources", "node", "pod", "points"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_score(resources: tuple[str, ...], node: dict[str, Any], pod: dict[str, Any], points: int) -> None:
    answer = ask(balanced(*resources), make_pod(**pod), [make_node("n", **node)])
    assert answer.raw == {"n": points}


def test_pods_on_the_node_count() -> None:
    nodes = [make_node("n", cpu=4, memory="8Gi")]
    answer = ask(balanced(), make_pod(cpu=1), nodes, [(make_pod("other", memory="2Gi"), "n")])
    assert answer.raw == {"n": 100}


@pytest.mark.parametrize(
    "resources",
    [
        pytest.param([{"name": "cpu", "weight": 2}], id="a weight other than one"),
        pytest.param([{"name": "cpu"}, {"name": "cpu"}], id="a resource twice"),
    ],
)
def test_bad_arguments_are_refused(resources: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError):
        NodeResourcesBalancedAllocationArgs.model_validate({"resources": resources})
