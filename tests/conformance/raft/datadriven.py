"""Data-driven test files, as github.com/cockroachdb/datadriven defines them.

A file is a list of commands, each with its expected output::

    # comment
    command arg key=value key=(value, value)
    input
    ----
    output, up to a blank line
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

_ARGUMENT = re.compile(r"(?P<key>[^\s=]+)(?:=(?:\((?P<list>[^)]*)\)|(?P<value>\S*)))?")


@dataclass
class Case:
    """One command. ``arguments`` maps each key to its values, none for a bare argument."""

    where: str
    command: str
    arguments: dict[str, list[str]] = field(default_factory=dict)
    input: str = ""
    expected: str = ""

    def bare(self) -> list[str]:
        """The arguments without a value, in order."""
        return [key for key, values in self.arguments.items() if not values]

    def value(self, key: str, default: str) -> str:
        return self.arguments.get(key, [default])[0]


def files(kind: str) -> list[ParameterSet]:
    """The files of one kind as test parameters; a skipped one where there is no data."""
    data = os.environ.get("KSCHED_DATA")
    if not data:
        reason = "KSCHED_DATA is not set: it names the folder with etcd's Raft test files"
        return [pytest.param(Path(), marks=pytest.mark.skip(reason=reason), id=kind)]
    paths = sorted(Path(data, "raft", kind).glob("*.txt"))
    if not paths:
        raise FileNotFoundError(f"{data}/raft/{kind} has no test files")
    return [pytest.param(path, id=path.stem) for path in paths]


def check(path: Path, run: Callable[[Case], str]) -> None:
    """Runs every command of a file and compares what it prints."""
    cases = parse(path)
    assert cases, f"{path} has no commands"
    for case in cases:
        expected, actual = case.expected.splitlines(), run(case).splitlines()
        if actual != expected:
            difference = difflib.unified_diff(expected, actual, f"{case.where} {case.command}", "printed", lineterm="")
            pytest.fail("\n".join(difference), pytrace=False)


def parse(path: Path) -> list[Case]:
    lines = path.read_text().splitlines()
    cases = []
    position = 0
    while position < len(lines):
        line = lines[position].strip()
        if not line or line.startswith("#"):
            position += 1
            continue
        case = _command(line, f"{path.name}:{position + 1}")
        end_of_input = lines.index("----", position)
        case.input = "\n".join(lines[position + 1 : end_of_input])
        position = end_of_input + 1
        start = position
        while position < len(lines) and lines[position].strip():
            position += 1
        case.expected = "\n".join(lines[start:position])
        cases.append(case)
    return cases


def _command(line: str, where: str) -> Case:
    command, _, rest = line.partition(" ")
    arguments = {}
    for match in _ARGUMENT.finditer(rest):
        if match["list"] is not None:
            values = [value.strip() for value in match["list"].split(",")]
        elif match["value"] is not None:
            values = [match["value"]]
        else:
            values = []
        arguments[match["key"]] = values
    return Case(where, command, arguments)
