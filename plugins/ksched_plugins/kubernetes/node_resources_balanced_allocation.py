"""NodeResourcesBalancedAllocation: prefers nodes whose resources would be used in equal proportion.

Upstream: pkg/scheduler/framework/plugins/noderesources/balanced_allocation.go. Real requests, without the scoring
defaults of NodeResourcesFit.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from pydantic import field_validator

from ksched.framework import Cycle
from ksched.objects import CPU, MEMORY
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import FloatArray, Int64Array
from ksched_plugins.kubernetes.resource_allocation import Allocation, ResourceSpec, allocations
from ksched_plugins.plugin_args import PluginArgs

_CPU_AND_MEMORY = (ResourceSpec(name=CPU), ResourceSpec(name=MEMORY))


class NodeResourcesBalancedAllocationArgs(PluginArgs):
    """The resources to balance, each once and with weight 1. Empty means cpu and memory."""

    resources: tuple[ResourceSpec, ...] = _CPU_AND_MEMORY

    @field_validator("resources")
    @classmethod
    def _distinct(cls, resources: tuple[ResourceSpec, ...]) -> tuple[ResourceSpec, ...]:
        names = [resource.name for resource in resources]
        for resource in resources:
            if names.count(resource.name) > 1:
                raise ValueError(f"resource {resource.name} is listed twice")
            if resource.weight != 1:
                raise ValueError(f"the weight of resource {resource.name} must be 1")
        return resources or _CPU_AND_MEMORY


class NodeResourcesBalancedAllocation:
    """100 * (1 - standard deviation of the requested fractions), truncated."""

    name = "NodeResourcesBalancedAllocation"
    node_local = True
    Args = NodeResourcesBalancedAllocationArgs

    def __init__(self, args: NodeResourcesBalancedAllocationArgs) -> None:
        self._resources = args.resources

    def signature(self, pod: PodView) -> Hashable:
        """The request vector."""
        return tuple(sorted(pod.requests.items()))

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Int64Array:
        """int64[n] in 0..100; resources a node has none of do not count."""
        used = list(allocations(self._resources, pod, nodes, with_defaults=False))
        if len(used) < 2:
            return np.full(len(nodes), 100, dtype=np.int64)
        deviation = _half_difference(*used) if len(used) == 2 else _deviation(used, len(nodes))
        return ((1 - deviation) * 100).astype(np.int64)


def _half_difference(first: Allocation, second: Allocation) -> FloatArray:
    """Of two resources the deviation is half their difference; of one it is nothing."""
    deviation: FloatArray = np.abs((_fraction(first) - _fraction(second)) / 2)
    if first.allocatable.all() and second.allocatable.all():
        return deviation
    return np.where((first.allocatable > 0) & (second.allocatable > 0), deviation, 0.0)


def _deviation(used: list[Allocation], n: int) -> FloatArray:
    """Population standard deviation, float64[n], over the resources each node has; summed in order, as upstream."""
    fractions = [_fraction(allocation) for allocation in used]
    present = [allocation.allocatable > 0 for allocation in used]
    count = np.maximum(sum(present, np.zeros(n)), 1)
    total = sum((f * p for f, p in zip(fractions, present, strict=True)), np.zeros(n))
    mean = total / count
    squares = sum(((f - mean) ** 2 * p for f, p in zip(fractions, present, strict=True)), np.zeros(n))
    deviation: FloatArray = np.sqrt(squares / count)
    # With two resources left upstream takes half the difference, whose last bit may differ from the root's.
    two = count == 2
    if two.any():
        low = np.min([np.where(p, f, np.inf) for f, p in zip(fractions, present, strict=True)], axis=0)
        high = np.max([np.where(p, f, -np.inf) for f, p in zip(fractions, present, strict=True)], axis=0)
        deviation[two] = ((high - low) / 2)[two]
    deviation[count < 2] = 0
    return deviation


def _fraction(allocation: Allocation) -> FloatArray:
    """Requested over allocatable, at most 1; anything where a node has none of the resource."""
    allocatable = allocation.allocatable
    if not allocatable.all():
        allocatable = np.maximum(allocatable, 1)
    fraction: FloatArray = np.minimum(allocation.requested / allocatable, 1.0)
    return fraction
