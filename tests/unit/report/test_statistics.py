"""Statistics against scipy, against hand calculation, and on simulated data whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ksched.report import holm, paired_difference
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


def test_interval_from_thirty_pairs_on_is_scipys_bca_bootstrap_of_the_differences() -> None:
    found = paired_difference(LONG_A, LONG_B, key="k")
    expected = stats.bootstrap(
        (LONG_A - LONG_B,),
        np.mean,
        n_resamples=s.RESAMPLES,
        method="BCa",
        rng=s.generator("k"),
        batch=500_000 // 40 + 1,
    ).confidence_interval
    assert (found.low, found.high) == (expected.low, expected.high)
    assert found.method == "BCa bootstrap"
    assert found.p == pytest.approx(stats.ttest_rel(LONG_A, LONG_B).pvalue)


def test_bootstrap_depends_on_its_key_and_on_no_global_state() -> None:
    first = paired_difference(LONG_A, LONG_B, key="one")
    np.random.seed(1)
    paired_difference(LONG_B, LONG_A, key="something else in between")
    assert paired_difference(LONG_A, LONG_B, key="one") == first
    assert paired_difference(LONG_A, LONG_B, key="two").low != first.low


def test_bootstrap_of_nearly_constant_differences_still_gives_an_interval() -> None:
    d = np.zeros(35)
    d[7] = 1.0
    found = paired_difference(np.arange(35) + d, np.arange(35))
    assert found.low <= found.difference <= found.high


RANKED = [
    ("no ties", [1.0, -2.0, 3.0, 4.5, 5.0, -6.5, 7.0]),
    ("ties", [1.0, 1.0, -2.0, 3.0, 3.0, 4.0]),
    ("the smallest sample", [1.0]),
    ("zeros are dropped", [0.0, 1.0, 2.0, -3.0, 5.0, 5.0]),
    ("all of one sign", [1.0, 2.0, 2.0, 4.0, 5.0]),
    ("more than are enumerated", [float(x) for x in range(-4, 14)]),
]


@pytest.mark.parametrize("d", [row[1] for row in RANKED], ids=[row[0] for row in RANKED])
def test_the_rank_test_is_scipys(d: list[float]) -> None:
    assert s.wilcoxon_p(d) == pytest.approx(stats.wilcoxon(d).pvalue)


NOTES = [
    # what the replicates look like, values, baseline, note, low is known, p
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
    assert found.p == p or (math.isnan(found.p) and math.isnan(p))


def test_samples_of_different_lengths_are_a_defect() -> None:
    with pytest.raises(ValueError, match="equally long"):
        paired_difference([1.0, 2.0], [1.0])


def test_hedges_g_is_d_z_times_the_small_sample_factor() -> None:
    d = np.array([1.0, 2.0, 4.0, 3.0, 1.5, 0.5])
    d_z = d.mean() / d.std(ddof=1)
    # Hedges' approximation 1 - 3 / (4 df - 1) of the exact factor is good to three digits here.
    assert s.hedges_g(d) == pytest.approx(d_z * (1 - 3 / (4 * 5 - 1)), rel=2e-3)
    assert math.isnan(s.hedges_g([1.0, 2.0])) and math.isnan(s.hedges_g([2.0, 2.0, 2.0]))


def test_hedges_g_is_unbiased_where_d_z_is_not() -> None:
    samples = np.random.default_rng(5).normal(0.8, 1.0, (4000, 6))
    g = np.mean([s.hedges_g(row) for row in samples])
    d_z = np.mean(samples.mean(axis=1) / samples.std(axis=1, ddof=1))
    assert g == pytest.approx(0.8, abs=0.03)
    assert d_z > 0.9


HOLM = [
    ("the textbook example", [0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
    ("order of the input is kept", [0.5, 0.001], [0.5, 0.002]),
    ("never above one", [0.6, 0.7, 0.9], [1.0, 1.0, 1.0]),
    ("what was not tested does not count", [0.02, math.nan, 0.04], [0.04, math.nan, 0.04]),
    ("a single test stays", [0.04], [0.04]),
    ("an empty family", [], []),
]


@pytest.mark.parametrize(("p", "adjusted"), [row[1:] for row in HOLM], ids=[row[0] for row in HOLM])
def test_holm(p: list[float], adjusted: list[float]) -> None:
    assert holm(p).tolist() == pytest.approx(adjusted, nan_ok=True)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_the_order(p: list[float]) -> None:
    adjusted = holm(p)
    assert (adjusted >= np.array(p)).all()
    assert (adjusted <= np.minimum(1.0, np.array(p) * len(p)) + 1e-12).all() or len(p) > 1
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
    assert (adjusted <= 1).all()


@pytest.mark.parametrize(
    ("n", "draw", "least"),
    [
        (5, "normal", 0.93),
        (10, "normal", 0.93),
        (10, "skewed", 0.86),
        (30, "skewed", 0.87),
        (100, "skewed", 0.90),
    ],
)
def test_ninety_five_percent_intervals_cover_the_truth(n: int, draw: str, least: float) -> None:
    """Coverage over simulated experiments; skewed = lognormal(0, 0.8) differences, the hard case for any interval."""
    rounds = 2000 if n < s.BOOTSTRAP_FROM else 300
    rng = np.random.default_rng([n, len(draw)])
    samples = rng.normal(0.3, 1, (rounds, n)) if draw == "normal" else rng.lognormal(0, 0.8, (rounds, n))
    truth = 0.3 if draw == "normal" else math.exp(0.8**2 / 2)
    intervals = [s.mean_interval(row, key=str(i), resamples=999) for i, row in enumerate(samples)]
    coverage = float(np.mean([low <= truth <= high for low, high, _ in intervals]))
    print(f"coverage of 95 % intervals, n={n}, {draw}: {coverage:.3f}")
    assert least <= coverage <= 0.985
