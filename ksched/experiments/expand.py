"""From an experiment file to its cells: the cartesian product of the axes, fragments merged, placeholders filled."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ksched.errors import InputError, nearest
from ksched.experiments.document import Document, KeyPath
from ksched.experiments.file import SEED, AxisValue, Experiment, Target, scalar_name

_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
_KINDS = ("policy", "trace", "cluster")


@dataclass(frozen=True)
class Fragment:
    """A merged and filled fragment, and where its parts were written: (mount point in ``data``, place in the file)."""

    data: dict[str, Any]
    sources: tuple[tuple[KeyPath, KeyPath], ...]

    def place(self, location: KeyPath, document: Document) -> KeyPath:
        """Where in the file the value at ``location`` of ``data`` comes from; the last fragment merged in wins."""
        for mount, at in reversed(self.sources):
            written = (*at, *location[len(mount) :])
            if location[: len(mount)] == mount and written in document.lines:
                return written
        return (*self.sources[0][1], *location) if self.sources else location


@dataclass(frozen=True)
class Cell:
    """One point of the grid: a value of every axis, and the fragments that follow from it."""

    axes: dict[str, str]
    seed: int
    policy: Fragment
    trace: Fragment
    cluster: Fragment


def count_cells(experiment: Experiment) -> int:
    """How many cells the grid has, before any is built."""
    return math.prod(len(axis.values) for axis in experiment.axes.values())


def expand(experiment: Experiment) -> list[Cell]:
    """All cells, in the order of the file with the last axis varying fastest.

    Raises InputError for a placeholder of an unknown axis and for an axis that changes nothing.
    """
    axes = list(experiment.axes.values())
    used: set[str] = set()
    cells = [
        _cell(experiment, dict(zip(experiment.axes, values, strict=True)), used)
        for values in itertools.product(*(axis.values for axis in axes))
    ]
    for axis in axes:
        if axis.target is None and axis.name != SEED and axis.name not in used:
            raise InputError(
                f"axis {axis.name!r} is used nowhere, so it would change nothing",
                where=experiment.document.where(("axes", axis.name)),
                hint=f"write \"${{{axis.name}}}\" in a fragment, or give the axis a 'target'",
            )
    return cells


def _cell(experiment: Experiment, chosen: Mapping[str, AxisValue], used: set[str]) -> Cell:
    axes = experiment.axes
    # A placeholder of an axis of fragments means the fragment's name, for example in a path.
    fill = {name: v.value if axes[name].target is None else v.name for name, v in chosen.items()}
    fragments = {}
    for kind in _KINDS:
        parts = [(chosen[n], axes[n].target) for n in _merge_order(axes, kind)]
        data: dict[str, Any] = {}
        sources = []
        for value, target in parts:
            mount: KeyPath = ("replay",) if target == "replay" else ()
            data = merge(data, {"replay": value.value} if mount else value.value)
            sources.append((mount, value.at))
        fragment = Fragment(data, tuple(sources))
        filled = _fill(data, fill, used, experiment.document, fragment, ())
        fragments[kind] = Fragment(filled, fragment.sources)
    names = {name: value.name for name, value in chosen.items()}
    return Cell(axes=names, seed=chosen[SEED].value, **fragments)


def _merge_order(axes: Mapping[str, Any], kind: str) -> Iterator[str]:
    """The axis named like the kind is the ground; the others are merged over it in the order of the file."""
    targets: tuple[Target | str, ...] = (kind, "replay") if kind == "trace" else (kind,)
    if kind in axes:
        yield kind
    yield from (name for name, axis in axes.items() if name != kind and axis.target in targets)


def merge(ground: Any, over: Any) -> Any:
    """``over`` laid on ``ground``: mappings are merged key by key, everything else is replaced."""
    if not (isinstance(ground, dict) and isinstance(over, dict)):
        return over
    merged = dict(ground)
    for key, value in over.items():
        merged[key] = merge(ground[key], value) if key in ground else value
    return merged


def _fill(
    data: Any, fill: Mapping[str, Any], used: set[str], document: Document, fragment: Fragment, at: KeyPath
) -> Any:
    if isinstance(data, dict):
        return {
            str(_fill_text(key, fill, used, document, fragment, (*at, key))): _fill(
                value, fill, used, document, fragment, (*at, key)
            )
            for key, value in data.items()
        }
    if isinstance(data, list):
        return [_fill(item, fill, used, document, fragment, (*at, i)) for i, item in enumerate(data)]
    return _fill_text(data, fill, used, document, fragment, at) if isinstance(data, str) else data


def _fill_text(
    text: str, fill: Mapping[str, Any], used: set[str], document: Document, fragment: Fragment, at: KeyPath
) -> Any:
    """A text that is one placeholder becomes the axis's value with its type; inside a longer text it is spelled."""
    names = _PLACEHOLDER.findall(text)
    for name in names:
        if name not in fill:
            guess = nearest(name, fill)
            raise InputError(
                f"${{{name}}} is not an axis of this experiment",
                where=document.where(fragment.place(at, document)),
                hint=f"did you mean ${{{guess}}}?" if guess else f"axes: {', '.join(fill)}",
            )
    used.update(names)
    if len(names) == 1 and text == f"${{{names[0]}}}":
        return fill[names[0]]
    return _PLACEHOLDER.sub(lambda match: scalar_name(fill[match.group(1)]), text)
