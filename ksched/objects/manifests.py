"""Manifests in and out: YAML and JSON files as users and kubectl write them.

Reading loses nothing: unknown fields are kept (with a warning that names them), quantities and numbers stay as written,
null lists stay null. Lists (``kind: List``, ``PodList``, ...) come apart into their items.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from ksched.errors import InputError, nearest

from .base import KubeModel, json_names
from .kinds import KINDS
from .meta import KubeObject
from .paths import dotted
from .yaml_text import Document, dump, load_documents, read_text

_SUFFIXES: Final = (".yaml", ".yml", ".json")


class UnknownFieldWarning(UserWarning):
    """A manifest has a field Kubernetes v1.30 does not know: kept and written back, but nothing reads it."""


def read_manifests(source: str | os.PathLike[str], *, where: str | None = None) -> list[KubeObject]:
    """The objects of a file, of all manifests in a directory (sorted by name), or of a text.

    ``source`` is taken for text when it is a str with a line break or a brace at its start, or a ``key: value`` line.
    ``where`` names a text in messages. InputError for unreadable or malformed text, unknown kinds, wrong types, and for
    two objects of the same kind, namespace and name; :class:`UnknownFieldWarning` for unknown fields. Nothing is
    defaulted or validated here.
    """
    objects: list[KubeObject] = []
    places: dict[tuple[str, str, str], str] = {}
    for text, name in _texts(source, where):
        for document in load_documents(text, name):
            for data, path in _items(document):
                obj = _parse(data, document, path)
                _refuse_duplicate(obj, document.place(path) or "the text", places)
                objects.append(obj)
    return objects


def parse(data: Mapping[str, Any], *, where: str | None = None) -> KubeObject:
    """The object a mapping describes (``kind`` decides), e.g. one item of ``kubectl get -o json``.

    InputError naming ``where`` and the dotted path when it is none; :class:`UnknownFieldWarning` for unknown fields.
    """
    return _parse(data, Document(data, None, "", where), ())


def write_manifests(objects: Iterable[KubeObject], path: str | os.PathLike[str] | None = None) -> str:
    """YAML of the objects, one document each; also written to ``path`` (whole or not at all) when given."""
    text = dump([obj.to_dict() for obj in objects])
    if path is not None:
        _write_atomically(Path(path), text)
    return text


# --- reading --------------------------------------------------------------------------------------------------------


def _texts(source: str | os.PathLike[str], where: str | None) -> Iterator[tuple[str, str | None]]:
    if isinstance(source, str) and ("\n" in source or source.lstrip()[:1] in ("{", "[") or ": " in source):
        yield source, where
        return
    path = Path(source)
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in _SUFFIXES and p.is_file())
        if not files:
            raise InputError("the directory holds no manifests", where=str(path), hint="expected *.yaml, *.yml, *.json")
    else:
        files = [path]
    for file in files:
        yield read_text(file, "manifest"), str(file)


def _items(document: Document) -> Iterator[tuple[Any, tuple[str | int, ...]]]:
    """The objects of a document with their paths: itself, or the items of a list."""
    data = document.data
    if not isinstance(data, Mapping):
        raise InputError(
            f"a manifest is a map with apiVersion and kind, not {_described(data)}", where=document.place()
        )
    kind = data.get("kind")
    if not isinstance(kind, str) or kind in KINDS or not kind.endswith("List"):
        yield data, ()
        return
    items = data.get("items")
    if not isinstance(items, list) and not (items is None and kind != "List"):
        raise InputError(f"items of a {kind} must be a list, not {_described(items)}", where=document.place(("items",)))
    for index, item in enumerate(items or ()):
        if isinstance(item, Mapping) and kind != "List":  # the api-server leaves them out in typed lists
            item = {"apiVersion": data.get("apiVersion"), "kind": kind.removesuffix("List"), **item}
        yield item, ("items", index)


def _parse(data: Any, document: Document, path: Sequence[str | int]) -> KubeObject:
    cls = _class_of(data, document, path)
    try:
        obj = cls.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        raise _wrong_type(error, _title(cls, data), document, path) from None
    except RecursionError:
        raise InputError("the object is nested too deep", where=document.place(path)) from None
    for unknown, candidates in _unknown_fields(obj, ()):
        _warn_unknown(f"{cls.KIND} {obj.key}", unknown, candidates, document, path)
    return obj


def _class_of(data: Any, document: Document, path: Sequence[str | int]) -> type[KubeObject]:
    where = document.place(path)
    if not isinstance(data, Mapping):
        raise InputError(f"an object is a map with apiVersion and kind, not {_described(data)}", where=where)
    kind, version = data.get("kind"), data.get("apiVersion")
    if not isinstance(kind, str) or not kind:
        raise InputError("the object has no kind", where=where, hint="every manifest begins with apiVersion and kind")
    cls = KINDS.get(kind)
    if cls is None:
        close = nearest(kind, KINDS)
        hint = f"did you mean {close}? " if close else ""
        raise InputError(
            f"unknown kind {kind[:60]!r}", where=where, hint=f"{hint}known kinds: {', '.join(sorted(KINDS))}"
        )
    if version is not None and version != cls.API_VERSION:
        raise InputError(f"{kind} of apiVersion {version!r} is unknown", where=where, hint=f"use {cls.API_VERSION}")
    return cls


def _refuse_duplicate(obj: KubeObject, place: str, places: dict[tuple[str, str, str], str]) -> None:
    if not obj.name:
        return  # named by the api-server from generateName, or refused by validation
    key = (obj.KIND, (obj.namespace or "default") if obj.NAMESPACED else "", obj.name)
    if key in places:
        raise InputError(f"{obj.KIND} {obj.key} is defined twice", where=place, hint=f"it was already at {places[key]}")
    places[key] = place


def _title(cls: type[KubeObject], data: Mapping[str, Any]) -> str:
    meta = data.get("metadata")
    name = meta.get("name") if isinstance(meta, Mapping) else None
    return f"{cls.KIND} {name}" if isinstance(name, str) else cls.KIND


# --- messages -------------------------------------------------------------------------------------------------------


def _wrong_type(error: ValidationError, title: str, document: Document, path: Sequence[str | int]) -> InputError:
    """The first of pydantic's errors, in a user's words."""
    first = error.errors(include_url=False)[0]
    location = tuple(first["loc"])
    written = document.written((*path, *location))
    expected, hint = _EXPECTED.get(first["type"], (None, None))
    value = first["input"]
    if expected is None:
        message = first["msg"].removeprefix("Value error, ")
    else:
        message = f"must be {expected}, not {_described(value, written)}"
    if first["type"] == "string_type" and isinstance(value, bool | int | float):
        hint = f'quote it: "{written if written is not None else _json_text(value)}"'
    return InputError(f"{title}: {dotted(location)}: {message}", where=document.place((*path, *location)), hint=hint)


_EXPECTED: Final[dict[str, tuple[str, str | None]]] = {
    "string_type": ("a string", None),
    "int_type": ("a whole number", None),
    "int_from_float": ("a whole number", None),
    "bool_type": ("true or false", None),
    "tuple_type": ("a list", 'begin its items with "- "'),
    "dict_type": ("a map", None),
    "model_type": ("a map", None),
    "model_attributes_type": ("a map", None),
}


def _described(value: Any, written: str | None = None) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"the boolean {written or _json_text(value)}"
    if isinstance(value, int | float):
        return f"the number {_cut(written or _json_text(value))}"
    if isinstance(value, str):
        return f"the text {_cut(value)!r}"
    return "a list" if isinstance(value, list | tuple) else "a map"


def _cut(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _json_text(value: bool | int | float) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "a huge number" if isinstance(value, int) and abs(value) > 10**60 else str(value)


def _unknown_fields(
    model: KubeModel, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], Iterable[str]]]:
    """Paths of the fields no model declares, with the names declared there."""
    if model.__pydantic_extra__:
        declared = [alias for _, alias in json_names(type(model))]
        for name in model.__pydantic_extra__:
            yield (*path, name), declared
    values = model.__dict__
    fields_set = model.__pydantic_fields_set__
    for name, alias in json_names(type(model)):
        if name not in fields_set:
            continue
        value = values[name]
        if isinstance(value, KubeModel):
            yield from _unknown_fields(value, (*path, alias))
        elif isinstance(value, tuple) and value and isinstance(value[0], KubeModel):
            for index, item in enumerate(value):
                yield from _unknown_fields(item, (*path, alias, index))


def _warn_unknown(
    title: str,
    unknown: tuple[str | int, ...],
    candidates: Iterable[str],
    document: Document,
    path: Sequence[str | int],
) -> None:
    close = nearest(str(unknown[-1]), candidates)
    place = document.place((*path, *unknown))
    message = f"{place}: " if place else ""
    message += f"{title}: unknown field {dotted(unknown)}"
    message += f" (did you mean {close}?)" if close else ""
    # The frame shown should be the caller of read_manifests or parse; both are three or four frames up.
    warnings.warn(message, UnknownFieldWarning, stacklevel=4)


# --- writing --------------------------------------------------------------------------------------------------------


def _write_atomically(path: Path, text: str) -> None:
    temporary: str | None = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as file:
            temporary = file.name
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise InputError(f"cannot write: {error.strerror or error}", where=str(path)) from None
