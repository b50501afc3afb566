"""What NodeResourcesFit and NodeResourcesBalancedAllocation share: which resources count, and how much of them.

Upstream: pkg/scheduler/framework/plugins/noderesources/resource_allocation.go and
pkg/apis/core/v1/helper/helpers.go (the classes of resource names).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from pydantic import field_validator

from ksched.objects import CPU, EPHEMERAL_STORAGE, MEMORY
from ksched.tables import PodView
from ksched.tables.arrays import Int64Array
from ksched_plugins.plugin_args import PluginArgs

NATIVE_RESOURCES = (CPU, MEMORY, EPHEMERAL_STORAGE)
_DEFAULTED = (CPU, MEMORY)
_FEW = 64
_EXACT = 1 << 46
"""Up to this amount a hundredfold still fits a double, and no quotient rounds up to the next whole percent."""


class ResourceSpec(PluginArgs):
    """A resource by ``name`` that takes part in scoring, with its ``weight`` (1 to 100; 0 means 1, as upstream)."""

    name: str
    weight: int = 1

    @field_validator("weight")
    @classmethod
    def _in_range(cls, weight: int) -> int:
        if not 0 <= weight <= 100:
            raise ValueError(f"resource weight must be in 1 to 100, got {weight}")
        return weight or 1


class PodShare(NamedTuple):
    """What a pod adds to each of the ``names`` that count when it is scored: ``added`` int64[k, 1].

    ``weights`` int64[k, 1] and their sum ``weight``.
    """

    names: tuple[str, ...]
    added: Int64Array
    weights: Int64Array
    weight: int


def pod_share(resources: tuple[ResourceSpec, ...], pod: PodView, *, with_defaults: bool) -> PodShare:
    """The resources that count for ``pod``, in the order of ``resources``.

    ``with_defaults``: cpu and memory count 100m and 200 MiB for containers that request none. An extended resource
    the pod does not request is left out with its weight.
    """
    counted = []
    for resource in resources:
        name = resource.name
        defaulted = with_defaults and name in _DEFAULTED
        added = pod.nonzero_requests[name] if defaulted else pod.request(name)
        if name in NATIVE_RESOURCES or (added and is_scalar(name)):
            counted.append((name, added, resource.weight))
    return PodShare(
        tuple(name for name, _, _ in counted),
        np.array([[added] for _, added, _ in counted], dtype=np.int64).reshape(-1, 1),
        np.array([[weight] for _, _, weight in counted], dtype=np.int64).reshape(-1, 1),
        sum(weight for _, _, weight in counted),
    )


def percent(part: Int64Array, whole: Int64Array) -> Int64Array:
    """``100 * part // whole`` for 0 <= part <= whole and whole >= 1, whatever the shape.

    Processors divide doubles several times faster than integers, so many are divided as doubles where that is exact.
    """
    hundredfold = part * 100
    if part.size > _FEW and whole.max() <= _EXACT:
        return (hundredfold / whole).astype(np.int64)
    quotient: Int64Array = hundredfold // whole
    return quotient


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
