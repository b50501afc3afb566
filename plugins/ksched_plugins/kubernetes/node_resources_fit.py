"""NodeResourcesFit: is there room for the pod's requests, and which node with room is to be preferred.

Upstream: pkg/scheduler/framework/plugins/noderesources/fit.go, least_allocated.go, most_allocated.go and
requested_to_capacity_ratio.go. All arithmetic is int64 and truncates where upstream's does.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field, field_validator, model_validator

from ksched.framework import Action, ClusterEvent, Cycle, EventToRegister, Rejections
from ksched.framework.events import NODE, POD
from ksched.objects import CPU, MEMORY, PODS, Node, Pod, amount, shown
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import Int64Array
from ksched_plugins.kubernetes.resource_allocation import (
    NATIVE_RESOURCES,
    PodShare,
    ResourceSpec,
    is_extended,
    is_scalar,
    percent,
    pod_share,
)
from ksched_plugins.plugin_args import PluginArgs

_NATIVE = frozenset(NATIVE_RESOURCES)
_CPU_AND_MEMORY = (ResourceSpec(name=CPU), ResourceSpec(name=MEMORY))

Points = Callable[[Int64Array, Int64Array], Int64Array]
"""(allocatable >= 1, requested) -> points 0..100, each int64[resources, n]."""


class ShapePoint(PluginArgs):
    """A corner of the curve: ``score`` (0 to 10) at ``utilization`` (percent)."""

    utilization: int = Field(ge=0, le=100)
    score: int = Field(ge=0, le=10)


class RequestedToCapacityRatioParam(PluginArgs):
    """A piecewise linear curve from utilisation to score."""

    shape: tuple[ShapePoint, ...] = Field(min_length=1)

    @field_validator("shape")
    @classmethod
    def _increasing(cls, shape: tuple[ShapePoint, ...]) -> tuple[ShapePoint, ...]:
        for before, after in pairwise(shape):
            if before.utilization >= after.utilization:
                raise ValueError("utilization values must be sorted in increasing order")
        return shape


class ScoringStrategy(PluginArgs):
    """How the resources of a node become its score, by ``type``. Empty ``resources`` means cpu and memory."""

    type: Literal["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"] = "LeastAllocated"
    resources: tuple[ResourceSpec, ...] = _CPU_AND_MEMORY
    requested_to_capacity_ratio: RequestedToCapacityRatioParam | None = None

    @field_validator("resources")
    @classmethod
    def _defaulted(cls, resources: tuple[ResourceSpec, ...]) -> tuple[ResourceSpec, ...]:
        return resources or _CPU_AND_MEMORY

    @model_validator(mode="after")
    def _shape_goes_with_type(self) -> ScoringStrategy:
        if (self.type == "RequestedToCapacityRatio") != (self.requested_to_capacity_ratio is not None):
            raise ValueError("requestedToCapacityRatio goes with type RequestedToCapacityRatio, and only with it")
        return self


class NodeResourcesFitArgs(PluginArgs):
    """``ignoredResources`` and ``ignoredResourceGroups`` name extended resources the filter does not look at."""

    ignored_resources: tuple[str, ...] = ()
    ignored_resource_groups: tuple[str, ...] = ()
    scoring_strategy: ScoringStrategy = ScoringStrategy()

    @field_validator("ignored_resource_groups")
    @classmethod
    def _no_slash(cls, groups: tuple[str, ...]) -> tuple[str, ...]:
        for group in groups:
            if "/" in group:
                raise ValueError(f"resource group name can't contain '/': {group}")
        return groups


class Needs(NamedTuple):
    """What has to be free for a pod: ``amounts`` int64[k, 1] of the ``resources``, and what is said where it is not."""

    resources: tuple[str, ...]
    amounts: Int64Array
    reasons: tuple[str, ...]


class NodeResourcesFit:
    """Filter: every requested resource fits. Score: the configured strategy over the configured resources."""

    name = "NodeResourcesFit"
    node_local = True
    Args = NodeResourcesFitArgs

    def __init__(self, args: NodeResourcesFitArgs) -> None:
        strategy = args.scoring_strategy
        self._ignored = frozenset(args.ignored_resources)
        self._ignored_groups = frozenset(args.ignored_resource_groups)
        self._resources = strategy.resources
        self._is_ratio = strategy.requested_to_capacity_ratio is not None
        self._points: Points
        if strategy.requested_to_capacity_ratio is not None:
            self._points = partial(_curve_points, _curve_table(strategy.requested_to_capacity_ratio.shape))
        else:
            self._points = _least_points if strategy.type == "LeastAllocated" else _most_points

    def signature(self, pod: PodView) -> Hashable:
        """The request vector."""
        nonzero = pod.nonzero_requests
        return (tuple(sorted(pod.requests.items())), nonzero[CPU], nonzero[MEMORY])

    def events_to_register(self) -> Sequence[EventToRegister]:
        """Pods that leave a node; nodes that come or change and are large enough."""
        return (
            EventToRegister(ClusterEvent(POD, Action.DELETE), _left_a_node),
            EventToRegister(ClusterEvent(NODE, Action.ADD | Action.UPDATE), self._fits_when_empty),
        )

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Rejections:
        """A zero request always fits, even on an overcommitted node; a pod slot is always needed."""
        needs: Needs | None = cycle.state.get(("Filter", self.name))
        if needs is None:
            needs = cycle.state["Filter", self.name] = self._needs(pod)
        return Rejections(needs.reasons, nodes.free_of(needs.resources) < needs.amounts)

    def remedy(self, cycle: Cycle, pod: PodView, node: NodeView) -> list[str]:
        """Per resource that is short: how much is missing, and where the rest is."""
        needs = [(PODS, 1), *((resource, wanted) for resource, wanted, _ in self._checked(pod))]
        return [_shortage(resource, wanted, node) for resource, wanted in needs if node.free(resource)[0] < wanted]

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Int64Array:
        """int64[n] in 0..100: mean of the resources' points by weight; resources a node lacks do not count."""
        share: PodShare | None = cycle.state.get(("Score", self.name))
        if share is None:
            share = cycle.state["Score", self.name] = pod_share(self._resources, pod, with_defaults=True)
        allocatable = nodes.allocatable_of(share.names)
        requested = nodes.nonzero_requested_of(share.names) + share.added
        everywhere = np.count_nonzero(allocatable) == allocatable.size
        if everywhere and not self._is_ratio:
            total: Int64Array = (self._points(allocatable, requested) * share.weights).sum(axis=0)
            total //= max(share.weight, 1)
            return total
        points = self._points(np.maximum(allocatable, 1), requested)
        weights = share.weights * (allocatable > 0)
        if self._is_ratio:
            # RequestedToCapacityRatio drops resources that score nothing, with their weight.
            weights = weights * (points > 0)
        total, weight = (points * weights).sum(axis=0), np.maximum(weights.sum(axis=0), 1)
        if self._is_ratio:
            # Rounds half up where the others truncate.
            total, weight = 2 * total + weight, 2 * weight
        total //= weight
        return total

    def _needs(self, pod: PodView) -> Needs:
        resources, amounts, reasons = zip((PODS, 1, "Too many pods"), *self._checked(pod), strict=True)
        return Needs(resources, np.array(amounts, dtype=np.int64)[:, np.newaxis], reasons)

    def _checked(self, pod: PodView) -> Iterator[tuple[str, int, str]]:
        """(resource, amount, reason) of everything the pod needs."""
        requests = pod.requests
        for resource in (*NATIVE_RESOURCES, *sorted(requests.keys() - _NATIVE)):
            amount = requests.get(resource, 0)
            if amount and (resource in _NATIVE or is_scalar(resource)) and not self._is_ignored(resource):
                yield resource, amount, f"Insufficient {resource}"

    def _fits_when_empty(self, pod: PodView, old: Node | None, new: Node) -> bool:
        """The node could hold the pod if nothing else ran there (upstream: isSchedulableAfterNodeChange)."""
        allocatable = new.status.allocatable
        needs = [(PODS, 1), *((resource, wanted) for resource, wanted, _ in self._checked(pod))]
        return all(r in allocatable and amount(r, allocatable[r]) >= wanted for r, wanted in needs)

    def _is_ignored(self, resource: str) -> bool:
        if not is_extended(resource):
            return False
        return resource in self._ignored or resource.split("/", 1)[0] in self._ignored_groups


def _shortage(resource: str, wanted: int, node: NodeView) -> str:
    allocatable, requested = int(node.allocatable(resource)[0]), int(node.requested(resource)[0])
    missing, of_all = shown(resource, wanted - allocatable + requested), shown(resource, allocatable)
    wants = f"{resource}: {missing} more; the pod wants {shown(resource, wanted)}"
    if wanted > allocatable:
        return f"{wants}, more than the node's {of_all}: only a smaller request or a larger node helps"
    free = shown(resource, max(allocatable - requested, 0))
    return f"{wants}, free are {free} of {of_all} ({shown(resource, requested)} requested by pods on the node)"


def _left_a_node(pod: PodView, old: Pod, new: None) -> bool:
    """Only a pod that was on a node leaves room (upstream: isSchedulableAfterPodChange)."""
    return bool(old.spec.node_name)


def _least_points(allocatable: Int64Array, requested: Int64Array) -> Int64Array:
    """The free share in percent; 0 where more is requested than there is."""
    return percent(np.maximum(allocatable - requested, 0), allocatable)


def _most_points(allocatable: Int64Array, requested: Int64Array) -> Int64Array:
    """The requested share in percent, at most 100."""
    return percent(np.minimum(requested, allocatable), allocatable)


def _curve_points(table: Int64Array, allocatable: Int64Array, requested: Int64Array) -> Int64Array:
    """The curve's value at the utilisation; more requested than there is counts as fully used."""
    points: Int64Array = table[_most_points(allocatable, requested)]
    return points


def _curve_table(shape: tuple[ShapePoint, ...]) -> Int64Array:
    """The curve's value at every utilisation from 0 to 100 percent, int64[101]."""
    return np.array([_curve(shape, utilization) for utilization in range(101)], dtype=np.int64)


def _curve(shape: tuple[ShapePoint, ...], utilization: int) -> int:
    """Linear between the corners, flat beyond them; 0..100."""
    before = shape[0]
    for corner in shape:
        if utilization <= corner.utilization:
            rise = 10 * (corner.score - before.score) * (utilization - before.utilization)
            run = corner.utilization - before.utilization
            # int() truncates toward zero as Go does; // would round a falling slope down.
            return 10 * before.score + (int(rise / run) if run else 0)
        before = corner
    return 10 * shape[-1].score
