"""Offered load: how much of the cluster the pods of a trace would hold if every one started at once.

It depends on the trace alone, on no policy: a pod holds its request from t_submit for its run time, or until its
t_end when the run time is unknown (services, pods that never ran).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ksched.traces.trace import Trace, column, valid

RESOURCES = ("cpu", "memory", "gpu")
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Curve:
    """A step function: from ``times[i]`` (us) on, ``level[i]`` is held; both int64, times strictly increasing."""

    times: Array
    level: Array

    @property
    def peak(self) -> int:
        """The highest level, 0 without steps."""
        return int(self.level.max(initial=0))

    @property
    def peak_time(self) -> int:
        """When the highest level is first reached (us)."""
        return int(self.times[int(self.level.argmax())]) if len(self.level) else 0

    def mean(self) -> float:
        """The level's mean over time, from the first step to the last."""
        if len(self.times) < 2:
            return 0.0
        widths = np.diff(self.times)
        return float((self.level[:-1].astype(np.float64) * widths).sum() / widths.sum())


def concurrency(starts: Array, ends: Array, amounts: Array) -> Curve:
    """The total amount held over time by intervals [start, end); what ends at an instant is released first."""
    times = np.concatenate([starts, ends])
    deltas = np.concatenate([amounts, -amounts])
    order = np.argsort(times, kind="stable")
    times, total = times[order], np.cumsum(deltas[order])
    last = np.ones(len(times), dtype=bool)
    last[:-1] = times[1:] != times[:-1]
    return Curve(times[last], total[last])


def capacities(trace: Trace) -> dict[str, int]:
    """Capacity of all nodes: cpu in millicores, memory in bytes, gpu in thousandths of a device."""
    nodes = trace.nodes
    count = column(nodes, "count").astype(np.int64)
    return {
        "cpu": int((column(nodes, "cpu_milli") * count).sum()),
        "memory": int((column(nodes, "memory_b") * count).sum()),
        "gpu": int((column(nodes, "gpu_count").astype(np.int64) * count).sum()) * 1000,
    }


def requests(trace: Trace) -> dict[str, Array]:
    """Requests per row of ``pods``, int64[n] in the units of :func:`capacities`."""
    pods = trace.pods
    return {
        "cpu": np.ceil(column(pods, "cpu_milli")).astype(np.int64),
        "memory": column(pods, "memory_b"),
        "gpu": column(pods, "gpu_count").astype(np.int64) * column(pods, "gpu_milli"),
    }


def lifetimes(trace: Trace) -> tuple[Array, Array, Array]:
    """(start us, end us, known bool) per row of ``pods``; end is start where neither run time nor end is known."""
    pods = trace.pods
    start = column(pods, "t_submit")
    run, end = column(pods, "run_us"), column(pods, "t_end")
    has_run, has_end = valid(pods, "run_us"), valid(pods, "t_end")
    ends = np.where(has_run, start + run, np.where(has_end, np.maximum(end, start), start))
    return start, ends, has_run | has_end


def offered_load(trace: Trace) -> dict[str, Curve]:
    """The curve of each of :data:`RESOURCES`, and ``pods`` (running at once)."""
    start, end, known = lifetimes(trace)
    start, end = start[known], end[known]
    amounts = {**requests(trace), "pods": np.ones(len(known), dtype=np.int64)}
    return {name: concurrency(start, end, values[known]) for name, values in amounts.items()}
