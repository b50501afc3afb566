"""The numbers behind the charts: a few hundred points a curve, whatever the length of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from ksched.report.comparison import Comparison
from ksched.report.outcomes import pending_seconds
from ksched.report.results import Run, RunTables

MEASURES = ("allocated", "imbalance", "stranded")
MOST_POINTS = 120
LEAST_POINTS = 16
ROW_BUDGET = 12_000
"""Rows of curve data in one report; more curves get fewer points each, so that the file stays small."""
SHORTEST_S = 0.001
"""Waiting times are drawn on a logarithmic axis from here; shorter ones, zero included, stand at its left end."""

Floats = npt.NDArray[np.float64]


def runs_of(comparison: Comparison, workload: str) -> dict[str, list[Run]]:
    """policy -> its finished runs on a workload, by seed."""
    rows = comparison.per_run[comparison.per_run["workload"] == workload]
    by_id = {run.run_id: run for run in comparison.results.finished}
    found = {}
    for policy in comparison.policies:
        ids = rows.loc[rows["policy"] == policy, "run_id"].drop_duplicates()
        found[policy] = [by_id[run_id] for run_id in ids]
    return {policy: runs for policy, runs in found.items() if runs}


def points(comparison: Comparison, resources: int) -> int:
    """Points a curve may have within the budget of the whole report."""
    curves = max(1, len(comparison.policies) * len(comparison.workloads) * resources)
    return int(np.clip(ROW_BUDGET // curves, LEAST_POINTS, MOST_POINTS))


def progress(comparison: Comparison, workload: str) -> pd.DataFrame:
    """Columns policy, resource, x, and for each of :data:`MEASURES` its mean, lowest and highest value over seeds
    (``allocated``, ``allocated_lo``, ``allocated_hi``, ...) in percent.

    ``x`` is seconds, each point the mean over its bin of time; in a replay that gives time no meaning it is the
    arrived demand in percent of capacity. The curve ends where the first seed ends.
    """
    rows = []
    by_policy = runs_of(comparison, workload)
    tables = {policy: [RunTables(run) for run in runs] for policy, runs in by_policy.items()}
    everything = [t for several in tables.values() for t in several]
    resources = list(dict.fromkeys(r for t in everything for r in t.resources))
    count = points(comparison, len(resources))
    for resource in resources:
        axis = _axis([t for t in everything if resource in t.resources], resource, count)
        for policy, several in tables.items():
            curves = [_curves(t, resource, axis) for t in several if resource in t.resources]
            if not curves or not len(axis):
                continue
            stacked = 100 * np.stack(curves)  # seeds x measures x points
            mean, low, high = stacked.mean(axis=0), stacked.min(axis=0), stacked.max(axis=0)
            timed = several[0].run.pending_time_meaningful
            at = (axis[1:] + axis[:-1]) / 2 if timed else 100 * axis
            columns: dict[str, object] = {"policy": policy, "resource": resource, "x": at}
            for i, measure in enumerate(MEASURES):
                columns |= {measure: mean[i], f"{measure}_lo": low[i], f"{measure}_hi": high[i]}
            rows.append(pd.DataFrame(columns))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["policy", "resource", "x"])


def _axis(tables: Sequence[RunTables], resource: str, count: int) -> Floats:
    """Edges of the time bins in seconds, or the values of arrived demand at which curves are read."""
    with_samples = [t for t in tables if len(t.samples)]
    if not with_samples:
        return np.zeros(0)
    if with_samples[0].run.pending_time_meaningful:
        starts = [int(t.samples["t_us"].iloc[0]) for t in with_samples]
        ends = [max(t.run.t_end_us, int(t.samples["t_us"].iloc[-1])) for t in with_samples]
        return np.linspace(max(starts), min(ends), count + 1) / 1e6 if min(ends) > max(starts) else np.zeros(0)
    reached = min(float(t.samples[f"arrived_{resource}"].max()) for t in with_samples)
    return np.linspace(0, reached, count + 1)[1:] if reached > 0 else np.zeros(0)


def _curves(tables: RunTables, resource: str, axis: Floats) -> Floats:
    """One row for each measure, read at ``axis``."""
    samples = tables.samples
    curves = []
    for measure in MEASURES:
        name = f"{measure}_{resource}"
        values = samples[name].to_numpy(dtype="float64", na_value=0.0) if name in samples else np.zeros(len(samples))
        values = np.nan_to_num(values)
        if tables.run.pending_time_meaningful:
            curves.append(_bin_means(samples["t_us"].to_numpy() / 1e6, values, axis))
        else:
            curves.append(np.interp(axis, samples[f"arrived_{resource}"].to_numpy(dtype="float64"), values))
    return np.stack(curves)


def _bin_means(times: Floats, values: Floats, edges: Floats) -> Floats:
    """Means over bins of a step function that holds each value until the next time."""
    end = max(float(edges[-1]), float(times[-1]))
    knots = np.append(times, end)
    integral = np.concatenate([[0.0], np.cumsum(values * np.diff(knots))])
    means: Floats = np.diff(np.interp(edges, knots, integral)) / np.diff(edges)
    return means


def pending(comparison: Comparison, workload: str) -> pd.DataFrame:
    """Columns policy, seconds, share, lo, hi: percent of all created pods that were bound within so many seconds,
    mean, lowest and highest over seeds. Pods that were never bound keep a curve below 100 %."""
    waits: dict[str, list[tuple[Floats, int]]] = {}
    for policy, runs in runs_of(comparison, workload).items():
        for run in runs:
            if run.pending_time_meaningful:
                tables = RunTables(run)
                seconds: Floats = np.sort(pending_seconds(tables).to_numpy(dtype=np.float64))
                waits.setdefault(policy, []).append((seconds, len(tables.pods)))
    longest = max((float(s[-1]) for several in waits.values() for s, _ in several if len(s)), default=0.0)
    if longest <= SHORTEST_S:
        return pd.DataFrame(columns=["policy", "seconds", "share", "lo", "hi"])
    # The left end of the axis is where the first half percent has been bound, so that the tail does not fill it.
    shortest = min(float(np.quantile(s, 0.005)) for several in waits.values() for s, _ in several if len(s))
    grid = np.geomspace(min(max(shortest, SHORTEST_S), longest / 10), longest, 2 * points(comparison, 1))
    rows = []
    for policy, several in waits.items():
        shares = 100 * np.stack([np.searchsorted(s, grid * (1 + 1e-12), side="right") / max(1, n) for s, n in several])
        rows.append(
            pd.DataFrame(
                {
                    "policy": policy,
                    "seconds": grid,
                    "share": shares.mean(axis=0),
                    "lo": shares.min(axis=0),
                    "hi": shares.max(axis=0),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def failures(comparison: Comparison, workload: str) -> pd.DataFrame:
    """Columns policy, reason, pods, lo, hi: unscheduled pods by reason, mean, lowest and highest over seeds."""
    rows = comparison.per_run[comparison.per_run["workload"] == workload]
    reasons = rows[rows["metric"] == "unscheduled_by_reason"]
    runs = rows[["policy", "run_id"]].drop_duplicates()
    found = []
    for reason in reasons["part"].drop_duplicates():
        counts = runs.merge(reasons.loc[reasons["part"] == reason, ["run_id", "policy", "value"]], how="left")
        counts["value"] = counts["value"].fillna(0.0)
        summary = counts.groupby("policy", sort=False)["value"].agg(pods="mean", lo="min", hi="max").reset_index()
        found.append(summary.assign(reason=str(reason)))
    columns = ["policy", "reason", "pods", "lo", "hi"]
    return pd.concat(found, ignore_index=True)[columns] if found else pd.DataFrame(columns=columns)


def gain_by_load(comparison: Comparison, curves: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Columns policy, resource, x, gain, lo, hi: allocated share minus the baseline's at the same arrived demand, in
    percentage points, mean, lowest and highest over workloads. ``curves``: workload -> its :func:`progress`; empty
    unless every workload is replayed without time."""
    columns = ["policy", "resource", "x", "gain", "lo", "hi"]
    timed = any(run.pending_time_meaningful for run in comparison.results.finished)
    found = []
    for resource in [] if timed else dict.fromkeys(r for frame in curves.values() for r in frame["resource"]):
        some = {w: frame[frame["resource"] == resource] for w, frame in curves.items()}
        ends = [float(frame["x"].max()) for frame in some.values() if len(frame)]
        grid = np.linspace(0, min(ends), MOST_POINTS // 2 + 1)[1:]
        for policy in comparison.policies:
            gains = [g for frame in some.values() if (g := _gain(frame, policy, comparison.baseline, grid)) is not None]
            if policy == comparison.baseline or not gains:
                continue
            stacked = np.stack(gains)
            values = {"gain": stacked.mean(axis=0), "lo": stacked.min(axis=0), "hi": stacked.max(axis=0)}
            found.append(pd.DataFrame({"policy": policy, "resource": resource, "x": grid, **values}))
    return pd.concat(found, ignore_index=True)[columns] if found else pd.DataFrame(columns=columns)


def _gain(frame: pd.DataFrame, policy: str, baseline: str, grid: Floats) -> Floats | None:
    mine, base = (frame[frame["policy"] == p] for p in (policy, baseline))
    if not len(mine) or not len(base):
        return None
    gain: Floats = np.interp(grid, mine["x"], mine["allocated"]) - np.interp(grid, base["x"], base["allocated"])
    return gain


def unscheduled_table(comparison: Comparison, workload: str) -> pd.DataFrame:
    """Mean unscheduled pods by reason (rows) and policy (columns), the most frequent reason first."""
    rows = comparison.per_run
    mine = rows[(rows["workload"] == workload) & (rows["metric"] == "unscheduled_by_reason")]
    if not len(mine):
        return pd.DataFrame()
    # A reason that did not occur in a run counts 0 there, so the mean is over all runs of the policy.
    runs = rows[rows["workload"] == workload].groupby("policy", sort=False)["run_id"].nunique()
    totals = mine.groupby(["part", "policy"], sort=False)["value"].sum().unstack(fill_value=0)
    policies = [p for p in comparison.policies if p in runs.index]
    means = totals.reindex(columns=policies, fill_value=0.0).div(runs[policies], axis=1)
    means = means[means.sum(axis=1) > 0].sort_index()
    return means.loc[means.sum(axis=1).sort_values(ascending=False, kind="stable").index]
