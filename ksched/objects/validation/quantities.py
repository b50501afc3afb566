"""Rules for resource lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ksched.objects.pod import ResourceRequirements
from ksched.objects.quantity import Quantity
from ksched.objects.resources import CPU, EPHEMERAL_STORAGE, MEMORY, PODS, amount

from . import names
from .field_errors import FieldErrors

# 64Pi bytes, or 72 million million cores: 100 times as much, or the sum over a hundred pods, still fits an int64.
MAX_AMOUNT: Final = 2**56

CONTAINER_RESOURCES: Final = (CPU, MEMORY, EPHEMERAL_STORAGE)
HUGE_PAGES: Final = "hugepages-"


def is_native(resource: str) -> bool:
    """Whether Kubernetes itself defines the resource."""
    return "/" not in resource or "kubernetes.io/" in resource


def overcommit_allowed(resource: str) -> bool:
    """Whether a limit may exceed the request."""
    return is_native(resource) and not resource.startswith(HUGE_PAGES)


def check_amounts(errors: FieldErrors, path: str, resources: Mapping[str, Quantity]) -> None:
    """Names and amounts of any resource list."""
    for name, quantity in resources.items():
        at = f"{path}[{name}]"
        if (problem := names.qualified_name(name)) is not None:
            errors.invalid(at, name, problem)
        check_amount(errors, at, name, quantity)


def check_amount(errors: FieldErrors, path: str, resource: str, quantity: Quantity) -> None:
    """Not negative, not absurd, and whole where the resource cannot be divided."""
    if quantity.nano < 0:
        errors.invalid(path, quantity, "must be greater than or equal to 0")
    elif amount(resource, quantity) > MAX_AMOUNT:
        most = f"{MAX_AMOUNT}m" if resource == CPU else f"{MAX_AMOUNT}"
        errors.invalid(path, quantity, f"must be less than or equal to {most}")
    elif (not is_native(resource) or resource == PODS) and quantity.nano % 10**9:
        errors.invalid(path, quantity, "must be an integer")


def check_requirements(errors: FieldErrors, path: str, resources: ResourceRequirements) -> None:
    """Requests and limits of a container."""
    for field, entries in (("limits", resources.limits), ("requests", resources.requests)):
        for name in entries:
            if "/" not in name and name not in CONTAINER_RESOURCES and not name.startswith(HUGE_PAGES):
                errors.invalid(f"{path}.{field}[{name}]", name, "must be a standard resource type or fully qualified")
        check_amounts(errors, f"{path}.{field}", entries)
    for name, request in resources.requests.items():
        limit = resources.limits.get(name)
        if limit is None:
            continue
        if request > limit:
            errors.invalid(
                f"{path}.requests[{name}]", request, f"must be less than or equal to {name} limit of {limit}"
            )
        elif request != limit and not overcommit_allowed(name):
            errors.invalid(f"{path}.requests[{name}]", request, f"must be equal to {name} limit of {limit}")
