"""Errors a user can act on.

Everything that can be wrong with a user's input is raised as a :class:`KschedError`; the command line prints its
one message and exits with code 2. Anything else that escapes is a defect of ksched and shows a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, get_args

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


class KschedError(Exception):
    """Base of every error whose message alone tells a user what to do."""


class InputError(KschedError):
    """Bad input: a manifest, a trace, an experiment or profile file, an option.

    ``where`` is a file, ``file:line`` or dotted path; ``hint`` is what to do about it.
    """

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.message = message
        self.where = where
        self.hint = hint
        super().__init__(message, where, hint)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  {self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments would be lost on the way back from a worker process.
        return (_rebuild, (type(self), self.message, self.where, self.hint))


class PluginError(InputError):
    """A plugin broke the contract: it raised, or returned a wrong shape, NaN or an out-of-range score."""


def _rebuild(cls: type[InputError], message: str, where: str | None, hint: str | None) -> InputError:
    return cls(message, where=where, hint=hint)


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like ``name``, or None when nothing is close; for "did you mean" hints."""
    matches = difflib.get_close_matches(name, sorted(candidates), n=1, cutoff=0.6)
    return matches[0] if matches else None


def invalid(error: ValidationError, model: type[BaseModel], *, where: str | None = None) -> InputError:
    """The first problem pydantic found with a user's data: dotted path, what was expected, nearest key."""
    first = error.errors()[0]
    location = first["loc"]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    if first["type"] == "extra_forbidden":
        known = sorted(_keys_at(model, location[:-1]))
        guess = nearest(str(location[-1]), known)
        hint = f"did you mean {guess!r}?" if guess else ("known keys: " + ", ".join(known) if known else None)
        return InputError(f"unknown key {path!r}", where=where, hint=hint)
    if first["type"] == "missing":
        return InputError(f"{path!r} is missing", where=where)
    message = first["msg"].removeprefix("Value error, ")
    given = first.get("input")
    shown = f", got {given!r}" if isinstance(given, (str, int, float, bool, type(None))) else ""
    return InputError(f"{path}: {message}{shown}" if path else message, where=where)


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> set[str]:
    """Keys a mapping may have at ``location`` inside ``model``."""
    models: list[Any] = [model]
    for part in location:
        inner: list[Any] = []
        for candidate in models:
            for name, field in candidate.model_fields.items():
                if part in (name, field.alias):
                    inner += _models_in(field.annotation)
        models = inner or models
    return {field.alias or name for candidate in models for name, field in candidate.model_fields.items()}


def _models_in(annotation: Any) -> list[Any]:
    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models_in(argument)]
