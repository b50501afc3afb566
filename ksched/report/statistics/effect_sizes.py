"""Effect sizes: how large is a difference, whatever its p?

References: Hedges, "Distribution theory for Glass's estimator of effect size", J. Educ. Stat. 6 (1981). Cohen,
"Statistical Power Analysis for the Behavioral Sciences" (1988). Kerby, "The simple difference formula", Comprehensive
Psychology 3 (2014). Cliff, "Dominance statistics", Psychological Bulletin 114 (1993). Fieller, "Some problems in
interval estimation", J. R. Stat. Soc. B 16 (1954).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ksched.report.statistics.intervals import CONFIDENCE, t_quantile
from ksched.report.statistics.samples import differences as paired_differences
from ksched.report.statistics.samples import pairs, sample


def hedges_g(differences: npt.ArrayLike) -> float:
    """Cohen's d_z of paired differences (mean over standard deviation), corrected for small samples.

    The correction is Hedges' exact factor gamma(df/2) / (sqrt(df/2) * gamma((df-1)/2)) with df = n - 1, which makes
    it unbiased for normal differences. NaN below three pairs or without spread.
    """
    from scipy.special import gammaln

    d = sample(differences, least=0)
    spread = float(np.std(d, ddof=1)) if len(d) > 1 else 0.0
    if len(d) < 3 or spread == 0.0:
        return math.nan
    df = len(d) - 1
    correction = math.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / math.sqrt(df / 2)
    return correction * float(np.mean(d)) / spread


def rank_biserial(differences: npt.ArrayLike) -> float:
    """Matched-pairs rank-biserial correlation in [-1, 1], the effect size that goes with Wilcoxon's test.

    (ranks of the increases - ranks of the decreases) / all ranks, zeros dropped (Kerby 2014): 1 if every pair went
    up, 0 if ups and downs balance or nothing changed.
    """
    from scipy import stats

    d = sample(differences, least=0)
    d = d[d != 0.0]
    if len(d) == 0:
        return 0.0
    ranks = stats.rankdata(np.abs(d))
    return float(np.sum(np.sign(d) * ranks) / np.sum(ranks))


def cliffs_delta(values: npt.ArrayLike, baseline: npt.ArrayLike) -> float:
    """P(value > baseline) - P(value < baseline) over all couples of the two samples, in [-1, 1].

    It does not use the pairing, and the samples may differ in length: for example waiting times of the pods under two
    policies.
    """
    x, y = sample(values), np.sort(sample(baseline))
    below = int(np.searchsorted(y, x, side="left").sum())
    above = int((len(y) - np.searchsorted(y, x, side="right")).sum())
    return (below - above) / (len(x) * len(y))


def relative_difference(
    values: npt.ArrayLike, baseline: npt.ArrayLike, *, confidence: float = CONFIDENCE
) -> tuple[float, float, float]:
    """(difference of the means in percent of the baseline's mean, low, high), pair by pair.

    The interval is Fieller's: the baseline's mean is an estimate too, and dividing the interval of the difference by
    it would pretend otherwise. Positive means higher, also where the baseline's mean is negative. Bounds are NaN
    below two pairs, without spread, or where the interval of the baseline's mean includes zero; all are NaN if that
    mean is zero. Pairs with a NaN are left out.
    """
    x, y = pairs(values, baseline)
    base = float(np.mean(y)) if len(y) else 0.0
    if base == 0.0:
        return math.nan, math.nan, math.nan
    d = paired_differences(x, y)
    mean = float(np.mean(d))
    percent = 100 / abs(base)
    if len(d) < 2 or (np.ptp(d) == 0.0 and np.ptp(y) == 0.0):
        return mean * percent, math.nan, math.nan
    # The ratios r for which the mean of d - r * y is not significantly different from zero: a r**2 - 2 b r + c <= 0.
    margin = t_quantile(len(d) - 1, 0.5 + confidence / 2) ** 2 * np.cov(d, y) / len(d)
    a, b, c = base**2 - margin[1, 1], mean * base - margin[0, 1], mean**2 - margin[0, 0]
    if a <= 0:
        return mean * percent, math.nan, math.nan
    root = math.sqrt(max(0.0, b * b - a * c))
    bounds = sorted(math.copysign(100.0, base) * (b + sign * root) / a for sign in (-1, 1))
    return mean * percent, float(bounds[0]), float(bounds[1])
