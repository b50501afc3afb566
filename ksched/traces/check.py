"""What does not add up in a trace, before anybody publishes on it.

A finding has a stable code, a severity, a sentence with the numbers in it and the numbers themselves. ``error``:
results on this trace would be wrong; ``warning``: they may not mean what one thinks; ``info``: worth knowing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ksched.objects import Node, PodSpec
from ksched.objects.resources import amount, pod_requests
from ksched.objects.selectors import node_selector_matches
from ksched.objects.tolerations import find_untolerated
from ksched.traces.load import RESOURCES, Curve, capacities, lifetimes, offered_load, requests
from ksched.traces.schema import EndState, Quality
from ksched.traces.specs import Shapes, cluster_nodes
from ksched.traces.trace import Trace, column, valid

Severity = Literal["info", "warning", "error"]
Array = np.ndarray[Any, np.dtype[Any]]

LOW_LOAD = 0.5
"""Below this peak a cluster has room wherever a pod goes, so policies hardly differ."""
TAIL_SHARE = 0.5
GAP_SHARE = 0.05
BLOCKING_EFFECTS = ("NoSchedule", "NoExecute")
UNITS = {"cpu": (1000, "cores"), "memory": (1 << 30, "GiB"), "gpu": (1000, "GPUs"), "pods": (1, "pods")}


@dataclass(frozen=True)
class Finding:
    """One thing to know about a trace. ``code`` never changes its meaning; ``numbers`` are those of the message."""

    code: str
    severity: Severity
    message: str
    numbers: Mapping[str, float] = field(default_factory=dict)


def check(trace: Trace) -> list[Finding]:
    """All findings on a trace that loads, worst first, then in a fixed order."""
    found = [finding for probe in _PROBES for finding in probe(trace)]
    rank = {"error": 0, "warning": 1, "info": 2}
    return sorted(found, key=lambda finding: rank[finding.severity])


# --------------------------------------------------------------------------------------------------------- load


def _offered(trace: Trace) -> Iterator[Finding]:
    """How much of the cluster is demanded at once, were every pod to start when it is submitted."""
    if trace.manifest.time_quality == "none":
        yield Finding("no-times", "info", "the source has no times: replay in mode inflate or snapshot only")
        return
    curves = offered_load(trace)
    if not len(curves["pods"].times):
        yield Finding("no-lifetimes", "warning", "no pod has a run time or an end: load over time is unknown")
        return
    peaks = _fractions(trace, {r: curves[r].peak for r in RESOURCES})
    if not peaks:
        return
    scarce = max(peaks, key=lambda r: peaks[r])
    numbers = {f"peak_{r}": float(curves[r].peak) / UNITS[r][0] for r in (*RESOURCES, "pods")}
    numbers |= {f"peak_{r}_fraction": x for r, x in peaks.items()}
    levels = ", ".join(f"{_amount(r, curves[r].peak)} ({peaks[r]:.1%})" for r in RESOURCES if r in peaks)
    text = f"replayed by timestamp at most {_amount('pods', curves['pods'].peak)} run at once, asking for {levels}"
    if peaks[scarce] < LOW_LOAD:
        text += (
            f": the load peaks at about {100 * peaks[scarce]:.2g} % of the cluster's {scarce}, so there is always room "
            "and every policy will tie; use mode inflate, fewer nodes, or several copies of the trace"
        )
        yield Finding("low-load", "warning", text, numbers)
    else:
        yield Finding("offered-load", "info", text, numbers)
    yield from _overload(trace, curves)


def _overload(trace: Trace, curves: Mapping[str, Curve]) -> Iterator[Finding]:
    last = int(column(trace.pods, "t_submit").max(initial=0))
    for resource, mean in _fractions(trace, {r: _mean_until(curves[r], last) for r in RESOURCES}).items():
        if mean > 1:
            text = f"on average {mean:.2f} of all {resource} is asked for while pods arrive: the queue only grows"
            yield Finding("overload", "warning", text, {f"mean_{resource}": mean})


def _mean_until(curve: Curve, last: int) -> float:
    kept = curve.times <= last
    return Curve(curve.times[kept], curve.level[kept]).mean()


def _fractions(trace: Trace, amounts: Mapping[str, float]) -> dict[str, float]:
    capacity = capacities(trace)
    return {r: amounts[r] / capacity[r] for r in RESOURCES if capacity[r]}


def _amount(resource: str, value: float) -> str:
    scale, unit = UNITS[resource]
    return f"{value / scale:,.0f} {unit}"


def _demand(trace: Trace) -> Iterator[Finding]:
    """All pods' requests over capacity: what a snapshot or an inflation starts from."""
    asked = {r: float(values.sum()) for r, values in requests(trace).items()}
    ratios = _fractions(trace, asked)
    listed = ", ".join(f"{r} {x:.2f} ({_amount(r, asked[r])})" for r, x in ratios.items())
    yield Finding("demand", "info", f"all pods together ask for, relative to capacity: {listed}", ratios)
    for resource, capacity in capacities(trace).items():
        if asked[resource] and not capacity:
            text = f"pods ask for {_amount(resource, asked[resource])} and no node has any {resource}"
            yield Finding("no-capacity", "error", text, {"demand": asked[resource]})


def _infeasible(trace: Trace) -> Iterator[Finding]:
    """Pods that fit no node of the empty cluster."""
    shapes = Shapes(trace)
    kinds = _distinct_nodes(cluster_nodes(trace))
    impossible = [s for s in range(len(shapes)) if not any(_fits(shapes.spec(s), node) for node in kinds)]
    if impossible:
        pods = int(shapes.count[impossible].sum())
        row = int(shapes.first[impossible[0]])
        text = (
            f"{pods} pods of {len(impossible)} shapes fit no node even when it is empty, the first in row {row + 1} "
            f"of pods: {_asks(shapes.spec(impossible[0]))}"
        )
        yield Finding("infeasible", "error", text, {"pods": pods, "shapes": len(impossible), "row": row + 1})


def _distinct_nodes(nodes: list[Node]) -> list[Node]:
    """One node of each kind, the name aside."""
    kinds: dict[str, Node] = {}
    for node in nodes:
        labels = {k: v for k, v in node.metadata.labels.items() if v != node.name}
        taints = [taint.to_dict() for taint in node.spec.taints]
        key = repr((sorted(labels.items()), sorted((k, q.nano) for k, q in node.status.allocatable.items()), taints))
        kinds.setdefault(key, node)
    return list(kinds.values())


def _fits(spec: PodSpec, node: Node) -> bool:
    free = {name: amount(name, quantity) for name, quantity in node.status.allocatable.items()}
    if any(value > free.get(name, 0) for name, value in {**pod_requests(spec), "pods": 1}.items()):
        return False
    if find_untolerated(node.spec.taints, spec.tolerations, BLOCKING_EFFECTS) is not None:
        return False
    labels = node.metadata.labels
    if any(labels.get(key) != value for key, value in spec.node_selector.items()):
        return False
    affinity = spec.affinity.node_affinity if spec.affinity else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    return required is None or node_selector_matches(required, labels, node.name)


def _asks(spec: PodSpec) -> str:
    return ", ".join(f"{name} {value}" for name, value in pod_requests(spec).items())


# -------------------------------------------------------------------------------------------------------- times


def _inversions(trace: Trace) -> Iterator[Finding]:
    pods = trace.pods
    steps = [name for name in ("t_submit", "t_eligible", "t_sched", "t_start", "t_end") if valid(pods, name).any()]
    for i, late in enumerate(steps):
        for early in steps[:i]:
            both = valid(pods, early) & valid(pods, late)
            bad = both & (column(pods, late) < column(pods, early))
            if bad.any():
                row = int(np.argmax(bad))
                text = f"{late} lies before {early} in {int(bad.sum())} pods, the first in row {row + 1}"
                yield Finding("time-inversion", "error", text, {"pods": int(bad.sum()), "row": row + 1})


def _zero_durations(trace: Trace) -> Iterator[Finding]:
    pods = trace.pods
    start, end, known = lifetimes(trace)
    zero = known & (end == start)
    if zero.any():
        text = f"{int(zero.sum())} pods of {pods.num_rows} last no time at all (run time 0, or end at submission)"
        yield Finding("zero-duration", "warning", text, {"pods": int(zero.sum())})
    unknown = ~valid(pods, "run_us") & valid(pods, "t_end")
    never = unknown & ~valid(pods, "t_sched") & (column(pods, "end_state", EndState.FINISH) == EndState.PENDING)
    if never.any():
        text = f"{int(never.sum())} pods never ran in the source: their run time is unknown, they leave at t_end"
        yield Finding("never-ran", "info", text, {"pods": int(never.sum())})


def _censoring(trace: Trace) -> Iterator[Finding]:
    pods = trace.pods
    for name, text in (
        ("censor_left", "were there before the trace began: their run time is what was left of it"),
        ("censor_right", "were still there when the trace ended: their run time is cut off"),
    ):
        count = int(column(pods, name).sum())
        if count:
            share = count / pods.num_rows
            severity: Severity = "warning" if share > 0.05 else "info"
            yield Finding(name.replace("_", "-"), severity, f"{count} pods ({share:.1%}) {text}", {"pods": count})


def _gaps(trace: Trace) -> Iterator[Finding]:
    """Long stretches without arrivals: an outage of the recording, or a few stragglers far from the rest."""
    submit = column(trace.pods, "t_submit")
    if len(submit) < 10 or submit[-1] == submit[0]:
        return
    span = int(submit[-1] - submit[0])
    steps = np.diff(submit)
    long = np.flatnonzero((steps > GAP_SHARE * span) & (steps > 100 * np.median(steps)))
    if len(long):
        after = int(long[-1]) + 1
        days = steps[long].sum() / 86_400e6
        text = (
            f"{len(long)} gaps without arrivals, {days:.1f} of {span / 86_400e6:.1f} days in all; "
            f"{len(submit) - after} of {len(submit)} pods come after the last, at {submit[after] / 1e6:,.0f} s"
        )
        numbers = {"gaps": len(long), "days": float(days), "pods_before_last": after}
        yield Finding("clock-gap", "warning", text, numbers)


# ---------------------------------------------------------------------------------------------------- the rest


def _duplicates(trace: Trace) -> Iterator[Finding]:
    """Pods that repeat an earlier one in times and CPU: up-sampling, or a row recorded twice."""
    pods = trace.pods
    start, end, known = lifetimes(trace)
    if trace.manifest.time_quality == "none" or not known.any():
        return
    end = np.where(valid(pods, "t_end"), column(pods, "t_end"), end)
    cpu = requests(trace)["cpu"]
    # Pods of one workload are equal by intent, so each counts once.
    keys = np.stack([start, end, cpu, column(pods, "workload_id")])[:, known]
    distinct = np.unique(keys, axis=1)
    twins = distinct.shape[1] - np.unique(distinct[:3], axis=1).shape[1]
    if twins:
        share = twins / pods.num_rows
        text = f"{twins} pods ({share:.1%}) repeat submission, end and CPU of a pod of another workload"
        yield Finding("duplicate-rows", "warning" if share > 0.1 else "info", text, {"pods": twins})


def _heavy_tail(trace: Trace) -> Iterator[Finding]:
    """How much of all work the largest pods do, and whether a sample mean of the run time means anything."""
    start, end, known = lifetimes(trace)
    seconds = (end - start)[known] / 1e6
    seconds = seconds[seconds > 0]
    if len(seconds) < 100:
        return
    asked = requests(trace)
    resource = "gpu" if asked["gpu"].any() else "cpu"
    work = np.sort(asked[resource][known] * ((end - start)[known] / 1e6))[::-1]
    top = max(len(work) // 100, 1)
    share = float(work[:top].sum() / work.sum()) if work.any() else 0.0
    tail = np.sort(seconds)[::-1][: max(len(seconds) // 20, 2)]
    alpha = float(1 / np.mean(np.log(tail[:-1] / tail[-1]))) if tail[0] > tail[-1] else float("inf")
    spread = float(seconds.var() / seconds.mean() ** 2)
    text = f"the largest 1 % of pods hold {share:.0%} of the {resource} time; run times have C2 {spread:.3g}"
    if np.isfinite(alpha):
        text += f" and tail index {alpha:.2f}"
    heavy = share > TAIL_SHARE or alpha < 1
    if heavy:
        text += ": a few pods decide every mean, so use many seeds and look at medians too"
    numbers = {"top_share": share, "c2": spread, "tail_index": alpha}
    yield Finding("heavy-tail", "warning" if heavy else "info", text, numbers)


def _quality(trace: Trace) -> Iterator[Finding]:
    bits = column(trace.pods, "quality")
    for quality in Quality:
        count = int(((bits & quality.value) != 0).sum())
        if count:
            text = f"{count} pods carry quality bit {quality.name} from their importer"
            yield Finding("quality", "info", text, {"bit": quality.value, "pods": count})
    for reason, count in trace.manifest.drops.items():
        yield Finding("dropped", "info", f"the importer left out {count} rows: {reason}", {"rows": count})


def _counts(trace: Trace) -> Iterator[Finding]:
    """Whether workloads have the pods they say, and what of the trace a replay leaves aside."""
    pods, workloads = trace.pods, trace.workloads
    if column(pods, "attempt").any():
        retried = int((column(pods, "attempt") > 0).sum())
        text = f"{retried} rows are retries; a replay runs the last attempt"
        yield Finding("retries", "info", text, {"rows": retried})
    order = np.argsort(column(workloads, "workload_id"), kind="stable")
    ids = column(workloads, "workload_id")[order]
    logical = np.unique(np.stack([column(pods, "workload_id"), column(pods, "index")]), axis=1)
    seen = np.bincount(np.searchsorted(ids, logical[0]), minlength=len(ids))
    wrong = int((seen != column(workloads, "n_pods")[order]).sum())
    if wrong:
        text = f"{wrong} workloads have another number of pods than n_pods says"
        yield Finding("pod-count", "warning", text, {"workloads": wrong})
    declared = trace.manifest.content_hash
    if declared is not None and declared != trace.content_hash:
        yield Finding("content-hash", "error", "the tables are not those the manifest was written for")


def _ignored(trace: Trace) -> Iterator[Finding]:
    """What the trace says and a replay does not act on."""
    nodes, workloads = trace.nodes, trace.workloads
    ignored = {
        "gangs (gang_min)": int((column(workloads, "gang_min") > 1).sum()),
        "max_per_node": int(valid(workloads, "max_per_node").sum()),
        "max_per_rack": int(valid(workloads, "max_per_rack").sum()),
        "dependencies (deps)": int(valid(workloads, "deps").sum()),
        "nodes that join later": int((column(nodes, "t_add") > 0).sum()),
        "nodes that leave": int(valid(nodes, "t_remove").sum()),
    }
    for name in ("node_events", "usage", "pod_events"):
        table = trace.table(name)
        ignored[f"table {name}"] = table.num_rows if table is not None else 0
    listed = {name: count for name, count in ignored.items() if count}
    if listed:
        text = "a replay does not act on " + ", ".join(f"{name}: {count} rows" for name, count in listed.items())
        yield Finding("not-replayed", "info", text, {name: float(count) for name, count in listed.items()})


_PROBES: tuple[Callable[[Trace], Iterator[Finding]], ...] = (
    _offered,
    _demand,
    _infeasible,
    _inversions,
    _zero_durations,
    _censoring,
    _gaps,
    _duplicates,
    _heavy_tail,
    _quality,
    _counts,
    _ignored,
)
