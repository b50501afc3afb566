"""Every policy against the baseline, metric by metric, paired by everything that is not the policy.

Two runs form a pair when they agree on all axes but the compared ones: same trace, same cluster, same seed. The axes
compared are those the baseline names (``baseline: {policy: default}``), so a weight can be compared like a policy.
What is left, without the seed, is the workload group; one table row is (policy, workload group, metric).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ksched.errors import InputError, nearest
from ksched.report import statistics
from ksched.report.diagnosis import Fingerprint, fingerprint, moved_share
from ksched.report.metrics import Metric, all_metrics
from ksched.report.results import POLICY_AXIS, SEED_AXIS, Results, Run, RunTables, natural_key

SIGNIFICANT = 0.05
"""Family-wise error rate: a difference counts when its Holm-corrected p is below this."""

COLUMNS = [
    "policy", "workload", "metric", "part", "title", "unit", "better",
    "value", "baseline", "diff", "lo", "hi", "relative", "relative_lo", "relative_hi",
    "effect", "p", "p_wilcoxon", "p_holm", "n", "method", "verdict", "note",
]  # fmt: skip

_POD_KEY = ["workload", "index", "incarnation"]
_COMMON_NOTE = {"t_scheduled_us": "scheduled", "t_finished_us": "finished", "t_running_us": "started"}


@dataclass(frozen=True)
class Comparison:
    """The comparison of one experiment; made by :func:`compare`.

    ``frame``: one row per (policy, workload, metric, part), without the baseline's own rows. ``value`` and
    ``baseline`` are means over the pairs, ``diff`` the mean paired difference with its 95 % interval ``lo``, ``hi``;
    ``relative*`` the same in percent of the baseline's mean; ``effect`` Hedges' g of the paired differences;
    ``p_holm`` corrected over all metrics of that policy on that workload; ``verdict`` one of better, worse
    (significant), higher, lower (significant, of a metric that is no merit), undecided, equal (in every pair),
    untested (too few replicates).
    ``per_run``: policy, workload, seed, run_id, metric, part, value of every run. ``overlap``: per pair, how many pods
    landed on another node than under the baseline. ``censoring``: per run, pods created, never scheduled, unfinished.
    """

    results: Results
    compared: tuple[str, ...]
    baseline: str
    policies: tuple[str, ...]
    workloads: tuple[str, ...]
    seeds: tuple[str, ...]
    metrics: Mapping[str, Metric]
    frame: pd.DataFrame
    per_run: pd.DataFrame
    overlap: pd.DataFrame
    censoring: pd.DataFrame
    fingerprints: Mapping[str, tuple[Fingerprint, ...]] = field(repr=False)
    unpaired: tuple[str, ...] = ()

    @cached_property
    def _rows(self) -> dict[tuple[str, str, str, str], dict[str, Any]]:
        records = self.frame.to_dict("records")
        return {(r["policy"], r["workload"], r["metric"], r["part"]): {str(k): r[k] for k in r} for r in records}

    @cached_property
    def _means(self) -> dict[tuple[str, str, str, str], float]:
        rows = self.summary()[["policy", "workload", "metric", "part", "mean"]]
        return {(p, w, m, part): float(mean) for p, w, m, part, mean in rows.itertuples(index=False)}

    def row(self, policy: str, workload: str, metric: str, part: str = "") -> dict[str, Any] | None:
        """One row of ``frame``; None for the baseline itself and for what is not defined."""
        return self._rows.get((policy, workload, metric, part))

    def mean(self, policy: str, workload: str, metric: str, part: str = "") -> float:
        """A policy's own mean over its seeds; NaN where not defined."""
        return self._means.get((policy, workload, metric, part), math.nan)

    def summary(self) -> pd.DataFrame:
        """Mean, standard deviation, minimum and maximum over seeds per (policy, workload, metric, part)."""
        defined = self.per_run.dropna(subset=["value"])
        keys = ["policy", "workload", "metric", "part"]
        grouped = defined.groupby(keys, sort=False)["value"]
        return grouped.agg(n="count", mean="mean", sd="std", min="min", max="max").reset_index()


def compare(
    results: Results,
    *,
    baseline: str | Mapping[str, str] | None = None,
    metrics: Iterable[Metric] = (),
) -> Comparison:
    """Compare every policy with the baseline.

    ``baseline``: a policy's name, or axis -> value name; by default what the experiment file says, else its first
    policy. ``metrics``: a user's own, beside the built-in and installed ones. Raises InputError for an unknown axis or
    value, PluginError for a metric that fails.
    """
    reference = _baseline(results, baseline)
    grid = _Grid(results, reference)
    known = all_metrics(metrics)
    collected = _collect(grid, known)
    parts = _parts(collected.values, known)
    frame = _frame(grid, known, parts, collected)
    return Comparison(
        results=results,
        compared=tuple(reference),
        baseline=grid.baseline,
        policies=grid.policies,
        workloads=grid.workloads,
        seeds=results.axes.get(SEED_AXIS, ()),
        metrics=known,
        frame=frame,
        per_run=_per_run(grid, parts, collected),
        overlap=pd.DataFrame(collected.overlap, columns=["policy", "workload", "pair", "common", "moved"]),
        censoring=pd.DataFrame(collected.censoring),
        fingerprints=collected.fingerprints,
        unpaired=tuple(grid.unpaired()),
    )


def _baseline(results: Results, given: str | Mapping[str, str] | None) -> dict[str, str]:
    """The baseline as axis -> value name, checked against the axes that ran."""
    axes = results.axes
    if given is None:
        given = results.experiment.get("baseline") or results.plan.get("baseline") or _default_baseline(axes)
    if isinstance(given, str):
        axis = POLICY_AXIS if POLICY_AXIS in axes else next(iter(_default_baseline(axes)))
        given = {axis: given}
    chosen = {str(name): str(value) for name, value in given.items()}
    for name, value in chosen.items():
        if name not in axes or name == SEED_AXIS:
            raise InputError(
                f"the baseline names the axis {name!r}, which is not one of {', '.join(axes)}",
                where=str(results.directory),
            )
        if value not in axes[name]:
            guess = nearest(value, axes[name])
            raise InputError(
                f"no finished run has {name}={value}, so it cannot be the baseline",
                where=str(results.directory),
                hint=f"did you mean {guess!r}?" if guess else f"there are: {', '.join(axes[name])}",
            )
    return chosen


def _default_baseline(axes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    if len(axes.get(POLICY_AXIS, ())) > 1:
        return {POLICY_AXIS: axes[POLICY_AXIS][0]}
    varied = [name for name, values in axes.items() if len(values) > 1 and name != SEED_AXIS]
    name = varied[0] if len(varied) == 1 else POLICY_AXIS if POLICY_AXIS in axes else next(iter(axes))
    return {name: axes[name][0]}


class _Grid:
    """The finished runs arranged as workload -> pair -> policy."""

    def __init__(self, results: Results, reference: Mapping[str, str]) -> None:
        axes = results.axes
        self.reference = reference
        self.baseline = _joined(reference, list(reference))
        rest = [name for name in axes if name not in reference and name != SEED_AXIS]
        self._shown = [name for name in rest if len(axes[name]) > 1] or [n for n in rest if n == "trace"]
        self.pairs: dict[str, dict[str, dict[str, Run]]] = {}
        policies: dict[str, tuple[Any, ...]] = {}
        order: dict[str, tuple[Any, ...]] = {}
        for run in results.finished:
            policy = _joined(run.axes, list(reference))
            workload = _joined(run.axes, self._shown) or "workload"
            policies[policy] = _rank(run.axes, list(reference), axes)
            order[workload] = _rank(run.axes, self._shown, axes)
            pair = run.axes.get(SEED_AXIS, str(run.seed))
            self.pairs.setdefault(workload, {}).setdefault(pair, {})[policy] = run
        others = sorted((p for p in policies if p != self.baseline), key=lambda p: policies[p])
        self.policies = (self.baseline, *others) if self.baseline in policies else tuple(others)
        self.workloads = tuple(sorted(order, key=lambda w: order[w]))

    def of(self, workload: str) -> list[tuple[str, dict[str, Run]]]:
        """(pair, policy -> run) of a workload, by seed."""
        return sorted(self.pairs[workload].items(), key=lambda item: natural_key(item[0]))

    def unpaired(self) -> list[str]:
        """What the comparison had to leave out, in words."""
        lost = []
        for workload in self.workloads:
            for pair, runs in self.of(workload):
                missing = [p for p in self.policies if p not in runs]
                if self.baseline in missing:
                    lost.append(f"{workload}, seed {pair}: the baseline has no finished run, nothing was compared")
                elif missing:
                    lost.append(f"{workload}, seed {pair}: no finished run of {', '.join(missing)}")
        return lost


def _joined(axes: Mapping[str, str], names: Sequence[str]) -> str:
    if len(names) == 1:
        return axes.get(names[0], "-")
    plain = (POLICY_AXIS, "trace", "cluster")
    return ", ".join(axes.get(n, "-") if n in plain else f"{n} {axes.get(n, '-')}" for n in names)


def _rank(axes: Mapping[str, str], names: Sequence[str], known: Mapping[str, Sequence[str]]) -> tuple[int, ...]:
    return tuple(known[n].index(axes[n]) if n in axes else -1 for n in names)


@dataclass
class _Collected:
    """What one pass over all runs leaves in memory: scalars, never tables."""

    # (workload, pair, policy) -> metric -> part -> value
    values: dict[tuple[str, str, str], dict[str, dict[str, float]]] = field(default_factory=dict)
    # the same for metrics on common pods: (workload, pair, policy) -> metric -> part -> (value, baseline)
    common: dict[tuple[str, str, str], dict[str, dict[str, tuple[float, float]]]] = field(default_factory=dict)
    # (workload, policy, column) -> [(common pods, pods of either)]
    common_pods: dict[tuple[str, str, str], list[tuple[int, int]]] = field(default_factory=dict)
    run_ids: dict[tuple[str, str, str], str] = field(default_factory=dict)
    overlap: list[tuple[str, str, str, int, int]] = field(default_factory=list)
    censoring: list[dict[str, Any]] = field(default_factory=list)
    fingerprints: dict[str, tuple[Fingerprint, ...]] = field(default_factory=dict)


def _collect(grid: _Grid, known: Mapping[str, Metric]) -> _Collected:
    """One pass over the runs, one pair at a time, so that memory does not grow with the number of runs."""
    collected = _Collected()
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
                collected.values[key] = {name: metric(tables) for name, metric in known.items()}
                collected.censoring.append(_censoring(policy, workload, pair, tables))
                if policy == grid.baseline:
                    prints.append(fingerprint(tables))
                elif reference is not None:
                    _collect_common(collected, key, tables, reference, known)
        collected.fingerprints[workload] = tuple(prints)
    return collected


def _censoring(policy: str, workload: str, pair: str, tables: RunTables) -> dict[str, Any]:
    pods = tables.pods
    return {
        "policy": policy,
        "workload": workload,
        "pair": pair,
        "created": len(pods),
        "never_scheduled": int(pods["t_scheduled_us"].isna().sum()),
        "unfinished": int(pods["censored"].sum()),
        "horizon_s": tables.run.t_end_us / 1e6,
    }


def _collect_common(
    collected: _Collected,
    key: tuple[str, str, str],
    tables: RunTables,
    reference: RunTables,
    known: Mapping[str, Metric],
) -> None:
    workload, pair, policy = key
    mine, theirs = _aligned(tables.pods, reference.pods)
    common, moved = moved_share(tables.pods.iloc[mine], reference.pods.iloc[theirs])
    collected.overlap.append((policy, workload, pair, common, moved))
    limited: dict[str, tuple[RunTables, RunTables]] = {}
    for metric in known.values():
        column = metric.common
        if column is None:
            continue
        if column not in limited:
            limited[column] = _on_common(tables, reference, mine, theirs, column)
            counts = (len(limited[column][0].pods), max(len(tables.pods), len(reference.pods)))
            collected.common_pods.setdefault((workload, policy, column), []).append(counts)
        value, base = (metric(side) for side in limited[column])
        both = {part: (value[part], base[part]) for part in value if part in base}
        collected.common.setdefault(key, {})[metric.name] = both


Rows = npt.NDArray[np.intp]


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
    tables: RunTables, reference: RunTables, mine: Rows, theirs: Rows, column: str
) -> tuple[RunTables, RunTables]:
    happened = tables.pods[column].notna().to_numpy()[mine] & reference.pods[column].notna().to_numpy()[theirs]
    return _with_rows(tables, mine[happened]), _with_rows(reference, theirs[happened])


def _with_rows(tables: RunTables, rows: Rows) -> RunTables:
    mask = np.zeros(len(tables.pods), dtype=bool)
    mask[rows] = True
    return tables.limited_to(mask)


def _parts(
    values: Mapping[tuple[str, str, str], Mapping[str, Mapping[str, float]]], known: Mapping[str, Metric]
) -> dict[str, list[str]]:
    """Metric -> its parts over all runs; counts by reason the largest first, others in order of appearance."""
    parts: dict[str, list[str]] = {}
    for name, metric in known.items():
        totals: dict[str, float] = {}
        for by_metric in values.values():
            for part, value in by_metric[name].items():
                totals[part] = totals.get(part, 0.0) + (0.0 if math.isnan(value) else abs(value))
        order = list(totals)
        if metric.parts_default == 0.0:
            order.sort(key=lambda part: (-totals[part], part))
        parts[name] = order
    return parts


def _per_run(grid: _Grid, parts: Mapping[str, Sequence[str]], collected: _Collected) -> pd.DataFrame:
    rows = [
        (policy, workload, pair, collected.run_ids[workload, pair, policy], name, part, _value(by_metric, name, part))
        for (workload, pair, policy), by_metric in collected.values.items()
        for name in by_metric
        for part in parts[name]
    ]
    return pd.DataFrame(rows, columns=["policy", "workload", "seed", "run_id", "metric", "part", "value"])


def _value(by_metric: Mapping[str, Mapping[str, float]], name: str, part: str) -> float:
    return by_metric[name].get(part, math.nan)


def _frame(
    grid: _Grid, known: Mapping[str, Metric], parts: Mapping[str, Sequence[str]], collected: _Collected
) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for policy in grid.policies:
        if policy == grid.baseline:
            continue
        for workload in grid.workloads:
            found = (
                _row(grid, policy, workload, metric, part, collected)
                for metric in known.values()
                for part in parts[metric.name]
            )
            family = [row for row in found if row is not None]
            _correct(family)
            rows += family
    return pd.DataFrame(rows, columns=COLUMNS)


def _correct(family: Sequence[dict[str, Any]]) -> None:
    """Fill ``p_holm`` and ``verdict``. Metrics that restate each other (scheduled and unscheduled pods: differences
    proportional pair by pair) are one test, and metrics equal in every pair are none."""
    tests: dict[tuple[float, ...], float] = {row["shape"]: row["p"] for row in family if row["shape"]}
    adjusted = dict(zip(tests, statistics.holm(list(tests.values())), strict=True))
    for row in family:
        row["p_holm"] = float(adjusted.get(row["shape"], row["p"]))
        row["verdict"] = _verdict(row)


def _shape(values: Sequence[float], base: Sequence[float]) -> tuple[float, ...]:
    """The differences scaled so that proportional ones are equal; all zero where there is no difference."""
    d = np.nan_to_num(np.asarray(values) - np.asarray(base), nan=0.0)
    largest = d[np.argmax(np.abs(d))] if len(d) else 0.0
    return tuple(np.round(d / largest, 9).tolist()) if largest else ()


def _row(
    grid: _Grid, policy: str, workload: str, metric: Metric, part: str, collected: _Collected
) -> dict[str, Any] | None:
    values, base = [], []
    for pair, runs in grid.of(workload):
        if policy not in runs or grid.baseline not in runs:
            continue
        key = (workload, pair, policy)
        if metric.common is not None:
            both = collected.common.get(key, {}).get(metric.name, {}).get(part, (math.nan, math.nan))
            values.append(both[0])
            base.append(both[1])
        else:
            default = metric.parts_default
            values.append(collected.values[key][metric.name].get(part, default))
            base.append(collected.values[workload, pair, grid.baseline][metric.name].get(part, default))
    found = statistics.paired_difference(values, base, key=f"{policy}\0{workload}\0{metric.name}\0{part}")
    if found.n == 0:
        return None
    pods = collected.common_pods.get((workload, policy, str(metric.common)))
    scale = 100 / abs(found.baseline) if found.baseline != 0 else math.nan
    return {
        "policy": policy, "workload": workload, "metric": metric.name, "part": part,
        "title": metric.label(part), "unit": metric.unit, "better": metric.better,
        "value": found.value, "baseline": found.baseline, "diff": found.difference, "lo": found.low, "hi": found.high,
        "relative": found.difference * scale, "relative_lo": found.low * scale, "relative_hi": found.high * scale,
        "effect": found.effect, "p": found.p, "p_wilcoxon": found.p_wilcoxon, "n": found.n, "method": found.method,
        "note": "; ".join(_notes(found, len(values), metric, pods)), "shape": _shape(values, base),
    }  # fmt: skip


def _notes(
    found: statistics.PairedDifference, pairs: int, metric: Metric, common: Sequence[tuple[int, int]] | None
) -> Iterable[str]:
    if found.note:
        yield found.note
    if found.n < pairs:
        yield f"not defined in {pairs - found.n} of {pairs} pairs"
    if found.n >= 6 and found.p < SIGNIFICANT and found.p_wilcoxon > 0.1:
        yield f"the rank test disagrees (p = {found.p_wilcoxon:.2f})"
    if common:
        kept, of = (sum(counts) / len(common) for counts in zip(*common, strict=True))
        if kept < of:
            verb = _COMMON_NOTE.get(str(metric.common), f"with {metric.common}")
            yield f"over the {kept:,.0f} of {of:,.0f} pods {verb} under both"


def _verdict(row: Mapping[str, Any]) -> str:
    if row["diff"] == 0 and (row["note"].startswith((statistics.TIED, statistics.NO_REPLICATION, statistics.SINGLE))):
        return "equal"
    if math.isnan(row["p_holm"]):
        return "untested"
    if row["p_holm"] >= SIGNIFICANT:
        return "undecided"
    up = row["diff"] > 0
    if row["better"] == "none":
        return "higher" if up else "lower"
    return "better" if up == (row["better"] == "higher") else "worse"
