"""Statistics of paired replicates: is the difference between two policies real, and how large is it?

Two policies that ran on the same workload with the same seed form one pair; everything here works on the
differences within pairs, so that what both policies suffer alike (a bad arrival order, say) cancels out.

* Interval of the mean difference: Student's t below 30 pairs, the bias-corrected accelerated bootstrap (Efron 1987)
  from 30 pairs on, with resamples drawn from a counter-based stream keyed by the caller: no global random state.
* Effect size: Cohen's d_z (mean over standard deviation of the differences) times Hedges' small-sample factor
  J = gamma(df/2) / (sqrt(df/2) * gamma((df-1)/2)) (Hedges 1981).
* p: paired t test of the mean; Wilcoxon's signed-rank test stands beside it as a check that needs no normality.
* Holm's step-down correction (Holm 1979) over a family of tests.

Where chance played no part nothing is inferred: replicates that are all alike are one observation, not many.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
BOOTSTRAP_FROM = 30
"""From this many pairs on the interval is bootstrapped; below it Student's t is the safer choice."""
RESAMPLES = 4999
MOST_EXACT = 13
"""Up to so many nonzero differences the rank test is exact even with ties."""

NO_PAIRS = "no pairs"
SINGLE = "n=1, no interval"
NO_REPLICATION = "no replication"
TIED = "equal in every pair"
CONSTANT = "the same difference in every pair"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairedDifference:
    """What n pairs say about ``value - baseline``.

    ``value`` and ``baseline`` are means over the same pairs, ``difference`` their difference; ``low`` and ``high``
    bound its 95 % confidence interval. Fields that cannot be had honestly are NaN, and ``note`` says why.
    """

    n: int
    value: float = math.nan
    baseline: float = math.nan
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    effect: float = math.nan
    p: float = math.nan
    p_wilcoxon: float = math.nan
    method: str = ""
    note: str = ""


def paired_difference(
    values: npt.ArrayLike,
    baseline: npt.ArrayLike,
    *,
    key: str = "",
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> PairedDifference:
    """Compare two equally long samples pair by pair. Pairs with a NaN on either side are left out.

    ``key`` names the comparison; the bootstrap's resamples depend on it and on nothing else, so the same
    comparison always gives the same interval, whatever else is computed before or after.
    Raises ValueError when the lengths differ.
    """
    x, y = np.asarray(values, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"pairs need two equally long samples, not {x.shape} and {y.shape}")
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    n = len(x)
    if n == 0:
        return PairedDifference(n=0, note=NO_PAIRS)
    d = _differences(x, y)
    mean = float(np.mean(d))
    known = partial(PairedDifference, n, float(np.mean(x)), float(np.mean(y)), mean)
    if n == 1:
        return known(note=SINGLE)
    if np.ptp(x) == 0.0 and np.ptp(y) == 0.0:
        return known(note=NO_REPLICATION)
    if np.ptp(d) == 0.0:
        # Replicates differ, their differences do not: there is no spread to build an interval or a t statistic
        # from, but the signs alone still carry a test.
        p = wilcoxon_p(d)
        note = TIED if mean == 0.0 else CONSTANT
        return known(p=p, p_wilcoxon=p, method="signs only", note=note)
    low, high, method = mean_interval(d, key=key, confidence=confidence, resamples=resamples)
    return known(
        low=low,
        high=high,
        effect=hedges_g(d),
        p=t_test_p(d),
        p_wilcoxon=wilcoxon_p(d),
        method=method,
    )


def _differences(x: Floats, y: Floats) -> Floats:
    """x - y, with differences that are pure rounding error (0.1 + 0.2 - 0.3) taken as equal to their median."""
    d = x - y
    noise = 1e-12 * float(np.max(np.abs(np.concatenate([x, y])), initial=0.0))
    middle = float(np.median(d))
    middle = 0.0 if abs(middle) <= noise else middle
    return np.where(np.abs(d - middle) <= noise, middle, d)


def mean_interval(
    sample: npt.ArrayLike, *, key: str = "", confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> tuple[float, float, str]:
    """(low, high, method) of the mean of a sample of at least two values that are not all equal."""
    d = np.asarray(sample, dtype=np.float64)
    if len(d) < BOOTSTRAP_FROM:
        return (*_t_interval(d, confidence), "t")
    low, high = _bootstrap_interval(d, key, confidence, resamples)
    return low, high, "BCa bootstrap"


def _t_interval(d: Floats, confidence: float) -> tuple[float, float]:
    from scipy import stats

    half = float(stats.t.ppf(0.5 + confidence / 2, len(d) - 1)) * _standard_error(d)
    mean = float(np.mean(d))
    return mean - half, mean + half


def _bootstrap_interval(d: Floats, key: str, confidence: float, resamples: int) -> tuple[float, float]:
    from scipy import stats

    # The batch bounds the memory of one round of resamples to a few megabytes.
    bootstrap = partial(
        stats.bootstrap, (d,), np.mean, n_resamples=resamples, confidence_level=confidence, batch=500_000 // len(d) + 1
    )
    with warnings.catch_warnings():
        # Where nearly all values are equal the acceleration is undefined: NaN and a warning. Plain percentiles do then.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = bootstrap(method="BCa", rng=generator(key)).confidence_interval
        if not (math.isfinite(found.low) and math.isfinite(found.high)):
            found = bootstrap(method="percentile", rng=generator(key)).confidence_interval
    return float(found.low), float(found.high)


def generator(key: str) -> np.random.Generator:
    """A counter-based generator whose stream depends on ``key`` alone."""
    digest = hashlib.sha256(key.encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def _standard_error(d: Floats) -> float:
    return float(np.std(d, ddof=1)) / math.sqrt(len(d))


def hedges_g(differences: npt.ArrayLike) -> float:
    """Cohen's d_z of paired differences, corrected for small samples; NaN below three pairs or without spread."""
    from scipy.special import gammaln

    d = np.asarray(differences, dtype=np.float64)
    spread = float(np.std(d, ddof=1)) if len(d) > 1 else 0.0
    if len(d) < 3 or spread == 0.0:
        return math.nan
    df = len(d) - 1
    correction = math.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / math.sqrt(df / 2)
    return correction * float(np.mean(d)) / spread


def t_test_p(differences: npt.ArrayLike) -> float:
    """Two-sided p of the paired t test that the mean difference is zero."""
    from scipy import stats

    d = np.asarray(differences, dtype=np.float64)
    if len(d) < 2 or np.ptp(d) == 0.0:
        return math.nan
    return float(2.0 * stats.t.sf(abs(float(np.mean(d))) / _standard_error(d), len(d) - 1))


def wilcoxon_p(differences: npt.ArrayLike) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, zeros dropped; 1 when every difference is zero."""
    from scipy import stats

    d = np.asarray(differences, dtype=np.float64)
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


def holm(p_values: npt.ArrayLike) -> Floats:
    """Holm's adjusted p-values of one family of tests, in the order given; NaN (not tested) stays NaN."""
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, math.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return adjusted
