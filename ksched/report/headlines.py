"""Which metrics come first: the few a reader wants at a glance, the most telling first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ksched.report.comparison import Comparison
from ksched.report.numbers import scale
from ksched.report.primary import by_pressure


@dataclass(frozen=True)
class Column:
    """One of the few metrics that come first."""

    metric: str
    part: str
    title: str


HEADLINES = 6
"""How many of the headline metrics are shown at a glance."""


def headline_columns(comparison: Comparison) -> list[Column]:
    """The metrics a reader wants first, as far as they are defined here: the primary ones, then others."""
    timed = any(run.pending_time_meaningful for run in comparison.results.finished)
    when = "mean" if timed else "final"
    resources = resources_by_pressure(comparison)
    wanted = [*comparison.primary, ("scheduled_pods", ""), ("pending_p95", ""), ("completion_mean", "")]
    wanted += [(f"stranded_{when}", r) for r in resources[:1]]
    wanted += [(f"imbalance_{when}", r) for r in resources[:1]]
    wanted += [("pending_p50", ""), ("makespan", ""), ("nodes_used", "")]
    wanted += [(f"imbalance_{when}", r) for r in resources[1:]]
    wanted += [(f"stranded_{when}", r) for r in resources[1:]]
    defined = comparison.per_run.dropna(subset=["value"])
    present = set(zip(defined["metric"], defined["part"], strict=True))
    columns = [Column(m, p, comparison.metrics[m].label(p)) for m, p in dict.fromkeys(wanted) if (m, p) in present]
    # Primary metrics come first, and of these and of the others what is equal under all policies last.
    rows = comparison.frame[comparison.frame["verdict"] != "equal"]
    differing = set(zip(rows["metric"], rows["part"], strict=True))

    def place(column: Column) -> tuple[bool, bool]:
        key = (column.metric, column.part)
        return key not in comparison.primary, column.metric != "scheduled_pods" and key not in differing

    return sorted(columns, key=place)


def heading(comparison: Comparison, column: Column) -> str:
    """The title of a column of headline metrics; metrics that are not tested are marked."""
    told = (column.metric, column.part) in comparison.primary
    return column.title if told else f"{column.title} (exploratory)"


def resources_by_pressure(comparison: Comparison) -> list[str]:
    """Resources, the most contended first (highest peak allocation of the baseline)."""
    return by_pressure(comparison.per_run, comparison.baseline)


def cell(comparison: Comparison, policy: str, workload: str, column: Column) -> dict[str, Any] | None:
    """The comparison row of one cell of a matrix, or None (the baseline itself, or not defined)."""
    return comparison.row(policy, workload, column.metric, column.part)


def mean_text(comparison: Comparison, policy: str, workload: str, column: Column) -> str:
    """A policy's own mean over its seeds, for cells that show values."""
    mean = comparison.mean(policy, workload, column.metric, column.part)
    return scale(comparison.metrics[column.metric].unit, mean).value(mean)


def separating_column(comparison: Comparison) -> Column:
    """The first headline metric in which the policies differ at all."""
    columns = headline_columns(comparison)
    rows = comparison.frame
    for column in columns:
        mine = rows[(rows["metric"] == column.metric) & (rows["part"] == column.part)]
        if len(mine) and (mine["verdict"] != "equal").any():
            return column
    return columns[0]


def ordered(values: Sequence[str], known: Sequence[str]) -> list[str]:
    """``values`` in the order of ``known``."""
    return [k for k in known if k in set(values)]
