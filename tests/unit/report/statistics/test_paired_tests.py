"""Tests of paired differences against scipy, and their error rate on simulated data without an effect."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from ksched.report import statistics as s

SAMPLES = [
    ("the smallest sample", [1.0]),
    ("no ties", [1.0, -2.0, 3.0, 4.5, 5.0, -6.5, 7.0]),
    ("ties", [1.0, 1.0, -2.0, 3.0, 3.0, 4.0]),
    ("zeros", [0.0, 1.0, 2.0, -3.0, 5.0, 5.0]),
    ("all of one sign", [1.0, 2.0, 2.0, 4.0, 5.0]),
    ("decimal ties", [0.1, 0.2, -0.3, 0.1, 0.6, 0.7]),
]
LONG = [float(x) for x in range(-4, 14)]


@pytest.mark.parametrize("d", [*(row[1] for row in SAMPLES), LONG], ids=[*(row[0] for row in SAMPLES), "long"])
def test_the_rank_test_is_scipys(d: list[float]) -> None:
    assert s.wilcoxon_p(d) == pytest.approx(stats.wilcoxon(d).pvalue)


@pytest.mark.parametrize("d", [row[1] for row in SAMPLES[1:]], ids=[row[0] for row in SAMPLES[1:]])
def test_the_exact_permutation_test_is_scipys(d: list[float]) -> None:
    expected = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf)
    # scipy doubles the smaller tail; the statistic is symmetric, so that is the same up to its cap at one.
    assert s.permutation_p(d) == pytest.approx(min(1.0, expected.pvalue))


def test_the_drawn_permutation_test_comes_close_to_the_exact_p() -> None:
    d = np.random.default_rng(3).normal(0.4, 1, 16)
    exact = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    drawn = s.permutation_p(d, key="k")
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 9999))
    assert drawn == s.permutation_p(d, key="k") != s.permutation_p(d, key="another")


def test_one_difference_could_always_be_chance() -> None:
    assert s.permutation_p([3.0]) == s.wilcoxon_p([3.0]) == 1.0


def test_a_drawn_p_is_never_zero() -> None:
    assert s.permutation_p(np.linspace(10, 11, 40)) == 1 / 10_000


def test_differences_that_are_all_zero_are_no_evidence() -> None:
    assert s.permutation_p([0.0] * 20) == s.wilcoxon_p([0.0] * 20) == 1.0
    assert math.isnan(s.t_test_p([0.0] * 20))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_no_test_depends_on_which_policy_is_called_the_baseline(d: list[float]) -> None:
    flipped = [-x for x in d]
    assert s.permutation_p(d) == s.permutation_p(flipped)
    assert s.wilcoxon_p(d) == pytest.approx(s.wilcoxon_p(flipped))


@pytest.mark.parametrize("test", [s.t_test_p, s.permutation_p, s.wilcoxon_p])
def test_without_an_effect_one_test_in_twenty_rejects_at_most(test: Callable[[NDArray[np.float64]], float]) -> None:
    """1,500 experiments of eight pairs; the bounds are 0.05 plus or minus three Monte Carlo standard errors, and the
    attainable levels of the discrete tests lie just below 0.05."""
    samples = np.random.default_rng(11).normal(0, 1, (1500, 8))
    rate = float(np.mean([test(d) <= 0.05 for d in samples]))
    assert 0.025 <= rate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1500)
