"""What NodeResourcesFit and NodeResourcesBalancedAllocation share: which resources count, and how much of them.

Upstream: pkg/scheduler/framework/plugins/noderesources/resource_allocation.go and
pkg/apis/core/v1/helper/helpers.go (the classes of resource names).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from pydantic import field_validator

from ksched.objects import CPU, EPHEMERAL_STORAGE, MEMORY
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import Int64Array
from ksched_plugins.plugin_args import PluginArgs

NATIVE_RESOURCES = (CPU, MEMORY, EPHEMERAL_STORAGE)
_DEFAULTED = (CPU, MEMORY)


class ResourceSpec(PluginArgs):
    """A resource that takes part in scoring, with its weight (1 to 100; 0 means 1, as upstream defaults it)."""

    name: str
    weight: int = 1

    @field_validator("weight")
    @classmethod
    def _in_range(cls, weight: int) -> int:
        if not 0 <= weight <= 100:
            raise ValueError(f"resource weight must be in 1 to 100, got {weight}")
        return weight or 1


class Allocation(NamedTuple):
    """One scored resource: int64[n] allocatable, and what would be requested with the incoming pod on the node."""

    weight: int
    allocatable: Int64Array
    requested: Int64Array


def allocations(
    resources: tuple[ResourceSpec, ...], pod: PodView, nodes: NodeView, *, with_defaults: bool
) -> Iterator[Allocation]:
    """The resources that count for ``pod``, in the order of ``resources``.

    ``with_defaults``: cpu and memory count 100m and 200 MiB for containers that request none. An extended resource
    the pod does not request is left out with its weight; where a node has none of a resource, allocatable is 0.
    """
    for resource in resources:
        name = resource.name
        if with_defaults and name in _DEFAULTED:
            yield Allocation(
                resource.weight,
                nodes.allocatable(name),
                nodes.nonzero_requested(name) + pod.nonzero_requests[name],
            )
            continue
        request = pod.request(name)
        if name in NATIVE_RESOURCES or (request and is_scalar(name)):
            yield Allocation(resource.weight, nodes.allocatable(name), nodes.requested(name) + request)


@lru_cache(maxsize=4096)
def is_scalar(resource: str) -> bool:
    """Extended resources, hugepages and attachable volumes: the names kube-scheduler counts beside the native ones."""
    return (
        is_extended(resource)
        or resource.startswith(("hugepages-", "attachable-volumes-"))
        or "kubernetes.io/" in resource
    )


def is_extended(resource: str) -> bool:
    """A fully qualified name outside kubernetes.io, such as nvidia.com/gpu."""
    return "/" in resource and "kubernetes.io/" not in resource and not resource.startswith("requests.")
