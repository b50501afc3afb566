"""The figures (Altair). Each carries its data, is named, and comes out byte for byte the same every time."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ksched.report import series
from ksched.report.charts import bars, curves, forest, heat_maps
from ksched.report.charts.figure import Figure, pdf, theme
from ksched.report.charts.published import published_curves
from ksched.report.charts.rank_plot import rank_plot
from ksched.report.charts.sweep import sweeps
from ksched.report.comparison import Comparison

__all__ = ["Figure", "all_figures", "overview_figures", "pdf", "published_curves", "theme", "workload_figures"]


def all_figures(comparison: Comparison) -> dict[str, list[Figure]]:
    """Workload -> its figures; those under "" are about all workloads."""
    progress = {workload: series.progress(comparison, workload) for workload in comparison.workloads}
    drawn = {"": overview_figures(comparison, progress)}
    return drawn | {w: workload_figures(comparison, w, progress[w]) for w in comparison.workloads}


def overview_figures(comparison: Comparison, progress: Mapping[str, pd.DataFrame]) -> list[Figure]:
    """Figures over all workloads; ``progress``: workload -> its curves (series.progress)."""
    if len(comparison.policies) < 2 or len(comparison.workloads) < 2 or not len(comparison.frame):
        return sweeps(comparison)
    return [
        *sweeps(comparison),
        *heat_maps.matrix(comparison),
        *rank_plot(comparison),
        *forest.over_workloads(comparison),
        *curves.load(comparison, progress),
    ]


def workload_figures(comparison: Comparison, workload: str, progress: pd.DataFrame | None = None) -> list[Figure]:
    """The figures of one workload, most telling first; those without data are left out."""
    figures = forest.over_metrics(comparison, workload) if len(comparison.policies) > 1 else []
    timed = any(r.pending_time_meaningful for runs in series.runs_of(comparison, workload).values() for r in runs)
    lines = series.progress(comparison, workload) if progress is None else progress
    for measure in series.MEASURES:
        if len(lines) and lines[measure].max() > 0:
            figures.append(curves.progress(comparison, lines, measure, timed))
    waits = series.pending(comparison, workload)
    if len(waits):
        figures.append(curves.pending(comparison, waits))
    figures += heat_maps.nodes(comparison, workload)
    missed = series.failures(comparison, workload)
    if len(missed) and missed["pods"].sum() > 0:
        figures.append(bars.failures(comparison, missed))
    return figures
