"""Power of the paired t test: how many seeds does a difference need, and which difference can these seeds show?

Under normal differences with mean ``difference`` and standard deviation ``sd`` the t statistic of n pairs has a
noncentral t distribution with n - 1 degrees of freedom and noncentrality sqrt(n) * difference / sd.

References: Cohen, "Statistical Power Analysis for the Behavioral Sciences" (1988), chapter 2. Browne, "On the use of a
pilot sample for sample size determination", Statistics in Medicine 14 (1995), for the cautious figure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ksched.report.statistics.intervals import t_quantile
from ksched.report.statistics.paired import NO_PAIRS, NO_REPLICATION, SINGLE
from ksched.report.statistics.samples import differences, pairs

ALPHA = 0.05
POWER = 0.8
CAUTION = 0.8
"""Level of the upper limit of the standard deviation from which the cautious figure is computed (Browne 1995)."""
MANY = 100_000


def power(difference: float, sd: float, n: int, *, alpha: float = ALPHA) -> float:
    """Probability that the two-sided paired t test at level ``alpha`` finds ``difference`` with n pairs.

    ``sd`` is the standard deviation of the differences within pairs, in the same unit. ValueError unless it is above
    zero and n at least 2.
    """
    from scipy import integrate, special

    if not (sd > 0 and n >= 2):
        raise ValueError(f"power needs a spread above zero and two pairs or more, not sd={sd}, n={n}")
    df = n - 1
    critical, shift = t_quantile(df, 1 - alpha / 2), math.sqrt(n) * abs(difference) / sd
    scale = math.log(2) + df / 2 * math.log(df / 2) - math.lgamma(df / 2)

    # The chance given that the sample's sd is s times the true one, over the distribution of s. scipy's noncentral t
    # would be the same in one call, but is NaN for some large noncentralities.
    def found(s: float) -> float:
        density = math.exp(scale + (df - 1) * math.log(s) - df * s * s / 2)
        return density * (_normal_cdf(shift - critical * s) + _normal_cdf(-shift - critical * s))

    low, high = (math.sqrt(float(special.chdtri(df, upper)) / df) for upper in (1 - 1e-12, 1e-12))
    edge = min(max(shift / critical, low), high)  # where the integrand is steep
    parts = ((low, edge), (edge, high))
    return min(1.0, sum(integrate.quad(found, a, b, epsabs=1e-9, limit=200)[0] for a, b in parts if a < b))


def _normal_cdf(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2


def pairs_needed(difference: float, sd: float, *, target: float = POWER, alpha: float = ALPHA) -> int:
    """Fewest pairs with which ``difference`` is found with probability ``target``.

    From a hundred thousand pairs on it is the figure for a known spread, which is two or so too low. ValueError if the
    difference is zero or there is no spread.
    """
    from scipy import special

    if difference == 0.0 or not sd > 0:
        raise ValueError(f"needs a difference and a spread other than zero, not difference={difference}, sd={sd}")
    quantiles = float(special.ndtri(1 - alpha / 2) + special.ndtri(target))
    n = max(2, math.ceil((quantiles * sd / difference) ** 2))
    if n >= MANY:
        return n
    while power(difference, sd, n, alpha=alpha) < target:
        n += 1
    while n > 2 and power(difference, sd, n - 1, alpha=alpha) >= target:
        n -= 1
    return n


def detectable_difference(sd: float, n: int, *, target: float = POWER, alpha: float = ALPHA) -> float:
    """Smallest difference that n pairs show with probability ``target``; same unit as ``sd``."""
    from scipy import optimize

    high = 1.0
    while power(high, 1.0, n, alpha=alpha) < target:
        high *= 2
    return sd * float(optimize.brentq(lambda d: power(d, 1.0, n, alpha=alpha) - target, 0.0, high, xtol=1e-9))


@dataclass(frozen=True)
class PowerNote:
    """What the observed spread says about the number of seeds.

    ``needed`` pairs show a difference of ``percent`` % of the baseline's mean, taking the observed ``sd`` for the true
    one; ``needed_cautious`` does so for the upper limit of an 80 % one-sided interval of the sd, because a few pairs
    often understate it. ``detectable`` (in the metric's unit) and ``detectable_percent`` are what the present n pairs
    can show. What cannot be had is None or NaN, and ``note`` says why. ``str()`` gives one sentence.
    """

    n: int
    percent: float
    target: float
    sd: float = math.nan
    needed: int | None = None
    needed_cautious: int | None = None
    detectable: float = math.nan
    detectable_percent: float = math.nan
    note: str = ""

    def __str__(self) -> str:
        if self.note:
            return f"No power statement: {self.note}."
        chance = f"{100 * self.target:.0f} %"
        now = f"{self.n} pairs show a difference of {self.detectable:.3g}"
        if self.needed is None:
            return f"{now} with a chance of {chance}."
        cautious = "" if self.needed_cautious == self.needed else f" (cautiously {self.needed_cautious:,})"
        return (
            f"{now} ({self.detectable_percent:.2g} %) with a chance of {chance}; "
            f"a difference of {self.percent:g} % needs {self.needed:,}{cautious}."
        )


def power_note(
    values: npt.ArrayLike,
    baseline: npt.ArrayLike,
    *,
    percent: float = 1.0,
    target: float = POWER,
    alpha: float = ALPHA,
) -> PowerNote:
    """The note for two equally long samples, pair by pair; pairs with a NaN on either side are left out.

    For a family of m tests with Holm's correction pass ``alpha / m``: what the strictest step asks for.
    """
    if not percent > 0:
        raise ValueError(f"percent must be above zero, not {percent}")
    x, y = pairs(values, baseline)
    d, n = differences(x, y), len(x)
    if n < 2:
        return PowerNote(n, percent, target, note=SINGLE if n else NO_PAIRS)
    if np.ptp(d) == 0.0:
        unmoved = np.ptp(x) == 0.0 and np.ptp(y) == 0.0
        return PowerNote(n, percent, target, sd=0.0, note=NO_REPLICATION if unmoved else "no spread between pairs")
    sd, base = float(np.std(d, ddof=1)), abs(float(np.mean(y)))
    detectable = detectable_difference(sd, n, target=target, alpha=alpha)
    if base == 0.0:
        return PowerNote(n, percent, target, sd, detectable=detectable)
    wanted = base * percent / 100
    return PowerNote(
        n,
        percent,
        target,
        sd,
        needed=pairs_needed(wanted, sd, target=target, alpha=alpha),
        needed_cautious=pairs_needed(wanted, upper_sd(sd, n), target=target, alpha=alpha),
        detectable=detectable,
        detectable_percent=100 * detectable / base,
    )


def upper_sd(sd: float, n: int, confidence: float = CAUTION) -> float:
    """Upper limit of the one-sided interval of a normal standard deviation, from the ``sd`` of n values."""
    from scipy import stats

    return sd * math.sqrt((n - 1) / float(stats.chi2.ppf(1 - confidence, n - 1)))
