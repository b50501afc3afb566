"""NodeResourcesFit, row by row; the rules are those of upstream's fit_test.go and *_allocated_test.go."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ksched.testing import ask, make_node, make_pod
from ksched_plugins.kubernetes.node_resources_fit import NodeResourcesFit, NodeResourcesFitArgs


def fit(**args: Any) -> NodeResourcesFit:
    return NodeResourcesFit(NodeResourcesFitArgs.model_validate(args))


def strategy(kind: str, *resources: tuple[str, int], shape: list[tuple[int, int]] | None = None) -> dict[str, Any]:
    out: dict[str, Any] = {"type": kind}
    if resources:
        out["resources"] = [{"name": name, "weight": weight} for name, weight in resources]
    if shape:
        points = [{"utilization": u, "score": s} for u, s in shape]
        out["requestedToCapacityRatio"] = {"shape": points}
    return {"scoringStrategy": out}


BUSY = make_pod("busy", cpu=3, memory="3Gi")
FILTER_ROWS: list[tuple[str, dict[str, Any], dict[str, Any], list[Any], tuple[str, ...]]] = [
    ("a pod that fits passes", {"cpu": 4}, {"cpu": 1}, [BUSY], ()),
    ("exactly what is free fits", {"cpu": 4, "memory": "4Gi"}, {"cpu": 1, "memory": "1Gi"}, [BUSY], ()),
    ("one millicore too much does not", {"cpu": 4}, {"cpu": "1001m"}, [BUSY], ("Insufficient cpu",)),
    (
        "all missing resources are reported at once",
        {"cpu": 4, "memory": "4Gi"},
        {"cpu": 2, "memory": "2Gi"},
        [BUSY],
        ("Insufficient cpu", "Insufficient memory"),
    ),
    ("a zero request fits an overcommitted node", {"cpu": 1}, {"cpu": 0, "memory": "1Mi"}, [BUSY], ()),
    ("a pod without requests fits a node without cpu", {"cpu": None, "memory": None}, {}, [], ()),
    ("a full node has no slot even for an empty pod", {"pods": 1}, {}, [BUSY], ("Too many pods",)),
    ("a node that says nothing of pods has no slots", {"pods": None}, {}, [], ("Too many pods",)),
    (
        "ephemeral storage is checked",
        {"resources": {"ephemeral-storage": "1Gi"}},
        {"requests": {"ephemeral-storage": "2Gi"}},
        [],
        ("Insufficient ephemeral-storage",),
    ),
    (
        "an extended resource nobody has is insufficient",
        {},
        {"requests": {"example.com/fpga": 1}},
        [],
        ("Insufficient example.com/fpga",),
    ),
    ("a request of zero extended resources is none", {}, {"requests": {"example.com/fpga": 0}}, [], ()),
    (
        "hugepages are a resource of their own",
        {"resources": {"hugepages-2Mi": "4Mi"}},
        {"requests": {"hugepages-2Mi": "6Mi"}},
        [],
        ("Insufficient hugepages-2Mi",),
    ),
]


@pytest.mark.parametrize(
    ("node", "pod", "placed", "reasons"), [r[1:] for r in FILTER_ROWS], ids=[r[0] for r in FILTER_ROWS]
)
def test_filter(node: dict[str, Any], pod: dict[str, Any], placed: list[Any], reasons: tuple[str, ...]) -> None:
    answer = ask(fit(), make_pod(**pod), [make_node("n", **node)], [(p, "n") for p in placed])
    assert answer.filter == {"n": ("Unschedulable", reasons) if reasons else None}


@pytest.mark.parametrize(
    ("args", "passes"),
    [
        pytest.param({}, False, id="nothing is ignored by default"),
        pytest.param({"ignoredResources": ["example.com/fpga"]}, True, id="an ignored resource is not looked at"),
        pytest.param({"ignoredResourceGroups": ["example.com"]}, True, id="nor one of an ignored group"),
        pytest.param({"ignoredResourceGroups": ["com"]}, False, id="a group is the whole prefix"),
        pytest.param({"ignoredResources": ["cpu"]}, False, id="native resources cannot be ignored"),
    ],
)
def test_ignored_resources(args: dict[str, Any], passes: bool) -> None:
    asked = {"example.com/fpga": 1} if "cpu" not in args.get("ignoredResources", ()) else {"cpu": 8}
    answer = ask(fit(**args), make_pod(requests=asked), [make_node("n")])
    assert answer.filter is not None
    assert (answer.filter["n"] is None) == passes


HALF = make_pod("half", cpu=2, memory="2Gi")
NODE = make_node("n", cpu=4, memory="8Gi", resources={"example.com/fpga": 4})
SCORE_ROWS: list[tuple[str, dict[str, Any], dict[str, Any], int]] = [
    (
        "least allocated: mean of 25 % of cpu and 62 % of memory free",
        strategy("LeastAllocated"),
        {"cpu": 1, "memory": "1Gi"},
        43,
    ),
    (
        "most allocated: mean of 75 % of cpu and 37 % of memory used",
        strategy("MostAllocated"),
        {"cpu": 1, "memory": "1Gi"},
        56,
    ),
    (
        "weights count: cpu three times",
        strategy("LeastAllocated", ("cpu", 3), ("memory", 1)),
        {"cpu": 1, "memory": "1Gi"},
        34,
    ),
    ("containers without requests count 100m and 200 MiB", strategy("LeastAllocated"), {}, 59),
    ("an explicit zero stays zero", strategy("LeastAllocated"), {"cpu": 0, "memory": 0}, 62),
    ("more than there is scores 0 in least allocated", strategy("LeastAllocated", ("cpu", 1)), {"cpu": 3}, 0),
    ("and 100 in most allocated", strategy("MostAllocated", ("cpu", 1)), {"cpu": 3}, 100),
    (
        "an extended resource the pod does not ask for is left out with its weight",
        strategy("LeastAllocated", ("cpu", 1), ("example.com/fpga", 9)),
        {"cpu": 1},
        25,
    ),
    (
        "one it asks for counts",
        strategy("LeastAllocated", ("cpu", 1), ("example.com/fpga", 1)),
        {"cpu": 1, "requests": {"example.com/fpga": 1}},
        50,
    ),
    (
        "a resource the node has none of is left out",
        strategy("LeastAllocated", ("cpu", 1), ("ephemeral-storage", 5)),
        {"cpu": 1},
        25,
    ),
    (
        "a rising curve scores by utilisation",
        strategy("RequestedToCapacityRatio", ("cpu", 1), shape=[(0, 0), (100, 10)]),
        {"cpu": 1},
        75,
    ),
    (
        "a falling curve truncates toward zero, not down",
        strategy("RequestedToCapacityRatio", ("cpu", 1), shape=[(0, 10), (70, 5), (99, 0)]),
        {"cpu": 1},
        42,
    ),
    (
        "beyond the last corner the curve is flat",
        strategy("RequestedToCapacityRatio", ("cpu", 1), shape=[(0, 0), (50, 8)]),
        {"cpu": 1},
        80,
    ),
    (
        "resources that score nothing are dropped with their weight",
        strategy("RequestedToCapacityRatio", ("cpu", 1), ("memory", 1), shape=[(40, 0), (100, 10)]),
        {"cpu": 2, "memory": "1Gi"},
        100,
    ),
    (
        "the mean of a curve rounds half up",
        strategy("RequestedToCapacityRatio", ("cpu", 1), ("memory", 1), shape=[(0, 0), (100, 10)]),
        {"cpu": 1, "memory": "2Gi"},
        63,
    ),
]


@pytest.mark.parametrize(("args", "pod", "points"), [r[1:] for r in SCORE_ROWS], ids=[r[0] for r in SCORE_ROWS])
def test_score(args: dict[str, Any], pod: dict[str, Any], points: int) -> None:
    answer = ask(fit(**args), make_pod(**pod), [NODE], [(HALF, "n")])
    assert answer.raw == {"n": points}


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(strategy("RequestedToCapacityRatio"), id="a ratio without a shape"),
        pytest.param(strategy("LeastAllocated", shape=[(0, 0)]), id="a shape without a ratio"),
        pytest.param(strategy("RequestedToCapacityRatio", shape=[(50, 0), (50, 10)]), id="a shape that does not rise"),
        pytest.param(strategy("RequestedToCapacityRatio", shape=[(0, 11)]), id="a score above 10"),
        pytest.param(strategy("LeastAllocated", ("cpu", 101)), id="a weight above 100"),
        pytest.param({"ignoredResourceGroups": ["a/b"]}, id="a group with a slash"),
        pytest.param({"scoringStrategie": {}}, id="a typo"),
    ],
)
def test_bad_arguments_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        fit(**args)
