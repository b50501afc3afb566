"""Intervals of a mean against scipy; their coverage is measured in test_coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ksched.report import statistics as s
from ksched.report.statistics import intervals

RNG = np.random.default_rng(7)
SHORT, LONG = RNG.normal(1, 2, 9), RNG.lognormal(0, 0.8, 40)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_the_t_interval_is_scipys(confidence: float) -> None:
    expected = stats.ttest_1samp(SHORT, 0).confidence_interval(confidence)
    assert s.t_interval(SHORT, confidence=confidence) == pytest.approx(tuple(expected))


def test_the_bca_interval_is_scipys() -> None:
    expected = stats.bootstrap(
        (LONG,), np.mean, n_resamples=s.RESAMPLES, method="BCa", rng=s.generator("k"), batch=500_000 // 40 + 1
    ).confidence_interval
    assert s.bca_interval(LONG, key="k") == (expected.low, expected.high)


def test_the_studentised_interval_is_the_textbook_formula() -> None:
    """One resample at a time, from the same stream, with quantiles at order statistics 25 and 975 of 999."""
    indices = s.generator("k").integers(0, 9, (999, 9))
    t = sorted(stats.ttest_1samp(SHORT[row], SHORT.mean()).statistic for row in indices)
    error = stats.sem(SHORT)
    expected = SHORT.mean() - t[974] * error, SHORT.mean() - t[24] * error
    assert s.studentised_interval(SHORT, key="k", resamples=999) == pytest.approx(expected)


def test_the_studentised_interval_leans_to_the_long_side_of_skewed_values() -> None:
    low, high = s.studentised_interval(LONG, key="k")
    t_low, t_high = s.t_interval(LONG)
    assert low > t_low and high > t_high


def test_batches_do_not_change_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = s.studentised_interval(LONG, key="k", resamples=999)
    monkeypatch.setattr(intervals, "_BATCH", 1000)
    assert s.studentised_interval(LONG, key="k", resamples=999) == pytest.approx(whole)


def test_a_studentised_bound_is_infinite_where_resamples_without_spread_reach_into_the_tail() -> None:
    assert s.studentised_interval([1.0, 2.0, 4.0], key="k") == (-math.inf, math.inf)
    low, high = s.studentised_interval([1.0, 2.0, 4.0, 5.5], key="k")
    assert math.isfinite(low) and math.isfinite(high)


def test_intervals_shrink_with_less_confidence() -> None:
    for method in ("t", "studentised", "BCa"):
        low, high, _ = s.mean_interval(LONG, key="k", method=method, confidence=0.8)
        wide_low, wide_high, _ = s.mean_interval(LONG, key="k", method=method)
        assert wide_low < low < LONG.mean() < high < wide_high


@pytest.mark.parametrize(
    ("values", "options", "complaint"),
    [
        ([1.0], {}, "at least 2"),
        ([1.0, math.nan], {}, "finite"),
        ([[1.0, 2.0]], {}, "flat"),
        ([1.0, 2.0], {"method": "magic"}, "studentised"),
        ([1.0, 2.0], {"method": "studentised", "resamples": 20}, "draw more"),
    ],
)
def test_what_has_no_interval_is_refused(values: list[float], options: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        s.mean_interval(values, **options)  # type: ignore[arg-type]
