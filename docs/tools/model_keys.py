"""Every key of a file as Markdown, from the pydantic model that reads it."""

from __future__ import annotations

import enum
import inspect
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ksched.objects.base import KubeModel
from ksched.sim.delays import Constant, parse_duration

_DELAY = "[delay](delays.md)"
_DURATION = "duration"
_UNITS = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_WORDS = {str: "text", int: "integer", float: "number", bool: "yes or no", Any: "anything", type(None): "null"}


@dataclass(frozen=True)
class Section:
    """One model, and the dotted path at which a file has it."""

    path: str
    model: type[BaseModel]

    def undocumented(self) -> list[str]:
        """Keys that have neither a description nor a mention in the docstring."""
        named = set(re.findall(r"``(\w+)``", self.model.__doc__ or ""))
        keys = {name: _key(name, field) for name, field in self.model.model_fields.items()}
        silent = [n for n, f in self.model.model_fields.items() if not f.description and not any(_models(f.annotation))]
        return [f"{self.path}.{keys[name]}" for name in silent if not named & {name, keys[name]}]


_NAMES = r"``\w+``(?:(?:, | and )``\w+``)*"
_SAID = re.compile(rf"(?:(?<=[.] )|^)({_NAMES}): (.*?)(?=(?<=[.]) {_NAMES}: |$)")


def said(model: type[BaseModel]) -> tuple[str, dict[str, str]]:
    """A model's docstring, and what it says of single keys ("``key``: ..."), which is taken out of it."""
    meanings: dict[str, str] = {}
    rest = []
    for paragraph in inspect.cleandoc(model.__doc__ or "").split("\n\n"):
        line = " ".join(paragraph.split())
        for names, meaning in _SAID.findall(line):
            meanings |= dict.fromkeys(re.findall(r"``(\w+)``", names), meaning.strip())
        rest.append(_SAID.sub("", line).strip())
    return "\n\n".join(filter(None, rest)), meanings


def sections(model: type[BaseModel], path: str = "") -> list[Section]:
    """The model and every model in it, each once, where it stands first."""
    found: dict[type[BaseModel], Section] = {}

    def visit(one: type[BaseModel], at: str) -> None:
        if one in found:
            return
        found[one] = Section(at, one)
        for name, field in one.model_fields.items():
            for inner, suffix in _models(field.annotation):
                visit(inner, f"{at}.{_key(name, field)}{suffix}".lstrip("."))

    visit(model, path)
    return list(found.values())


def keys_page(title: str, introduction: str, model: type[BaseModel]) -> str:
    """A page with a table of keys for the model and for each model in it."""
    return f"# {title}\n\n{introduction}\n\n{key_tables(model)}\n"


def key_tables(model: type[BaseModel], *, level: int = 2, page_part: str = "") -> str:
    """The tables alone, headings from ``level``; ``page_part`` keeps anchors of several models on a page apart."""
    every = sections(model)
    places = {section.model: (section.path, _anchor(f"{page_part} {section.path}")) for section in every}
    parts = []
    for section in every:
        if section.path:
            path, anchor = places[section.model]
            parts.append(f"{'#' * level} `{path}` {{ #{anchor} }}")
        text, meanings = said(section.model)
        parts += [plain_docstring(text), _table(section.model, meanings, places)]
    return "\n\n".join(filter(None, parts))


def _table(model: type[BaseModel], meanings: dict[str, str], places: dict[type[BaseModel], tuple[str, str]]) -> str:
    lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        inner = [places[found] for found, _ in _models(field.annotation)]
        meaning = field.description or meanings.get(_key(name, field)) or meanings.get(name, "")
        see = ", ".join(f"[`{path}`](#{anchor})" for path, anchor in inner)
        meaning = "; ".join(filter(None, [meaning, f"see {see}" if see else ""]))
        lines.append(f"| `{_key(name, field)}` | {_type(field)} | {_default(field)} | {_cell(meaning)} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _key(name: str, field: FieldInfo) -> str:
    return field.validation_alias if isinstance(field.validation_alias, str) else field.alias or name


def _anchor(path: str) -> str:
    return re.sub(r"\W+", "-", path).strip("-").lower()


def _models(annotation: Any) -> Iterator[tuple[type[BaseModel], str]]:
    """Models within an annotation, each with what a path to it needs: [] for a list, .<name> for a mapping."""
    if _is_delay(annotation) or _is_kubernetes(annotation):
        return
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, ""
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    suffix = "[]" if origin in (tuple, list) else ".<name>" if origin is dict else ""
    for argument in arguments[-1:] if origin is dict else arguments:
        for model, deeper in _models(argument):
            yield model, suffix + deeper


def _is_kubernetes(annotation: Any) -> bool:
    """Objects of the Kubernetes API are documented there."""
    return isinstance(annotation, type) and issubclass(annotation, KubeModel)


def _is_delay(annotation: Any) -> bool:
    return Constant in _flat(annotation)


def _flat(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        yield from _flat(argument)


def _type(field: FieldInfo) -> str:
    if any(_is_duration(mark) for mark in field.metadata):
        return _DURATION
    return _DELAY if _is_delay(field.annotation) else _cell(_words(field.annotation))


def _is_duration(mark: Any) -> bool:
    return isinstance(mark, BeforeValidator) and mark.func is parse_duration


def _words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _WORDS:
        return _WORDS[annotation]
    if origin is Annotated:
        return _DURATION if any(_is_duration(mark) for mark in arguments[1:]) else _words(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(a) for a in arguments if a is not type(None)))
    if origin in (tuple, list):
        return f"list of {_words(arguments[0])}"
    if origin is dict:
        return "mapping" if arguments[1] is Any else f"mapping to {_words(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return " or ".join(f"`{member.value}`" for member in annotation)
    if _is_kubernetes(annotation):
        return f"{annotation.__name__} of Kubernetes"
    return "mapping" if isinstance(annotation, type) and issubclass(annotation, BaseModel) else str(annotation)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default if field.default_factory is None else field.default_factory()  # type: ignore[call-arg]
    if _type(field) == _DURATION and isinstance(value, int):
        return f"`{_duration(value)}`"
    if isinstance(value, Constant):
        return f"`{_duration(value.value)}`"
    if isinstance(value, enum.Enum):
        return f"`{value.value}`"
    empty = value is None or value is PydanticUndefined or value in ("", {}, (), [])
    nested = isinstance(value, BaseModel) or (isinstance(value, tuple) and any(isinstance(v, BaseModel) for v in value))
    if empty or nested:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _duration(value: int) -> str:
    unit = next((unit for unit, size in _UNITS.items() if value and value % size == 0), None)
    return "0" if unit is None else f"{value // _UNITS[unit]}{unit}"


def _cell(text: str) -> str:
    return plain_docstring(text).replace("\n", " ").replace("|", "\\|")


def plain_docstring(text: str) -> str:
    """A docstring as Markdown: roles become code, ``::`` before an indented block becomes a colon."""
    text = inspect.cleandoc(text)
    text = re.sub(r":(?:class|func|meth|mod|attr|data|exc):`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text)
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    text = re.sub(r"^::\n", "", text, flags=re.MULTILINE)
    return re.sub(r"::$", ":", text, flags=re.MULTILINE)
