"""Fingerprints of what a plugin could change or keep: a table, a pod, its own instance, its module's globals."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from pydantic import BaseModel

from ksched.tables import Memo, NodeTable, PodView
from ksched.tables.arrays import Int64Array

_DEEP = 8


def table_state(table: NodeTable) -> Any:
    """Everything of a table that its views show, as plain values."""
    return frozen(
        {
            "names": list(table.index),
            "nodes": [node.to_dict() for node in table.nodes],
            "allocatable": _by_resource(table, table.allocatable),
            "requested": _by_resource(table, table.requested),
            "nonzero": table.nonzero[:, : table.n],
            "unschedulable": table.unschedulable[: table.n],
            "devices": [table.devices.free[: table.devices.count[row], row] for row in range(table.n)],
            "device holders": [np.trim_zeros(table.devices.holders[:, row], "b") for row in range(table.n)],
            "pods": [(name, placed.pod.key, placed.devices) for name, placed in table.pods()],
        }
    )


def _by_resource(table: NodeTable, amounts: Int64Array) -> dict[str, Int64Array]:
    """Rows by resource name without those that are all zero: a table keeps room for every resource it ever saw."""
    rows = [(name, amounts[table.resource_row(name), : table.n]) for name in sorted(table.resources.values)]
    return {name: values for name, values in rows if values.any()}


def pod_state(pod: PodView) -> Any:
    """Everything of a pod that plugins see, as plain values."""
    return frozen([pod.pod.to_dict(), dict(pod.requests), dict(pod.nonzero_requests), pod.images])


def kept_state(plugin: Any) -> dict[str, Any]:
    """What a plugin could remember between calls, by a name its author recognises.

    Its attributes, those of its classes, and the globals, closures and mutable defaults of its methods.
    """
    kept = {f"self.{key}": frozen(value) for key, value in _attributes(plugin)}
    for cls in type(plugin).__mro__[:-1]:
        for key, value in vars(cls).items():
            if not key.startswith("__") and not isinstance(value, (FunctionType, property)):
                kept[f"{cls.__name__}.{key}"] = frozen(value)
        for key, value in vars(cls).items():
            if isinstance(value, FunctionType):
                kept.update(_function_state(value, f"{cls.__name__}.{key}", set()))
    return kept


def _function_state(function: FunctionType, called: str, seen: set[FunctionType]) -> dict[str, Any]:
    if function in seen:
        return {}
    seen.add(function)
    state = {
        f"a default argument of {called}": frozen((function.__defaults__, function.__kwdefaults__)),
        f"attributes of {called}": frozen(function.__dict__),
    }
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            state[f"variable {name} enclosing {called}"] = frozen(cell.cell_contents)
        except ValueError:
            continue
    for name in sorted(_names(function.__code__)):
        if name not in function.__globals__:
            continue
        value = function.__globals__[name]
        if isinstance(value, FunctionType):
            if value.__module__ == function.__module__:
                state.update(_function_state(value, name, seen))
        elif isinstance(value, type):
            if value.__module__ == function.__module__:
                plain = {k: v for k, v in vars(value).items() if not callable(v) and not k.startswith("__")}
                state[f"class {name}"] = frozen(plain)
        elif not isinstance(value, ModuleType):
            state[f"global {name}"] = frozen(value)
    return state


def _names(code: CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


def _attributes(plugin: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(plugin, "__dict__", {}).items()
    for cls in type(plugin).__mro__:
        for slot in getattr(cls, "__slots__", ()):
            if hasattr(plugin, slot):
                yield slot, getattr(plugin, slot)


def frozen(value: Any, depth: int = 0) -> Any:
    """``value`` as plain immutable values that compare by content; what cannot be looked into is its pickle."""
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return repr(value)
    if depth > _DEEP:
        return "..."
    if isinstance(value, np.ndarray):
        return ("array", value.shape, str(value.dtype), value.tobytes())
    if isinstance(value, BaseModel):
        return ("model", type(value).__name__, frozen(value.__dict__, depth + 1))
    if isinstance(value, Memo):
        return ("memo",)  # forgetting it changes no answer
    if isinstance(value, Mapping):
        return ("map", tuple((frozen(k, depth + 1), frozen(v, depth + 1)) for k, v in value.items()))
    if isinstance(value, (list, tuple)):
        return ("list", tuple(frozen(item, depth + 1) for item in value))
    if isinstance(value, (set, frozenset)):
        return ("set", tuple(sorted(repr(frozen(item, depth + 1)) for item in value)))
    try:
        return ("object", pickle.dumps(value))
    except Exception:
        # Not picklable (a compiled function, a lock): look at its attributes if it has any.
        return ("object", type(value).__name__, frozen(getattr(value, "__dict__", None), depth + 1))
