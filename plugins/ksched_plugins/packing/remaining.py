"""How much of a node would remain with the pod on it: the measure behind best fit and worst fit."""

from __future__ import annotations

import numpy as np
from pydantic import Field, field_validator

from ksched.framework import Cycle
from ksched.tables import WHOLE, NodeView, PodView
from ksched.tables.arrays import FloatArray, Int64Array
from ksched_plugins.plugin_args import PluginArgs

GPU = "gpu"
"""Stands for the milli of all GPU devices of a node, whichever resource name the pod asked for them by."""


class FitArgs(PluginArgs):
    """``resources``: resource name (or "gpu") -> weight; weights need not sum to 1."""

    resources: dict[str, float] = Field(default={"cpu": 1.0, "memory": 1.0, GPU: 1.0}, min_length=1)

    @field_validator("resources")
    @classmethod
    def _positive(cls, resources: dict[str, float]) -> dict[str, float]:
        for name, weight in resources.items():
            if not 0 < weight < float("inf"):
                raise ValueError(f"the weight of {name} must be a positive number, got {weight}")
        return resources


def remaining(resources: dict[str, float], cycle: Cycle, pod: PodView, nodes: NodeView) -> FloatArray:
    """Weighted mean of what remains free per resource, as a fraction of the largest node's; float64[n] in 0..1.

    Dividing by the largest node, not by the node's own size, keeps "remaining" an amount: a small empty node has
    less of it than a large empty one. Resources no node has do not count.
    """
    total = np.zeros(len(nodes))
    weights = 0.0
    for resource, weight in sorted(resources.items()):
        largest = int(_capacity(cycle.cluster, resource).max(initial=0))
        if largest:
            total += weight * (_free(nodes, resource) - _wanted(pod, resource)) / largest
            weights += weight
    return total / weights if weights else total


def _capacity(nodes: NodeView, resource: str) -> Int64Array:
    return nodes.devices.capacity if resource == GPU else nodes.allocatable(resource)


def _free(nodes: NodeView, resource: str) -> Int64Array:
    return nodes.devices.milli_free if resource == GPU else nodes.free(resource)


def _wanted(pod: PodView, resource: str) -> int:
    if resource != GPU:
        return pod.request(resource)
    # A share counts its milli, whole devices 1000 each.
    return pod.gpu.count * min(pod.gpu.milli, WHOLE) if pod.gpu else 0
