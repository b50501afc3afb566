"""Many tests at once: Holm's correction (Holm, Scandinavian Journal of Statistics 6, 1979)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ksched.report.statistics.samples import Floats


def holm(p_values: npt.ArrayLike) -> Floats:
    """Holm's adjusted p-values of one family of tests, in the order given; NaN (not tested) stays NaN."""
    p = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(p.shape, math.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return adjusted
