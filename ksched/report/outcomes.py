"""The built-in metrics: what became of the pods, how long they waited and took, how the cluster was filled."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ksched.report.fragmentation import fragmentation_final, fragmentation_ratio_final, idle_gpu_final
from ksched.report.metrics import Better, Metric, metric
from ksched.report.results import RunTables

SECOND_US = 1_000_000

# --- pods ---------------------------------------------------------------------------------------------------------


@metric("scheduled_pods", title="Scheduled pods", unit="pods", better="higher")
def scheduled_pods(run: RunTables) -> float:
    """Pods that were bound to a node at least once before the horizon."""
    return float(run.pods["t_scheduled_us"].notna().sum())


@metric("unscheduled_pods", title="Unscheduled pods", unit="pods", better="lower")
def unscheduled_pods(run: RunTables) -> float:
    """Pods that were created and never bound to a node: given up, still pending or gated at the horizon."""
    return float(run.pods["t_scheduled_us"].isna().sum())


@metric("unscheduled_by_reason", title="Unscheduled", unit="pods", better="lower", parts_default=0.0)
def unscheduled_by_reason(run: RunTables) -> Mapping[str, float]:
    """Unscheduled pods by the scheduler's last summarised reason; by outcome where no reason was recorded."""
    missed = run.pods[run.pods["t_scheduled_us"].isna()]
    reasons = missed["reason"].astype("object").where(missed["reason"].notna(), missed["outcome"].astype("object"))
    counts = reasons.astype(str).value_counts()
    return {str(reason): float(counts[reason]) for reason in sorted(counts.index)}


@metric("finished_pods", title="Finished pods", unit="pods", better="higher")
def finished_pods(run: RunTables) -> float:
    """Pods whose containers ended by themselves before the horizon; not defined where the replay ends no pod."""
    return float(run.pods["t_finished_us"].notna().sum()) if run.run.pending_time_meaningful else math.nan


@metric("failed_pods", title="Failed pods", unit="pods", better="lower")
def failed_pods(run: RunTables) -> float:
    """Pods that were bound and whose containers failed, or that their node refused."""
    return float((run.pods["outcome"] == "failed").sum())


@metric("preempted_pods", title="Preempted pods", unit="pods", better="lower")
def preempted_pods(run: RunTables) -> float:
    """Running pods that were evicted to make room for pods of higher priority."""
    return float((run.pods["outcome"] == "preempted").sum())


# --- times --------------------------------------------------------------------------------------------------------

_NONE: pd.Series[float] = pd.Series(np.zeros(0))


def pending_seconds(run: RunTables) -> pd.Series[float]:
    """Seconds from creation to binding of every scheduled pod; empty where the replay gives time no meaning."""
    return _elapsed(run, "t_scheduled_us")


def turnaround_seconds(run: RunTables) -> pd.Series[float]:
    """Seconds from creation to the end of the last container, of every pod that finished."""
    return _elapsed(run, "t_finished_us")


def job_seconds(run: RunTables) -> pd.Series[float]:
    """Seconds from the first pod's creation to the last pod's end, of every job (workload) whose pods all finished;
    empty where every job has one pod, since it would only say again what the pods say."""
    pods = run.pods
    if not run.run.pending_time_meaningful or pods["workload"].is_unique:
        return _NONE
    jobs = pods.groupby("workload", sort=False)
    whole = jobs["t_finished_us"].count() == jobs.size()
    return _seconds((jobs["t_finished_us"].max() - jobs["t_create_us"].min())[whole])


def _elapsed(run: RunTables, end: str) -> pd.Series[float]:
    return _seconds(run.pods[end] - run.pods["t_create_us"]) if run.run.pending_time_meaningful else _NONE


def _seconds(times_us: pd.Series[Any]) -> pd.Series[float]:
    """Known times in seconds."""
    return pd.Series(times_us.dropna().to_numpy(dtype="float64") / SECOND_US)


_TIMES = {
    "pending": (
        "Pending time", pending_seconds, "t_scheduled_us",
        "seconds from creation to binding, over scheduled pods; compared on pods that both policies scheduled",
    ),
    "completion": (
        "Completion time", turnaround_seconds, "t_finished_us",
        "seconds from creation to end, over finished pods; compared on pods that finished under both policies",
    ),
    "job_completion": (
        "Job completion time", job_seconds, "t_finished_us",
        "seconds from a job's first creation to its last pod's end, over jobs whose pods all finished; compared on "
        "jobs that finished under both policies",
    ),
}  # fmt: skip
_OF_TIMES: dict[str, tuple[str, Callable[[pd.Series[float]], float]]] = {
    "mean": ("Mean", lambda values: float(values.mean())),
    "p50": ("Median", lambda values: float(np.percentile(values, 50))),
    "p95": ("95th percentile", lambda values: float(np.percentile(values, 95))),
    "p99": ("99th percentile", lambda values: float(np.percentile(values, 99))),
}


def _of_times(name: str, statistic: str) -> Metric:
    title, seconds, column, meaning = _TIMES[name]
    word, reduce = _OF_TIMES[statistic]

    def function(run: RunTables) -> float:
        values = seconds(run)
        return reduce(values) if len(values) else math.nan

    return Metric(
        f"{name}_{statistic}", f"{title}, {statistic}", "s", "lower", function,
        common=column, whole_jobs=name == "job_completion", meaning=f"{word} of the {meaning}.",
    )  # fmt: skip


@metric("pending_censored", title="Pending time censored", unit="pods", better="lower")
def pending_censored(run: RunTables) -> float:
    """Pods whose pending time is right-censored: never bound, so known only to exceed what was observed of it."""
    return float(run.pods["t_scheduled_us"].isna().sum()) if run.run.pending_time_meaningful else math.nan


@metric("makespan", title="Makespan", unit="s", better="lower")
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


_STATES: dict[str, tuple[str, str, Better, str]] = {
    "allocation": ("allocated", "Allocation", "none", "requested share of the cluster's capacity"),
    "imbalance": ("imbalance", "Imbalance", "lower", "standard deviation over nodes of their allocated share"),
    "stranded": (
        "stranded", "Stranded capacity", "lower",
        "share of capacity that is free but on nodes where the trace's expected pod does not fit",
    ),
}  # fmt: skip
_OF_STATES: dict[str, tuple[str, str, Callable[[RunTables, str], float]]] = {
    "mean": ("mean", "Mean over time (over arrived pods in an inflated replay) of the", weighted_mean),
    "final": ("final", "At the end of the run: the", lambda run, column: float(run.samples[column].iloc[-1])),
    "max": ("peak", "Highest value in the run of the", lambda run, column: float(run.samples[column].max())),
}


def _of_states(name: str, statistic: str) -> Metric:
    column, title, better, meaning = _STATES[name]
    word, when, reduce = _OF_STATES[statistic]

    def function(run: RunTables) -> Mapping[str, float]:
        if not len(run.samples):
            return {}
        return {resource: 100 * reduce(run, f"{column}_{resource}") for resource in run.resources}

    return Metric(f"{name}_{statistic}", f"{title}, {word}", "%", better, function, meaning=f"{when} {meaning}.")


@metric("nodes_used", title="Nodes used", unit="nodes")
def nodes_used(run: RunTables) -> float:
    """Nodes that held at least one of the pods at some time."""
    return float(run.pods["node"].dropna().nunique())


BUILT_IN: tuple[Metric, ...] = (
    scheduled_pods,
    unscheduled_pods,
    unscheduled_by_reason,
    finished_pods,
    failed_pods,
    preempted_pods,
    *(_of_times(name, statistic) for name in _TIMES for statistic in _OF_TIMES),
    pending_censored,
    makespan,
    *(_of_states(name, statistic) for name in _STATES for statistic in _OF_STATES),
    idle_gpu_final,
    fragmentation_final,
    fragmentation_ratio_final,
    nodes_used,
)
"""In the order of tables."""
