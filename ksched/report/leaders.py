"""Who is ahead, and who is not told apart from the leader: a winner is named alone only when it stands alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ksched.report import statistics
from ksched.report.comparison import SIGNIFICANT, Comparison
from ksched.report.headlines import Column

FEWEST_WORKLOADS = 5
FEWEST_POLICIES = 3


@dataclass(frozen=True)
class Leaders:
    """The policy with the best mean; those equal to it in every pair; those whose difference to it is not shown
    (Holm over all policies compared with the leader)."""

    best: str
    equal: tuple[str, ...]
    open: tuple[str, ...]


def leaders(comparison: Comparison, workload: str, column: Column) -> Leaders | None:
    """The leaders of one workload by one metric; None for a metric without a better direction or without pairs.

    Policies are compared through their paired differences to the baseline, which rest on the same pods.
    """
    better = comparison.metrics[column.metric].better
    differences = {
        policy: known
        for policy in comparison.policies[1:]
        if (known := _defined(comparison.differences(policy, workload, column.metric, column.part)))
    }
    if better == "none" or not differences:
        return None
    seeds = {seed: 0.0 for known in differences.values() for seed in known}
    differences = {comparison.baseline: seeds, **differences}
    sign = -1 if better == "lower" else 1
    best = max(differences, key=lambda policy: sign * sum(differences[policy].values()) / len(differences[policy]))
    others = [policy for policy in differences if policy != best]
    found = {policy: _difference(differences[best], differences[policy], f"{best}\0{policy}") for policy in others}
    equal = tuple(p for p in others if found[p].n and found[p].difference == 0 and _without_spread(found[p]))
    rest = [p for p in others if p not in equal]
    p_values = statistics.holm([found[p].p for p in rest])
    untold = tuple(p for p, p_holm in zip(rest, p_values, strict=True) if not p_holm < SIGNIFICANT)
    return Leaders(best, equal, untold)


def _defined(differences: dict[str, float]) -> dict[str, float]:
    return {seed: diff for seed, diff in differences.items() if not math.isnan(diff)}


def _difference(mine: dict[str, float], other: dict[str, float], key: str) -> statistics.PairedDifference:
    return statistics.paired_difference(*statistics.matched(mine, other), key=f"leaders\0{key}")


def _without_spread(found: statistics.PairedDifference) -> bool:
    return found.note.startswith((statistics.TIED, statistics.NO_REPLICATION, statistics.SINGLE))


def ranks(comparison: Comparison, column: Column) -> statistics.RankComparison | None:
    """Policies ranked over the workloads on which all have a value; None below FEWEST_WORKLOADS such workloads or
    FEWEST_POLICIES policies, where ranks tell nothing apart."""
    better = comparison.metrics[column.metric].better
    table = [
        [comparison.mean(policy, workload, column.metric, column.part) for policy in comparison.policies]
        for workload in comparison.workloads
    ]
    complete = [row for row in table if not any(math.isnan(value) for value in row)]
    if better == "none" or len(complete) < FEWEST_WORKLOADS or len(comparison.policies) < FEWEST_POLICIES:
        return None
    return statistics.compare_ranks(complete, comparison.policies, better=better)
