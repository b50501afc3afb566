"""Power against scipy's noncentral t, published figures and Monte Carlo."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ksched.report import statistics as s
from ksched.report.statistics.power import upper_sd


@pytest.mark.parametrize(("difference", "n"), [(0.2, 5), (0.5, 34), (1.0, 3), (-1.0, 3), (0.0, 10), (0.02, 20_000)])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_power_is_that_of_the_noncentral_t(difference: float, n: int, alpha: float) -> None:
    critical, shift = stats.t.ppf(1 - alpha / 2, n - 1), difference * math.sqrt(n)
    expected = stats.nct.sf(critical, n - 1, shift) + stats.nct.cdf(-critical, n - 1, shift)
    assert s.power(difference, 1.0, n, alpha=alpha) == pytest.approx(expected, abs=1e-7)


def test_power_stays_a_number_where_scipys_noncentral_t_is_none() -> None:
    # One degree of freedom: found unless the sample's spread exceeds shift / critical = 3.34 of the true one.
    assert s.power(30.0, 1.0, 2) == pytest.approx(2 * stats.norm.cdf(30 * math.sqrt(2) / 12.7062) - 1, abs=1e-4)


@pytest.mark.parametrize(("effect", "needed"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10)])
def test_the_pairs_needed_are_those_of_the_published_tables(effect: float, needed: int) -> None:
    """Two-sided level 0.05, power 0.8; the figures of Cohen's tables for paired samples, as in G*Power."""
    assert s.pairs_needed(effect * 3.0, 3.0) == needed


@pytest.mark.parametrize("effect", [0.4, 0.9, 1.8])
def test_simulated_experiments_of_the_size_needed_find_the_effect_four_times_in_five(effect: float) -> None:
    n = s.pairs_needed(effect, 1.0)
    samples = np.random.default_rng(n).normal(effect, 1.0, (20_000, n))
    p = stats.ttest_1samp(samples, 0.0, axis=1).pvalue
    error = math.sqrt(0.8 * 0.2 / 20_000)
    assert float(np.mean(p < 0.05)) == pytest.approx(s.power(effect, 1.0, n), abs=4 * error)
    assert np.mean(p < 0.05) > 0.8 - 4 * error


@pytest.mark.parametrize("n", [2, 3, 10, 100])
def test_the_detectable_difference_has_the_power_asked_for(n: int) -> None:
    assert s.power(s.detectable_difference(2.0, n), 2.0, n) == pytest.approx(0.8, abs=1e-6)


def test_what_no_number_of_pairs_shows_is_refused() -> None:
    for difference, sd in ((0.0, 1.0), (1.0, 0.0)):
        with pytest.raises(ValueError, match="other than zero"):
            s.pairs_needed(difference, sd)
    with pytest.raises(ValueError, match="spread above zero"):
        s.power(1.0, 0.0, 5)


def test_the_note_says_what_the_seeds_show_and_what_one_percent_needs() -> None:
    rng = np.random.default_rng(6)
    base = rng.normal(100, 5, 10)
    values = base + rng.normal(0.3, 2, 10)
    note = s.power_note(values, base)
    sd = float(np.std(values - base, ddof=1))
    assert note.n == 10
    assert note.sd == pytest.approx(sd)
    assert note.needed == s.pairs_needed(base.mean() / 100, sd)
    assert note.needed_cautious is not None and note.needed_cautious > note.needed
    assert note.detectable == pytest.approx(s.detectable_difference(sd, 10))
    assert note.detectable_percent == pytest.approx(100 * note.detectable / base.mean())
    assert f"a difference of 1 % needs {note.needed} (cautiously {note.needed_cautious})" in str(note)


def test_the_cautious_figure_is_enough_in_four_plans_of_five() -> None:
    """Plans from pilots of eight pairs: the observed spread alone promises too much about half of the time."""
    pilots = np.random.default_rng(9).normal(0, 1, (400, 8)).std(axis=1, ddof=1)
    assert np.mean(pilots >= 1.0) < 0.55
    assert np.mean([upper_sd(sd, 8) >= 1.0 for sd in pilots]) == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize(
    ("values", "baseline", "words"),
    [
        ([3.0] * 5, [2.0] * 5, s.NO_REPLICATION),
        ([2.0, 3.0], [1.0, 2.0], "no spread"),
        ([1.0], [2.0], s.SINGLE),
        ([], [], s.NO_PAIRS),
    ],
)
def test_without_spread_there_is_no_power_statement(values: list[float], baseline: list[float], words: str) -> None:
    note = s.power_note(values, baseline)
    assert note.needed is None and math.isnan(note.detectable)
    assert words in note.note and words in str(note)


def test_percent_of_a_baseline_of_zero_is_left_open() -> None:
    note = s.power_note([1.0, 2.0, 4.0], [0.0, 0.0, 0.0])
    assert note.needed is None and note.detectable > 0
    assert str(note) == f"3 pairs show a difference of {note.detectable:.3g} with a chance of 80 %."


@pytest.mark.parametrize(("effect", "target"), [(3.0, 0.8), (0.3, 0.99), (0.05, 0.5), (0.1, 0.06)])
def test_the_pairs_needed_are_the_fewest(effect: float, target: float) -> None:
    n = s.pairs_needed(effect, 1.0, target=target)
    assert s.power(effect, 1.0, n) >= target
    assert n == 2 or s.power(effect, 1.0, n - 1) < target


def test_a_hopeless_number_of_seeds_is_not_searched_for() -> None:
    assert s.pairs_needed(1e-6, 1.0) == pytest.approx((1.959964 + 0.841621) ** 2 * 1e12, rel=1e-6)
