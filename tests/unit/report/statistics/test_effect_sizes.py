"""Effect sizes by hand, against scipy, and on simulated data whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ksched.report import statistics as s


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


@pytest.mark.parametrize(
    ("d", "expected"),
    [
        ([1.0, 2.0, 3.0], 1.0),
        ([-1.0, -2.0], -1.0),
        ([1.0, -2.0, 3.0], (1 + 3 - 2) / 6),
        ([0.0, 1.0, -1.0], 0.0),
        ([0.0, 0.0], 0.0),
        ([2.0, 2.0, -2.0, 5.0], (2 + 2 - 2 + 4) / 10),
    ],
)
def test_rank_biserial_is_the_balance_of_the_ranks(d: list[float], expected: float) -> None:
    assert s.rank_biserial(d) == pytest.approx(expected)


def test_rank_biserial_follows_from_wilcoxons_statistic() -> None:
    d = np.random.default_rng(1).normal(0.5, 1, 30)
    up = stats.wilcoxon(d, alternative="greater").statistic  # the sum of the positive ranks
    assert s.rank_biserial(d) == pytest.approx(2 * up / (30 * 31 / 2) - 1)


def test_cliffs_delta_follows_from_the_mann_whitney_statistic() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 9, 40), rng.integers(1, 11, 25)
    u = stats.mannwhitneyu(x, y).statistic
    assert s.cliffs_delta(x, y) == pytest.approx(2 * u / (40 * 25) - 1)
    assert s.cliffs_delta([5, 6], [1, 2, 3]) == 1.0
    assert s.cliffs_delta([1], [1]) == 0.0


def test_the_relative_difference_is_that_of_the_means() -> None:
    percent, low, high = s.relative_difference([21.0, 23.0, 22.5, 21.5], [19.0, 20.0, 21.0, 20.0])
    assert percent == pytest.approx(10.0)
    assert low < 10.0 < high


def test_more_is_positive_also_from_a_negative_baseline() -> None:
    percent, low, high = s.relative_difference([-9.0, -10.2, -8.9, -9.5], [-10.0, -11.0, -10.1, -10.4])
    assert percent > 0 and low < percent < high


@pytest.mark.parametrize(
    ("values", "baseline", "percent"),
    [
        ([1.0], [2.0], -50.0),  # one pair
        ([3.0] * 4, [2.0] * 4, 50.0),  # the seed changes nothing
        ([1.0, -3.0, 4.0], [1.0, -2.0, 3.0], 0.0),  # the baseline's mean could be zero
        ([1.0, 2.0], [1.0, -1.0], math.nan),  # it is zero
        ([], [], math.nan),
    ],
)
def test_a_relative_difference_without_honest_bounds_has_none(
    values: list[float], baseline: list[float], percent: float
) -> None:
    found = s.relative_difference(values, baseline)
    assert found[0] == pytest.approx(percent, nan_ok=True)
    assert math.isnan(found[1]) and math.isnan(found[2])


def test_the_relative_interval_covers_the_true_ratio_when_the_baseline_varies() -> None:
    """Dividing the interval of the difference by the observed baseline would miss how that varies."""
    rng = np.random.default_rng(8)
    base = rng.normal(10, 3, (2000, 8))
    values = 1.5 * base + rng.normal(0, 0.3, (2000, 8))  # 50 % more
    covered = [low <= 50.0 <= high for _, low, high in map(s.relative_difference, values, base)]
    assert float(np.mean(covered)) == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 2000))
    naive = [
        low <= 0.5 * y.mean() <= high
        for (low, high), y in zip([s.t_interval(x - y) for x, y in zip(values, base, strict=True)], base, strict=True)
    ]
    assert float(np.mean(naive)) > 0.99  # far too wide here: the two vary together
