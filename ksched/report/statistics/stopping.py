"""Sequential stopping: run seeds until the interval of the mean is narrow enough.

The rule of Chow and Robbins (Annals of Mathematical Statistics 36, 1965) with Student's quantile: stop at the first n,
not below a minimum, at which the t interval is no wider than asked. As the width goes to zero its coverage goes to the
nominal one (Glynn and Whitt, Annals of Applied Probability 2, 1992, for simulation output).

The caveat: it stops early exactly when the spread looks small by luck, so for the few seeds of practice the interval at
the stop covers less often than it says (Starr, Annals of Mathematical Statistics 37, 1966). A minimum of ten seeds, and
asking after batches rather than after every seed, keep the loss small; ``python -m ksched.report.statistics.coverage``
measures it. Stopping on p < 0.05 instead would be wrong: that rule always ends in "significant".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ksched.report.statistics.intervals import CONFIDENCE, t_quantile
from ksched.report.statistics.paired import NO_REPLICATION
from ksched.report.statistics.samples import standard_error

LEAST = 10
"""Replicates before the rule may stop."""


@dataclass(frozen=True)
class Precision:
    """Where a sequence of replicates stands. True in an ``if`` when it may stop.

    ``n`` counts the replicates with a value, ``width`` is that of the present interval (NaN below two), ``needed``
    estimates from the present spread how many replicates the target takes in all. ``note`` says if more replicates
    are of no use.
    """

    enough: bool
    n: int
    width: float
    target: float
    needed: int
    note: str = ""

    def __bool__(self) -> bool:
        return self.enough


def enough(
    values: npt.ArrayLike, width: float, *, confidence: float = CONFIDENCE, least: int = LEAST, most: int | None = None
) -> Precision:
    """Whether the replicates so far give the mean an interval at most ``width`` wide, upper minus lower bound.

    ``values`` are one metric's replicates in the order of their seeds, or for a comparison the differences within
    pairs; NaN (metric not defined) does not count. ``width`` has their unit: for one percent of a baseline pass
    0.01 * its mean. Never true before ``least`` replicates; true at ``most`` whatever the width. Also true, with a
    note, when the first ``least`` replicates are all alike: the seed changes nothing, and more of them tell no more.
    ValueError for a width not above zero or ``least`` below 2.
    """
    if not width > 0 or least < 2:
        raise ValueError(f"needs a width above zero and at least two replicates, not width={width}, least={least}")
    d = np.asarray(values, dtype=np.float64)
    d = d[np.isfinite(d)]
    n, error = len(d), standard_error(d)
    if n >= least and np.ptp(d) == 0.0:
        return Precision(True, n, 0.0, width, n, NO_REPLICATION)
    reached = 2 * t_quantile(n - 1, 0.5 + confidence / 2) * error if n >= 2 else math.nan
    needed = max(least, _needed(error * math.sqrt(n), width, confidence)) if n >= 2 else least
    if n >= least and reached <= width:
        return Precision(True, n, reached, width, n)
    if most is not None and len(np.atleast_1d(values)) >= most:
        return Precision(True, n, reached, width, needed, f"stopped at {most} replicates, before the width was reached")
    return Precision(False, n, reached, width, needed)


def _needed(sd: float, width: float, confidence: float) -> int:
    """Smallest n at which an interval of values with this ``sd`` is at most ``width`` wide."""
    from scipy import special

    probability = 0.5 + confidence / 2
    n = max(2, math.ceil((2 * float(special.ndtri(probability)) * sd / width) ** 2))
    # Student's quantile is larger than the normal one: a few more.
    while 2 * t_quantile(n - 1, probability) * sd / math.sqrt(n) > width:
        n += 1
    return n
