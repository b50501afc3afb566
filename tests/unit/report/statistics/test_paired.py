"""A paired comparison as a whole, against scipy, and what it refuses to infer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ksched.report import paired_difference
from ksched.report import statistics as s

RNG = np.random.default_rng(2024)
A = RNG.normal(10.4, 2, 12)
B = RNG.normal(10, 2, 12)
LONG_A, LONG_B = RNG.lognormal(1.2, 0.8, 40), RNG.lognormal(1.0, 0.8, 40)


def test_interval_and_p_below_thirty_pairs_are_those_of_scipys_paired_t_test() -> None:
    found = paired_difference(A, B)
    expected = stats.ttest_rel(A, B)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert found.p == pytest.approx(expected.pvalue)
    assert found.p_wilcoxon == pytest.approx(stats.wilcoxon(A, B).pvalue)
    assert (found.n, found.method, found.note) == (12, "t", "")
    assert found.difference == pytest.approx(np.mean(A) - np.mean(B))


def test_interval_from_thirty_pairs_on_is_the_bca_bootstrap_of_the_differences() -> None:
    found = paired_difference(LONG_A, LONG_B, key="k")
    assert (found.low, found.high) == s.bca_interval(LONG_A - LONG_B, key="k")
    assert found.method == "BCa bootstrap"
    assert found.p == pytest.approx(stats.ttest_rel(LONG_A, LONG_B).pvalue)


def test_another_interval_can_be_asked_for() -> None:
    found = paired_difference(A, B, key="k", interval="studentised")
    assert (found.low, found.high) == s.studentised_interval(A - B, key="k")
    assert found.method == "studentised bootstrap"
    assert paired_difference(LONG_A, LONG_B, interval="t").method == "t"


def test_every_number_depends_on_the_key_and_on_no_global_state() -> None:
    first = paired_difference(LONG_A, LONG_B, key="one")
    np.random.seed(1)
    paired_difference(LONG_B, LONG_A, key="something else in between")
    assert paired_difference(LONG_A, LONG_B, key="one") == first
    other = paired_difference(LONG_A, LONG_B, key="two")
    assert other.low != first.low
    assert other.p_permutation != first.p_permutation


def test_bootstrap_of_nearly_constant_differences_still_gives_an_interval() -> None:
    d = np.zeros(35)
    d[7] = 1.0
    found = paired_difference(np.arange(35) + d, np.arange(35))
    assert found.low <= found.difference <= found.high


NOTES = [
    # what the replicates look like, values, baseline, note, p
    ("one pair has no interval", [3.0], [2.0], s.SINGLE, math.nan),
    ("no pair at all", [], [], s.NO_PAIRS, math.nan),
    ("all replicates alike are no replication", [3.0] * 5, [2.0] * 5, s.NO_REPLICATION, math.nan),
    ("all alike and equal are no replication either", [2.0] * 5, [2.0] * 5, s.NO_REPLICATION, math.nan),
    ("varying but equal in every pair", [1.0, 2.0, 4.0], [1.0, 2.0, 4.0], s.TIED, 1.0),
    ("equal but for rounding error", [0.1 + 0.2, 1.0, 2.0], [0.3, 1.0, 2.0], s.TIED, 1.0),
    ("the same difference in every pair", [2.0, 3.0, 5.0], [1.0, 2.0, 4.0], s.CONSTANT, 0.25),
    ("pairs with a NaN are left out", [1.0, math.nan, 4.0], [2.0, 3.0, math.nan], s.SINGLE, math.nan),
]


@pytest.mark.parametrize(("values", "baseline", "note", "p"), [row[1:] for row in NOTES], ids=[row[0] for row in NOTES])
def test_what_cannot_be_inferred_is_not(values: list[float], baseline: list[float], note: str, p: float) -> None:
    found = paired_difference(values, baseline)
    assert found.note == note
    assert math.isnan(found.low) and math.isnan(found.high) and math.isnan(found.effect)
    for tested in (found.p, found.p_wilcoxon, found.p_permutation):
        assert tested == p or (math.isnan(tested) and math.isnan(p))


def test_samples_of_different_lengths_are_a_defect() -> None:
    with pytest.raises(ValueError, match="equally long"):
        paired_difference([1.0, 2.0], [1.0])


def test_pairs_are_matched_by_key_in_the_order_of_the_baseline() -> None:
    x, y = s.matched({43: 3.0, 42: 1.0, 99: 7.0}, {42: 10.0, 43: 30.0, 7: 5.0})
    assert x.tolist() == [1.0, 3.0]
    assert y.tolist() == [10.0, 30.0]
    assert paired_difference(*s.matched({1: 2.0}, {2: 2.0})).note == s.NO_PAIRS
