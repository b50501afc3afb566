"""Tests of paired differences: could they be chance?

Three tests with less and less assumed. The t test asks about the mean and leans on its near-normality. The permutation
test asks about the mean too, but only assumes that without an effect each difference could as well have had the other
sign. Wilcoxon's does the same on ranks, so that one wild pair does not decide.

References: Fisher, "The Design of Experiments" (1935), section 21. Wilcoxon, Biometrics Bulletin 1 (1945). Phipson and
Smyth, "Permutation p-values should never be zero", Stat. Appl. Genet. Mol. Biol. 9 (2010).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

from ksched.report.statistics.samples import sample, standard_error
from ksched.report.statistics.streams import generator

MOST_EXACT = 13
"""Up to so many nonzero differences all assignments of signs are enumerated."""
SIGNINGS = 9999
"""Assignments of signs drawn where there are too many to enumerate: p is then known to about 0.002 at 0.05."""

_BATCH = 500_000


def t_test_p(differences: npt.ArrayLike) -> float:
    """Two-sided p of the paired t test that the mean difference is zero; NaN without spread."""
    from scipy import stats

    d = sample(differences)
    if len(d) < 2 or np.ptp(d) == 0.0:
        return math.nan
    return float(2.0 * stats.t.sf(abs(float(np.mean(d))) / standard_error(d), len(d) - 1))


def permutation_p(differences: npt.ArrayLike, *, key: str = "", signings: int = SIGNINGS) -> float:
    """Two-sided p of the sign-flip test of the mean difference; 1 when every difference is zero.

    Exact up to 13 nonzero differences. Beyond that ``signings`` random assignments are drawn from the stream named
    ``key`` and p = (1 + as extreme) / (1 + drawn), which is valid and never zero (Phipson and Smyth 2010).
    """
    d = sample(differences, least=0)
    d = d[d != 0.0]  # the sign of zero changes no sum
    if len(d) == 0:
        return 1.0
    size = np.abs(d)
    # Sums that are equal but for the order of addition count as equally extreme.
    extreme = abs(float(d.sum())) - 1e-12 * float(size.sum())
    if len(d) <= MOST_EXACT:
        sums = 2 * (_all_signs(len(d)) @ size) - size.sum()
        return float(np.mean(np.abs(sums) >= extreme))
    rng = generator(f"{key}\0signs")
    rows = max(1, _BATCH // len(d))
    hits = 0
    for start in range(0, signings, rows):
        up = rng.integers(0, 2, (min(rows, signings - start), len(d)), dtype=np.int8)
        hits += int(np.count_nonzero(np.abs(2 * (up @ size) - size.sum()) >= extreme))
    return (1 + hits) / (1 + signings)


def wilcoxon_p(differences: npt.ArrayLike) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, zeros dropped; 1 when every difference is zero."""
    from scipy import stats

    d = sample(differences, least=0)
    d = d[d != 0.0]
    if len(d) == 0:
        return 1.0
    if len(d) > MOST_EXACT:
        return float(stats.wilcoxon(d).pvalue)
    # Exact with ties too, by all 2**n assignments of signs; scipy's way to the same number takes 50 times as long.
    doubled = np.rint(2 * stats.rankdata(np.abs(d))).astype(np.int64)
    sums = _all_signs(len(d)) @ doubled
    middle = doubled.sum()
    observed = abs(2 * doubled[d > 0].sum() - middle)
    return float(np.mean(np.abs(2 * sums - middle) >= observed))


@cache
def _all_signs(n: int) -> npt.NDArray[np.int64]:
    """All 2**n rows of n zeros and ones."""
    return (np.arange(2**n)[:, None] >> np.arange(n)) & 1
