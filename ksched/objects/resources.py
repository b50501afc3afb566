"""What a pod asks for: effective requests, as the scheduler counts them.

From upstream v1.30: ``PodRequests`` in pkg/api/v1/resource/helpers.go, ``calculateResource`` in
pkg/scheduler/framework/types.go, the defaults in pkg/scheduler/util/pod_resources.go. Sums are exact and rounded up
once at the end, as there. All functions expect specs after defaulting and cache by the identity of the spec.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from .base import IdentityCache
from .node import NodeStatus
from .pod import Container, PodSpec
from .quantity import Quantity

CPU: Final = "cpu"
MEMORY: Final = "memory"
EPHEMERAL_STORAGE: Final = "ephemeral-storage"
STORAGE: Final = "storage"
PODS: Final = "pods"

DEFAULT_MILLI_CPU_REQUEST: Final = 100
DEFAULT_MEMORY_REQUEST: Final = 200 * 1024 * 1024

_NANO: Final = 10**9
_MILLI: Final = 10**6
_NON_MISSING: Final = {CPU: DEFAULT_MILLI_CPU_REQUEST * _MILLI, MEMORY: DEFAULT_MEMORY_REQUEST * _NANO}

_allocatable: IdentityCache[NodeStatus, dict[str, int]] = IdentityCache()
_requests: IdentityCache[PodSpec, dict[str, int]] = IdentityCache()
_nonzero: dict[bool, IdentityCache[PodSpec, dict[str, int]]] = {True: IdentityCache(), False: IdentityCache()}


def amount(resource: str, quantity: Quantity) -> int:
    """``quantity`` in the unit ``resource`` is counted in: millicores for cpu, else units (bytes), rounded up."""
    return quantity.milli_value() if resource == CPU else quantity.value()


def amounts(resources: Mapping[str, Quantity]) -> dict[str, int]:
    """Every entry of a resource list by :func:`amount`, sorted by name."""
    return {name: amount(name, resources[name]) for name in sorted(resources)}


def allocatable_amounts(status: NodeStatus) -> dict[str, int]:
    """Every entry of a node's ``allocatable`` by :func:`amount`. Do not change the dict: it is shared."""
    cached = _allocatable.get(status)
    if cached is None:
        cached = _allocatable.put(status, {name: amount(name, value) for name, value in status.allocatable.items()})
    return cached


def shown(resource: str, value: int) -> str:
    """An amount as people write it: 1500 of cpu is "1500m", 3 * 2**30 of memory "3Gi"; see :func:`amount`."""
    if resource == CPU:
        return f"{value}m"
    if resource in (MEMORY, EPHEMERAL_STORAGE):
        for unit, size in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
            if value and value % size == 0:
                return f"{value // size}{unit}"
    return str(value)


def is_sidecar(container: Container) -> bool:
    """Whether an init container is a restartable one, which keeps running beside the containers."""
    return container.restart_policy == "Always"


def pod_requests(spec: PodSpec) -> dict[str, int]:
    """The pod's effective request per resource (cpu milli, memory bytes, the rest in units), sorted by name.

    max(sum of containers + sidecars, running maximum of the init containers with the sidecars started before them)
    + overhead. Do not change the dict: it is shared.
    """
    cached = _requests.get(spec)
    if cached is None:
        cached = _requests.put(spec, _in_units(_effective(spec, {})))
    return cached


def pod_nonzero_requests(spec: PodSpec, *, sidecars: bool = True) -> dict[str, int]:
    """cpu (milli) and memory (bytes) with the scoring defaults of 100m and 200 MiB where a container names none.

    An explicit 0 stays 0. ``sidecars`` True is what an incoming pod counts for. False is what a pod already on a
    node counts for: upstream leaves sidecars out of that sum (they only raise the init maximum), and applies the
    defaults to the cumulated init requests. Do not change the dict: it is shared.
    """
    cache = _nonzero[sidecars]
    cached = cache.get(spec)
    if cached is None:
        if sidecars:
            effective = _in_units(_effective(spec, _NON_MISSING))
            result = {CPU: effective.get(CPU, 0), MEMORY: effective.get(MEMORY, 0)}
        else:
            result = _nonzero_on_node(spec)
        cached = cache.put(spec, result)
    return cached


def _in_units(nano: Mapping[str, int]) -> dict[str, int]:
    return {name: amount(name, Quantity(nano[name], 0)) for name in sorted(nano)}


def _effective(spec: PodSpec, non_missing: Mapping[str, int]) -> dict[str, int]:
    """Effective requests in nano; ``non_missing`` fills in what a container does not name."""
    total: dict[str, int] = {}
    for container in spec.containers:
        _add(total, _container_nano(container, non_missing))
    init = _init_maximum(spec.init_containers, non_missing, on_sidecar=lambda nano: _add(total, nano))
    _raise_to(total, init)
    _add(total, {name: q.nano for name, q in spec.overhead.items()})
    return total


def _init_maximum(
    containers: Iterable[Container],
    non_missing: Mapping[str, int],
    *,
    on_sidecar: Callable[[Mapping[str, int]], None] | None = None,
    on_step: Callable[[Mapping[str, int]], None] | None = None,
) -> dict[str, int]:
    """The maximum over the steps of initialisation: an init container and all sidecars started before it."""
    started: dict[str, int] = {}
    maximum: dict[str, int] = {}
    for container in containers:
        step = _container_nano(container, non_missing)
        if is_sidecar(container):
            if on_sidecar is not None:
                on_sidecar(step)
            _add(started, step)
            step = dict(started)
        else:
            _add(step, started)
        if on_step is not None:
            on_step(step)
        _raise_to(maximum, step)
    return maximum


def _nonzero_on_node(spec: PodSpec) -> dict[str, int]:
    total = {CPU: 0, MEMORY: 0}
    for container in spec.containers:
        _add(total, _nonzero_of(_container_nano(container, {})))
    steps: list[dict[str, int]] = []
    _init_maximum(spec.init_containers, {}, on_step=lambda nano: steps.append(_nonzero_of(nano)))
    for step in steps:
        _raise_to(total, step)
    for name in (CPU, MEMORY):
        if name in spec.overhead:
            total[name] += amount(name, spec.overhead[name])
    return total


def _nonzero_of(nano: Mapping[str, int]) -> dict[str, int]:
    return _in_units({CPU: nano.get(CPU, _NON_MISSING[CPU]), MEMORY: nano.get(MEMORY, _NON_MISSING[MEMORY])})


def _container_nano(container: Container, non_missing: Mapping[str, int]) -> dict[str, int]:
    nano = {name: quantity.nano for name, quantity in container.resources.requests.items()}
    for name, default in non_missing.items():
        nano.setdefault(name, default)
    return nano


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def _raise_to(total: dict[str, int], other: Mapping[str, int]) -> None:
    for name, value in other.items():
        if name not in total or value > total[name]:
            total[name] = value
