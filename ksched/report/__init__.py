"""Read a result directory, compare policies with honest statistics, write the report.

The usual way in is three lines::

    results = ksched.report.open_results("results/quickstart")
    comparison = ksched.report.compare(results)
    ksched.report.write_report("results/quickstart")

Nothing is imported until it is used: the processes that run simulations never pay for scipy, pandas or altair.
This package reads result tables only; it knows nothing of clusters, policies or traces.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ksched.report.comparison import Comparison, compare
    from ksched.report.metrics import Metric, all_metrics, find_metric, metric
    from ksched.report.opening import open_results
    from ksched.report.results import Results, Run, RunTables
    from ksched.report.statistics import PairedDifference, holm, paired_difference
    from ksched.report.terminal import comparison_table
    from ksched.report.write import write_report

__all__ = [
    "Comparison",
    "Metric",
    "PairedDifference",
    "Results",
    "Run",
    "RunTables",
    "all_metrics",
    "compare",
    "comparison_table",
    "find_metric",
    "holm",
    "metric",
    "open_results",
    "paired_difference",
    "write_report",
]

# Where each public name lives.
_HOME = {
    "Comparison": "comparison",
    "Metric": "metrics",
    "PairedDifference": "statistics",
    "Results": "results",
    "Run": "results",
    "RunTables": "results",
    "all_metrics": "metrics",
    "compare": "comparison",
    "comparison_table": "terminal",
    "find_metric": "metrics",
    "holm": "statistics",
    "metric": "metrics",
    "open_results": "opening",
    "paired_difference": "statistics",
    "write_report": "write",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
