"""Every policy against the baseline, metric by metric, paired by everything that is not the policy.

Two runs form a pair when they agree on all axes but the compared ones: same trace, same cluster, same seed. The axes
compared are those the baseline names (``baseline: {policy: default}``), so a weight can be compared like a policy.
What is left, without the seed, is the workload group; one table row is (policy, workload group, metric).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ksched.errors import InputError, PluginError
from ksched.report import statistics
from ksched.report.collection import Collected, collect
from ksched.report.diagnosis import Fingerprint
from ksched.report.grid import Grid, baseline_of
from ksched.report.metrics import Function, Metric, all_metrics, find_metric
from ksched.report.numbers import scale
from ksched.report.primary import Key, by_pressure, default_primary, find_name, named_primary
from ksched.report.results import SEED_AXIS, Results

SIGNIFICANT = 0.05
"""Family-wise error rate: a difference counts when its Holm-corrected p is below this."""
SKEWED = 1.0
"""From this skewness of the differences on (of at least SKEWED_FROM of them) t is too short, and a note says so."""
SKEWED_FROM = 5
PRIMARY, SECONDARY = "primary", "secondary"

COLUMNS = [
    "policy", "workload", "metric", "part", "title", "unit", "better",
    "value", "baseline", "diff", "lo", "hi", "relative", "relative_lo", "relative_hi",
    "effect", "rank_biserial", "p", "p_wilcoxon", "p_permutation", "p_holm", "n", "method", "family", "verdict", "note",
]  # fmt: skip
PAIR_COLUMNS = ["policy", "workload", "seed", "metric", "part", "value", "baseline", "diff"]
OVERLAP_COLUMNS = [
    "policy", "workload", "seed", "common", "moved",
    "scheduled_here_only", "scheduled_there_only", "finished_here_only", "finished_there_only",
]  # fmt: skip
KEYS = ["policy", "workload", "metric", "part"]

_COMMON_NOTE = {"t_scheduled_us": "scheduled", "t_finished_us": "finished", "t_running_us": "started"}


@dataclass(frozen=True)
class Comparison:
    """The comparison of one experiment; made by :func:`compare`.

    ``frame``: one row per (policy, workload, metric, part), without the baseline's own rows. ``value`` and
    ``baseline`` are means over the pairs, ``diff`` the mean paired difference with its 95 % interval ``lo``, ``hi``;
    ``relative*`` the same in percent of the baseline's mean, with Fieller's interval; ``effect`` Hedges' g of the
    paired differences, ``rank_biserial`` its counterpart on ranks; ``p`` of the t test, ``p_wilcoxon`` and
    ``p_permutation`` beside it; ``family`` "primary" for the metrics of ``primary``, else "secondary"; ``p_holm``
    corrected over the primary metrics of that policy on that workload, NaN for others; ``verdict`` one of better, worse
    (significant), higher, lower (significant, of a metric that is no merit), undecided, equal (in every pair),
    untested (too few replicates), exploratory (a secondary metric: its interval is shown, nothing is claimed).
    ``pairs``: the pairs behind it, one row each. ``per_run``: policy, workload, seed, run_id, metric, part, value of
    every run. ``overlap``: per pair, how many pods landed on another node than under the baseline, and how many were
    scheduled or finished under one of the two only (``here`` the policy, ``there`` the baseline). ``censoring``: per
    run, pods created, never scheduled (with their share of the demand, 0..1), unfinished.
    ``failed_metrics``: metrics left out because they failed on some run, with the first failure. ``primary``: (metric,
    part) of the family that is tested, ``declared`` by the experiment file or by default. ``cells``: (policy,
    workload) -> its axes without the seed.
    """

    results: Results
    compared: tuple[str, ...]
    baseline: str
    policies: tuple[str, ...]
    workloads: tuple[str, ...]
    seeds: tuple[str, ...]
    metrics: Mapping[str, Metric]
    frame: pd.DataFrame
    pairs: pd.DataFrame
    per_run: pd.DataFrame
    overlap: pd.DataFrame
    censoring: pd.DataFrame
    fingerprints: Mapping[str, tuple[Fingerprint, ...]] = field(repr=False)
    unpaired: tuple[str, ...] = ()
    failed_metrics: Mapping[str, PluginError] = field(default_factory=dict)
    primary: tuple[Key, ...] = ()
    declared: bool = False
    cells: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)

    @cached_property
    def _rows(self) -> dict[tuple[str, str, str, str], dict[str, Any]]:
        records = self.frame.to_dict("records")
        return {(r["policy"], r["workload"], r["metric"], r["part"]): {str(k): r[k] for k in r} for r in records}

    @cached_property
    def _means(self) -> dict[tuple[str, str, str, str], float]:
        rows = self.summary()[[*KEYS, "mean"]]
        return {(p, w, m, part): float(mean) for p, w, m, part, mean in rows.itertuples(index=False)}

    @cached_property
    def _differences(self) -> dict[tuple[str, str, str, str], dict[str, float]]:
        found: dict[tuple[str, str, str, str], dict[str, float]] = {}
        columns = self.pairs[[*KEYS, "seed", "diff"]]
        for policy, workload, metric, part, seed, diff in columns.itertuples(index=False):
            found.setdefault((policy, workload, metric, part), {})[seed] = float(diff)
        return found

    def row(self, policy: str, workload: str, metric: str, part: str = "") -> dict[str, Any] | None:
        """One row of ``frame``; None for the baseline itself and for what is not defined."""
        return self._rows.get((policy, workload, metric, part))

    def mean(self, policy: str, workload: str, metric: str, part: str = "") -> float:
        """A policy's own mean over its seeds; NaN where not defined."""
        return self._means.get((policy, workload, metric, part), math.nan)

    def differences(self, policy: str, workload: str, metric: str, part: str = "") -> dict[str, float]:
        """Seed -> difference to the baseline; empty where there is no pair."""
        return self._differences.get((policy, workload, metric, part), {})

    def summary(self) -> pd.DataFrame:
        """Mean, standard deviation, minimum and maximum over seeds per (policy, workload, metric, part)."""
        defined = self.per_run.dropna(subset=["value"])
        grouped = defined.groupby(KEYS, sort=False)["value"]
        return grouped.agg(n="count", mean="mean", sd="std", min="min", max="max").reset_index()


def compare(
    results: Results,
    *,
    baseline: str | Mapping[str, str] | None = None,
    metrics: Iterable[Metric | Function] = (),
    primary: Iterable[str] | None = None,
) -> Comparison:
    """Compare every policy with the baseline.

    ``baseline``: a policy's name, or axis -> value name; by default what the experiment file says, else its first
    policy. ``metrics``: a user's own, beside the built-in and installed ones and those the experiment file names.
    ``primary``: names of the metrics that are tested as one family (default: what the experiment file declares, else
    ksched.report.primary.default_primary). A metric that fails on a run is left out and named in ``failed_metrics``.
    Raises InputError for an unknown axis or value, for a metric that cannot be loaded and for an unknown primary one.
    """
    reference = baseline_of(results, baseline)
    grid = Grid(results, reference)
    everything = metrics_of(results, metrics)
    declared = list(primary) if primary is not None else declared_primary(results)
    for name in declared:
        find_name(name, everything, where=_where(results, "primary"))
    collected = collect(grid, everything)
    known = {name: metric for name, metric in everything.items() if name not in collected.failures}
    parts = _parts(collected, known)
    pairs = _pairs(grid, known, parts, collected)
    per_run = _per_run(known, parts, collected)
    family = _family(results, grid, everything, parts, per_run, declared)
    return Comparison(
        results=results,
        compared=tuple(reference),
        baseline=grid.baseline,
        policies=grid.policies,
        workloads=grid.workloads,
        seeds=results.axes.get(SEED_AXIS, ()),
        metrics=known,
        frame=_frame(known, pairs, collected, set(family)),
        pairs=pairs,
        per_run=per_run,
        overlap=pd.DataFrame(collected.overlap, columns=OVERLAP_COLUMNS),
        censoring=pd.DataFrame(collected.censoring),
        fingerprints=collected.fingerprints,
        unpaired=tuple(grid.unpaired()),
        failed_metrics=collected.failures,
        primary=tuple(family),
        declared=bool(declared),
        cells=grid.cells,
    )


def metric_pairs(results: Results, known: Mapping[str, Metric]) -> pd.DataFrame:
    """The pairs (``Comparison.pairs``) of some metrics against the experiment's own baseline, and nothing else. Raises
    PluginError when a metric fails."""
    grid = Grid(results, baseline_of(results, None))
    collected = collect(grid, known)
    for failure in collected.failures.values():
        raise failure
    return _pairs(grid, known, _parts(collected, known), collected)


def metrics_of(results: Results, more: Iterable[Metric | Function] = ()) -> dict[str, Metric]:
    """Every metric a comparison of these results has: built-in, installed, named in the experiment file, ``more``."""
    return all_metrics([*_named_metrics(results), *more])


def declared_primary(results: Results) -> list[str]:
    """The names under ``primary:`` in the experiment file; empty when there are none."""
    declared = results.experiment.get("primary") or []
    if not isinstance(declared, list):
        raise InputError("expected a list of metrics", where=_where(results, "primary"))
    return [str(name) for name in declared]


def _where(results: Results, key: str) -> str:
    return f"{results.directory / 'experiment.yaml'}: {key}"


def _family(
    results: Results,
    grid: Grid,
    known: Mapping[str, Metric],
    parts: Mapping[str, Sequence[str]],
    per_run: pd.DataFrame,
    declared: Sequence[str],
) -> list[Key]:
    """The primary metrics that have a value in some run, the most important first."""
    if declared:
        family = named_primary(declared, known, parts, where=_where(results, "primary"))
    else:
        timed = any(run.pending_time_meaningful for run in results.finished)
        family = default_primary(by_pressure(per_run, grid.baseline), timed=timed)
    rows = per_run.dropna(subset=["value"])
    defined = set(zip(rows["metric"], rows["part"], strict=True))
    return [key for key in family if key in defined]


def _named_metrics(results: Results) -> list[Metric]:
    """The metrics the experiment file names; files among them are relative to where that file was."""
    where = _where(results, "metrics")
    named = results.experiment.get("metrics") or []
    if not isinstance(named, list):
        raise InputError("expected a list of module:function or path/to/file.py:function", where=where)
    return [find_metric(str(reference), base=results.origin, where=where) for reference in named]


def _parts(collected: Collected, known: Mapping[str, Metric]) -> dict[str, list[str]]:
    """Metric -> its parts over all runs; counts by reason the largest first, others in order of appearance."""
    parts: dict[str, list[str]] = {}
    for name, metric in known.items():
        totals: dict[str, float] = {}
        for by_metric in collected.values.values():
            for part, value in by_metric[name].items():
                totals[part] = totals.get(part, 0.0) + (0.0 if math.isnan(value) else abs(value))
        order = list(totals)
        if metric.parts_default == 0.0:
            order.sort(key=lambda part: (-totals[part], part))
        parts[name] = order
    return parts


def _per_run(known: Mapping[str, Metric], parts: Mapping[str, Sequence[str]], collected: Collected) -> pd.DataFrame:
    rows = [
        (policy, workload, pair, run_id, name, part, collected.values[workload, pair, policy][name].get(part, math.nan))
        for (workload, pair, policy), run_id in collected.run_ids.items()
        for name in known
        for part in parts[name]
    ]
    return pd.DataFrame(rows, columns=["policy", "workload", "seed", "run_id", "metric", "part", "value"])


def _pairs(
    grid: Grid, known: Mapping[str, Metric], parts: Mapping[str, Sequence[str]], collected: Collected
) -> pd.DataFrame:
    rows: list[tuple[Any, ...]] = []
    for policy in grid.policies[1:] if grid.baseline in grid.policies else ():
        for workload in grid.workloads:
            shared = [pair for pair, runs in grid.of(workload) if policy in runs and grid.baseline in runs]
            for metric in known.values():
                for part in parts[metric.name]:
                    for pair in shared:
                        value, base = _values(collected, metric, part, (workload, pair, policy), grid.baseline)
                        rows.append((policy, workload, pair, metric.name, part, value, base, value - base))
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)


def _values(
    collected: Collected, metric: Metric, part: str, cell: tuple[str, str, str], baseline: str
) -> tuple[float, float]:
    """(the policy's value, the baseline's) of one pair; of common pods where the metric asks for them."""
    if metric.common is not None:
        return collected.common.get(cell, {}).get(metric.name, {}).get(part, (math.nan, math.nan))
    workload, pair, _ = cell
    default = metric.parts_default
    base = collected.values[workload, pair, baseline]
    return collected.values[cell][metric.name].get(part, default), base[metric.name].get(part, default)


def _frame(known: Mapping[str, Metric], pairs: pd.DataFrame, collected: Collected, primary: Set[Key]) -> pd.DataFrame:
    families: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for key, group in pairs.groupby(KEYS, sort=False):
        policy, workload, name, part = (str(value) for value in key)
        row = _row(policy, workload, known[name], part, group, collected)
        if row is not None:
            row["family"] = PRIMARY if (name, part) in primary else SECONDARY
            families.setdefault((policy, workload), []).append(row)
    for family in families.values():
        _correct(family)
    return pd.DataFrame([row for family in families.values() for row in family], columns=COLUMNS)


def _correct(family: Sequence[dict[str, Any]]) -> None:
    """Fill ``p_holm`` and ``verdict``. Only primary metrics are tested. Those that restate each other (scheduled and
    unscheduled pods: differences proportional pair by pair) are one test, and those equal in every pair are none."""
    primary = [row for row in family if row["family"] == PRIMARY]
    tests: dict[tuple[float, ...], float] = {row["shape"]: row["p"] for row in primary if row["shape"]}
    adjusted = dict(zip(tests, statistics.holm(list(tests.values())), strict=True))
    for row in family:
        tested = row["family"] == PRIMARY
        row["p_holm"] = float(adjusted.get(row["shape"], row["p"])) if tested else math.nan
        row["verdict"] = _verdict(row)


def _shape(differences: Sequence[float]) -> tuple[float, ...]:
    """The differences scaled so that proportional ones are equal; all zero where there is no difference."""
    d = np.nan_to_num(np.asarray(differences, dtype=np.float64), nan=0.0)
    largest = d[np.argmax(np.abs(d))] if len(d) else 0.0
    return tuple(np.round(d / largest, 9).tolist()) if largest else ()


def _row(
    policy: str, workload: str, metric: Metric, part: str, pairs: pd.DataFrame, collected: Collected
) -> dict[str, Any] | None:
    key = f"{policy}\0{workload}\0{metric.name}\0{part}"
    found = statistics.paired_difference(pairs["value"].to_numpy(), pairs["baseline"].to_numpy(), key=key)
    if found.n == 0:
        return None
    pods = collected.common_pods.get((workload, policy, str(metric.common), metric.whole_jobs))
    relative = statistics.relative_difference(pairs["value"].to_numpy(), pairs["baseline"].to_numpy())
    notes = [*_notes(found, len(pairs), metric, pods), *_skew_note(found, pairs["diff"].to_numpy(), metric.unit, key)]
    return {
        "policy": policy, "workload": workload, "metric": metric.name, "part": part,
        "title": metric.label(part), "unit": metric.unit, "better": metric.better,
        "value": found.value, "baseline": found.baseline, "diff": found.difference, "lo": found.low, "hi": found.high,
        "relative": relative[0], "relative_lo": relative[1], "relative_hi": relative[2],
        "effect": found.effect, "rank_biserial": found.rank_biserial,
        "p": found.p, "p_wilcoxon": found.p_wilcoxon, "p_permutation": found.p_permutation,
        "n": found.n, "method": found.method, "note": "; ".join(notes), "shape": _shape(pairs["diff"].tolist()),
    }  # fmt: skip


def _skew_note(
    found: statistics.PairedDifference, differences: npt.NDArray[np.float64], unit: str, key: str
) -> Iterable[str]:
    """The studentised interval beside the other one where differences are skewed: it keeps its promise better."""
    d = differences[np.isfinite(differences)]
    if math.isnan(found.low) or len(d) < SKEWED_FROM or abs(statistics.skewness(d)) < SKEWED:
        return
    low, high = statistics.studentised_interval(d, key=key)
    if math.isfinite(low) and math.isfinite(high):
        shown = scale(unit, found.value, found.baseline)
        yield f"skewed differences: the studentised interval is {shown.interval(low, high)}{shown.suffix}"


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
            jobs = " of jobs that are whole" if metric.whole_jobs else ""
            yield f"over the {kept:,.0f} of {of:,.0f} pods{jobs} {verb} under both"


def _verdict(row: Mapping[str, Any]) -> str:
    if row["diff"] == 0 and (row["note"].startswith((statistics.TIED, statistics.NO_REPLICATION, statistics.SINGLE))):
        return "equal"
    if math.isnan(row["p_holm"]):
        return "untested" if math.isnan(row["p"]) else "exploratory"
    if row["p_holm"] >= SIGNIFICANT:
        return "undecided"
    up = row["diff"] > 0
    if row["better"] == "none":
        return "higher" if up else "lower"
    return "better" if up == (row["better"] == "higher") else "worse"
