"""Resampling of one trace: block lengths and coverage where the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal, stats

from ksched.report import statistics as s
from ksched.report.statistics import resampling


def autoregressive(n: int, rho: float, seed: int) -> NDArray[np.float64]:
    """A stationary series x[t] = rho x[t-1] + noise, true mean zero."""
    noise = np.random.default_rng(seed).normal(0, 1, n + 200)
    return np.asarray(signal.lfilter([1.0], [1.0, -rho], noise)[200:])


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.8])
def test_the_block_length_is_about_the_optimum_of_an_autoregressive_series(rho: float) -> None:
    n = 4000
    optimum = (6 * rho**2 / (1 - rho**2) ** 2 * n) ** (1 / 3)
    chosen = float(np.median([s.block_length(autoregressive(n, rho, seed)) for seed in range(25)]))
    assert chosen == pytest.approx(optimum, rel=0.2)


def test_uncorrelated_and_constant_series_have_short_blocks() -> None:
    noise = np.random.default_rng(1).normal(0, 1, (40, 1000))
    assert np.median([s.block_length(row) for row in noise]) <= 4
    assert s.block_length([2.0] * 50) == 1


def test_a_trend_is_capped_at_a_third_of_the_series() -> None:
    assert s.block_length(np.arange(30)) <= 10


@pytest.mark.parametrize("kind", ["circular", "moving"])
def test_blocks_keep_neighbours_together(kind: str) -> None:
    drawn = next(resampling._block_indices(20, 5, kind, s.generator("k"), 1)).reshape(4, 5)
    steps = np.diff(drawn, axis=1)
    assert (steps == 1).all() if kind == "moving" else (steps % 20 == 1).all()
    assert drawn.min() >= 0 and drawn.max() < 20


def test_block_intervals_cover_the_mean_of_a_correlated_series_where_single_values_do_not() -> None:
    """100 series of 400 correlated moments. Blocks fall a little short of 95 %; single values are hopeless."""
    blocks, singles = 0, 0
    for seed in range(100):
        series = autoregressive(400, 0.7, seed)
        found = s.block_bootstrap(series, key=str(seed), resamples=149)
        blocks += found.low <= 0.0 <= found.high
        found = s.block_bootstrap(series, length=1, key=str(seed), resamples=149)
        singles += found.low <= 0.0 <= found.high
    assert 0.83 <= blocks / 100 <= 1.0
    assert singles / 100 < 0.75


def test_job_intervals_cover_the_mean_of_clustered_pods_where_single_pods_do_not() -> None:
    jobs, single = 0, 0
    names = np.repeat(np.arange(60), 10)
    for seed in range(100):
        rng = np.random.default_rng(seed)
        values = np.repeat(rng.normal(0, 1, 60), 10) + rng.normal(0, 0.5, 600)
        found = s.job_bootstrap(values, names, key=str(seed), resamples=149)
        jobs += found.low <= 0.0 <= found.high
        found = s.job_bootstrap(values, key=str(seed), resamples=149)
        single += found.low <= 0.0 <= found.high
    assert 0.87 <= jobs / 100 <= 1.0
    assert single / 100 < 0.6


def test_pods_as_their_own_jobs_are_the_plain_bootstrap() -> None:
    values = np.random.default_rng(5).lognormal(0, 1, 200)
    found = s.job_bootstrap(values, key="k")
    expected = stats.bootstrap((values,), np.mean, method="percentile", rng=1).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=0.02)


def test_jobs_are_drawn_whole() -> None:
    sizes = np.array([2, 1, 3])
    job_of_row = np.array([0, 2, 1, 0, 2, 2])
    for indices in resampling._job_indices(job_of_row, sizes, s.generator("k"), 50):
        drawn = np.bincount(job_of_row[indices], minlength=3) / sizes
        assert (drawn == drawn.astype(int)).all() and drawn.sum() == 3
        rows = np.bincount(indices, minlength=6)
        assert all(len(set(rows[job_of_row == job])) == 1 for job in range(3))


def test_a_statistic_of_two_columns_keeps_rows_together() -> None:
    base = np.random.default_rng(3).lognormal(0, 1, 300)
    both = np.column_stack([2 * base, base])
    for found in (
        s.job_bootstrap(both, statistic=lambda rows: float(rows[:, 0].sum() / rows[:, 1].sum()), resamples=99),
        s.block_bootstrap(both, statistic=lambda rows: float(rows[:, 0].sum() / rows[:, 1].sum()), resamples=99),
    ):
        assert found[:3] == pytest.approx((2.0, 2.0, 2.0))


def test_resamples_depend_on_the_key_alone() -> None:
    series = autoregressive(200, 0.5, 1)
    first = s.block_bootstrap(series, key="a", resamples=99)
    np.random.seed(3)
    assert s.block_bootstrap(series, key="a", resamples=99) == first
    assert s.block_bootstrap(series, key="b", resamples=99) != first
    assert first.method.startswith("circular blocks of ")


def test_too_little_to_resample_is_refused() -> None:
    with pytest.raises(ValueError, match="no room for 3 blocks of 5"):
        s.block_bootstrap(np.arange(14.0), length=5)
    with pytest.raises(ValueError, match="circular, moving"):
        s.block_bootstrap(np.arange(14.0), length=2, kind="square")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one job"):
        s.job_bootstrap([1.0, 2.0], ["a", "a"])
    with pytest.raises(ValueError, match="as many job names"):
        s.job_bootstrap([1.0, 2.0], ["a"])
    with pytest.raises(ValueError, match="finite"):
        s.block_bootstrap([1.0, math.nan, 2.0])
