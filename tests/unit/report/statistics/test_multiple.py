"""Holm's correction by hand, and its bounds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksched.report import holm

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
    assert (adjusted <= np.minimum(1.0, np.array(p) * len(p)) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()


def test_holm_keeps_the_chance_of_any_false_alarm_where_single_tests_do_not() -> None:
    p = np.random.default_rng(4).random((2000, 10))
    assert np.mean((p <= 0.05).any(axis=1)) > 0.35
    family = float(np.mean([(holm(row) <= 0.05).any() for row in p]))
    assert family <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)
