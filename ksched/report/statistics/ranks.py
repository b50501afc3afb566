"""Ranks of several policies over several workloads: Friedman's test and Nemenyi's critical difference.

Values of different workloads cannot be averaged, ranks can. Each workload is one observation: replicates of a cell are
to be averaged first, or the test would count them as independent workloads.

References: Friedman, JASA 32 (1937). Iman and Davenport, Communications in Statistics A 9 (1980). Nemenyi,
"Distribution-free multiple comparisons" (1963). Demsar, "Statistical comparisons of classifiers over multiple data
sets", Journal of Machine Learning Research 7 (2006), whose conventions these are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ksched.report.statistics.samples import Floats

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class RankComparison:
    """Policies over workloads by rank, 1 the best.

    ``policies`` and ``ranks`` (average rank over the workloads) go from best to worst. ``chi_square`` and ``p`` are
    Friedman's, ``f`` and ``p_f`` the less conservative F statistic of Iman and Davenport. Two policies differ
    significantly if their ranks are more than ``critical_difference`` apart; ``groups`` are the largest runs of
    policies that are not told apart, the bars of a critical-difference diagram. NaN where nothing can be tested.
    """

    policies: tuple[str, ...]
    ranks: tuple[float, ...]
    workloads: int
    chi_square: float
    p: float
    f: float
    p_f: float
    critical_difference: float
    groups: tuple[tuple[str, ...], ...]


def compare_ranks(
    values: npt.ArrayLike, policies: Sequence[str], *, better: Better, alpha: float = 0.05
) -> RankComparison:
    """Rank ``policies``, the columns of ``values``, over workloads, its rows. Ties share the mean of their ranks.

    ValueError unless the table is complete and finite, with two or more policies and one or more workloads.
    """
    table = _table(values)
    if table.shape[1] != len(policies):
        raise ValueError(f"{len(policies)} policies, but the table has {table.shape[1]} columns")
    averages = average_ranks(table, better=better)
    chi_square, p, f, p_f = friedman(table)
    difference = nemenyi_difference(table.shape[1], len(table), alpha=alpha)
    order = np.argsort(averages, kind="stable")
    names, ranks = tuple(policies[i] for i in order), tuple(float(averages[i]) for i in order)
    groups = tuple(names[a:b] for a, b in _runs(ranks, difference))
    return RankComparison(names, ranks, len(table), chi_square, p, f, p_f, difference, groups)


def average_ranks(values: npt.ArrayLike, *, better: Better) -> Floats:
    """Average rank of each column over the rows, shape (policies,); 1 is the best, ties share the mean of ranks."""
    from scipy import stats

    table = _table(values)
    if better not in ("higher", "lower"):
        raise ValueError(f"better is higher or lower, not {better!r}")
    ranks = stats.rankdata(-table if better == "higher" else table, axis=1)
    return np.asarray(np.mean(ranks, axis=0), dtype=np.float64)


def friedman(values: npt.ArrayLike) -> tuple[float, float, float, float]:
    """(chi square, p, F, p of F) of Friedman's test, corrected for ties, and of Iman and Davenport's refinement.

    Rows are workloads, columns policies. All NaN below two workloads or when every row is tied throughout.
    """
    from scipy import stats

    table = _table(values)
    n, k = table.shape
    ranks = stats.rankdata(table, axis=1)
    spread = float(np.sum((ranks - (k + 1) / 2) ** 2))
    if n < 2 or spread == 0.0:
        return math.nan, math.nan, math.nan, math.nan
    between = float(np.sum((ranks.mean(axis=0) - (k + 1) / 2) ** 2))
    chi_square = n * n * (k - 1) * between / spread
    room = n * (k - 1) - chi_square
    f = (n - 1) * chi_square / room if room > 1e-9 * n * k else math.inf  # every workload ranks them alike
    p_f = float(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))
    return chi_square, float(stats.chi2.sf(chi_square, k - 1)), f, p_f


def nemenyi_difference(policies: int, workloads: int, *, alpha: float = 0.05) -> float:
    """How far apart two average ranks must be: q_alpha * sqrt(k (k + 1) / (6 n)) for k policies on n workloads.

    q_alpha is the studentised range's quantile over sqrt(2), as in table 5 of Demsar (2006). ValueError below two
    policies or one workload.
    """
    from scipy import stats

    if policies < 2 or workloads < 1:
        raise ValueError(f"needs two policies and a workload or more, not {policies} and {workloads}")
    q = float(stats.studentized_range.ppf(1 - alpha, policies, np.inf)) / math.sqrt(2)
    return q * math.sqrt(policies * (policies + 1) / (6 * workloads))


def _table(values: npt.ArrayLike) -> Floats:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
        raise ValueError(f"needs a table of workloads x policies, two or more policies, not shape {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError("ranks need a value of every policy on every workload: leave out incomplete workloads")
    return table


def _runs(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """(first, behind last) of the largest runs of sorted ranks, two or more, that span at most ``difference``."""
    runs: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(i for i in range(first, len(ranks)) if ranks[i] - ranks[first] <= difference)
        if last > first and (not runs or last + 1 > runs[-1][1]):
            runs.append((first, last + 1))
    return runs
