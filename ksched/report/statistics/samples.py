"""What the functions of this package take: flat samples of finite numbers, and what all of them need of one."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def sample(values: npt.ArrayLike, least: int = 1) -> Floats:
    """``values`` as a flat float array; ValueError if it is not flat, not finite or shorter than ``least``."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"a sample is a flat list of numbers, not an array of shape {array.shape}")
    if len(array) < least:
        raise ValueError(f"needs at least {least} values, not {len(array)}")
    if not np.isfinite(array).all():
        raise ValueError("a sample has only finite numbers: leave out replicates where the metric is not defined")
    return array


def pairs(values: npt.ArrayLike, baseline: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Both samples as float arrays, without the pairs that lack a finite number on either side.

    ValueError unless both are flat and of one length.
    """
    x, y = np.asarray(values, dtype=np.float64), np.asarray(baseline, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"pairs need two equally long samples, not {x.shape} and {y.shape}")
    kept = np.isfinite(x) & np.isfinite(y)
    return x[kept], y[kept]


def differences(x: Floats, y: Floats) -> Floats:
    """x - y, with differences that are pure rounding error (0.1 + 0.2 - 0.3) taken as equal to their median."""
    d = x - y
    if len(d) == 0:
        return d
    noise = 1e-12 * float(np.max(np.abs(np.concatenate([x, y]))))
    middle = float(np.median(d))
    middle = 0.0 if abs(middle) <= noise else middle
    return np.where(np.abs(d - middle) <= noise, middle, d)


def skewness(d: Floats) -> float:
    """Fisher and Pearson's coefficient, adjusted for the sample's size (Joanes and Gill, The Statistician 47, 1998); 0
    below three values or without spread."""
    n = len(d)
    spread = float(np.std(d)) if n > 2 else 0.0
    if spread == 0.0:
        return 0.0
    return math.sqrt(n * (n - 1)) / (n - 2) * float(np.mean(((d - np.mean(d)) / spread) ** 3))


def standard_error(d: Floats) -> float:
    """Of the mean; NaN below two values."""
    return float(np.std(d, ddof=1)) / math.sqrt(len(d)) if len(d) > 1 else math.nan
