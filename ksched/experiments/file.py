"""Experiment files: which policies, traces, clusters and seeds are compared.

::

    name: weights
    question: Does more weight on free memory spread the load better?
    baseline: {policy: default}
    axes:
      policy:
        default: {}
        free-memory: {score: {FreeMemory: "${weight}", NodeResourcesFit: 1}}
      weight: [1, 5, 25]
      seed: {range: [42, 51]}
    trace: {path: ../../traces/quickstart, replay: {mode: timestamp}}

The axes ``policy``, ``trace``, ``cluster`` and ``seed`` mean what they are called; each may also stand at the top level
as one value. Any other axis is either used by a placeholder ``${axis}`` inside a fragment or carries ``target:`` and
``values:``, fragments that are merged into every policy, trace, cluster or replay. ``metrics:`` lists metrics of one's
own for the report, each ``module:function`` or ``path/to/file.py:function``. ``probes`` names further measures to
record (:mod:`ksched.experiments.probes`), ``exports`` files that ``ksched run`` writes beside the results.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ksched.axis_filter import check_axis, check_value
from ksched.errors import InputError, invalid, nearest
from ksched.experiments.document import Document, KeyPath, read_document
from ksched.experiments.probes import PROBES
from ksched.result_directory import EXPORTS, RUN_COLUMNS

Scalar = str | int | float | bool
Target = Literal["policy", "trace", "cluster", "replay"]
TARGETS: tuple[Target, ...] = ("policy", "trace", "cluster", "replay")
SEED = "seed"
DEFAULT_SEED = 42
_AXIS_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_EXPERIMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class AxisValue:
    """One value of an axis: its name in tables and ``--only``, what it stands for, and where it was written."""

    name: str
    value: Any
    at: KeyPath


@dataclass(frozen=True)
class Axis:
    """A named list of values; ``target`` says what the values are fragments of (None: placeholders or seeds)."""

    name: str
    target: Target | None
    values: tuple[AxisValue, ...]

    @property
    def names(self) -> list[str]:
        """The values' names, in the order of the file."""
        return [value.name for value in self.values]


@dataclass(frozen=True)
class Experiment:
    """A read and checked experiment file. Fragments are still raw: placeholders are filled per run."""

    name: str
    question: str
    baseline: dict[str, str]
    axes: dict[str, Axis]
    probes: tuple[str, ...]
    exports: tuple[str, ...]
    document: Document = field(repr=False)

    @property
    def axis_values(self) -> dict[str, list[str]]:
        """Axis -> names of its values, both in the order of the file."""
        return {name: axis.names for name, axis in self.axes.items()}

    @property
    def folder(self) -> Path:
        """The folder that paths in the file are relative to."""
        return self.document.path.resolve().parent


class ExperimentKeys(BaseModel):
    """The keys an experiment file may have; paths in it are relative to the file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(description="letters, digits, `-`, `_` and `.`; results go to `results/<name>` by default")
    question: str = Field("", description="what the experiment asks; heads its report")
    baseline: dict[str, Scalar] = Field(
        {}, description="axis and value the others are compared with; default: the first policy"
    )
    axes: dict[str, Any] = Field({}, description="axis -> its values: a list, `{range: [first, last]}` or fragments")
    metrics: list[str] = Field([], description="metrics of one's own: `file.py:function` or `module:function`")
    probes: list[str] = Field([], description="further measures to record, each a result table: `fragmentation`")
    exports: list[str] = Field([], description="files written beside the results: `load-curves`")
    primary: list[str] = Field([], description="the metrics the report tests as one family, such as `pending_p99`")
    policy: Any = Field(None, description="a policy fragment, where policy is no axis; default: the default profile")
    trace: Any = Field(None, description="`path` or `name` of a trace, and `replay`, where trace is no axis")
    cluster: Any = Field(None, description="cluster options, where cluster is no axis")
    seed: Any = Field(None, description="a whole number, where seed is no axis; default: 42")


def load_experiment(path: Path | str) -> Experiment:
    """Read an experiment file. Raises InputError that names file, line and dotted path of what is wrong."""
    path = Path(path)
    if path.is_dir():
        path = path / "experiment.yaml"
    document = read_document(path)
    if not isinstance(document.data, dict):
        raise InputError("an experiment file is a mapping with the keys name, axes, trace, ...", where=str(path))
    try:
        top = ExperimentKeys.model_validate(document.data)
    except ValidationError as error:
        raise invalid(error, ExperimentKeys, where=document.where(error.errors()[0]["loc"])) from error
    if not _EXPERIMENT_NAME.fullmatch(top.name):
        raise InputError(
            f"{top.name!r} cannot be the name of an experiment",
            where=document.where(("name",)),
            hint="use letters, digits, '-', '_' and '.', for example 'weight-sweep'",
        )
    axes = _axes(document, top)
    return Experiment(
        name=top.name,
        question=" ".join(top.question.split()),
        baseline=_baseline(document, top.baseline, axes),
        axes=axes,
        probes=_known(document, "probes", top.probes, PROBES),
        exports=_known(document, "exports", top.exports, EXPORTS),
        document=document,
    )


def _known(document: Document, key: str, names: list[str], known: Iterable[str]) -> tuple[str, ...]:
    for i, name in enumerate(names):
        if name not in known:
            guess = nearest(name, known)
            raise InputError(
                f"there is no {key.removesuffix('s')} {name!r}",
                where=document.where((key, i)),
                hint=f"did you mean {guess!r}?" if guess else f"known: {', '.join(known)}",
            )
    return tuple(dict.fromkeys(names))


def _axes(document: Document, top: ExperimentKeys) -> dict[str, Axis]:
    axes = {name: _axis(document, name, raw, ("axes", name)) for name, raw in top.axes.items()}
    for name in ("policy", "trace", "cluster", SEED):
        raw = getattr(top, name)
        if raw is None:
            continue
        if name in axes:
            raise InputError(
                f"{name!r} is both an axis and a top-level key", where=document.where((name,)), hint="keep one of them"
            )
        axes[name] = _single(document, name, raw)
    if "trace" not in axes:
        raise InputError(
            "the experiment has no trace",
            where=document.where(),
            hint="add for example 'trace: {path: traces/quickstart, replay: {mode: timestamp}}'",
        )
    if "policy" not in axes:
        axes["policy"] = Axis("policy", "policy", (AxisValue("default", {}, ()),))
    if SEED not in axes:
        axes[SEED] = Axis(SEED, None, (AxisValue(str(DEFAULT_SEED), DEFAULT_SEED, ()),))
    return axes


def _single(document: Document, name: str, raw: Any) -> Axis:
    """An axis with one value, from a top-level key."""
    at: KeyPath = (name,)
    if name == SEED:
        return Axis(SEED, None, (_scalar_value(document, raw, at, seed=True),))
    fragment = _fragment(document, name, raw, at)
    written = fragment.get("name") or fragment.get("path") or fragment.get("profile")
    shown = Path(written).stem if isinstance(written, str) and "${" not in written else name
    return Axis(name, _target(name), (AxisValue(shown, fragment, at),))


def _axis(document: Document, name: str, raw: Any, at: KeyPath) -> Axis:
    if not _AXIS_NAME.fullmatch(name):
        raise InputError(f"{name!r} cannot be the name of an axis", where=document.where(at))
    if name in (*RUN_COLUMNS, "experiment", "run"):
        raise InputError(
            f"{name!r} cannot be the name of an axis: lists of runs have another column called so",
            where=document.where(at),
        )
    if name == "replay":
        raise InputError(
            "'replay' cannot be the name of an axis", where=document.where(at), hint="name it and give 'target: replay'"
        )
    target = _target(name)
    if isinstance(raw, dict) and "target" in raw:
        target = _explicit_target(document, name, raw, at)
        raw, at = raw["values"], (*at, "values")
    if isinstance(raw, dict) and set(raw) == {"range"}:
        values = _range(document, raw["range"], (*at, "range"))
    elif isinstance(raw, list) and target is None:
        values = [_scalar_value(document, item, (*at, i), seed=name == SEED) for i, item in enumerate(raw)]
    elif isinstance(raw, list):
        values = [_short_value(document, name, item, (*at, i)) for i, item in enumerate(raw)]
    elif isinstance(raw, dict) and target is not None:
        values = [AxisValue(key, _fragment(document, target, raw[key], (*at, key)), (*at, key)) for key in raw]
    elif isinstance(raw, dict):
        raise InputError(
            f"the values of axis {name!r} are fragments, but of what?",
            where=document.where(at),
            hint=f"write '{name}: {{target: policy|trace|cluster|replay, values: {{...}}}}', or a list of plain values",
        )
    else:
        raise InputError(
            f"axis {name!r} needs a list of values or a mapping name -> fragment", where=document.where(at)
        )
    return _checked(document, Axis(name, target, tuple(values)), at)


def _target(name: str) -> Target | None:
    return name if name in ("policy", "trace", "cluster") else None  # type: ignore[return-value]


def _explicit_target(document: Document, name: str, raw: dict[str, Any], at: KeyPath) -> Target:
    for key in raw:
        if key not in ("target", "values"):
            raise InputError(
                f"unknown key {key!r} beside 'target'",
                where=document.where((*at, key)),
                hint="an axis with a target has the keys 'target' and 'values'",
            )
    target = raw["target"]
    if target not in TARGETS:
        guess = nearest(str(target), TARGETS)
        raise InputError(
            f"axis {name!r} cannot target {target!r}",
            where=document.where((*at, "target")),
            hint=f"did you mean {guess!r}?" if guess else f"one of: {', '.join(TARGETS)}",
        )
    if _target(name) not in (None, target):
        raise InputError(f"axis {name!r} targets {name!r}, nothing else", where=document.where((*at, "target")))
    if "values" not in raw:
        raise InputError(f"axis {name!r} has no 'values'", where=document.where(at))
    return target  # type: ignore[no-any-return]


def _range(document: Document, raw: Any, at: KeyPath) -> list[AxisValue]:
    good = isinstance(raw, list) and len(raw) in (2, 3) and all(type(item) is int for item in raw)
    if not good or (len(raw) == 3 and raw[2] < 1) or raw[1] < raw[0]:
        raise InputError(
            "a range is [first, last] or [first, last, step] in whole numbers, last included",
            where=document.where(at),
            hint="for example 'seed: {range: [42, 51]}' for ten seeds",
        )
    step = raw[2] if len(raw) == 3 else 1
    return [AxisValue(str(v), v, at) for v in range(raw[0], raw[1] + 1, step)]


def _scalar_value(document: Document, item: Any, at: KeyPath, *, seed: bool) -> AxisValue:
    if seed and (type(item) is not int or not 0 <= item < 2**63):
        raise InputError(f"a seed is a whole number from 0 to 2^63-1, not {item!r}", where=document.where(at))
    if not isinstance(item, (str, int, float)):
        raise InputError("a value in this list is a number, a text, true or false", where=document.where(at))
    return AxisValue(scalar_name(item), item, at)


def _short_value(document: Document, name: str, item: Any, at: KeyPath) -> AxisValue:
    """A trace or profile given by its path alone, named by its file name."""
    if not isinstance(item, str):
        raise InputError(
            f"a value in this list is a path; give fragments as a mapping name -> fragment, not {item!r}",
            where=document.where(at),
        )
    return AxisValue(Path(item).stem, _fragment(document, name, item, at), at)


def _fragment(document: Document, target: str, raw: Any, at: KeyPath) -> dict[str, Any]:
    """A fragment as a mapping; a bare text is a trace's path or name, or a policy's profile file."""
    if raw is None:
        return {}
    if isinstance(raw, str) and target == "trace":
        return {"name" if is_trace_name(raw) else "path": raw}
    if isinstance(raw, str) and target == "policy":
        return {"profile": raw}
    if not isinstance(raw, dict):
        raise InputError(f"a {target} fragment is a mapping, not {raw!r}", where=document.where(at))
    return raw


def is_trace_name(text: str) -> bool:
    """``openb:default`` names a trace in the data directory; everything else is a path."""
    return re.fullmatch(r"[a-z][a-z0-9-]*:[\w.@-]+", text) is not None


def _checked(document: Document, axis: Axis, at: KeyPath) -> Axis:
    if not axis.values:
        raise InputError(f"axis {axis.name!r} has no values, so there is nothing to run", where=document.where(at))
    seen: set[str] = set()
    for value in axis.values:
        if value.name in seen:
            raise InputError(f"axis {axis.name!r} has the value {value.name!r} twice", where=document.where(value.at))
        seen.add(value.name)
    return axis


def _baseline(document: Document, raw: dict[str, Scalar], axes: dict[str, Axis]) -> dict[str, str]:
    """The baseline as axis -> value name; without one, the first policy of the file."""
    if not raw:
        return {"policy": axes["policy"].values[0].name}
    baseline = {}
    for name, value in raw.items():
        where = document.where(("baseline", name))
        baseline[name] = find_value(find_axis(axes, name, where=where), scalar_name(value), where=where).name
    return baseline


def find_axis(axes: dict[str, Axis], name: str, *, where: str) -> Axis:
    """The axis called ``name``, or an InputError with the nearest name."""
    check_axis(axes, name, where=where)
    return axes[name]


def find_value(axis: Axis, name: str, *, where: str) -> AxisValue:
    """The value called ``name`` of an axis, or an InputError with the nearest name."""
    check_value(axis.name, axis.names, name, where=where)
    return axis.values[axis.names.index(name)]


def scalar_name(value: Scalar) -> str:
    """How a plain value is written in tables and on the command line: 5, 1.3, true, text."""
    return str(value).lower() if isinstance(value, bool) else str(value)
