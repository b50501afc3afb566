"""The state of a run as DataFrames: nodes with what is free on them, and pods that wait."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ksched.framework import QueuedPod, SchedulingQueue
from ksched.objects import CPU, MEMORY, PODS
from ksched.tables import NodeTable, NodeView, PodView

_SHOWN = {"cpu": (CPU, "_milli"), "memory": (MEMORY, "_b"), "pods": (PODS, "")}


def nodes(table: NodeTable) -> pd.DataFrame:
    """One row per node, indexed by its name, in the order of the table.

    ``<resource>_allocatable`` and ``<resource>_free``: cpu in millicores (``cpu_milli_...``), memory in bytes
    (``memory_b_...``), pods, then whatever other resource a node or pod names, in units; ``gpu_count`` devices,
    ``gpu_milli_free`` summed over them, ``gpu_model``; ``unschedulable``; ``taints`` as text.
    """
    view = NodeView(table)
    columns: dict[str, Any] = {}
    named = {name: f"{name}{suffix}" for name, suffix in _SHOWN.values()}
    for resource in [name for name, _ in _SHOWN.values()] + [r for r in table.resources.values if r not in named]:
        allocatable, free = view.allocatable(resource), view.free(resource)
        if resource in named or allocatable.any() or free.any():
            label = named.get(resource, resource)
            columns[f"{label}_allocatable"], columns[f"{label}_free"] = allocatable, free
    columns["gpu_count"] = view.devices.count
    columns["gpu_milli_free"] = view.devices.milli_free
    columns["gpu_model"] = view.devices.model
    columns["unschedulable"] = view.unschedulable
    columns["taints"] = [
        ", ".join(f"{t.key}={t.value or ''}:{t.effect}" for t in node.spec.taints) for node in table.nodes
    ]
    index = pd.Index([str(name) for name in table.names()], name="node")
    return pd.DataFrame({name: list(column) for name, column in columns.items()}, index=index)


def pending(held: QueuedPod | None, queue: SchedulingQueue) -> pd.DataFrame:
    """One row per pod without a node, next first: pod, queue, attempts so far, priority and requests.

    ``queue`` is "next" for the pod about to be decided, else active, backoff, unschedulable or gated.
    """
    waiting = ([("next", held)] if held is not None else []) + list(queue.waiting())
    rows = [(queued.pod.key, name, queued.attempts, *_wants(queued.pod)) for name, queued in waiting]
    columns = ["pod", "queue", "attempts", "priority", "cpu_milli", "memory_b", "gpu_milli"]
    return pd.DataFrame(rows, columns=columns)


def _wants(pod: PodView) -> tuple[int, int, int, int]:
    gpu = pod.gpu.total_milli if pod.gpu else 0
    return pod.priority, pod.request(CPU), pod.request(MEMORY), gpu
