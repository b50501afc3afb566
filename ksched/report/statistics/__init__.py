"""Statistics of replicates: is the difference between two policies real, how large is it, and what would settle it?

Two policies that ran on the same workload with the same seed form one pair. What both suffer alike (a bad arrival
order, say) cancels out in the difference within the pair, so almost everything here works on those differences.

=====================  ==============================================================================================
module                 question it answers
=====================  ==============================================================================================
``paired``             what do n pairs say about the difference of two policies? The others put together
``intervals``          between which bounds does the mean lie?
``paired_tests``       could the differences be chance?
``effect_sizes``       how large is the difference, in spreads, in pairs won, in percent?
``multiple``           how do many tests at once keep their error?
``power``              how many seeds would show a difference of 1 %? What can these seeds show?
``stopping``           are there enough seeds by now?
``resampling``         what if there is one trace and no seed? Blocks of time, or jobs, are drawn again
``ranks``              which policy ranks best over many workloads, and which ranks are told apart?
``coverage``           do the intervals hold what they promise? A command that measures it
=====================  ==============================================================================================

Where chance played no part nothing is inferred: replicates that are all alike are one observation, not many.
Whatever is drawn at random comes from a counter-based stream named by the caller (``streams``): no global state, and
the same numbers whatever else was computed before. scipy is imported where it is used, never on import.
"""

from __future__ import annotations

from ksched.report.statistics.effect_sizes import cliffs_delta, hedges_g, rank_biserial, relative_difference
from ksched.report.statistics.intervals import (
    BOOTSTRAP_FROM,
    CONFIDENCE,
    RESAMPLES,
    bca_interval,
    mean_interval,
    studentised_interval,
    t_interval,
)
from ksched.report.statistics.multiple import holm
from ksched.report.statistics.paired import (
    CONSTANT,
    NO_PAIRS,
    NO_REPLICATION,
    SINGLE,
    TIED,
    PairedDifference,
    matched,
    paired_difference,
)
from ksched.report.statistics.paired_tests import permutation_p, t_test_p, wilcoxon_p
from ksched.report.statistics.power import PowerNote, detectable_difference, pairs_needed, power, power_note
from ksched.report.statistics.ranks import RankComparison, average_ranks, compare_ranks, friedman, nemenyi_difference
from ksched.report.statistics.resampling import Resampled, block_bootstrap, block_length, job_bootstrap
from ksched.report.statistics.samples import skewness
from ksched.report.statistics.stopping import Precision, enough
from ksched.report.statistics.streams import generator

__all__ = [
    "BOOTSTRAP_FROM",
    "CONFIDENCE",
    "CONSTANT",
    "NO_PAIRS",
    "NO_REPLICATION",
    "RESAMPLES",
    "SINGLE",
    "TIED",
    "PairedDifference",
    "PowerNote",
    "Precision",
    "RankComparison",
    "Resampled",
    "average_ranks",
    "bca_interval",
    "block_bootstrap",
    "block_length",
    "cliffs_delta",
    "compare_ranks",
    "detectable_difference",
    "enough",
    "friedman",
    "generator",
    "hedges_g",
    "holm",
    "job_bootstrap",
    "matched",
    "mean_interval",
    "nemenyi_difference",
    "paired_difference",
    "pairs_needed",
    "permutation_p",
    "power",
    "power_note",
    "rank_biserial",
    "relative_difference",
    "skewness",
    "studentised_interval",
    "t_interval",
    "t_test_p",
    "wilcoxon_p",
]
