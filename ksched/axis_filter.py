"""``--only axis=value``: which cells of a grid are meant, and what is said when there is no such axis or value."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from ksched.errors import InputError, nearest

_LISTED = 20


def axis_filter(axes: Mapping[str, Collection[str]], only: Iterable[str]) -> Callable[[Mapping[str, str]], bool]:
    """Whether a cell, given as axis -> value name, matches every ``axis=value`` of ``only``.

    ``axes`` maps each axis to the names of its values. Several values of one axis are alternatives; an axis the cell
    does not have makes no difference to it, so every value matches. InputError for an unknown axis or value.
    """
    wanted: dict[str, set[str]] = {}
    for name, value in axis_values(only):
        check_axis(axes, name, where=f"--only {name}={value}")
        check_value(name, axes[name], value, where=f"--only {name}={value}")
        wanted.setdefault(name, set()).add(value)
    return lambda cell: all(cell[name] in values for name, values in wanted.items() if name in cell)


def axis_values(only: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(axis, value) of every ``axis=value``. InputError for anything else."""
    for text in only:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"{text!r} is not of the form axis=value", where="--only")
        yield name, value


def check_axis(axes: Collection[str], name: str, *, where: str) -> None:
    """InputError with the nearest name unless there is an axis called ``name``."""
    if name not in axes:
        guess = nearest(name, axes)
        hint = f"did you mean {guess!r}?" if guess else f"axes of this experiment: {', '.join(axes)}"
        raise InputError(f"there is no axis {name!r}", where=where, hint=hint)


def check_value(axis: str, values: Collection[str], name: str, *, where: str) -> None:
    """InputError with the nearest name unless the axis has a value called ``name``."""
    if name not in values:
        guess = nearest(name, values)
        hint = f"did you mean {guess!r}?" if guess else f"values of this axis: {', '.join(list(values)[:_LISTED])}"
        raise InputError(f"axis {axis!r} has no value {name!r}", where=where, hint=hint)
