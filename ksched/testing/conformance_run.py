"""Evaluating a whole file of conformance cases in several processes, and counting how far the answers agree.

Every case yields one :class:`Judged`, in the order of the file. A case that raises, that has no ``expect``, or that is
lost with its process is a disagreement with an ``error``: nothing passes by being skipped.
"""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ksched.errors import InputError
from ksched.testing.agreement import Compared, compare
from ksched.testing.conformance import evaluate_case, evaluate_trajectory, read_cases
from ksched.testing.deviations import deviation_of

WHOLE_CASE = "whole case"
_WAITING_PER_JOB = 8
"""Cases handed out ahead of the one awaited: enough to keep processes busy, few enough to keep memory small."""
_SHOWN = 600
"""Characters kept of either side of a difference."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One part of one case's answer that differs: where it first does, and both sides there as JSON."""

    case: str
    part: str
    plugin: str
    where: str
    expected: str
    got: str
    deviation: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """One case: its answer as a line of JSON in the form of ``expect``, and how it compares.

    ``counts`` maps (part, plugin) to (values compared, values that agree).
    """

    case: str
    tags: tuple[str, ...]
    line: str
    counts: Mapping[tuple[str, str], tuple[int, int]]
    differences: tuple[Difference, ...]
    error: str = ""

    @property
    def agrees(self) -> bool:
        """Something was compared and nothing differs."""
        return not self.differences and not self.error and bool(self.counts)


@dataclass
class Agreement:
    """Totals over a run."""

    cases: int = 0
    agreeing: int = 0
    errors: int = 0
    tags: Counter[str] = field(default_factory=Counter)
    tags_agreeing: Counter[str] = field(default_factory=Counter)
    values: Counter[tuple[str, str]] = field(default_factory=Counter)
    values_agreeing: Counter[tuple[str, str]] = field(default_factory=Counter)
    parts_cases: Counter[tuple[str, str]] = field(default_factory=Counter)
    deviations: Counter[str] = field(default_factory=Counter)
    """Cases with a difference a named deviation covers."""

    def note(self, judged: Judged) -> None:
        """Count one case."""
        self.cases += 1
        self.agreeing += judged.agrees
        self.errors += bool(judged.error)
        self.tags.update(judged.tags)
        if judged.agrees:
            self.tags_agreeing.update(judged.tags)
        for key, (values, agreeing) in judged.counts.items():
            self.parts_cases[key] += 1
            self.values[key] += values
            self.values_agreeing[key] += agreeing
        self.deviations.update({difference.deviation for difference in judged.differences} - {""})


def select(path: Path, tags: Iterable[str] = ()) -> list[dict[str, Any]]:
    """The file's cases with one of ``tags`` (all without any); InputError if the file is no such file or has none."""
    wanted = set(tags)
    lines: list[dict[str, Any]] = []
    known: Counter[str] = Counter()
    for number, line in enumerate(read_cases(path), start=1):
        case = line.get("case") if isinstance(line, dict) else None
        if not isinstance(case, dict) or ("pod" not in case and "sequence" not in case):
            raise InputError(
                "not a conformance case",
                where=f"{path}:{number}",
                hint='expected {"case": {"nodes": ..., "pod" or "sequence": ...}, "expect": ...}',
            )
        known.update(case.get("tags", ()))
        if not wanted or wanted & set(case.get("tags", ())):
            lines.append(line)
    if not lines:
        what = f"no case has tag {' or '.join(sorted(wanted))}" if wanted else "there is no case in it"
        raise InputError(what, where=str(path), hint=f"tags there: {', '.join(sorted(known))}" if known else None)
    return lines


def judge(line: Mapping[str, Any]) -> Judged:
    """Evaluate one case and compare the answer with its ``expect``. Never raises."""
    case = line["case"]
    try:
        answer, error = json.loads(json.dumps(_answer(case))), ""
    except Exception as problem:
        answer, error = None, _one_line(problem)
    return _compared(line, answer, error)


def run(lines: Iterable[Mapping[str, Any]], *, jobs: int = 1) -> Iterator[Judged]:
    """Judge ``lines`` in ``jobs`` processes; results come in the order of the lines."""
    if jobs <= 1:
        yield from map(judge, lines)
        return
    waiting: deque[tuple[Mapping[str, Any], Future[Judged]]] = deque()
    # spawn: a fork would copy whatever threads and locks the parent has.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for line in lines:
            waiting.append((line, _submit(pool, line)))
            if len(waiting) >= _WAITING_PER_JOB * jobs:
                yield _await(*waiting.popleft())
        while waiting:
            yield _await(*waiting.popleft())


def default_jobs() -> int:
    """One process per CPU this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _answer(case: Mapping[str, Any]) -> dict[str, Any]:
    if "sequence" not in case:
        return evaluate_case(case)
    steps = list(evaluate_trajectory(case))
    return {"id": case.get("id"), "feasible": [], "best": [], "preemption": None, "steps": steps}


def _compared(line: Mapping[str, Any], answer: dict[str, Any] | None, error: str) -> Judged:
    case = line["case"]
    name, tags = str(case.get("id")), tuple(case.get("tags", ()))
    expected = line.get("expect")
    if answer is not None and not isinstance(expected, Mapping):
        error = "the case has no expect to compare with"
    if answer is None or error:
        text = json.dumps(answer if answer is not None else {"id": case.get("id"), "error": error})
        return Judged(name, tags, text, _nothing_agrees(expected), (), error)
    counts: Counter[tuple[str, str]] = Counter()
    agreeing: Counter[tuple[str, str]] = Counter()
    differences = []
    for part in compare(expected or {}, answer):
        key = (part.part, part.plugin)
        counts[key] += part.values
        agreeing[key] += part.agreeing
        if not part.agrees:
            where, left, right = part.first_difference()
            covered = deviation_of(case, part)
            differences.append(Difference(name, *key, where, _shown(left), _shown(right), covered))
    return Judged(
        name, tags, json.dumps(answer), {key: (counts[key], agreeing[key]) for key in counts}, tuple(differences)
    )


def _nothing_agrees(expected: Any) -> dict[tuple[str, str], tuple[int, int]]:
    """Everything the reference said about a case that gave no answer counts as compared and wrong."""
    counts: Counter[tuple[str, str]] = Counter()
    if isinstance(expected, Mapping):
        for part in compare(expected, {}):
            counts[part.part, part.plugin] += part.values
    return {key: (values, 0) for key, values in counts.items()} or {(WHOLE_CASE, ""): (1, 0)}


def _submit(pool: ProcessPoolExecutor, line: Mapping[str, Any]) -> Future[Judged]:
    try:
        return pool.submit(judge, line)
    except BrokenProcessPool as problem:
        lost: Future[Judged] = Future()
        lost.set_exception(problem)
        return lost


def _await(line: Mapping[str, Any], future: Future[Judged]) -> Judged:
    try:
        return future.result()
    except BrokenProcessPool as problem:
        return _compared(line, None, f"the process that evaluated it died: {_one_line(problem)}")


def _one_line(problem: Exception) -> str:
    return " ".join(f"{type(problem).__name__}: {problem}".split())


def _shown(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


__all__ = ["WHOLE_CASE", "Agreement", "Compared", "Difference", "Judged", "default_jobs", "judge", "run", "select"]
