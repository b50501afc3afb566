"""What a Filter may return, what its reasons become, and what it is told when it returns something else."""

from __future__ import annotations

import numpy as np
import pytest

from ksched.errors import PluginError
from ksched.framework import Code, Outcome, Reject, Rejections
from ksched.framework.verdicts import Verdicts
from ksched.tables import NodeView

from .build import filtering, framework, pod, pre_filtering, scoring, table_of

U, UU = Code.UNSCHEDULABLE, Code.UNSCHEDULABLE_AND_UNRESOLVABLE
T, F = True, False


def mask(*values: bool) -> np.ndarray:
    return np.array(values)


FORMS = [
    ("nothing lets every node pass", None, [None, None, None]),
    ("a mask names the nodes to keep", mask(T, F, T), [None, (U, ("node(s) were rejected by P",)), None]),
    ("a mapping names the nodes to reject", {"no": mask(F, F, T)}, [None, None, (U, ("no",))]),
    ("an empty mapping lets every node pass", {}, [None, None, None]),
    ("an empty list too", [], [None, None, None]),
    ("two reasons may meet on a node", {"a": mask(T, T, F), "b": mask(F, T, F)}, [(U, ("a",)), (U, ("a", "b")), None]),
    ("reasons keep the order they were given in",
     {"z": mask(T, F, F), "a": mask(T, F, F)}, [(U, ("z", "a")), None, None]),
    ("a list of rejects says whether evicting helps", [Reject(mask(T, F, F), "never", resolvable=False)],
     [(UU, ("never",)), None, None]),
    ("one reason that evicting does not help is enough",
     [Reject(mask(T, T, F), "full"), Reject(mask(F, T, F), "never", resolvable=False)],
     [(U, ("full",)), (UU, ("full", "never")), None]),
    ("a tuple of rejects is a list", (Reject(mask(F, F, T), "no"),), [None, None, (U, ("no",))]),
    ("rejections are a mapping in one array",
     Rejections(("z", "a"), np.array([[T, T, F], [F, T, F]])), [(U, ("z",)), (U, ("z", "a")), None]),
    ("one reason alone as well", Rejections(("no",), np.array([[F, F, T]])), [None, None, (U, ("no",))]),
    ("rejections for no reason let every node pass", Rejections((), np.zeros((0, 3), dtype=bool)), [None] * 3),
    ("reasons that hold nowhere let every node pass", {"a": mask(F, F, F), "b": mask(F, F, F)}, [None] * 3),
]  # fmt: skip


def encoded(verdicts: Verdicts, result: object, n: int) -> np.ndarray:
    codes = verdicts.encode("P", 0, result, n)
    return np.zeros(n, dtype=np.int32) if codes is None else codes


@pytest.mark.parametrize(("sentence", "result", "told"), FORMS, ids=[r[0] for r in FORMS])
def test_a_filter_may_return(sentence: str, result: object, told: list) -> None:
    verdicts = Verdicts()
    codes = encoded(verdicts, result, 3)
    assert codes.dtype == np.int32
    assert [(verdicts[c].code, verdicts[c].reasons) if c else None for c in codes.tolist()] == told
    assert encoded(verdicts, result, 3).tolist() == codes.tolist(), "the same answer has the same ids"
    assert (verdicts.encode("P", 0, result, 3) is None) == (told == [None, None, None])


@pytest.mark.parametrize("n", [1, 3, 200])
@pytest.mark.parametrize("count", [2, 9, 10, 11, 12, 40, 62, 63, 64, 65, 100])
def test_any_number_of_reasons_may_meet(count: int, n: int) -> None:
    masks = np.random.Generator(np.random.PCG64(count)).random((count, n)) < 0.3
    verdicts = Verdicts()
    codes = encoded(verdicts, {f"r{i}": masks[i] for i in range(count)}, n)
    in_one = encoded(verdicts, Rejections(tuple(f"r{i}" for i in range(count)), masks), n)
    assert in_one.tolist() == codes.tolist(), "however the masks are handed over"
    for row in range(n):
        wanted = tuple(f"r{i}" for i in range(count) if masks[i, row])
        assert (verdicts[codes[row]].reasons if codes[row] else ()) == wanted


@pytest.mark.parametrize("count", [1, 2, 5, 12, 70])
def test_ids_do_not_depend_on_how_many_rows_were_asked_about(count: int) -> None:
    """Rows are asked about again a few at a time: the same reasons must be the same verdict."""
    masks = np.random.Generator(np.random.PCG64(count)).random((count, 60)) < 0.2
    verdicts = Verdicts()
    rejects = [Reject(masks[i], f"r{i}", resolvable=i % 3 > 0) for i in range(count)]
    codes = encoded(verdicts, rejects, 60)
    for size in (1, 2, 7, 30):
        for start in range(0, 60, size):
            rows = slice(start, start + size)
            part = [Reject(r.mask[rows], r.reason, r.resolvable) for r in rejects]
            assert encoded(verdicts, part, len(codes[rows])).tolist() == codes[rows].tolist()


WRONG = [
    ("a number per node", lambda n: np.ones(n), "expected bool"),
    ("a mask of another length", lambda n: np.ones(n + 1, dtype=bool), r"bool\[3\], expected bool\[2\]"),
    ("a mask of two dimensions", lambda n: np.ones((n, 1), dtype=bool), "expected bool"),
    ("one truth value", lambda n: True, "filter returned bool"),
    ("a numpy truth value", lambda n: np.True_, "filter returned"),
    ("a list of truth values", lambda n: [True] * n, "filter returned list"),
    ("a mapping to a list", lambda n: {"no": [True] * n}, "mask for 'no' is list"),
    ("a mapping to another length", lambda n: {"no": np.ones(n + 1, dtype=bool)}, "mask for 'no'"),
    ("a reject of another length", lambda n: [Reject(np.ones(n + 1, dtype=bool), "no")], "mask for 'no'"),
    ("a list that is not all rejects", lambda n: [Reject(np.ones(n, dtype=bool), "no"), 1], "filter returned list"),
    ("a text", lambda n: "no", "filter returned str"),
    ("rejections with a mask too few", lambda n: Rejections(("a", "b"), np.ones((1, n), dtype=bool)),
     r"mask for 'a/b' is bool\[1, 2\], expected bool\[2, 2\]"),
    ("rejections of numbers", lambda n: Rejections(("a",), np.ones((1, n))), r"expected bool\[1, 2\]"),
    ("rejections of a list", lambda n: Rejections(("a",), [[True] * n]), "mask for 'a' is list"),
]  # fmt: skip


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize(("sentence", "result", "message"), WRONG, ids=[r[0] for r in WRONG])
def test_a_filter_that_returns_something_else_is_told(sentence: str, result, message: str, local: bool) -> None:
    fw = framework(table_of("ab"), filtering(lambda pod, nodes: result(len(nodes)), local=local))
    with pytest.raises(PluginError, match=f"(?s)plugin F: .*{message}") as caught:
        fw.schedule(pod())
    assert caught.value.hint, "the error says what to do"


MUTATIONS = [
    ("what is requested", lambda nodes: nodes.requested("cpu").__iadd__(1)),
    ("what is allocatable", lambda nodes: nodes.allocatable("memory").fill(0)),
    ("who is cordoned", lambda nodes: nodes.unschedulable.__setitem__(0, True)),
    ("the names", lambda nodes: nodes.names.sort()),
    ("the devices", lambda nodes: nodes.devices.free.__setitem__(0, 0)),
]


@pytest.mark.parametrize(("what", "mutate"), MUTATIONS, ids=[r[0] for r in MUTATIONS])
def test_a_filter_that_mutates_the_nodes_is_stopped(what: str, mutate) -> None:
    table = table_of(["b", "a"])

    def meddle(pod, nodes):
        mutate(nodes)

    with pytest.raises(PluginError, match=r"plugin F: filter.*read-only") as caught:
        framework(table, filtering(meddle)).schedule(pod())
    assert "work on a copy" in (caught.value.hint or "")
    assert NodeView(table).requested("cpu").tolist() == [0, 0]


def test_a_plugin_that_raises_is_named_with_the_pod_and_the_cause() -> None:
    def broken(pod, nodes):
        return nodes.free("cpu") < 1 / 0

    with pytest.raises(PluginError, match="plugin F: filter for pod team/x raised ZeroDivisionError") as caught:
        framework(table_of("a"), filtering(broken, local=False)).schedule(pod("x", namespace="team"))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_after_a_failure_the_next_decision_is_as_if_nothing_was_cached() -> None:
    table = table_of(["a", "b", "c", "d"])
    trouble = []

    def fits(pod, nodes):
        if trouble:
            raise RuntimeError("oops")
        return {"full": nodes.requested("pods") > 0}

    fw = framework(table, filtering(fits), scoring(lambda pod, nodes: nodes.requested("pods"), name="S"))
    same = pod()
    assert fw.schedule(same).node == "a"
    table.add_pod(pod("other"), "a")
    trouble.append(1)
    with pytest.raises(PluginError, match="oops"):
        fw.schedule(same)
    trouble.clear()
    decision = fw.schedule(same, top=4)
    assert (decision.node, decision.feasible, [c.node for c in decision.top]) == ("b", 3, ["b", "c", "d"])


BLAME = [
    ("the first filter that rejects a node is blamed", (True, True), "F1"),
    ("also when only the first is asked every time", (False, True), "F1"),
    ("or only the second", (True, False), "F1"),
    ("or both", (False, False), "F1"),
]


@pytest.mark.parametrize(("sentence", "local", "plugin"), BLAME, ids=[r[0] for r in BLAME])
def test_blame(sentence: str, local: tuple[bool, bool], plugin: str) -> None:
    filters = [
        filtering(lambda pod, nodes, i=i: {f"r{i}": nodes.names != f"keep{i}"}, name=f"F{i}", local=local[i - 1])
        for i in (1, 2)
    ]
    decision = framework(table_of(["a", "b", "keep1"]), *filters).schedule(pod())
    assert {(r.plugin, r.reason, r.nodes) for r in decision.rejections} == {("F1", "r1", 2), ("F2", "r2", 1)}
    assert decision.plugins == {"F1", "F2"}


def test_a_pod_is_placed_by_all_filters_together() -> None:
    fw = framework(
        table_of([str(i) for i in range(12)]),
        filtering(lambda pod, nodes: nodes.names.astype(int) % 2 == 0, name="Even"),
        filtering(lambda pod, nodes: nodes.names.astype(int) % 3 == 0, name="Threes", local=False),
    )
    decision = fw.schedule(pod(), top=12)
    assert decision.outcome is Outcome.SCHEDULED
    assert sorted(c.node for c in decision.top) == ["0", "6"]
    assert decision.feasible == 2
    assert decision.evaluated == 12


def test_without_any_plugin_every_node_is_as_good() -> None:
    decision = framework(table_of(["b", "a"])).schedule(pod(), top=5)
    assert (decision.node, decision.score, decision.tied, decision.feasible) == ("a", 1, 2, 2)
    assert [(c.total, c.scores) for c in decision.top] == [(1, {}), (1, {})]


def test_without_nodes_no_plugin_is_asked() -> None:
    def never(*_args):
        raise AssertionError

    fw = framework(table_of([]), pre_filtering(never), filtering(never, local=False), scoring(never))
    decision = fw.schedule(pod())
    assert decision.outcome is Outcome.UNSCHEDULABLE
    assert decision.message() == "no nodes available to schedule pods"
    assert decision.plugins == frozenset(), "it is retried after back-off, without waiting for an event"


def test_rejections_of_one_reason_are_one_line_whatever_else_the_nodes_lack() -> None:
    result = [
        ("full", lambda nodes: nodes.names != "c", True),
        ("taken", lambda nodes: nodes.names == "a", True),
    ]
    fw = framework(
        table_of(["a", "b", "c"]),
        filtering(lambda pod, nodes: [Reject(m(nodes), reason, resolvable=r) for reason, m, r in result]),
    )
    decision = fw.schedule(pod())
    assert [(r.reason, r.nodes) for r in decision.rejections] == [("full", 2), ("taken", 1)]
