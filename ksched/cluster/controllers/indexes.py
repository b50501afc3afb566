"""Sets of completion indexes in the form of a Job's status: ``0-2,5,7-8`` (pkg/controller/job/indexed_job_utils.go)."""

from __future__ import annotations

from collections.abc import Iterable

from ksched.cluster.wellknown import COMPLETION_INDEX
from ksched.objects.pod import Pod


def parse_indexes(text: str | None, completions: int) -> set[int]:
    """The indexes below ``completions`` that ``text`` names; what cannot be read is left out."""
    found: set[int] = set()
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found.update(range(int(first), min(int(last or first), completions - 1) + 1))
    return found


def format_indexes(indexes: Iterable[int]) -> str:
    """Ascending, three or more neighbours as a range, two as a pair."""
    parts: list[str] = []
    start = previous = None
    for index in [*sorted(indexes), None]:
        if previous is not None and (index is None or index != previous + 1):
            assert start is not None
            joint = "," if previous == start + 1 else "-"
            parts.append(str(start) if start == previous else f"{start}{joint}{previous}")
            start = None
        if start is None:
            start = index
        previous = index
    return ",".join(parts)


def completion_index(pod: Pod) -> int | None:
    """The pod's completion index, None when it has none."""
    text = pod.metadata.annotations.get(COMPLETION_INDEX, "")
    return int(text) if text.isdecimal() else None
