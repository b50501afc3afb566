"""Metrics over the table ``fragmentation``, which an experiment records with ``probes: [fragmentation]``.

What the buckets mean: Weng et al., "Beware of Fragmentation", USENIX ATC 2023 (see ksched.tables.fragmentation).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from ksched.report.metrics import metric
from ksched.report.results import RunTables
from ksched.report.table_schema import FRAGMENTATION

BUCKETS = tuple(FRAGMENTATION.names[FRAGMENTATION.names.index("used") + 1 :])
"""Columns of the table ``fragmentation``: idle GPU by what usual pods find it to be; all but the last are fragments."""


def _idle_gpu(run: RunTables) -> tuple[pd.Series[float], float] | None:
    """Idle GPU milli by bucket at the end of the run, and the milli of all devices."""
    if run.fragmentation is None or not len(run.fragmentation):
        return None
    return run.fragmentation.iloc[-1][list(BUCKETS)].astype("float64"), 1000 * float(run.nodes["gpu_count"].sum())


@metric("idle_gpu_final", title="Idle GPU, final", unit="%")
def idle_gpu_final(run: RunTables) -> Mapping[str, float]:
    """Idle share of all GPU capacity at the end by what the workload's usual pods find it to be: short of GPU, of cpu,
    of both, of another model, left over by pods without GPUs, or usable (q3_satisfied)."""
    found = _idle_gpu(run)
    return {} if found is None else {bucket: 100 * found[0][bucket] / found[1] for bucket in BUCKETS if found[1]}


@metric("fragmentation_final", title="Fragmentation, final", unit="%", better="lower")
def fragmentation_final(run: RunTables) -> float:
    """Share of all GPU capacity that is idle at the end and no use to the workload's usual pods."""
    found = _idle_gpu(run)
    return math.nan if found is None or not found[1] else 100 * float(found[0][:-1].sum()) / found[1]


@metric("fragmentation_ratio_final", title="Fragmentation of idle GPU, final", unit="%", better="lower")
def fragmentation_ratio_final(run: RunTables) -> float:
    """Share of the idle GPU capacity at the end that is no use to the workload's usual pods."""
    found = _idle_gpu(run)
    return math.nan if found is None or not found[0].sum() else 100 * float(found[0][:-1].sum() / found[0].sum())
