"""Experiments: files, plans, runs in parallel processes, and the directory their results go to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ksched.experiments.file import load_experiment
    from ksched.experiments.plan import make_plan
    from ksched.experiments.sweep import Sweep, run_experiment, run_plan

__all__ = ["Sweep", "load_experiment", "make_plan", "run_experiment", "run_plan"]

_HOME = {
    "load_experiment": "file",
    "make_plan": "plan",
    "Sweep": "sweep",
    "run_experiment": "sweep",
    "run_plan": "sweep",
}


def __getattr__(name: str) -> Any:
    # Late, so that a worker process imports only what a simulation needs.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
