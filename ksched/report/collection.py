"""One pass over all runs: metric values, values on common pods, overlaps, censoring. Keeps scalars, never tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ksched.errors import PluginError
from ksched.report.diagnosis import Fingerprint, fingerprint, moved_share
from ksched.report.grid import Grid
from ksched.report.metrics import Metric
from ksched.report.results import RunTables

Cell = tuple[str, str, str]
"""(workload, pair, policy): one run."""
Rows = npt.NDArray[np.intp]
_POD_KEY = ["workload", "index", "incarnation"]
_DEMAND = {"cpu": "cpu_milli", "memory": "memory_b", "gpu": "gpu_milli"}


@dataclass
class Collected:
    """What one pass over all runs leaves in memory."""

    values: dict[Cell, dict[str, dict[str, float]]] = field(default_factory=dict)
    """cell -> metric -> part -> value."""
    common: dict[Cell, dict[str, dict[str, tuple[float, float]]]] = field(default_factory=dict)
    """The same for metrics on common pods: (value, the baseline's value)."""
    common_pods: dict[tuple[str, str, str, bool], list[tuple[int, int]]] = field(default_factory=dict)
    """(workload, policy, column, whole jobs) -> per pair (common pods, pods of either)."""
    run_ids: dict[Cell, str] = field(default_factory=dict)
    overlap: list[dict[str, Any]] = field(default_factory=list)
    censoring: list[dict[str, Any]] = field(default_factory=list)
    fingerprints: dict[str, tuple[Fingerprint, ...]] = field(default_factory=dict)
    failures: dict[str, PluginError] = field(default_factory=dict)
    """Metrics that failed on some run, with the first failure; they are left out everywhere."""


def collect(grid: Grid, known: Mapping[str, Metric]) -> Collected:
    """One pair of runs at a time, so that memory does not grow with the number of runs."""
    collected = Collected()
    for workload in grid.workloads:
        prints = []
        for pair, runs in grid.of(workload):
            reference = RunTables(runs[grid.baseline]) if grid.baseline in runs else None
            for policy in grid.policies:
                if policy not in runs:
                    continue
                tables = reference if reference and policy == grid.baseline else RunTables(runs[policy])
                key = (workload, pair, policy)
                collected.run_ids[key] = tables.run.run_id
                collected.values[key] = _values(collected, tables, known)
                collected.censoring.append(_censoring(policy, workload, pair, tables))
                if policy == grid.baseline:
                    prints.append(fingerprint(tables))
                elif reference is not None:
                    _collect_common(collected, key, tables, reference, known)
        collected.fingerprints[workload] = tuple(prints)
    return collected


def _values(collected: Collected, tables: RunTables, known: Mapping[str, Metric]) -> dict[str, dict[str, float]]:
    found = {}
    for name, metric in known.items():
        if name in collected.failures:
            continue
        try:
            found[name] = metric(tables)
        except PluginError as error:
            collected.failures[name] = error
    return found


def _censoring(policy: str, workload: str, pair: str, tables: RunTables) -> dict[str, Any]:
    pods = tables.pods
    never = pods["t_scheduled_us"].isna()
    row = {
        "policy": policy,
        "workload": workload,
        "seed": pair,
        "created": len(pods),
        "never_scheduled": int(never.sum()),
        "unfinished": int(pods["censored"].sum()),
        "horizon_s": tables.run.t_end_us / 1e6,
    }
    for resource, column in _DEMAND.items():
        # What the missing pods wanted: a policy may leave few pods out, and these the largest.
        demand = pods[column].sum() if column in pods.columns else 0
        row[f"never_scheduled_{resource}"] = float(pods.loc[never, column].sum() / demand) if demand else np.nan
    return row


def _collect_common(
    collected: Collected, key: Cell, tables: RunTables, reference: RunTables, known: Mapping[str, Metric]
) -> None:
    workload, _, policy = key
    mine, theirs = _aligned(tables.pods, reference.pods)
    collected.overlap.append(_overlap(key, tables.pods.iloc[mine], reference.pods.iloc[theirs]))
    limited: dict[tuple[str, bool], tuple[RunTables, RunTables]] = {}
    for metric in known.values():
        if metric.common is None or metric.name in collected.failures:
            continue
        which = (metric.common, metric.whole_jobs)
        if which not in limited:
            limited[which] = _on_common(tables, reference, mine, theirs, *which)
            counts = (len(limited[which][0].pods), max(len(tables.pods), len(reference.pods)))
            collected.common_pods.setdefault((workload, policy, *which), []).append(counts)
        try:
            value, base = (metric(side) for side in limited[which])
        except PluginError as error:
            collected.failures[metric.name] = error
            continue
        both = {part: (value[part], base[part]) for part in value if part in base}
        collected.common.setdefault(key, {})[metric.name] = both


def _overlap(key: Cell, pods: pd.DataFrame, reference: pd.DataFrame) -> dict[str, Any]:
    """How the outcomes of the same pods differ; the rows of the two frames match."""
    workload, pair, policy = key
    common, moved = moved_share(pods, reference)
    row: dict[str, Any] = {"policy": policy, "workload": workload, "seed": pair, "common": common, "moved": moved}
    for word, column in (("scheduled", "t_scheduled_us"), ("finished", "t_finished_us")):
        mine, theirs = pods[column].notna().to_numpy(), reference[column].notna().to_numpy()
        row[f"{word}_here_only"] = int((mine & ~theirs).sum())
        row[f"{word}_there_only"] = int((~mine & theirs).sum())
    return row


def _aligned(pods: pd.DataFrame, reference: pd.DataFrame) -> tuple[Rows, Rows]:
    """Row numbers of the pods that exist in both runs, in matching order; a pod is (workload, index, incarnation)."""
    same = len(pods) == len(reference) and all(
        np.array_equal(pods[c].to_numpy(), reference[c].to_numpy()) for c in _POD_KEY
    )
    if same:
        rows = np.arange(len(pods), dtype=np.intp)
        return rows, rows
    left = pods[_POD_KEY].assign(mine=np.arange(len(pods)))
    right = reference[_POD_KEY].assign(theirs=np.arange(len(reference)))
    both = left.merge(right, on=_POD_KEY, how="inner")
    return both["mine"].to_numpy(dtype=np.intp), both["theirs"].to_numpy(dtype=np.intp)


def _on_common(
    tables: RunTables, reference: RunTables, mine: Rows, theirs: Rows, column: str, whole_jobs: bool
) -> tuple[RunTables, RunTables]:
    """Both runs limited to the pods (or jobs) for which both have a time in ``column``."""
    happened = tables.pods[column].notna().to_numpy()[mine] & reference.pods[column].notna().to_numpy()[theirs]
    if whole_jobs:
        broken = _jobs_lacking(tables.pods, column) | _jobs_lacking(reference.pods, column)
        happened &= ~tables.pods["workload"].iloc[mine].isin(broken).to_numpy()
    return _with_rows(tables, mine[happened]), _with_rows(reference, theirs[happened])


def _jobs_lacking(pods: pd.DataFrame, column: str) -> set[str]:
    return set(pods.loc[pods[column].isna(), "workload"])


def _with_rows(tables: RunTables, rows: Rows) -> RunTables:
    mask = np.zeros(len(tables.pods), dtype=bool)
    mask[rows] = True
    return tables.limited_to(mask)
