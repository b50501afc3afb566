"""An explanation is computed from scratch and agrees with the decision."""

from __future__ import annotations

import numpy as np
import pytest

from ksched.framework import DefaultNormalizer, PreFilterResult, Reject, Status
from ksched.framework.explain import explain
from ksched.tables import NodeView, PodView

from .build import SKIP, filtering, framework, pod, pre_filtering, scoring, table_of


def fits(pod, nodes):
    return [
        Reject(nodes.free("cpu") < pod.request("cpu"), "Insufficient cpu"),
        Reject(nodes.names == "c", "not c", resolvable=False),
    ]


def asked_every_time(pod, nodes):
    return {"moody": nodes.names == "b"}


CLASSES = (
    filtering(fits, name="Fit"),
    filtering(asked_every_time, name="Mood", local=False),
    scoring(lambda pod, nodes: nodes.rows + 1, name="Rows", normalizer=DefaultNormalizer()),
    scoring(lambda pod, nodes: nodes.rows * 1.5, name="Floats", local=False),
)


def test_every_filter_is_asked_about_every_node() -> None:
    table = table_of("abcd")
    told = explain(framework(table, *CLASSES, weights={"Rows": 2}), pod(cpu=5))
    assert [s.reasons if s else None for s in told.statuses["Fit"]] == [
        ("Insufficient cpu",), ("Insufficient cpu",), ("Insufficient cpu", "not c"), ("Insufficient cpu",)
    ]  # fmt: skip
    assert [s.reasons if s else None for s in told.statuses["Mood"]] == [None, ("moody",), None, None]
    assert not told.feasible.any()
    assert told.scores == ()
    assert told.decision.message() == "0/4 nodes are available: 1 not c, 4 Insufficient cpu."
    frame = told.rejections()
    assert sorted(set(frame["node"])) == list("abcd")


def test_scores_are_raw_normalised_and_weighted_and_add_up() -> None:
    fw = framework(table_of("abcd"), *CLASSES, weights={"Rows": 2})
    told = explain(fw, pod(cpu=1))
    assert told.feasible.tolist() == [True, False, False, True]
    rows, floats = told.scores
    assert (rows.plugin, rows.weight, rows.raw.tolist(), rows.normalized.tolist()) == ("Rows", 2, [1, 4], [25, 100])
    assert (floats.raw.tolist(), floats.normalized.tolist()) == ([0.0, 4.5], [0, 4])
    assert told.totals.tolist() == [50, 204]
    assert (told.decision.node, told.decision.score) == ("d", 204)
    assert {c.node: c.total for c in told.decision.top} == {"a": 50, "d": 204}


CASES = [
    ("no plugin at all", (), 1),
    ("only skipped scores", (("skip",),), 0),
]


@pytest.mark.parametrize(("sentence", "scores", "total"), CASES, ids=[r[0] for r in CASES])
def test_totals_without_opinions(sentence: str, scores: tuple, total: int) -> None:
    classes = []
    for _ in scores:
        cls = scoring(lambda pod, nodes: nodes.rows)
        cls.pre_score = lambda self, cycle, pod, nodes: SKIP
        classes.append(cls)
    told = explain(framework(table_of("ab"), *classes), pod())
    assert told.totals.tolist() == [total, total]
    assert told.decision.score == total
    assert told.skipped_scores == tuple("S" for _ in scores)


PRE_FILTERS = [
    ("a rejected pod", Status.unschedulable("no"), [True, True], {"a", "b"}),
    ("a narrowed search", PreFilterResult(frozenset({"b"})), [False, True], {"a", "b"}),
    ("a skipped filter", SKIP, [True, True], set()),
]


@pytest.mark.parametrize("local", [True, False], ids=["local", "asked every time"])
@pytest.mark.parametrize(("sentence", "answer", "considered", "rejected"), PRE_FILTERS, ids=[r[0] for r in PRE_FILTERS])
def test_pre_filters_are_part_of_it(
    sentence: str, answer: object, considered: list, rejected: set, local: bool
) -> None:
    told = explain(framework(table_of("ab"), pre_filtering(lambda pod: answer, local=local)), pod())
    assert told.considered.tolist() == considered
    assert told.feasible.tolist() == [name not in rejected for name in "ab"]
    assert set(told.rejections()["node"]) == rejected
    assert told.decision.feasible == int(told.feasible.sum())


def test_an_explanation_changes_nothing() -> None:
    table = table_of("abcd")
    fw = framework(table, *CLASSES)
    view = pod(cpu=1)
    before = fw.schedule(view, top=4)
    requested = NodeView(table).requested("cpu").copy()
    explain(fw, pod("other", cpu=2))
    explain(fw, view)
    assert np.array_equal(NodeView(table).requested("cpu"), requested)
    after = fw.schedule(view, top=4)
    assert (after.node, after.top, after.rejections) == (before.node, before.top, before.rejections)


def many(count: int) -> list[str]:
    return [f"n{number:03}" for number in range(count)]


def test_only_nodes_the_scheduler_looks_at_are_scored() -> None:
    fw = framework(table_of(many(300)), scoring(lambda pod, nodes: nodes.rows % 101), percentage=10)
    for _ in range(4):
        told = explain(fw, pod())
        decided = fw.schedule(pod(), top=5)
        assert told.looked_at.sum() == decided.evaluated == 100
        assert len(told.totals) == told.decision.feasible == decided.feasible
        assert (told.decision.node, told.totals.max()) == (decided.node, decided.score)
        assert not told.feasible[~told.looked_at].any()


def test_a_label_read_for_the_first_time_does_not_give_one_pod_the_answer_of_another() -> None:
    class Picky:
        name = "Picky"
        node_local = True

        def filter(self, cycle, pod, nodes):
            if not nodes.requested("cpu").any() or pod.labels.get("team") != "blue":
                return None
            return {"not for blue": nodes.names == "a"}

    table = table_of("ab")
    fw = framework(table, Picky)
    red = pod("red", labels={"team": "red"})
    blue = PodView(red.pod.replaced(metadata=red.pod.metadata.replaced(name="blue", labels={"team": "blue"})))
    assert explain(fw, red).feasible.tolist() == [True, True]
    assert fw.signatures.entry(red) is fw.signatures.entry(blue), "no label was read yet"
    table.add_pod(pod("other", cpu=1), "a")
    told = explain(fw, blue)
    assert told.feasible.tolist() == [False, True]
    assert (told.decision.feasible, told.decision.node) == (1, "b")


def test_a_decision_that_is_known_is_not_made_again() -> None:
    fw = framework(table_of("ab"), scoring(lambda pod, nodes: nodes.rows))
    known = fw.schedule(pod())
    assert explain(fw, pod(), decision=known).decision is known
