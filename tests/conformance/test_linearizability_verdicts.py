"""The checker agrees with published verdicts on histories that Jepsen recorded of etcd registers.

The histories and verdicts are those that porcupine (github.com/anishathalye/porcupine, test_data/jepsen) is tested
with; they are read from the data directory.
"""

from __future__ import annotations

import json
import os
import re
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from ksched.testing.linearizability import Operation, Register, is_linearizable

_LINE = re.compile(r"\S+\s+jepsen\.util - (\d+)\s+:(\w+)\s+:(\w+)\s+(.*)")
_DATA = os.environ.get("KSCHED_DATA")
_FOLDER = Path(_DATA or "") / "linearizability"

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not _DATA, reason="KSCHED_DATA is not set: it names the folder with the recorded histories"),
]


def jepsen_history(text: str) -> list[Operation]:
    """The operations of a log of Jepsen's etcd test: a register with read, write and compare-and-set."""
    calls: dict[str, tuple[int, Any]] = {}
    history = []
    clock = count()
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        process, event, kind, rest = found.groups()
        if event == "invoke":
            numbers = [int(number) for number in re.findall(r"-?\d+", rest)]
            calls[process] = (next(clock), (kind, *numbers))
            continue
        call, request = calls.pop(process)
        now = next(clock)
        if event == "ok":
            value = None if rest.strip() == "nil" or kind != "read" else int(rest)
            history.append(Operation(call, now, request, True if kind == "cas" else value))
        elif event == "fail" and kind == "cas":
            history.append(Operation(call, now, request, False))
        elif event == "info" and kind != "read":
            history.append(Operation(call, None, request))
        # A read that failed or timed out says nothing.
    history.extend(Operation(call, None, request) for call, request in calls.values() if request[0] != "read")
    return history


def verdicts() -> dict[str, bool]:
    path = _FOLDER / "verdicts.json"
    return json.loads(path.read_text()) if _DATA else {}


@pytest.mark.parametrize(("log", "linearizable"), sorted(verdicts().items()))
def test_the_verdict_is_the_published_one(log: str, linearizable: bool) -> None:
    history = jepsen_history((_FOLDER / log).read_text())
    assert len(history) > 50
    assert is_linearizable(history, Register()) is linearizable
