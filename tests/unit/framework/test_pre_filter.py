"""PreFilter answers merged as upstream merges them (framework_test.go, schedule_one_test.go)."""

from __future__ import annotations

import pytest

from ksched.errors import PluginError
from ksched.framework import Code, Outcome, PreFilterResult, Status

from .build import SKIP, framework, pod, pre_filtering, table_of

U = Status.unschedulable("for now")
UU = Status.unschedulable("for ever", resolvable=False)
ERROR = Status.error("broken")


def only(*names: str) -> PreFilterResult:
    return PreFilterResult(frozenset(names))


def filters(*answers: object, local: tuple[bool, ...]) -> list[type]:
    return [pre_filtering(lambda pod, a=answer: a, name=f"P{i}", local=local[i]) for i, answer in enumerate(answers)]


BOTH = pytest.mark.parametrize("local", [(True,) * 3, (False,) * 3, (True, False, True), (False, True, False)], ids=str)

REJECTED = [
    ("one plugin rejects the pod", [U, None], "0/3 nodes are available: for now.", {"P0"}, True),
    ("the last plain rejection is told",
     [U, Status.unschedulable("later")], "0/3 nodes are available: later.", {"P1"}, True),
    ("one that cannot be resolved beats an earlier one that can",
     [U, UU], "0/3 nodes are available: for ever.", {"P1"}, False),
    ("and ends the round", [UU, U], "0/3 nodes are available: for ever.", {"P0"}, False),
    ("several reasons are joined", [Status.unschedulable("a", "b")], "0/3 nodes are available: a, b.", {"P0"}, True),
    ("narrowing to nothing", [only()], "0/3 nodes are available: node(s) didn't satisfy plugin P0.", set(), False),
    ("narrowing to different nodes", [only("a"), None, only("b")],
     "0/3 nodes are available: node(s) didn't satisfy plugin(s) [P0 P2] simultaneously.", set(), False),
]  # fmt: skip


@BOTH
@pytest.mark.parametrize(
    ("sentence", "answers", "message", "plugins", "resolvable"), REJECTED, ids=[r[0] for r in REJECTED]
)
def test_a_pod_rejected_before_any_node_is_looked_at(
    sentence: str, answers: list, message: str, plugins: set, resolvable: bool, local: tuple
) -> None:
    decision = framework(table_of("abc"), *filters(*answers, local=local)).schedule(pod())
    assert decision.outcome is Outcome.UNSCHEDULABLE
    assert decision.message() == message
    assert decision.plugins == plugins
    assert {(r.nodes, r.resolvable) for r in decision.rejections} == {(3, resolvable)}
    assert (decision.feasible, decision.evaluated, decision.node) == (0, 0, None)


NARROWED = [
    ("nothing said, all nodes are asked about", [None], {("P0 ran", 3)}, 3),
    ("a success is nothing said", [Status(Code.SUCCESS)], {("P0 ran", 3)}, 3),
    ("a skip leaves the filter out", [SKIP], set(), 3),
    ("of the plugin that said it only", [SKIP, None], {("P1 ran", 3)}, 3),
    ("an empty result is nothing said", [PreFilterResult()], {("P0 ran", 3)}, 3),
    ("names narrow the search", [only("a", "c")], {("P0 ran", 2)}, 2),
    ("names of several plugins are intersected", [only("a", "c"), only("b", "c")], {("P0 ran", 1)}, 1),
    ("unknown names are ignored", [only("a", "ghost")], {("P0 ran", 1)}, 1),
    ("a skip beside names", [SKIP, only("b")], {("P1 ran", 1)}, 1),
]


@BOTH
@pytest.mark.parametrize(("sentence", "answers", "reasons", "evaluated"), NARROWED, ids=[r[0] for r in NARROWED])
def test_what_filters_are_asked_about(sentence: str, answers: list, reasons: set, evaluated: int, local: tuple) -> None:
    decision = framework(table_of("abc"), *filters(*answers, local=local)).schedule(pod())
    assert {(r.reason, r.nodes) for r in decision.rejections} == reasons
    assert decision.evaluated == evaluated
    assert decision.feasible == (evaluated if not reasons else 0)


@BOTH
def test_an_error_is_an_error_and_blames_its_plugin(local: tuple) -> None:
    decision = framework(table_of("abc"), *filters(None, ERROR, U, local=local)).schedule(pod())
    assert decision.outcome is Outcome.ERROR
    assert decision.plugins == {"P1"}
    assert "broken" in decision.message()


def test_a_plugin_behind_an_unresolvable_rejection_is_not_asked() -> None:
    def never(pod):
        raise AssertionError

    classes = [pre_filtering(lambda pod: UU, name="P0"), pre_filtering(never, name="P1", local=False)]
    assert framework(table_of("a"), *classes).schedule(pod()).message() == "0/1 nodes are available: for ever."


@BOTH
@pytest.mark.parametrize("answer", [True, "no", [], {"a"}, Code.SKIP])
def test_any_other_answer_is_told(answer: object, local: tuple) -> None:
    with pytest.raises(PluginError, match=f"plugin P0: pre_filter returned {type(answer).__name__}"):
        framework(table_of("a"), *filters(answer, local=local)).schedule(pod())


def test_a_local_pre_filter_is_asked_once_per_signature() -> None:
    asked = []
    fw = framework(table_of("a"), pre_filtering(lambda pod: asked.append(pod.request("cpu"))))
    view, other = pod("p", cpu=1), pod("q", cpu=2)
    for each in (view, other, view, view, other):
        fw.schedule(each)
    assert asked == [1000, 2000]


def test_what_a_pre_filter_computes_reaches_its_filter() -> None:
    class Keeps:
        name = "Keeps"
        node_local = True

        def pre_filter(self, cycle, pod):
            cycle.state["Keeps"] = pod.request("cpu") // 1000

        def filter(self, cycle, pod, nodes):
            return nodes.rows == cycle.state["Keeps"]

    class KeepsMoment(Keeps):
        name = "KeepsMoment"
        node_local = False

    for classes in ((Keeps,), (KeepsMoment,), (Keeps, KeepsMoment)):
        fw = framework(table_of("abcd"), *classes)
        views = [pod(f"p{i}", cpu=i) for i in (1, 2, 3)]
        assert [fw.schedule(view).node for view in (*views, *views)] == ["b", "c", "d"] * 2
