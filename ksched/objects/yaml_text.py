"""YAML and JSON text to plain data and back, with the line of every value, safe against hostile documents.

The dialect is that of the api-server's own tools: YAML 1.1 with its booleans and octals, but no timestamps and no
base-60 numbers (``2024-01-01`` and ``12:30`` are text), and map keys are always text. A key given twice is an error, as
is a document that is nested absurdly deep, contains itself, or unfolds its aliases to an absurd size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from ksched.errors import InputError

MAX_DEPTH: Final = 200
# What aliases may unfold a document to: this many values, or this many times its own number.
MAX_UNFOLDED: Final = 100_000
MAX_UNFOLDING: Final = 20

# libyaml from 0.2.6 on has a limit of its own, which its look-ahead meets before we have counted to ours.
_NESTED_BEYOND_LIBYAML: Final = "exceeded maximum nesting depth"

_MERGE: Final = "tag:yaml.org,2002:merge"
_STR: Final = "tag:yaml.org,2002:str"
_INT: Final = "tag:yaml.org,2002:int"
_FLOAT: Final = "tag:yaml.org,2002:float"
_BOOL: Final = "tag:yaml.org,2002:bool"
_NULL: Final = "tag:yaml.org,2002:null"
_TIMESTAMP: Final = "tag:yaml.org,2002:timestamp"
_VALUE: Final = "tag:yaml.org,2002:value"  # the plain scalar "="

_NUMBER_STARTS: Final = list("-+.0123456789")
_INTEGER: Final = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)\Z", re.ASCII)
_REAL: Final = re.compile(
    r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z",
    re.ASCII,
)

_BaseLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BaseDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Loader(_BaseLoader):  # type: ignore[misc]
    """Resolves plain scalars as described above."""


class _Dumper(_BaseDumper):  # type: ignore[misc]
    """Quotes every text that this loader or another YAML reader might take for something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_TIMESTAMP, _INT, _FLOAT)]
    for first, resolvers in _BaseLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_INT, _INTEGER, _NUMBER_STARTS)
_Loader.add_implicit_resolver(_FLOAT, _REAL, _NUMBER_STARTS)
_Dumper.add_implicit_resolver(_INT, _INTEGER, _NUMBER_STARTS)
_Dumper.add_implicit_resolver(_FLOAT, _REAL, _NUMBER_STARTS)


class Document:
    """One document of a file: its plain ``data``, and where its values stand."""

    __slots__ = ("_node", "_text", "data", "where")

    def __init__(self, data: Any, node: yaml.Node | None, text: str, where: str | None) -> None:
        self.data = data
        self.where = where
        self._node = node
        self._text = text

    def place(self, path: Sequence[str | int] = ()) -> str | None:
        """``file:line`` of the value at ``path`` (of its nearest known parent), ``line N`` when there is no file."""
        node = self._find(path)
        if node is None:
            return self.where
        return _place(self.where, node.start_mark.line)

    def written(self, path: Sequence[str | int]) -> str | None:
        """The scalar at ``path`` as it stands in the file."""
        node = self._find(path, exact=True)
        return node.value if isinstance(node, yaml.ScalarNode) else None

    def _find(self, path: Sequence[str | int], *, exact: bool = False) -> yaml.Node | None:
        if self._node is None:  # JSON is YAML too, and lines are wanted only when something is wrong
            try:
                self._node = yaml.compose(self._text, Loader=_Loader)
            except yaml.YAMLError:
                return None
        node = self._node
        for step in path:
            child = _child(node, step)
            if child is None:
                return None if exact else node
            node = child
        return node


def _child(node: yaml.Node | None, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int):
        return node.value[step] if step < len(node.value) else None
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    return None


def _place(where: str | None, line: int) -> str:
    return f"{where}:{line + 1}" if where else f"line {line + 1}"


def read_text(path: Path, what: str) -> str:
    """The text of a file, UTF-8 with or without a byte order mark.

    InputError when it cannot be read or is no text; ``what`` says in the message what it should have been ("manifest").
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"the {what} is not UTF-8 text (byte {error.start})", where=str(path)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot read the {what}: {reason}", where=str(path)) from None


def load_documents(text: str, where: str | None = None) -> list[Document]:
    """The documents of ``text``, YAML (one or several) or JSON; empty ones are left out.

    InputError naming ``where`` and the line, and showing that line, when the text is neither.
    """
    if text.lstrip()[:1] in ("{", "["):
        document = _from_json(text, where)
        if document is not None:
            return [document]
    try:
        _refuse_depth(text, where)
        return list(_from_yaml(text, where))
    except yaml.YAMLError as error:
        raise malformed(error, text, where) from None
    except RecursionError:
        raise _too_deep(where) from None


def dump(documents: Sequence[Any]) -> str:
    """YAML text of plain data, one document each, keys in the order given."""
    return yaml.dump_all(
        documents, Dumper=_Dumper, sort_keys=False, default_flow_style=False, allow_unicode=True, width=2**30
    )


# --- JSON -----------------------------------------------------------------------------------------------------------


class _DuplicateKeyError(ValueError):
    pass


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(key)
            seen.add(key)
    return mapping


def _from_json(text: str, where: str | None) -> Document | None:
    """The document when ``text`` is JSON, None when it may still be YAML in flow style."""
    try:
        data = json.loads(text, object_pairs_hook=_unique_pairs)
    except _DuplicateKeyError as error:
        raise InputError(f"the key {error.args[0]!r} is given twice in one map", where=where) from None
    except RecursionError:
        raise _too_deep(where) from None
    except ValueError as error:
        if where is not None and where.endswith(".json") and isinstance(error, json.JSONDecodeError):
            raise InputError(
                f"malformed JSON: {error.msg}",
                where=_place(where, error.lineno - 1),
                hint=_shown_line(text, error.lineno - 1, error.colno - 1),
            ) from None
        return None
    return Document(data, None, text, where)


# --- YAML -----------------------------------------------------------------------------------------------------------


def _from_yaml(text: str, where: str | None) -> Iterator[Document]:
    for node in yaml.compose_all(text, Loader=_Loader):
        data = _Converter().convert(node)
        if data is not None:
            yield Document(data, node, text, where)


def _refuse_depth(text: str, where: str | None) -> None:
    """Refuse absurd nesting before libyaml recurses into it (it crashes the process some ten thousand levels down)."""
    # Flow collections cost a bracket a level, block collections a column or more for every two levels.
    if text.count("[") + text.count("{") <= MAX_DEPTH and max(map(len, text.splitlines()), default=0) <= 500:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _too_deep(_place(where, event.start_mark.line if event.start_mark else 0))
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _too_deep(where: str | None) -> InputError:
    return InputError(f"the document is nested more than {MAX_DEPTH} levels deep", where=where)


class _Converter:
    """Turns the node graph of one document into plain data; aliases become shared objects."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, int]] = {}
        self._open: set[int] = set()

    def convert(self, node: yaml.Node) -> Any:
        data, size = self._value(node, 0)
        if size > max(MAX_UNFOLDED, MAX_UNFOLDING * len(self._known)):
            raise _error(node, f"the aliases of this document unfold to {size} values")
        return data

    def _value(self, node: yaml.Node, depth: int) -> tuple[Any, int]:
        """The data of a node and the number of values it unfolds to."""
        key = id(node)
        known = self._known.get(key)
        if known is not None:
            return known
        if key in self._open:
            raise _error(node, "this value contains itself")
        if depth > MAX_DEPTH:
            raise _error(node, f"the document is nested more than {MAX_DEPTH} levels deep")
        if isinstance(node, yaml.ScalarNode):
            known = _scalar(node), 1
        else:
            self._open.add(key)
            known = self._list(node, depth) if isinstance(node, yaml.SequenceNode) else self._map(node, depth)
            self._open.discard(key)
        self._known[key] = known
        return known

    def _list(self, node: yaml.SequenceNode, depth: int) -> tuple[list[Any], int]:
        size = 1
        items = []
        for child in node.value:
            item, unfolded = self._value(child, depth + 1)
            items.append(item)
            size += unfolded
        return items, size

    def _map(self, node: yaml.Node, depth: int) -> tuple[dict[str, Any], int]:
        size = 1
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            value, unfolded = self._value(value_node, depth + 1)
            size += unfolded
            if key_node.tag == _MERGE:
                for source in value if isinstance(value, list) else [value]:
                    if not isinstance(source, dict):
                        raise _error(value_node, "<< merges maps only")
                    merged = {**source, **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise _error(key_node, "a list or map cannot be a key")
            if key_node.value in own:
                raise _error(key_node, f"the key {key_node.value!r} is given twice in one map")
            own[key_node.value] = value
        # Own keys win over merged ones, and a map without merges keeps its order.
        return ({**merged, **own} if merged else own), size


def _scalar(node: yaml.ScalarNode) -> Any:
    tag, text = node.tag, node.value
    if tag in (_STR, _VALUE, _TIMESTAMP):
        return text
    if tag == _NULL:
        return None
    if tag == _BOOL:
        return text.lower() in ("yes", "true", "on", "y")
    if tag == _INT and _INTEGER.match(text) and len(text) <= 400:
        return _integer(text.replace("_", "").lower())
    if tag == _FLOAT and (_REAL.match(text) or _INTEGER.match(text)):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    if tag in (_INT, _FLOAT):
        raise _error(node, f"{text[:40]!r} is not a number")
    raise _error(node, f"the tag {tag!r} has no meaning in a manifest")


def _integer(text: str) -> int:
    sign, digits = (-1 if text.startswith("-") else 1), text.lstrip("+-")
    base = {"0b": 2, "0o": 8, "0x": 16}.get(digits[:2])
    if base is not None:
        return sign * int(digits[2:], base)
    return sign * int(digits, 8 if len(digits) > 1 and digits[0] == "0" else 10)


def _error(node: yaml.Node, problem: str) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def malformed(error: yaml.YAMLError, text: str, where: str | None) -> InputError:
    """What to tell a user about a syntax error: the problem, its line, and that line."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).splitlines()[0]
    if mark is None:
        return InputError(f"malformed YAML: {problem}", where=where)
    if problem == _NESTED_BEYOND_LIBYAML:
        return _too_deep(_place(where, mark.line))
    hint = _shown_line(text, mark.line, mark.column)
    return InputError(f"malformed YAML: {problem}", where=_place(where, mark.line), hint=hint)


def _shown_line(text: str, line: int, column: int) -> str | None:
    """The line of an error with a mark below, cut to a window around it."""
    lines = text.splitlines()
    if line >= len(lines):
        return "at the end of the text"
    start = max(0, column - 60)
    shown = lines[line][start : start + 100].replace("\t", " ")
    label = f"{line + 1} | "
    return f"{label}{shown}\n  {' ' * (len(label) - 2)}| {' ' * (column - start)}^"
