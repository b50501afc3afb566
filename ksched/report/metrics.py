"""Metrics: small functions over the tables of one run.

A metric takes a :class:`~ksched.report.results.RunTables` and returns one number, or a mapping from a part (a
resource, a reason) to a number. NaN means "not defined for this run" and is never compared. To add one::

    @metric("gpu_waste", title="GPU waste", unit="%", better="lower")
    def gpu_waste(run):
        "Share of GPU capacity that ..."
        return ...

A package adds its own under the entry point group ``ksched.metrics`` (each entry a :class:`Metric`, as the decorator
returns it); a notebook passes it to ``compare(results, metrics=[...])``. No simulation has to be run again.

Units: ``pods``, ``nodes``, ``s`` and ``%`` (0 to 100; differences of it are percentage points).
"""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ksched.errors import InputError, PluginError
from ksched.report.results import RunTables

Better = Literal["lower", "higher", "none"]
Outcome = float | Mapping[str, float]
ENTRY_POINT_GROUP = "ksched.metrics"

SECOND_US = 1_000_000
RESOURCE_NAMES = {"cpu": "CPU", "memory": "memory", "gpu": "GPU"}
"""How resources are written in titles and sentences."""


@dataclass(frozen=True)
class Metric:
    """A named function of one run, with what a reader needs to know about it.

    ``better`` says which direction is an improvement ("none": a property, not a merit). ``parts_default`` is the
    value of a part that a run does not mention: 0 for counts by reason, NaN for a resource the cluster lacks.
    ``common`` names a nullable time column of the pods table: two policies are then compared on the pods for which
    both have that time, since means over different sets of pods say nothing about either policy.
    """

    name: str
    title: str
    unit: str
    better: Better
    function: Callable[[RunTables], Outcome]
    parts_default: float = math.nan
    common: str | None = None

    def __post_init__(self) -> None:
        if self.better not in ("lower", "higher", "none"):
            raise InputError(f"better={self.better!r} is none of lower, higher, none", where=f"metric {self.name!r}")

    @property
    def meaning(self) -> str:
        """The docstring of the function as one paragraph."""
        return " ".join((self.function.__doc__ or "").split())

    def label(self, part: str) -> str:
        """The title of one part: "Imbalance, mean: GPU"."""
        return f"{self.title}: {RESOURCE_NAMES.get(part, part)}" if part else self.title

    def __call__(self, run: RunTables) -> dict[str, float]:
        """The values by part; a plain number has the part ''. Raises PluginError when the function misbehaves."""
        try:
            outcome = self.function(run)
            values = outcome if isinstance(outcome, Mapping) else {"": outcome}
            return {str(part): float(value) for part, value in values.items()}
        except InputError:
            raise
        except Exception as error:
            raise PluginError(
                f"metric {self.name!r} failed: {type(error).__name__}: {error}",
                where=f"run {run.run.run_id}",
                hint="a metric takes the tables of one run and returns a number or a mapping part -> number",
            ) from error


_BUILT_IN: dict[str, Metric] = {}


def metric(
    name: str,
    *,
    title: str,
    unit: str,
    better: Better = "none",
    parts_default: float = math.nan,
    common: str | None = None,
) -> Callable[[Callable[[RunTables], Outcome]], Metric]:
    """Decorator: make a :class:`Metric` of a function. It is not registered globally; see the module's text."""

    def decorate(function: Callable[[RunTables], Outcome]) -> Metric:
        return Metric(name, title, unit, better, function, parts_default, common)

    return decorate


def _built_in(
    name: str,
    *,
    title: str,
    unit: str,
    better: Better = "none",
    parts_default: float = math.nan,
    common: str | None = None,
) -> Callable[[Callable[[RunTables], Outcome]], Metric]:
    decorate = metric(name, title=title, unit=unit, better=better, parts_default=parts_default, common=common)

    def register(function: Callable[[RunTables], Outcome]) -> Metric:
        _BUILT_IN[name] = decorate(function)
        return _BUILT_IN[name]

    return register


def all_metrics(extra: Iterable[Metric] = ()) -> dict[str, Metric]:
    """Built-in metrics, those of installed packages (by entry point name), then ``extra``; names must be unique."""
    found = dict(_BUILT_IN)
    installed = sorted(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda e: (e.name, e.value))
    for entry in installed:
        _add(found, _load(entry), f"entry point {entry.name} = {entry.value}")
    for given in extra:
        _add(found, given, "metrics")
    return found


def _load(entry: importlib.metadata.EntryPoint) -> object:
    try:
        return entry.load()
    except Exception as error:
        raise InputError(
            f"cannot load the metric: {type(error).__name__}: {error}",
            where=f"entry point {entry.name} = {entry.value} of the group {ENTRY_POINT_GROUP}",
            hint="fix or uninstall the package that provides it",
        ) from error


def _add(found: dict[str, Metric], given: object, where: str) -> None:
    if not isinstance(given, Metric):
        raise InputError(
            f"{given!r} is no metric", where=where, hint="decorate the function with @ksched.report.metric(...)"
        )
    if given.name in found:
        raise InputError(f"there are two metrics called {given.name!r}", where=where, hint="give one another name")
    found[given.name] = given


# --- outcomes -----------------------------------------------------------------------------------------------------


@_built_in("scheduled_pods", title="Scheduled pods", unit="pods", better="higher")
def scheduled_pods(run: RunTables) -> float:
    """Pods that were bound to a node at least once before the horizon."""
    return float(run.pods["t_scheduled_us"].notna().sum())


@_built_in("unscheduled_pods", title="Unscheduled pods", unit="pods", better="lower")
def unscheduled_pods(run: RunTables) -> float:
    """Pods that were created and never bound to a node: failed, still pending or gated at the horizon."""
    return float(run.pods["t_scheduled_us"].isna().sum())


@_built_in("unscheduled_by_reason", title="Unscheduled", unit="pods", better="lower", parts_default=0.0)
def unscheduled_by_reason(run: RunTables) -> Mapping[str, float]:
    """Unscheduled pods by the scheduler's last summarised reason; by outcome where no reason was recorded."""
    missed = run.pods[run.pods["t_scheduled_us"].isna()]
    reasons = missed["reason"].astype("object").where(missed["reason"].notna(), missed["outcome"].astype("object"))
    counts = reasons.astype(str).value_counts()
    return {str(reason): float(counts[reason]) for reason in sorted(counts.index)}


# --- waiting ------------------------------------------------------------------------------------------------------


_NONE: pd.Series[float] = pd.Series(np.zeros(0))


def pending_seconds(run: RunTables) -> pd.Series[float]:
    """Seconds from creation to binding of every scheduled pod; empty where the replay gives time no meaning."""
    pods = run.pods
    if not run.run.pending_time_meaningful:
        return _NONE
    return _seconds(pods["t_scheduled_us"] - pods["t_create_us"])


def _seconds(times_us: pd.Series[Any]) -> pd.Series[float]:
    """Known times in seconds."""
    return pd.Series(times_us.dropna().to_numpy(dtype="float64") / SECOND_US)


def _percentile(values: pd.Series[float], q: float) -> float:
    return float(np.percentile(values.to_numpy(), q)) if len(values) else math.nan


@_built_in("pending_mean", title="Pending time, mean", unit="s", better="lower", common="t_scheduled_us")
def pending_mean(run: RunTables) -> float:
    """Mean seconds from creation to binding, over scheduled pods; compared on pods that both policies scheduled."""
    values = pending_seconds(run)
    return float(values.mean()) if len(values) else math.nan


@_built_in("pending_p50", title="Pending time, p50", unit="s", better="lower", common="t_scheduled_us")
def pending_p50(run: RunTables) -> float:
    """Median seconds from creation to binding, over scheduled pods; compared on pods that both policies scheduled."""
    return _percentile(pending_seconds(run), 50)


@_built_in("pending_p95", title="Pending time, p95", unit="s", better="lower", common="t_scheduled_us")
def pending_p95(run: RunTables) -> float:
    """95th percentile of the seconds from creation to binding, over scheduled pods; compared on the common ones."""
    return _percentile(pending_seconds(run), 95)


@_built_in("pending_p99", title="Pending time, p99", unit="s", better="lower", common="t_scheduled_us")
def pending_p99(run: RunTables) -> float:
    """99th percentile of the seconds from creation to binding, over scheduled pods; compared on the common ones."""
    return _percentile(pending_seconds(run), 99)


@_built_in("pending_censored", title="Pending time censored", unit="pods", better="lower")
def pending_censored(run: RunTables) -> float:
    """Pods whose pending time is right-censored: never bound, so known only to exceed what was observed of it."""
    return unscheduled_pods.function(run) if run.run.pending_time_meaningful else math.nan  # type: ignore[return-value]


# --- completion ---------------------------------------------------------------------------------------------------


def turnaround_seconds(run: RunTables) -> pd.Series[float]:
    """Seconds from creation to the end of the last container, of every pod that finished."""
    pods = run.pods
    if not run.run.pending_time_meaningful:
        return _NONE
    return _seconds(pods["t_finished_us"] - pods["t_create_us"])


@_built_in("completion_mean", title="Completion time, mean", unit="s", better="lower", common="t_finished_us")
def completion_mean(run: RunTables) -> float:
    """Mean turnaround (creation to end) of finished pods; compared on pods that finished under both policies."""
    values = turnaround_seconds(run)
    return float(values.mean()) if len(values) else math.nan


@_built_in("completion_p95", title="Completion time, p95", unit="s", better="lower", common="t_finished_us")
def completion_p95(run: RunTables) -> float:
    """95th percentile of turnaround of finished pods; compared on pods that finished under both policies."""
    return _percentile(turnaround_seconds(run), 95)


@_built_in("makespan", title="Makespan", unit="s", better="lower")
def makespan(run: RunTables) -> float:
    """First creation to last end. Defined only when every pod was scheduled and ended (finished or was deleted):
    otherwise the policy that leaves most work undone would look fastest."""
    pods = run.pods
    ended = pods["t_finished_us"].where(pods["t_finished_us"].notna(), pods["t_deleted_us"])
    if not run.run.pending_time_meaningful or not len(pods):
        return math.nan
    if pods["t_scheduled_us"].isna().any() or ended.isna().any():
        return math.nan
    return float(ended.max() - pods["t_create_us"].min()) / SECOND_US


# --- the cluster --------------------------------------------------------------------------------------------------


def weighted_mean(run: RunTables, column: str) -> float:
    """Mean of a column of the samples: over time, each value holding until the next sample; in a replay that gives
    time no meaning over arrived pods instead, so that every arrival counts alike. NaN samples are left out."""
    samples = run.samples
    if not len(samples):
        return math.nan
    if run.run.pending_time_meaningful:
        ends = np.append(samples["t_us"].to_numpy()[1:], max(run.run.t_end_us, int(samples["t_us"].iloc[-1])))
        weights = (ends - samples["t_us"].to_numpy()).astype("float64")
    else:
        weights = np.diff(samples["arrived_pods"].to_numpy().astype("float64"), prepend=0.0)
    values = samples[column].to_numpy(dtype="float64", na_value=math.nan)
    kept = np.isfinite(values)
    if not weights[kept].sum() > 0:
        return float(values[kept].mean()) if kept.any() else math.nan
    return float(np.average(values[kept], weights=weights[kept]))


def _mean_percent(run: RunTables, measure: str) -> dict[str, float]:
    return {r: 100 * weighted_mean(run, f"{measure}_{r}") for r in run.resources}


def _last_percent(run: RunTables, measure: str) -> dict[str, float]:
    if not len(run.samples):
        return {}
    return {r: 100 * float(run.samples[f"{measure}_{r}"].iloc[-1]) for r in run.resources}


@_built_in("allocation_mean", title="Allocation, mean", unit="%")
def allocation_mean(run: RunTables) -> Mapping[str, float]:
    """Requested share of the cluster's capacity, averaged over time (over arrived pods in an inflated replay)."""
    return _mean_percent(run, "allocated")


@_built_in("allocation_final", title="Allocation, final", unit="%")
def allocation_final(run: RunTables) -> Mapping[str, float]:
    """Requested share of the cluster's capacity at the end of the run."""
    return _last_percent(run, "allocated")


@_built_in("allocation_max", title="Allocation, peak", unit="%")
def allocation_max(run: RunTables) -> Mapping[str, float]:
    """Highest requested share of the cluster's capacity during the run."""
    return {r: 100 * float(run.samples[f"allocated_{r}"].max()) for r in run.resources if len(run.samples)}


@_built_in("imbalance_mean", title="Imbalance, mean", unit="%", better="lower")
def imbalance_mean(run: RunTables) -> Mapping[str, float]:
    """Standard deviation over nodes of their allocated share, averaged over time (or over arrived pods)."""
    return _mean_percent(run, "imbalance")


@_built_in("imbalance_final", title="Imbalance, final", unit="%", better="lower")
def imbalance_final(run: RunTables) -> Mapping[str, float]:
    """Standard deviation over nodes of their allocated share at the end of the run."""
    return _last_percent(run, "imbalance")


@_built_in("stranded_mean", title="Stranded capacity, mean", unit="%", better="lower")
def stranded_mean(run: RunTables) -> Mapping[str, float]:
    """Share of capacity that is free but on nodes where the trace's expected pod does not fit, averaged over time
    (or over arrived pods)."""
    return _mean_percent(run, "stranded")


@_built_in("stranded_final", title="Stranded capacity, final", unit="%", better="lower")
def stranded_final(run: RunTables) -> Mapping[str, float]:
    """Share of capacity that is free but on nodes where the trace's expected pod does not fit, at the end."""
    return _last_percent(run, "stranded")


@_built_in("nodes_used", title="Nodes used", unit="nodes")
def nodes_used(run: RunTables) -> float:
    """Nodes that held at least one of the pods at some time."""
    return float(run.pods["node"].dropna().nunique())
