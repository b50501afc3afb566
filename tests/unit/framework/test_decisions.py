"""The message of a decision is upstream's FitError (framework/types.go, v1.30)."""

from __future__ import annotations

import numpy as np
import pytest

from ksched.framework import Decision, Outcome, Reject, Rejection

from .build import filtering, framework, pod, table_of

MESSAGES = [
    ("one reason", [("Insufficient cpu", 3)], "0/5 nodes are available: 3 Insufficient cpu."),
    ("reasons are sorted as texts, number first",
     [("Insufficient cpu", 3), ("Insufficient memory", 12), ("b", 2)],
     "0/5 nodes are available: 12 Insufficient memory, 2 b, 3 Insufficient cpu."),
    ("one reason of two plugins is one", [("no", 1), ("no", 2)], "0/5 nodes are available: 3 no."),
    ("no reason", [], "0/5 nodes are available."),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "rejections", "message"), MESSAGES, ids=[r[0] for r in MESSAGES])
def test_the_message(sentence: str, rejections: list[tuple[str, int]], message: str) -> None:
    decision = Decision(pod(), Outcome.UNSCHEDULABLE, 0, 1, 5, 5)
    decision.rejections = tuple(Rejection(f"P{i}", r, n, True) for i, (r, n) in enumerate(rejections))
    assert decision.message() == message


def test_a_node_with_two_reasons_counts_under_both_and_later_filters_are_not_heard() -> None:
    names = ["small", "full", "both", "tainted", "small-and-tainted"]
    fw = framework(
        table_of(names),
        filtering(
            lambda pod, nodes: [
                Reject(_among(nodes, "small", "both", "small-and-tainted"), "Insufficient cpu"),
                Reject(_among(nodes, "full", "both"), "Insufficient memory"),
            ],
            name="Fit",
        ),
        filtering(lambda pod, nodes: {"untolerated": _among(nodes, "tainted", "small-and-tainted")}, name="Taint"),
    )
    decision = fw.schedule(pod())
    assert decision.message() == "0/5 nodes are available: 1 untolerated, 2 Insufficient memory, 3 Insufficient cpu."
    assert decision.outcome is Outcome.UNSCHEDULABLE
    assert decision.plugins == {"Fit", "Taint"}
    assert [(r.plugin, r.reason, r.nodes) for r in decision.rejections] == [
        ("Fit", "Insufficient cpu", 3),
        ("Fit", "Insufficient memory", 2),
        ("Taint", "untolerated", 1),
    ]


def _among(nodes, *names):
    return np.isin(nodes.names, names)
