"""A paired comparison as a whole: means, difference, interval, effect sizes, tests, or why there are none."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ksched.report.statistics.effect_sizes import hedges_g, rank_biserial
from ksched.report.statistics.intervals import CONFIDENCE, RESAMPLES, Method, mean_interval
from ksched.report.statistics.paired_tests import permutation_p, t_test_p, wilcoxon_p
from ksched.report.statistics.samples import Floats, differences, pairs

NO_PAIRS = "no pairs"
SINGLE = "n=1, no interval"
NO_REPLICATION = "no replication"
TIED = "equal in every pair"
CONSTANT = "the same difference in every pair"

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class PairedDifference:
    """What n pairs say about ``value - baseline``.

    ``value`` and ``baseline`` are means over the same pairs, ``difference`` their difference; ``low`` and ``high``
    bound its confidence interval, found by ``method``. ``effect`` is Hedges' g of the differences, ``rank_biserial``
    its counterpart on ranks; ``p`` is the t test's, the other two check it with less assumed. Fields that cannot be
    had honestly are NaN, and ``note`` says why.
    """

    n: int
    value: float = math.nan
    baseline: float = math.nan
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    effect: float = math.nan
    rank_biserial: float = math.nan
    p: float = math.nan
    p_wilcoxon: float = math.nan
    p_permutation: float = math.nan
    method: str = ""
    note: str = ""


def matched(values: Mapping[Key, float], baseline: Mapping[Key, float]) -> tuple[Floats, Floats]:
    """The two samples of a paired design from {pair key: value}, for example {seed: value}.

    Keys on one side only are left out; the order is that of ``baseline``.
    """
    common = [key for key in baseline if key in values]
    x = np.array([values[key] for key in common], dtype=np.float64)
    return x, np.array([baseline[key] for key in common], dtype=np.float64)


def paired_difference(
    values: npt.ArrayLike,
    baseline: npt.ArrayLike,
    *,
    key: str = "",
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    interval: Method = "auto",
) -> PairedDifference:
    """Compare two equally long samples pair by pair. Pairs with a NaN on either side are left out.

    ``key`` names the comparison; what is drawn at random depends on it and on nothing else, so the same comparison
    always gives the same interval, whatever else is computed before or after. ``interval`` picks another interval
    than the default (t below 30 pairs, BCa from 30 on). Raises ValueError when the lengths differ.
    """
    x, y = pairs(values, baseline)
    n = len(x)
    if n == 0:
        return PairedDifference(n=0, note=NO_PAIRS)
    d = differences(x, y)
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
        return known(rank_biserial=rank_biserial(d), p=p, p_wilcoxon=p, p_permutation=p, method="signs only", note=note)
    low, high, method = mean_interval(d, key=key, confidence=confidence, resamples=resamples, method=interval)
    return known(
        low=low,
        high=high,
        effect=hedges_g(d),
        rank_biserial=rank_biserial(d),
        p=t_test_p(d),
        p_wilcoxon=wilcoxon_p(d),
        p_permutation=permutation_p(d, key=key),
        method=method,
    )
