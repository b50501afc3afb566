"""Where the time of a decision goes: the modules of ksched by their share, under Python's profiler.

What numpy and Python's own functions take is charged to the module that called them. The profiler makes many small
calls look dearer than they are, so shares say where to look, not how long anything takes.
"""

from __future__ import annotations

import cProfile
import pstats
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import ksched
import ksched_plugins

Function: TypeAlias = tuple[str, int, str]
"""File, line and name, as pstats has it."""

ELSEWHERE = "elsewhere"
_ROOTS = [Path(next(iter(package.__path__))) for package in (ksched, ksched_plugins)]
_DEPTH = 6
"""How far up callers are looked at to find one of ours."""


def shares(run: Callable[[], object]) -> dict[str, float]:
    """Module ("framework/columns") -> share of the time ``run`` takes, the largest first; they add up to 1."""
    profiler = cProfile.Profile()
    profiler.runcall(run)
    stats: Mapping[Function, Any] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    seconds: Counter[str] = Counter()
    for function, (_, _, own, _, _) in stats.items():
        _charge(function, own, stats, seconds, _DEPTH)
    total = sum(seconds.values())
    return {module: spent / total for module, spent in sorted(seconds.items(), key=lambda item: (-item[1], item[0]))}


def _charge(function: Function, spent: float, stats: Mapping[Function, Any], seconds: Counter[str], depth: int) -> None:
    module = _module(function)
    callers = stats[function][4] if depth else {}
    whole = sum(entry[2] for entry in callers.values())
    if module is not None or not whole:
        seconds[module or ELSEWHERE] += spent
        return
    for caller, entry in callers.items():
        _charge(caller, spent * entry[2] / whole, stats, seconds, depth - 1)


def _module(function: Function) -> str | None:
    """The module of ours a function is in."""
    path = Path(function[0])
    root = next((root for root in _ROOTS if path.is_relative_to(root)), None)
    return None if root is None else path.relative_to(root).with_suffix("").as_posix()
