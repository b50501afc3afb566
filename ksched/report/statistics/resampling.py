"""Uncertainty from a single trace: draw its time blocks, or its jobs, again.

A recorded trace has no seeds. What can be asked is how much a result hangs on the stretch of time, or on the jobs, that
happened to be recorded. Neither replays anything: queues and packing stay those of the recorded order, so the answer
holds for this cluster and load, not for another trace.

* Time series (allocation over time, or the difference of two policies at the same moments) are correlated, so whole
  blocks are drawn: moving blocks (Kuensch, Annals of Statistics 17, 1989) or circular ones (Politis and Romano 1992),
  which give the ends of the series their full weight. The block length follows Politis and White (Econometric Reviews
  23, 2004) as corrected by Patton, Politis and White (Econometric Reviews 28, 2009).
* Values per pod (waiting time, or the difference of two policies pod by pod) are drawn job by job, all pods of a job
  together, because pods of one job wait together (Davison and Hinkley 1997, section 3.8).

Bounds are percentiles of the resampled statistic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ksched.report.statistics.intervals import CONFIDENCE, RESAMPLES
from ksched.report.statistics.samples import Floats, sample
from ksched.report.statistics.streams import generator

Statistic = Callable[[Floats], float]
Indices = npt.NDArray[np.int64]

FEWEST_BLOCKS = 3


class Resampled(NamedTuple):
    """A statistic of the data, the bounds of its interval, and how they were found."""

    estimate: float
    low: float
    high: float
    method: str


def _mean(rows: Floats) -> float:
    return float(rows.mean())


def block_bootstrap(
    series: npt.ArrayLike,
    statistic: Statistic = _mean,
    *,
    length: int | None = None,
    kind: Literal["circular", "moving"] = "circular",
    key: str = "",
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Resampled:
    """Interval of a statistic of a time series, by drawing blocks of ``length`` successive rows.

    ``series`` has one row per moment, the moments evenly spaced: shape (n,), or (n, k) for a statistic of k columns
    such as a ratio. Without ``length`` the rule of ``block_length`` picks it (the longest over the columns). The
    statistic gets an array shaped like ``series``. ValueError if there is no room for three blocks.
    """
    rows = _rows(series)
    if length is None:
        columns = rows.reshape(len(rows), -1)
        length = max((block_length(column) for column in columns.T), default=1)
    if length < 1 or FEWEST_BLOCKS * length > len(rows):
        raise ValueError(f"{len(rows)} rows have no room for {FEWEST_BLOCKS} blocks of {length}")
    if kind not in ("circular", "moving"):
        raise ValueError(f"no blocks of kind {kind!r}: there are circular, moving")
    drawn = _block_indices(len(rows), length, kind, generator(key), resamples)
    return _percentiles(rows, statistic, drawn, confidence, f"{kind} blocks of {length}")


def job_bootstrap(
    values: npt.ArrayLike,
    jobs: npt.ArrayLike | None = None,
    statistic: Statistic = _mean,
    *,
    key: str = "",
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Resampled:
    """Interval of a statistic over pods, by drawing jobs with replacement, each with all its pods.

    ``values`` has one row per pod, shape (n,) or (n, k); ``jobs`` names the job of each row, None makes every row a
    job of its own. To compare two policies pass the differences per pod, or both as two columns: a pod's values stay
    together. ValueError below two jobs.
    """
    rows = _rows(values)
    names = np.arange(len(rows)) if jobs is None else np.asarray(jobs)
    if names.shape != (len(rows),):
        raise ValueError(f"{len(rows)} rows need as many job names, not {names.shape}")
    _, job_of_row, sizes = np.unique(names, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise ValueError("one job cannot be resampled: needs at least two")
    drawn = _job_indices(job_of_row, sizes, generator(key), resamples)
    return _percentiles(rows, statistic, drawn, confidence, f"{len(sizes)} jobs")


def block_length(series: npt.ArrayLike) -> int:
    """The length of circular blocks that suits the correlation of a series: 1 if there is none, at most n / 3.

    It estimates (2 G**2 / D)**(1/3) * n**(1/3) with G = sum |k| R(k), D = 4/3 (sum R(k))**2, from a flat-top window
    that ends at twice the lag behind which five autocorrelations in a row are insignificant (Politis and White 2004).
    """
    x = sample(series, least=9)
    n = len(x)
    x = x - x.mean()
    if np.ptp(x) == 0.0:
        return 1
    run = max(5, math.ceil(math.sqrt(math.log10(n))))
    longest = min(n - 1, math.ceil(math.sqrt(n)) + run)
    covariance = np.array([float(x[: n - lag] @ x[lag:]) / n for lag in range(longest + 1)])
    insignificant = np.abs(covariance / covariance[0]) < 2 * math.sqrt(math.log10(n) / n)
    quiet = (lag for lag in range(1, longest - run + 1) if insignificant[lag + 1 : lag + 1 + run].all())
    window = min(2 * next(quiet, longest), longest)
    lags = np.arange(1, window + 1)
    weighted = np.minimum(1.0, 2 * (1 - lags / window)) * covariance[1 : window + 1]
    g = 2 * float(weighted @ lags)
    d = 4 / 3 * (covariance[0] + 2 * float(weighted.sum())) ** 2
    most = math.floor(min(3 * math.sqrt(n), n / FEWEST_BLOCKS))
    return most if d == 0.0 else min(most, max(1, round((2 * g * g / d * n) ** (1 / 3))))


def _rows(values: npt.ArrayLike) -> Floats:
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim not in (1, 2) or len(rows) < 2 or not np.isfinite(rows).all():
        raise ValueError(f"needs two or more rows of finite numbers, shape (n,) or (n, k), not shape {rows.shape}")
    return rows


def _block_indices(n: int, length: int, kind: str, rng: np.random.Generator, resamples: int) -> Iterator[Indices]:
    blocks = math.ceil(n / length)
    starts = n if kind == "circular" else n - length + 1
    for _ in range(resamples):
        first = rng.integers(0, starts, blocks)
        yield ((first[:, None] + np.arange(length)) % n).ravel()[:n]


def _job_indices(
    job_of_row: npt.NDArray[np.intp], sizes: npt.NDArray[np.intp], rng: np.random.Generator, resamples: int
) -> Iterator[Indices]:
    by_job = np.argsort(job_of_row, kind="stable")
    first = np.cumsum(sizes) - sizes  # of each job within by_job
    for _ in range(resamples):
        jobs = rng.integers(0, len(sizes), len(sizes))
        counts = sizes[jobs]
        before = np.cumsum(counts) - counts
        yield by_job[np.repeat(first[jobs] - before, counts) + np.arange(counts.sum())]


def _percentiles(
    rows: Floats, statistic: Statistic, drawn: Iterator[Indices], confidence: float, method: str
) -> Resampled:
    resampled = [statistic(rows[indices]) for indices in drawn]
    low, high = np.quantile(resampled, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Resampled(statistic(rows), float(low), float(high), method)
