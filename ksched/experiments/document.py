"""A YAML document that remembers on which line each key stands, so that errors can point at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ksched.errors import InputError
from ksched.objects.yaml_text import malformed, read_text

KeyPath = tuple[str | int, ...]
"""Where a value stands in a document: mapping keys and list positions from the top."""


@dataclass(frozen=True)
class Document:
    """The plain data of one YAML file (dict, list, str, int, float, bool, None) and the line of every value."""

    path: Path
    data: Any
    lines: dict[KeyPath, int]
    text: str

    def where(self, key_path: KeyPath = ()) -> str:
        """``file:line: dotted.path`` of a value, or of its nearest written ancestor."""
        line = next((self.lines[p] for p in _ancestors(key_path) if p in self.lines), None)
        file = f"{self.path}:{line}" if line else str(self.path)
        return f"{file}: {dotted(key_path)}" if key_path else file


def dotted(key_path: KeyPath) -> str:
    """``axes.policy.best-fit.args[0]``"""
    text = ""
    for part in key_path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read_document(path: Path) -> Document:
    """Read one YAML file; malformed YAML, a duplicate key or an unreadable file is an InputError."""
    text = read_text(path, "file")
    lines: dict[KeyPath, int] = {}
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = None if root is None else _construct(root, (), lines, path)
    except yaml.YAMLError as error:
        problem = malformed(error, text, str(path))
        if "${" in (problem.hint or ""):
            problem.hint = f'{problem.hint}\n  a placeholder inside {{...}} or [...] needs quotes: "${{axis}}"'
        raise problem from error
    return Document(path=path, data=data, lines=lines, text=text)


def _construct(node: yaml.Node, at: KeyPath, lines: dict[KeyPath, int], path: Path) -> Any:
    lines.setdefault(at, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        _merge_keys(node)
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(_scalar(key_node))
            line = key_node.start_mark.line + 1
            if key in mapping:
                raise InputError(f"the key {key!r} stands twice", where=f"{path}:{line}: {dotted((*at, key))}")
            lines[(*at, key)] = line
            mapping[key] = _construct(value_node, (*at, key), lines, path)
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_construct(item, (*at, i), lines, path) for i, item in enumerate(node.value)]
    return _scalar(node)


def _merge_keys(node: yaml.MappingNode) -> None:
    """Resolve YAML merge keys (``<<: *anchor``) as the safe loader does."""
    if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
        yaml.SafeLoader("").flatten_mapping(node)
        # The loader puts merged entries first and lets own entries win; keep the last of each key.
        last = {_scalar(key): (key, value) for key, value in node.value}
        node.value = list(last.values())


def _scalar(node: yaml.Node) -> Any:
    value = yaml.SafeLoader("").construct_object(node, deep=True)
    # YAML turns 2023-01-01 into a date; nobody here means one.
    return value if value is None or isinstance(value, (str, int, float)) else str(node.value)


def _ancestors(key_path: KeyPath) -> Iterator[KeyPath]:
    for end in range(len(key_path), 0, -1):
        yield key_path[:end]
