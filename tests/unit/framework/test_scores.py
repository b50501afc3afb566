"""Scores: shapes, normalisation, weights, ties and errors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksched.errors import PluginError
from ksched.framework import DefaultNormalizer, MinMaxNormalizer, PreFilterResult, Status, TieBreak

from .build import SKIP, filtering, framework, pod, pre_filtering, scoring, table_of

NODES = ("a", "b", "c")


def by_name(*values):
    """The score of a, b and c."""
    return lambda pod, nodes: np.array([values[NODES.index(name)] for name in nodes.names.tolist()])


def totals(*classes: type, **options) -> dict[str, int]:
    decision = framework(table_of(NODES), *classes, **options).schedule(pod(), top=9)
    return {c.node: c.total for c in decision.top}


def normalized(*scores, **options) -> list[int]:
    got = totals(scoring(by_name(*scores), **options))
    return [got[name] for name in NODES]


HALF = DefaultNormalizer()
REVERSED = DefaultNormalizer(reverse=True)
STRETCH = MinMaxNormalizer()

NORMALISED = [
    ("scores in range stay as they are", (0, 50, 100), {}, [0, 50, 100]),
    ("floats are truncated toward zero", (0.9, 50.999, 99.9999), {}, [0, 50, 99]),
    ("the default scales by the maximum", (1, 2, 4), {"normalizer": HALF}, [25, 50, 100]),
    ("truncating as Go does", (1, 2, 3), {"normalizer": HALF}, [33, 66, 100]),
    ("and may be reversed", (1, 2, 3), {"normalizer": REVERSED}, [67, 34, 0]),
    ("nothing but zeros stays zero", (0, 0, 0), {"normalizer": HALF}, [0, 0, 0]),
    ("or is the best there is when reversed", (0, 0, 0), {"normalizer": REVERSED}, [100, 100, 100]),
    ("floats are not truncated before they are scaled", (0.25, 0.5, 2.5), {"normalizer": HALF}, [10, 20, 100]),
    ("a maximum below one is a maximum", (0.1, 0.2, 0.4), {"normalizer": HALF}, [25, 50, 100]),
    ("stretching goes from 0 to 100", (-5, 0, 5), {"normalizer": STRETCH}, [0, 50, 100]),
    ("equal scores say nothing", (7, 7, 7), {"normalizer": STRETCH}, [0, 0, 0]),
    ("stretching truncates integers", (0, 1, 3), {"normalizer": STRETCH}, [0, 33, 100]),
    ("and floats afterwards", (0.0, 0.1, 0.3), {"normalizer": STRETCH}, [0, 33, 100]),
    ("a method of its own sees all feasible scores",
     (3, 1, 2), {"normalize": lambda s: 100 * s // s.sum()}, [50, 16, 33]),
    ("which may be floats", (3, 1, 2), {"normalize": lambda s: 100 * s / s.sum()}, [50, 16, 33]),
    ("small integer types are fine", (np.int8(1), np.int8(2), np.int8(100)), {"normalizer": HALF}, [1, 2, 100]),
]  # fmt: skip


@pytest.mark.parametrize("local", [True, False], ids=["local", "asked every time"])
@pytest.mark.parametrize(("sentence", "raw", "options", "wanted"), NORMALISED, ids=[r[0] for r in NORMALISED])
def test_normalisation(sentence: str, raw: tuple, options: dict, wanted: list[int], local: bool) -> None:
    assert normalized(*raw, local=local, **options) == wanted


@pytest.mark.parametrize("local", [True, False], ids=["local", "asked every time"])
@pytest.mark.parametrize(
    "options", [{"normalizer": HALF}, {"normalizer": STRETCH}, {"normalize": lambda s: s * 100 // s.max()}]
)
def test_infeasible_nodes_have_no_say_in_normalisation(options: dict, local: bool) -> None:
    keep = filtering(lambda pod, nodes: nodes.names != "c", name="NotC", local=local)
    got = totals(keep, scoring(by_name(0, 50, 1000), local=local, **options))
    assert got == {"a": 0, "b": 100}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 101, 1000, -0.5, 100.5])
def test_an_infeasible_node_may_have_any_score(value: float) -> None:
    keep = filtering(lambda pod, nodes: nodes.names != "c", name="NotC")
    assert totals(keep, scoring(by_name(1.0, 2.0, value))) == {"a": 1, "b": 2}


@given(st.lists(st.floats(0, 1e12, allow_subnormal=False), min_size=1, max_size=6), st.booleans())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_declared_normalisers_never_leave_the_range(raw: list[float], reverse: bool) -> None:
    scores = np.array(raw)
    for normalizer in (DefaultNormalizer(reverse=reverse), MinMaxNormalizer()):
        got = normalizer.apply(scores, normalizer.inputs(scores))
        assert ((got >= 0) & (got <= 100)).all(), (raw, got)


STRETCHED = [
    ("equal scores", (7, 7), True),
    ("integers", (-(2**40), 0, 2**40), True),
    ("floats", (-1.5, 1e9), True),
    ("a range that overflows when multiplied", (0, 2**62), False),
    ("a range that does not fit an integer", (-(2**63), 2**63 - 1), False),
    ("a range that does not fit a float", (-1.7e308, 1.7e308), False),
    ("infinity", (0.0, float("inf")), False),
    ("nothing but infinity", (float("inf"), float("inf")), False),
    ("what is no number", (0.0, float("nan"), 1.0), False),
]


@pytest.mark.parametrize(("what", "raw", "sure"), STRETCHED, ids=[r[0] for r in STRETCHED])
@np.errstate(all="ignore")
def test_a_stretch_says_when_nobody_need_look_at_what_comes_out(what: str, raw: tuple, sure: bool) -> None:
    scores = np.array(raw)
    inputs = STRETCH.inputs(scores)
    assert STRETCH.within_bounds(inputs) is sure
    if sure:
        got = STRETCH.apply(scores, inputs)
        assert ((got >= 0) & (got <= 100)).all()


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=6), st.booleans())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_the_default_normaliser_is_upstreams_integer_arithmetic(raw: list[int], reverse: bool) -> None:
    scores = np.array(raw)
    normalizer = DefaultNormalizer(reverse=reverse)
    highest = max(raw)
    wanted = [(100 * s // highest if highest else 0) for s in raw]
    assert normalizer.apply(scores, normalizer.inputs(scores)).tolist() == [100 - w if reverse else w for w in wanted]


WRONG = [
    ("a list", lambda n: [1] * n, r"score returned list, expected int64\[3\]"),
    ("nothing", lambda n: None, "score returned NoneType"),
    ("another length", lambda n: np.ones(n + 1), r"score returned float64\[4\], expected int64\[3\]"),
    ("one number", lambda n: np.int64(3), "score returned int64"),
    ("truth values", lambda n: np.ones(n, dtype=bool), r"score returned bool\[3\]"),
    ("texts", lambda n: np.array(["1"] * n), "score returned <U1"),
    ("objects", lambda n: np.array([1] * n, dtype=object), "score returned object"),
    ("a column", lambda n: np.ones((n, 1)), r"score returned float64\[3, 1\]"),
]


@pytest.mark.parametrize("local", [True, False], ids=["local", "asked every time"])
@pytest.mark.parametrize(("sentence", "result", "message"), WRONG, ids=[r[0] for r in WRONG])
def test_a_score_that_is_not_one_number_per_node_is_told(sentence: str, result, message: str, local: bool) -> None:
    with pytest.raises(PluginError, match=f"plugin S: {message}"):
        totals(scoring(lambda pod, nodes: result(len(nodes)), local=local))


@pytest.mark.parametrize("local", [True, False], ids=["local", "asked every time"])
def test_a_normalize_score_that_forgets_to_return_is_named(local: bool) -> None:
    with pytest.raises(PluginError, match="plugin S: normalize_score returned NoneType"):
        totals(scoring(by_name(1, 2, 3), normalize=lambda s: None, local=local))


OUT_OF_RANGE = [
    ("a score above 100", (1, 101, 3), {}, "score of node b is 101 after"),
    ("a negative score", (1, 2, -3), {}, "score of node c is -3 after"),
    ("a float below zero", (1, 2, -0.1), {}, "score of node c is -0.1 after"),
    ("NaN", (float("nan"), 2, 3), {}, "score of node a is nan after"),
    ("infinity", (1, 2, float("inf")), {}, "score of node c is inf after"),
    ("NaN under the default", (1.0, float("nan"), 3), {"normalizer": HALF}, "score of node b is nan after"),
    ("infinity under the default", (1.0, float("inf"), 3), {"normalizer": HALF}, "score of node b is nan after"),
    ("NaN when stretched", (1.0, float("nan"), 3), {"normalizer": STRETCH}, "score of node b is nan after"),
    ("a negative under the default", (1, -2, 3), {"normalizer": HALF}, "score of node b is -67 after"),
    ("what a method of its own made", (1, 2, 3), {"normalize": lambda s: s + 99}, "score of node b is 101 after"),
]


@pytest.mark.parametrize("local", [True, False], ids=["local", "asked every time"])
@pytest.mark.parametrize(("sentence", "raw", "options", "message"), OUT_OF_RANGE, ids=[r[0] for r in OUT_OF_RANGE])
def test_out_of_range_names_plugin_node_and_value(
    sentence: str, raw: tuple, options: dict, message: str, local: bool
) -> None:
    with pytest.raises(PluginError, match=f"plugin S: {message}"):
        totals(scoring(by_name(*raw), local=local, **options))


def test_a_bad_row_is_reported_when_it_becomes_feasible_and_not_before() -> None:
    table = table_of(NODES)
    blocker = pod("blocker")
    table.add_pod(blocker, "c")
    fw = framework(
        table,
        filtering(lambda pod, nodes: nodes.requested("pods") == 0),
        scoring(by_name(1, 2, 300)),
    )
    same = pod()
    assert fw.schedule(same).node == "b"
    table.remove_pod(blocker.uid)
    with pytest.raises(PluginError, match="node c is 300"):
        fw.schedule(same)
    table.add_pod(blocker, "c")
    assert fw.schedule(same).node == "b"


def test_weights_multiply_after_truncation() -> None:
    first = scoring(by_name(1.9, 0, 0), name="S1")
    second = scoring(by_name(0, 1, 0), name="S2", local=False)
    assert totals(first, second, weights={"S1": 10, "S2": 25}) == {"a": 10, "b": 25, "c": 0}


def test_candidates_carry_each_plugins_weighted_score() -> None:
    classes = (scoring(by_name(1, 2, 3), name="S1"), scoring(by_name(9, 9, 0), name="S2", local=False))
    decision = framework(table_of(NODES), *classes, weights={"S1": 2}).schedule(pod(), top=2)
    assert [(c.node, c.total, c.scores) for c in decision.top] == [
        ("b", 13, {"S1": 4, "S2": 9}),
        ("a", 11, {"S1": 2, "S2": 9}),
    ]


def pre_scoring(answer, *, name: str = "S", local: bool = True) -> type:
    cls = scoring(by_name(100, 0, 0), name=name, local=local)
    cls.pre_score = lambda self, cycle, pod, nodes: answer(nodes)
    return cls


@pytest.mark.parametrize("local", [True, False], ids=["local", "asked every time"])
def test_a_score_skipped_in_pre_score_counts_nothing(local: bool) -> None:
    other = scoring(by_name(0, 1, 0), name="Other")
    assert totals(pre_scoring(lambda nodes: SKIP, local=local), other) == {"a": 0, "b": 1, "c": 0}
    assert totals(pre_scoring(lambda nodes: None, local=local), other)["a"] == 100


@pytest.mark.parametrize("narrowed", [True, False])
def test_when_every_score_is_skipped_totals_are_zero_whatever_way_nodes_were_found(narrowed: bool) -> None:
    """Upstream gives 1 to every node only where a profile has no Score plugin at all."""
    answer = PreFilterResult(frozenset(NODES)) if narrowed else SKIP
    quiet = pre_filtering(lambda pod: answer)
    quiet.filter = lambda self, cycle, pod, nodes: None
    assert totals(quiet, pre_scoring(lambda nodes: SKIP)) == {"a": 0, "b": 0, "c": 0}
    assert totals(quiet) == {"a": 1, "b": 1, "c": 1}


def test_a_failing_pre_score_is_an_error() -> None:
    with pytest.raises(PluginError, match="plugin S: pre_score failed: oops"):
        totals(pre_scoring(lambda nodes: Status.error("oops"), local=False))


def test_a_local_pre_score_that_reads_the_nodes_is_told() -> None:
    with pytest.raises(PluginError, match="node_local but its pre_score reads the nodes"):
        totals(pre_scoring(lambda nodes: SKIP if nodes.free("cpu").sum() else None))


def test_a_moment_plugin_scores_exactly_the_feasible_nodes() -> None:
    seen = []
    cls = scoring(lambda pod, nodes: seen.append(nodes.names.tolist()) or np.zeros(len(nodes)), local=False)
    cls.pre_score = lambda self, cycle, pod, nodes: seen.append(nodes.names.tolist())
    totals(filtering(lambda pod, nodes: nodes.names != "b"), cls)
    assert seen == [["a", "c"], ["a", "c"]]


def test_nothing_is_scored_when_nothing_fits() -> None:
    def never(*_args):
        raise AssertionError

    for answer in (None, PreFilterResult(frozenset({"a"}))):
        for local in (True, False):
            cls = scoring(never, local=local)
            if not local:
                cls.pre_score = never
            decision = framework(table_of(NODES), pre_filtering(lambda pod, a=answer: a), cls).schedule(pod())
            assert decision.node is None


def test_a_plugin_may_return_an_array_it_keeps() -> None:
    kept = np.zeros(3, dtype=np.int64)
    table = table_of(NODES)
    fw = framework(
        table,
        scoring(lambda pod, nodes: nodes.requested("pods") if len(nodes) < 3 else kept),
    )
    fw.schedule(pod())
    table.add_pod(pod("x"), "a")
    fw.schedule(pod())
    assert kept.tolist() == [0, 0, 0]


# -- ties -----------------------------------------------------------------------------------------------------------


def test_ties_are_broken_by_the_smallest_name_on_request() -> None:
    table = table_of(["c", "b", "a2", "a10"])
    decision = framework(table, tie_break=TieBreak.NAME).schedule(pod(), top=2)
    assert (decision.node, decision.tied) == ("a10", 4)
    assert decision.top[0].node == "a10", "the chosen node leads its record"


def test_ties_are_broken_by_the_seed_evenly_and_repeatably() -> None:
    table = table_of(["a", "b", "c", "d"])

    def choices(seed: int) -> list[str]:
        fw = framework(table, seed=seed, tie_break=TieBreak.RANDOM)
        return [fw.schedule(pod(f"p{i}")).node for i in range(400)]

    first = choices(1)
    assert first == choices(1)
    assert first != choices(2)
    assert all(70 <= first.count(name) <= 130 for name in "abcd")


def test_ties_depend_on_the_attempt_and_the_workload_not_on_who_came_before() -> None:
    table = table_of([f"n{i}" for i in range(50)])
    fw = framework(table, tie_break=TieBreak.RANDOM)
    view = pod("p")
    alone = [fw.schedule(view, fw.new_cycle(view, attempt=i)).node for i in (1, 2, 3)]
    fw.schedule(pod("q"))
    assert [fw.schedule(view, fw.new_cycle(view, attempt=i)).node for i in (3, 2, 1)] == alone[::-1]
    assert len(set(alone)) > 1
    twin = pod("other-name", annotations={"ksched.dev/workload": "default/p"})
    assert fw.schedule(twin).node == alone[0], "pods of one workload are paired whatever their names"


@pytest.mark.parametrize("changed", ["a", "b", "c"])
@pytest.mark.parametrize("normalizer", [HALF, REVERSED, STRETCH])
def test_scores_that_were_all_equal_are_normalised_anew_when_one_changes(normalizer: object, changed: str) -> None:
    table = table_of(NODES)
    cls = scoring(lambda pod, nodes: nodes.requested("pods") + 1, normalizer=normalizer)
    fw, view = framework(table, cls), pod()
    fw.schedule(view)
    for other in (changed, changed, "b"):
        table.add_pod(pod(f"p{len(table._node_of)}"), other)
        told = fw.schedule(view, top=3)
        assert told.top == framework(table, cls).schedule(view, top=3).top
    for uid in ("default/p2", "default/p1", "default/p0"):
        table.remove_pod(uid)
        assert fw.schedule(view, top=3).top == framework(table, cls).schedule(view, top=3).top


@pytest.mark.parametrize("normalizer", [HALF, REVERSED, STRETCH])
def test_a_node_that_leaves_or_joins_the_feasible_ones_moves_the_normalisation(normalizer: object) -> None:
    table = table_of(NODES)
    full = filtering(lambda pod, nodes: nodes.requested("pods") == 0, name="Empty")
    cls = scoring(lambda pod, nodes: (nodes.rows + 1) ** 2, normalizer=normalizer)
    fw, view = framework(table, full, cls), pod()
    for change in ("", "c", "a", "-c", "-a", "b"):
        if change.startswith("-"):
            table.remove_pod(f"default/on-{change[1:]}")
        elif change:
            table.add_pod(pod(f"on-{change}"), change)
        assert fw.schedule(view, top=3).top == framework(table, full, cls).schedule(view, top=3).top


def test_scores_that_become_equal_are_normalised_afresh_though_their_maximum_stays() -> None:
    used = scoring(lambda pod, nodes: nodes.requested("cpu"), local=True, normalizer=HALF)
    table = table_of(NODES)
    for name, milli in zip(NODES, ("500m", "500m", "1000m"), strict=True):
        table.add_pod(pod(f"on-{name}", cpu=milli), name)
    asked, incoming = framework(table, used), pod()
    assert [c.total for c in asked.schedule(incoming, top=9).top] == [100, 50, 50]
    for name in ("a", "b"):
        table.add_pod(pod(f"more-on-{name}", cpu="500m"), name)
    assert [c.total for c in asked.schedule(incoming, top=9).top] == [100, 100, 100]
