"""Rules for nodes."""

from __future__ import annotations

from ksched.objects.base import IdentityCache
from ksched.objects.node import Node, NodeStatus, Taint
from ksched.objects.tolerations import TAINT_EFFECTS

from . import names
from .field_errors import FieldErrors
from .quantities import check_amounts

_valid_statuses: IdentityCache[NodeStatus, bool] = IdentityCache(1024)


def check_node(errors: FieldErrors, node: Node) -> None:
    """Taints and resources."""
    _check_taints(errors, node.spec.taints)
    # Nodes of one kind share their status; only valid ones are remembered.
    if _valid_statuses.get(node.status) is None:
        before = len(errors)
        _check_status(errors, node.status)
        if len(errors) == before:
            _valid_statuses.put(node.status, True)


def _check_status(errors: FieldErrors, status: NodeStatus) -> None:
    check_amounts(errors, "status.capacity", status.capacity)
    check_amounts(errors, "status.allocatable", status.allocatable)
    for index, image in enumerate(status.images):
        errors.at_least(f"status.images[{index}].sizeBytes", image.size_bytes, 0)


def _check_taints(errors: FieldErrors, taints: tuple[Taint, ...]) -> None:
    seen: set[tuple[str | None, str | None]] = set()
    for index, taint in enumerate(taints):
        path = f"spec.taints[{index}]"
        if not taint.key:
            errors.required(f"{path}.key")
        elif (problem := names.qualified_name(taint.key)) is not None:
            errors.invalid(f"{path}.key", taint.key, problem)
        if taint.value and (problem := names.label_value(taint.value)) is not None:
            errors.invalid(f"{path}.value", taint.value, problem)
        if not taint.effect:
            errors.required(f"{path}.effect", f"one of {', '.join(TAINT_EFFECTS)}")
        else:
            errors.one_of(f"{path}.effect", taint.effect, TAINT_EFFECTS)
        # The same key may stand once per effect.
        if (taint.key, taint.effect) in seen:
            errors.duplicate(path, f"{taint.key}:{taint.effect}")
        seen.add((taint.key, taint.effect))
