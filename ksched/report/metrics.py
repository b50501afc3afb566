"""What a metric is, and which there are.

A metric is a function of the tables of one run (:class:`~ksched.report.results.RunTables`). It returns one number, or
a mapping from a part (a resource, a reason) to a number. NaN means "not defined for this run" and is never compared::

    @metric("gpu_waste", title="GPU waste", unit="%", better="lower")
    def gpu_waste(run):
        "Share of GPU capacity that ..."
        return ...

The decorator only says how the numbers are to be read; a plain function is a metric too, named like the function. A
metric is found like a plugin: by the entry point group ``ksched.metrics``, or as ``module:function`` or
``path/to/file.py:function`` under ``metrics:`` in the experiment file or after ``--metric``. A notebook passes it to
``compare(results, metrics=[...])``. No simulation has to be run again.

Units: ``pods``, ``nodes``, ``s`` and ``%`` (0 to 100; differences of it are percentage points).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Literal, TypeVar

from ksched.errors import InputError, PluginError, nearest
from ksched.report.results import RunTables

Better = Literal["lower", "higher", "none"]
Outcome = float | Mapping[str, float]
Function = Callable[[RunTables], Outcome]
ENTRY_POINT_GROUP = "ksched.metrics"
T = TypeVar("T")
BETTER = ("lower", "higher", "none")

RESOURCE_NAMES = {"cpu": "CPU", "memory": "memory", "gpu": "GPU"}
"""How resources are written in titles and sentences."""


@dataclass(frozen=True)
class Metric:
    """A named function of one run, with what a reader needs to know about it.

    ``better`` says which direction is an improvement ("none": a property, not a merit). ``parts_default`` is the
    value of a part that a run does not mention: 0 for counts by reason, NaN for a resource the cluster lacks.
    ``common`` names a nullable time column of the pods table: two policies are then compared on the pods for which
    both have that time, since means over different sets of pods say nothing about either policy; with ``whole_jobs``
    on the jobs (workloads) whose every pod has it. ``meaning`` is the function's docstring as one paragraph.
    """

    name: str
    title: str
    unit: str
    better: Better
    function: Function = field(repr=False)
    parts_default: float = math.nan
    common: str | None = None
    whole_jobs: bool = False
    meaning: str = ""

    def __post_init__(self) -> None:
        if self.better not in BETTER:
            raise InputError(f"better={self.better!r} is none of {', '.join(BETTER)}", where=f"metric {self.name!r}")
        if not self.meaning:
            object.__setattr__(self, "meaning", " ".join((inspect.getdoc(self.function) or "").split()))

    def label(self, part: str) -> str:
        """The title of one part: "Imbalance, mean: GPU"."""
        return f"{self.title}: {RESOURCE_NAMES.get(part, part)}" if part else self.title

    def __call__(self, run: RunTables) -> dict[str, float]:
        """The values by part; a plain number has the part ''. Raises PluginError when the function misbehaves."""
        try:
            outcome = self.function(run)
            values = outcome if isinstance(outcome, Mapping) else {"": outcome}
            found = {str(part): float(value) for part, value in values.items()}
        except InputError:
            raise
        except Exception as error:
            raise self._failure(run, f"{type(error).__name__}: {error}") from error
        if any(math.isinf(value) for value in found.values()):
            raise self._failure(run, "it returned an infinite number")
        return found

    def _failure(self, run: RunTables, what: str) -> PluginError:
        return PluginError(
            f"metric {self.name!r} failed: {what}",
            where=f"run {run.run.run_id}",
            hint="a metric takes the tables of one run and returns a number or a mapping part -> number",
        )


def metric(
    name: str,
    *,
    title: str,
    unit: str,
    better: Better = "none",
    parts_default: float = math.nan,
    common: str | None = None,
    whole_jobs: bool = False,
) -> Callable[[Function], Metric]:
    """Decorator: make a :class:`Metric` of a function. It is not registered globally; see the module's text."""

    def decorate(function: Function) -> Metric:
        return Metric(name, title, unit, better, function, parts_default, common, whole_jobs)

    return decorate


def all_metrics(extra: Iterable[Metric | Function] = ()) -> dict[str, Metric]:
    """Built-in metrics, those of installed packages (by entry point name), then ``extra``; names must be unique."""
    from ksched.report.outcomes import BUILT_IN

    found = {built_in.name: built_in for built_in in BUILT_IN}
    installed = sorted(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda e: (e.name, e.value))
    for entry in installed:
        where = f"entry point {entry.name} = {entry.value} of the group {ENTRY_POINT_GROUP}"
        given = _load(entry.load, where)
        made = _of(given, where)
        # An undecorated function is called what its package registered it as.
        _add(found, made if made is given else replace(made, name=entry.name), where)
    for given in extra:
        _add(found, _of(given, "metrics"), "metrics")
    return found


def find_metric(reference: str, *, base: Path | None = None, where: str | None = None) -> Metric:
    """The metric behind ``module:function`` or ``path/to/file.py:function``; files are relative to ``base``
    (default: here). Raises InputError when there is none."""
    target, colon, attribute = reference.rpartition(":")
    if not colon or not target:
        raise InputError(
            f"{reference!r} names no metric", where=where, hint="write module:function or path/to/file.py:function"
        )
    if target.endswith(".py"):
        path = ((base or Path.cwd()) / target).resolve()
        if not path.is_file():
            raise InputError(f"the file {target!r} does not exist", where=where, hint=f"looked for {path}")
        module: ModuleType = _load(lambda: _module(path), where or str(path))
    else:
        module = _load(lambda: importlib.import_module(target), where or reference)
    if not hasattr(module, attribute):
        guess = nearest(attribute, [name for name, value in vars(module).items() if callable(value)])
        hint = f"did you mean {guess!r}?" if guess else None
        raise InputError(f"{target} has no function {attribute!r}", where=where, hint=hint)
    return _of(getattr(module, attribute), where or reference)


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ksched_user_metric_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _load(load: Callable[[], T], where: str) -> T:
    try:
        return load()
    except Exception as error:
        raise InputError(f"cannot load the metric: {type(error).__name__}: {error}", where=where) from error


def _of(given: object, where: str) -> Metric:
    """A metric as it is; a plain function named like itself and without a direction."""
    if isinstance(given, Metric):
        return given
    if not inspect.isroutine(given):
        raise InputError(
            f"{given!r} is no metric",
            where=where,
            hint="a metric is a function of a run's tables, better still decorated with @ksched.report.metric(...)",
        )
    name = given.__name__
    return Metric(name, name.replace("_", " ").capitalize(), "", "none", given)


def _add(found: dict[str, Metric], made: Metric, where: str) -> None:
    if made.name in found:
        raise InputError(f"there are two metrics called {made.name!r}", where=where, hint="give one another name")
    found[made.name] = made
