"""Choosing: how many nodes are enough, which are looked at, which are best."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksched.framework import selection
from ksched.framework.selection import INFEASIBLE

from .build import filtering, framework, pod, scoring, table_of

ENOUGH = [
    ("below 100 nodes all are looked at", 99, 10, 99),
    ("100 nodes too, for at least 100 are", 100, 10, 100),
    ("never fewer than 100", 150, 10, 100),
    ("a percentage is a percentage", 2000, 30, 600),
    ("rounded down", 1999, 30, 599),
    ("100 percent is everything", 5000, 100, 5000),
    ("adaptive: half less one percent for every 125 nodes", 1000, 0, 420),
    ("adaptive at 5000 nodes", 5000, 0, 500),
    ("adaptive is never below 5 percent", 20000, 0, 1000),
    ("adaptive never below 100 nodes either", 120, 0, 100),
    ("no nodes", 0, 0, 0),
]


@pytest.mark.parametrize(("sentence", "nodes", "percentage", "enough"), ENOUGH, ids=[r[0] for r in ENOUGH])
def test_feasible_nodes_to_find(sentence: str, nodes: int, percentage: int, enough: int) -> None:
    """Upstream: TestNumFeasibleNodesToFind."""
    assert selection.nodes_to_find(nodes, percentage) == enough


SEEN = [
    ("the search ends before the first surplus node", "11111", 0, 2, [0, 1]),
    ("nodes rejected on the way count as looked at", "01101", 0, 2, [0, 1, 2, 3]),
    ("it goes round", "11111", 4, 3, [4, 0, 1]),
    ("without surplus all are looked at", "01010", 2, 2, [2, 3, 4, 0, 1]),
    ("with none feasible too", "000", 1, 2, [1, 2, 0]),
]


@pytest.mark.parametrize(("sentence", "feasible", "start", "wanted", "seen"), SEEN, ids=[r[0] for r in SEEN])
def test_sampling(sentence: str, feasible: str, start: int, wanted: int, seen: list[int]) -> None:
    mask = np.array([c == "1" for c in feasible])
    assert selection.sample(mask, start, wanted).tolist() == seen


def test_the_search_begins_where_the_last_one_ended() -> None:
    """Upstream: nextStartNodeIndex; every node has its turn."""
    names = [f"n{i:03}" for i in range(250)]
    fw = framework(table_of(names), percentage=40)
    seen = []
    for i in range(5):
        decision = fw.schedule(pod(f"p{i}"), top=250)
        assert (decision.feasible, decision.evaluated, decision.nodes) == (100, 100, 250)
        seen.append(sorted(c.node for c in decision.top))
    assert seen[0] == names[:100]
    assert seen[1] == names[100:200]
    assert seen[2] == sorted([*names[200:], *names[:50]])
    assert seen[3] == names[50:150]


def test_a_sampled_record_speaks_of_the_nodes_looked_at_only() -> None:
    names = [f"n{i:03}" for i in range(400)]
    fw = framework(
        table_of(names),
        filtering(lambda pod, nodes: {"odd": nodes.rows % 2 == 1}),
        scoring(lambda pod, nodes: nodes.rows % 100, normalize=lambda s: s - s.min()),
        percentage=25,
    )
    first, second = fw.schedule(pod("a"), top=400), fw.schedule(pod("b"), top=400)
    for decision, rows in ((first, range(200)), (second, range(200, 400))):
        assert (decision.feasible, decision.evaluated) == (100, 200)
        assert [(r.reason, r.nodes) for r in decision.rejections] == [("odd", 100)]
        assert {c.node for c in decision.top} == {names[row] for row in rows if row % 2 == 0}


def test_all_nodes_are_looked_at_when_too_few_fit_and_the_start_stays() -> None:
    names = [f"n{i:03}" for i in range(200)]
    picky = [1]
    fw = framework(
        table_of(names), filtering(lambda pod, nodes: nodes.rows < (90 if picky else 200), local=False), percentage=10
    )
    decision = fw.schedule(pod("a"))
    assert (decision.feasible, decision.evaluated) == (90, 200)
    picky.clear()
    assert sorted(c.node for c in fw.schedule(pod("b"), top=200).top) == names[:100]


@given(
    st.lists(st.one_of(st.just(int(INFEASIBLE)), st.integers(0, 6)), min_size=1, max_size=12).filter(
        lambda totals: max(totals) >= 0
    ),
    st.integers(1, 15),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_the_top_is_the_head_of_the_sorted_feasible_rows(totals: list[int], count: int) -> None:
    array = np.array(totals, dtype=np.int64)
    tied = selection.best(array)
    assert tied.tolist() == [row for row, total in enumerate(totals) if total == max(totals)]
    feasible = [row for row, total in enumerate(totals) if total != INFEASIBLE]
    wanted = sorted(feasible, key=lambda row: (-totals[row], row))[:count]
    assert selection.top(array, tied, count).tolist() == wanted


def test_totals_may_be_large() -> None:
    fw = framework(table_of(["a", "b"]), scoring(lambda pod, nodes: np.array([100, 99])), weights={"S": 2**31 - 1})
    assert fw.schedule(pod()).score == 100 * (2**31 - 1)
