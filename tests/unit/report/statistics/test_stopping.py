"""The sequential rule: when it stops, when not, and what its interval is worth then."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ksched.report import statistics as s

VALUES = np.random.default_rng(12).normal(5, 1, 200)


def test_it_stops_at_the_first_n_whose_interval_is_narrow_enough() -> None:
    widths = {n: np.diff(s.t_interval(VALUES[:n]))[0] for n in range(10, 201)}
    expected = min(n for n, width in widths.items() if width <= 0.7)
    stops = [n for n in range(1, 201) if s.enough(VALUES[:n], 0.7)]
    assert stops[0] == expected > 10
    assert s.enough(VALUES[:expected], 0.7).width == pytest.approx(widths[expected])


def test_it_never_stops_below_the_minimum() -> None:
    assert not s.enough(VALUES[:9], 1000.0)
    assert s.enough(VALUES[:10], 1000.0)
    assert s.enough(VALUES[:4], 1000.0, least=4)
    assert not s.enough([], 1.0)


def test_it_stops_at_the_maximum_and_says_so() -> None:
    found = s.enough(VALUES[:50], 0.01, most=50)
    assert found and "before the width was reached" in found.note
    assert not s.enough(VALUES[:49], 0.01, most=50)
    # Replicates without a value count towards the maximum, else a run could go on for ever.
    assert s.enough([math.nan] * 50, 0.01, most=50)


def test_it_estimates_how_many_replicates_are_needed() -> None:
    now = s.enough(VALUES[:20], 0.3)
    sd = float(np.std(VALUES[:20], ddof=1))
    assert not now
    q = [s.intervals.t_quantile(n - 1, 0.975) for n in (now.needed - 1, now.needed)]
    assert 2 * q[1] * sd / math.sqrt(now.needed) <= 0.3 < 2 * q[0] * sd / math.sqrt(now.needed - 1)


def test_it_stops_with_a_note_where_the_seed_changes_nothing() -> None:
    found = s.enough([3.0] * 10, 0.1)
    assert found and found.note == s.NO_REPLICATION
    assert not s.enough([3.0] * 9, 0.1)


def test_replicates_without_a_value_do_not_count() -> None:
    assert s.enough([*VALUES[:9], math.nan], 1000.0).n == 9


@pytest.mark.parametrize(("width", "least"), [(0.0, 10), (-1.0, 10), (math.nan, 10), (1.0, 1)])
def test_a_rule_that_cannot_work_is_refused(width: float, least: int) -> None:
    with pytest.raises(ValueError, match="width above zero"):
        s.enough(VALUES, width, least=least)
