"""Confidence intervals of a mean: Student's t, the studentised bootstrap and the BCa bootstrap.

Which of them holds its promise at which sample size is measured by ``python -m ksched.report.statistics.coverage``.
With few replicates bootstrap intervals of the percentile kind (BCa among them) are too short, so t is the default
there. The studentised bootstrap is the remedy for few and skewed values; its price are long intervals.

References: Efron, "Better bootstrap confidence intervals", JASA 82 (1987). Davison and Hinkley, "Bootstrap Methods and
their Application" (1997), chapter 5. Hesterberg, "What teachers should know about the bootstrap", The American
Statistician 69 (2015).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from functools import cache, partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from ksched.report.statistics.samples import Floats, sample, standard_error
from ksched.report.statistics.streams import generator

CONFIDENCE = 0.95
BOOTSTRAP_FROM = 30
"""From this many values on the interval is bootstrapped; below it Student's t is the safer choice."""
RESAMPLES = 4999
"""With a number that ends in 999 the usual quantiles are order statistics: no interpolation."""

Method = Literal["auto", "t", "studentised", "BCa"]

_BATCH = 500_000
"""Resampled numbers held at once: bounds the memory of a bootstrap to a few megabytes."""


def mean_interval(
    values: npt.ArrayLike,
    *,
    key: str = "",
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    method: Method = "auto",
) -> tuple[float, float, str]:
    """(low, high, method) of the mean of at least two values that are not all equal.

    ``auto`` is Student's t below 30 values and BCa from there on. ``key`` names the stream of the resamples.
    """
    if method == "auto":
        method = "t" if np.size(values) < BOOTSTRAP_FROM else "BCa"
    if method == "t":
        return (*t_interval(values, confidence=confidence), "t")
    if method == "studentised":
        bounds = studentised_interval(values, key=key, confidence=confidence, resamples=resamples)
        return (*bounds, "studentised bootstrap")
    if method == "BCa":
        return (*bca_interval(values, key=key, confidence=confidence, resamples=resamples), "BCa bootstrap")
    raise ValueError(f"no interval {method!r}: there are auto, t, studentised, BCa")


def t_interval(values: npt.ArrayLike, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Student's interval of the mean. Exact for normal values, good for symmetric ones."""
    d = sample(values, least=2)
    half = t_quantile(len(d) - 1, 0.5 + confidence / 2) * standard_error(d)
    mean = float(np.mean(d))
    return mean - half, mean + half


@cache
def t_quantile(df: int, probability: float) -> float:
    """Of Student's distribution with ``df`` degrees of freedom."""
    from scipy import special

    return float(special.stdtrit(df, probability))


def studentised_interval(
    values: npt.ArrayLike, *, key: str = "", confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """The bootstrap-t interval of the mean (Davison and Hinkley 1997, section 5.2.1).

    Each resample gives one t = (its mean - mean) / its standard error; their quantiles stand in for Student's.
    A resample that drew one value only has no spread and counts as infinitely far out. Where such resamples reach
    into a tail (fewer than four values, or nearly all values equal) the bound is infinite: the data cannot say.
    """
    d = sample(values, least=2)
    tail = math.floor((1 - confidence) / 2 * (resamples + 1) + 1e-9)
    if tail < 1:
        raise ValueError(f"{resamples} resamples have no {(1 - confidence) / 2:.3g} quantile: draw more")
    mean, error = float(np.mean(d)), standard_error(d)
    t = np.sort(np.concatenate([_t_statistics(drawn, mean) for drawn in _resamples(d, generator(key), resamples)]))
    return mean - float(t[resamples - tail]) * error, mean - float(t[tail - 1]) * error


def _resamples(d: Floats, rng: np.random.Generator, count: int) -> Iterator[Floats]:
    """``count`` resamples with replacement, some rows at a time."""
    n = len(d)
    rows = max(1, _BATCH // n)
    for start in range(0, count, rows):
        yield d[rng.integers(0, n, (min(rows, count - start), n))]


def _t_statistics(rows: Floats, mean: float) -> Floats:
    n = rows.shape[1]
    shift = rows.mean(axis=1) - mean
    spread = rows.std(axis=1, ddof=1)
    one_value = (rows == rows[:, :1]).all(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t: Floats = shift / (spread / math.sqrt(n))
    # Rounding makes the spread of equal numbers a tiny one, hence by comparison and not by the division.
    t[one_value] = np.copysign(np.inf, shift[one_value])
    return t


def bca_interval(
    values: npt.ArrayLike, *, key: str = "", confidence: float = CONFIDENCE, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """The bias-corrected accelerated bootstrap interval of the mean (Efron 1987), as scipy computes it.

    Where nearly all values are equal the acceleration is not defined; plain percentiles take its place.
    """
    from scipy import stats

    d = sample(values, least=2)
    bootstrap = partial(
        stats.bootstrap,
        (d,),
        np.mean,
        n_resamples=resamples,
        confidence_level=confidence,
        batch=_BATCH // len(d) + 1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = bootstrap(method="BCa", rng=generator(key)).confidence_interval
        if not (math.isfinite(found.low) and math.isfinite(found.high)):
            found = bootstrap(method="percentile", rng=generator(key)).confidence_interval
    return float(found.low), float(found.high)
