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
from ksched.tables.arrays import BoolArray, FloatArray, Int64Array
from ksched_plugins.kubernetes.resource_allocation import PodShare, ResourceSpec, pod_share
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
        share: PodShare | None = cycle.state.get(("Score", self.name))
        if share is None:
            share = cycle.state["Score", self.name] = pod_share(self._resources, pod, with_defaults=False)
        if len(share.names) < 2:
            return np.full(len(nodes), 100, dtype=np.int64)
        allocatable = nodes.allocatable_of(share.names)
        requested = nodes.requested_of(share.names) + share.added
        present = None
        if np.count_nonzero(allocatable) != allocatable.size:
            present = allocatable > 0
            allocatable = np.maximum(allocatable, 1)
        fractions = np.minimum(requested / allocatable, 1.0)
        deviation = _half_difference(fractions, present) if len(fractions) == 2 else _deviation(fractions, present)
        return ((1 - deviation) * 100).astype(np.int64)


def _half_difference(fractions: FloatArray, present: BoolArray | None) -> FloatArray:
    """Of two resources the deviation is half their difference; of one it is nothing."""
    deviation: FloatArray = np.abs((fractions[0] - fractions[1]) / 2)
    return deviation if present is None else np.where(present[0] & present[1], deviation, 0.0)


def _deviation(fractions: FloatArray, present: BoolArray | None) -> FloatArray:
    """Population standard deviation, float64[n], over the resources each node has; summed in order, as upstream."""
    if present is None:
        present = np.ones(fractions.shape, dtype=np.bool_)
    zeros = np.zeros(fractions.shape[1])
    count = np.maximum(present.sum(axis=0), 1)
    mean = sum((f * p for f, p in zip(fractions, present, strict=True)), zeros) / count
    squares = sum(((f - mean) ** 2 * p for f, p in zip(fractions, present, strict=True)), zeros)
    deviation: FloatArray = np.sqrt(squares / count)
    # With two resources left upstream takes half the difference, whose last bit may differ from the root's.
    two = count == 2
    if two.any():
        low = np.where(present, fractions, np.inf).min(axis=0)
        high = np.where(present, fractions, -np.inf).max(axis=0)
        deviation[two] = ((high - low) / 2)[two]
    deviation[count < 2] = 0
    return deviation
