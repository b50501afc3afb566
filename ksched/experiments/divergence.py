"""Where two policies part: the first decision that differs, and what both said about the nodes at that moment.

Up to their first different choice two runs of one workload are the same run, so both policies faced the same state.
``divergence.json`` in a result directory keeps, for every policy, its first departure from the baseline::

    {"version": 1,
     "key": "...",                      hash of the runs it was made from; another hash: it is made again
     "left_out": 0,                     policies for which nothing was computed because there are very many
     "entries": [{
       "policy": {"policy": "best-fit"},       the axes whose values tell a policy from the baseline, and their values
       "baseline": {"policy": "default"},      the same axes of the baseline
       "workload": {"trace": "openb"},         all other axes but the seed; {} where there are none
       "seed": 42, "trace": "openb",           the first seed that both have finished; the trace's own name
       "run": "<run id>", "baseline_run": "<run id>",
       "decisions": [812, 815],                how many decisions each run made, policy first
       "decision": 17,                         `seq` of it in the tables `decisions` of both; null: they never part,
                                               and then everything below is null too, and "rows" is empty
       "time_us": 3000000, "pod": "default/w3-0", "attempt": 1,
       "node": "n4", "baseline_node": "n1",    what each chose; null: no node
       "nodes": 100,                           nodes of the cluster
       "feasible": [12, 12],                   how many could run the pod, policy first
       "note": "",                             a sentence where something is special, else ""
       "rows": [{                              both choices, then each one's next best; at most 8
         "node": "n4",
         "policy":   {"feasible": true, "looked_at": true, "reason": "", "total": 640,
                      "scores": {"FreeMemory": {"raw": 31.0, "normalized": 31, "weight": 5, "points": 155}}},
         "baseline": {"feasible": true, "looked_at": true, "reason": "", "total": 612, "scores": {...}}}]}]}

A raw score that is no finite number is null. ``total`` is null and ``scores`` is empty for a node that is not
feasible; ``reason`` then says which filter rejected it and why. ``looked_at`` is false for a node that
percentageOfNodesToScore left out of the search.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ksched.errors import InputError
from ksched.experiments.file import SEED
from ksched.experiments.identity import canonical_json, sha256
from ksched.experiments.judgement import Row, compared
from ksched.experiments.recorded_choices import Choice, RecordedChoices
from ksched.experiments.reopen import RecordedRun, cells_of, spec_of
from ksched.experiments.session import RunSession
from ksched.experiments.store import ResultStore, pretty_json
from ksched.experiments.worker_memory import start_small
from ksched.result_directory import ResultDirectory, read_json

FILE = "divergence.json"
VERSION = 1
MOST = 50
"""Departures that are computed; a sweep over hundreds of weights is not looked at one by one."""


@dataclass(frozen=True)
class Divergence:
    """The first decision in which two runs differ; the fields are those of an entry of ``divergence.json``."""

    decision: int
    time_us: int
    pod: str
    attempt: int
    node: str | None
    baseline_node: str | None
    nodes: int
    feasible: tuple[int, int]
    note: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Pair:
    """A run, the baseline's run it is compared with, and which of the grid's questions they answer."""

    run: RecordedRun
    baseline: RecordedRun
    policy_axes: tuple[str, ...]

    @property
    def workload(self) -> dict[str, str]:
        """The axes both have in common, but for the seed."""
        return {a: v for a, v in self.run.axes.items() if a not in self.policy_axes and a != SEED}


def first_divergence(run: RecordedRun, baseline: RecordedRun) -> Divergence | None:
    """Where two recorded runs part; None if they make the same choices to the end.

    Both are simulated again up to that decision: InputError if one of them cannot be any more.
    """
    choices = RecordedChoices.read(run.folder), RecordedChoices.read(baseline.folder)
    number = first_difference(*choices)
    if number is None:
        return None
    with _Sessions() as sessions:
        return sessions.divergence(run, baseline, choices, number)


def divergences(
    results: Path | str | ResultDirectory, baseline: Mapping[str, str] | None = None, *, jobs: int = 1
) -> list[dict[str, Any]]:
    """The first departure of every policy from the baseline, per workload on the first seed both have finished.

    ``baseline`` (axis -> value) is by default the experiment's own, and then the answer is kept in
    ``divergence.json`` until other runs are there. The entries are described above. ``jobs`` is the number of processes
    that look at several workloads; 1 works in this one.
    """
    directory = results if isinstance(results, ResultDirectory) else ResultDirectory(Path(results))
    pairs = list(_pairs(directory, baseline))
    if baseline is not None:
        return _entries(pairs[:MOST])
    key = sha256(canonical_json([VERSION, [[p.run.run_id, p.baseline.run_id, dict(p.run.axes)] for p in pairs]]))
    kept = read_json(directory.root / FILE)
    if kept.get("key") != key:
        entries = _entries(pairs[:MOST], jobs)
        kept = {"version": VERSION, "key": key, "left_out": max(0, len(pairs) - MOST), "entries": entries}
        store = ResultStore(directory.root)
        store.partial.mkdir(exist_ok=True)
        store.write(directory.root / FILE, pretty_json(kept))
    return list(kept["entries"])


def _pairs(directory: ResultDirectory, given: Mapping[str, str] | None) -> Iterator[Pair]:
    """Per policy and workload the first seed for which it and the baseline are finished, in the order of the plan."""
    baseline = {str(a): str(v) for a, v in (given or directory.plan().get("baseline") or {}).items()}
    finished = [cell for cell in cells_of(directory, planned_only=True) if directory.state(cell.run_id) == "done"]
    by_axes = {_key(cell.axes): cell for cell in finished}
    seen = set()
    for cell in finished:
        other = by_axes.get(_key({**cell.axes, **baseline}))
        question = _key({axis: value for axis, value in cell.axes.items() if axis != SEED})
        if other is None or other.axes == cell.axes or question in seen:
            continue
        seen.add(question)
        yield Pair(cell, other, tuple(baseline))


def _key(axes: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(axes.items()))


def _entries(pairs: list[Pair], jobs: int = 1) -> list[dict[str, Any]]:
    by_baseline: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_baseline.setdefault(pair.baseline.run_id, []).append(pair)
    groups = list(by_baseline.values())
    if jobs > 1 and len(groups) > 1:
        # Not only faster: what the simulations take is never added to what this process has.
        with _pool(min(jobs, len(groups))) as pool:
            found = list(pool.map(_entries_of_group, groups))
    else:
        found = [_entries_of_group(group) for group in groups]
    entries = dict(zip(chain.from_iterable(groups), chain.from_iterable(found), strict=True))
    return [entries[pair] for pair in pairs]


def _pool(processes: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _start_process)


def _start_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    start_small()


def _entries_of_group(group: list[Pair]) -> list[dict[str, Any]]:
    """The entries of pairs with one baseline."""
    baseline = RecordedChoices.read(group[0].baseline.folder)
    choices = {pair: (RecordedChoices.read(pair.run.folder), baseline) for pair in group}
    entries: dict[Pair, dict[str, Any]] = {}
    # The baseline is simulated once: departures from it are visited in the order they happen.
    with _Sessions() as sessions:
        for pair in sorted(group, key=lambda p: first_difference(*choices[p]) or 0):
            entries[pair] = _entry(pair, choices[pair], sessions)
    return [entries[pair] for pair in group]


def _entry(pair: Pair, choices: tuple[RecordedChoices, RecordedChoices], sessions: _Sessions) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(Divergence.__dataclass_fields__)
    found |= {"rows": [], "note": ""}
    number = first_difference(*choices)
    if number is not None:
        try:
            found = asdict(sessions.divergence(pair.run, pair.baseline, choices, number))
        except InputError as error:
            # Where they part is known from the tables; only what they said there cannot be had any more.
            mine, other = (c.at(number) for c in choices)
            found |= _choice(number, mine, other) | {"note": str(error)}
    return {
        "policy": {axis: pair.run.axes[axis] for axis in pair.policy_axes},
        "baseline": {axis: pair.baseline.axes[axis] for axis in pair.policy_axes},
        "workload": pair.workload,
        "seed": int(pair.run.directory.facts(pair.run.run_id)["seed"]),
        "trace": str(pair.run.directory.facts(pair.run.run_id)["trace"]["name"]),
        "run": pair.run.run_id,
        "baseline_run": pair.baseline.run_id,
        "decisions": [len(c.rows) for c in choices],
        **found,
    }


def _choice(number: int, mine: Choice | None, other: Choice | None) -> dict[str, Any]:
    shown = mine or other
    assert shown is not None
    return {
        "decision": number,
        "time_us": shown.t_us,
        "pod": shown.pod,
        "attempt": shown.attempt,
        "node": mine.node if mine else None,
        "baseline_node": other.node if other else None,
    }


def first_difference(a: RecordedChoices, b: RecordedChoices) -> int | None:
    """Number of the first decision that is not the same in both, None if all are."""
    if a.rows == b.rows:
        return None
    same = (x == y for x, y in zip(a.rows, b.rows, strict=False))
    return next((i for i, equal in enumerate(same) if not equal), min(len(a.rows), len(b.rows)))


class _Sessions:
    """Sessions of runs that are looked at. The baseline's is kept, and goes forward from question to question."""

    def __init__(self) -> None:
        self._baseline: RunSession | None = None

    def __enter__(self) -> _Sessions:
        return self

    def __exit__(self, *_: object) -> None:
        if self._baseline is not None:
            self._baseline.close()

    def divergence(
        self, run: RecordedRun, baseline: RecordedRun, choices: tuple[RecordedChoices, RecordedChoices], number: int
    ) -> Divergence:
        mine, other = choices
        choice = _choice(number, mine.at(number), other.at(number))
        note = _note(mine.at(number), other.at(number))
        if note:
            return Divergence(**choice, nodes=0, feasible=(0, 0), note=note, rows=())
        if self._baseline is None:
            self._baseline = RunSession(spec_of(baseline), other)
        theirs = self._baseline.run_to(decision=number)
        session = RunSession(spec_of(run), mine).run_to(decision=number)
        a, b = session.explain(), theirs.explain()
        if not session.nodes.equals(theirs.nodes):
            note = "the nodes differ already: an earlier decision had other consequences, such as a preemption"
        found = Divergence(
            **choice,
            nodes=len(a.nodes),
            feasible=(a.decision.feasible, b.decision.feasible),
            note=note,
            rows=tuple(compared(a, b)),
        )
        session.close()
        return found


def _note(mine: Choice | None, other: Choice | None) -> str:
    """Why two decisions cannot be held against each other node by node; "" if they can."""
    if mine is None or other is None:
        return f"{'the policy' if mine is None else 'the baseline'} makes no further decision"
    if mine.pod != other.pod:
        return f"they do not take the same pod: the baseline takes {other.pod}"
    if (mine.t_us, mine.attempt) != (other.t_us, other.attempt):
        return f"the baseline decides it at another time, {other.t_us} us (attempt {other.attempt})"
    return ""
