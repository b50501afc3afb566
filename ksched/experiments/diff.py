"""Two recorded runs of one workload held against each other: which decisions differ, why, and what came of it.

Pods are paired as in reports: by trace workload, index within it and incarnation, because the names that controllers
give need not agree. The first decisions that differ are rebuilt in both runs, so that both policies can be asked. Only
at the very first did both face the same state; later ones differ in what came before, which ``state`` shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from ksched.errors import InputError
from ksched.experiments.judgement import Row, compared
from ksched.experiments.recorded_choices import Choice, RecordedChoices
from ksched.experiments.reopen import RecordedRun, cells_of, check_known, find_run, open_directory, spec_of
from ksched.experiments.session import RunSession

if TYPE_CHECKING:
    import pandas as pd

Selection = str | Path | Mapping[str, Any]
_FREE = "_free"
_KEY = ["workload", "index", "incarnation"]
_OUTCOME = ["pod", "outcome", "node", "t_scheduled_us"]


@dataclass(frozen=True)
class DecisionDiff:
    """One decision that differs; ``b`` is None where the other run never made it (and then nothing was asked).

    ``numbers`` are the decisions' ``seq`` in a and b. ``rows`` hold the nodes as both policies judged them, a first
    (as ``policy``), each in its own run's state. ``state``: node -> what was free there in a and in b.
    """

    numbers: tuple[int | None, int | None]
    a: Choice | None
    b: Choice | None
    rows: tuple[Row, ...] = ()
    state: Mapping[str, tuple[dict[str, int], dict[str, int]]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values, by side."""
        return {
            "a": self.a and {"decision": self.numbers[0], **self.a._asdict()},
            "b": self.b and {"decision": self.numbers[1], **self.b._asdict()},
            "free": {node: {"a": a, "b": b} for node, (a, b) in self.state.items()},
            "rows": [{"node": row.node, "a": asdict(row.policy), "b": asdict(row.baseline)} for row in self.rows],
        }


@dataclass(frozen=True)
class RunDiff:
    """Two runs and what differs.

    ``differing`` counts decisions; ``decisions`` are the first of them. ``pods`` is one row per pod whose outcome
    differs: workload, index, incarnation, then pod, outcome, node and t_scheduled_us of a and of b (``_a``, ``_b``).
    ``counts`` says how many pods there are, and how many differ in which way.
    """

    a: RecordedRun
    b: RecordedRun
    differing: int
    decisions: tuple[DecisionDiff, ...]
    pods: pd.DataFrame
    counts: Mapping[str, int]

    def to_json(self, pods: int | None = None) -> dict[str, Any]:
        """Everything as plain values; at most so many ``pods``."""
        return {
            "a": {"run": self.a.run_id, "axes": dict(self.a.axes)},
            "b": {"run": self.b.run_id, "axes": dict(self.b.axes)},
            "differing_decisions": self.differing,
            "decisions": [each.to_json() for each in self.decisions],
            "counts": dict(self.counts),
            "pods": self.pods.head(pods if pods is not None else len(self.pods))
            .astype(object)
            .where(self.pods.notna(), None)
            .to_dict("records"),
        }


def diff(
    a: Selection,
    b: Selection,
    *,
    results: Path | str | None = None,
    count: int = 3,
    experiment: Path | str | None = None,
    data: Path | str | None = None,
) -> RunDiff:
    """Compare two recorded runs::

        ksched.diff({"policy": "default"}, {"policy": "free-memory"}, results="results/weights").pods

    ``a`` and ``b`` are folders of runs, or, of one result directory ``results``, run ids or axis -> value. Axes named
    for neither agree, and have the first values for which both runs are finished. ``count`` decisions are rebuilt.
    Raises InputError if a run is not there, cannot be simulated again, or the two replayed different traces.
    """
    first, second = _chosen(a, b, results)
    traces = [run.directory.facts(run.run_id).get("trace", {}) for run in (first, second)]
    if traces[0].get("content_hash") != traces[1].get("content_hash"):
        raise InputError(
            f"the two runs replayed different traces ({first.label}; {second.label})",
            hint="decisions can be compared for the same workload only",
        )
    choices = RecordedChoices.read(first.folder), RecordedChoices.read(second.folder)
    pairs = list(_differing(_named(first), _named(second), choices))
    shown = tuple(_asked(first, second, pairs[:count], choices, experiment, data)) if count else ()
    pods, counts = _outcomes(first, second)
    return RunDiff(first, second, len(pairs), shown, pods, counts)


# -- which runs ---------------------------------------------------------------------------------------------


def _chosen(a: Selection, b: Selection, results: Path | str | None) -> tuple[RecordedRun, RecordedRun]:
    if results is None:
        if isinstance(a, Mapping) or isinstance(b, Mapping):
            raise InputError("axis values select runs of a result directory; which one?", hint="give results=")
        return find_run(a), find_run(b)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return _matching(Path(results), a, b)
    first, second = (
        find_run(results, axes=side) if isinstance(side, Mapping) else find_run(results, str(side)) for side in (a, b)
    )
    return first, second


def _matching(results: Path, a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[RecordedRun, RecordedRun]:
    """The first two finished runs that are as wanted and agree in every axis that is named for neither."""
    directory, _ = open_directory(results)
    cells = cells_of(directory)
    wanted = [{axis: str(value) for axis, value in side.items()} for side in (a, b)]
    for side in wanted:
        check_known(directory, side, cells)
    cells = [cell for cell in cells if directory.state(cell.run_id) == "done"]
    for first in cells:
        if any(first.axes.get(axis) != value for axis, value in wanted[0].items()):
            continue
        free = {axis: value for axis, value in first.axes.items() if axis not in wanted[0] and axis not in wanted[1]}
        for second in cells:
            if second.axes.items() >= (free | wanted[1]).items():
                return first, second
    raise InputError(
        "no two finished runs are as wanted and agree in all other axes",
        where=str(results),
        hint="`ksched results DIR` lists the runs; name more axes on both sides",
    )


# -- which decisions ----------------------------------------------------------------------------------------

_Named = dict[str, tuple[str, int, int]]


def _named(run: RecordedRun) -> _Named:
    """Pod name -> (workload, index, incarnation): what a pod is called in every run."""
    table = _pods_table(run, ["pod", *_KEY])
    return {
        pod: (workload, index, incarnation) for pod, workload, index, incarnation in zip(*table.values(), strict=True)
    }


def _pods_table(run: RecordedRun, columns: list[str]) -> dict[str, list[Any]]:
    path = run.folder / "pods.parquet"
    try:
        with pq.ParquetFile(path) as file:
            table: dict[str, list[Any]] = file.read(columns=columns).to_pydict()
            return table
    except (OSError, ValueError) as error:
        raise InputError(f"the table of pods cannot be read: {str(error).splitlines()[0]}", where=str(path)) from error


def _differing(
    a: _Named, b: _Named, choices: tuple[RecordedChoices, RecordedChoices]
) -> Iterator[tuple[int | None, int | None]]:
    """Numbers of the decisions that differ in time, result or node, in the order of a; then those only b made."""
    theirs = {(b.get(c.pod, c.pod), c.attempt): number for number, c in enumerate(choices[1].rows)}
    for number, mine in enumerate(choices[0].rows):
        other = theirs.pop((a.get(mine.pod, mine.pod), mine.attempt), None)
        if other is None:
            yield number, None
        elif (mine.t_us, mine.result, mine.node) != _what(choices[1].rows[other]):
            yield number, other
    yield from ((None, number) for number in sorted(theirs.values()))


def _what(choice: Choice) -> tuple[int, str, str | None]:
    return choice.t_us, choice.result, choice.node


def _asked(
    a: RecordedRun,
    b: RecordedRun,
    pairs: list[tuple[int | None, int | None]],
    choices: tuple[RecordedChoices, RecordedChoices],
    experiment: Path | str | None,
    data: Path | str | None,
) -> Iterator[DecisionDiff]:
    """Both policies asked about every pair, each in its own run."""
    sessions: list[RunSession] = []
    for numbers in pairs:
        mine, other = (None if n is None else c.at(n) for n, c in zip(numbers, choices, strict=True))
        if mine is None or other is None:
            yield DecisionDiff(numbers, mine, other)
            continue
        if not sessions:
            runs = zip((a, b), choices, strict=True)
            sessions = [RunSession(spec_of(run, experiment=experiment, data=data), told) for run, told in runs]
        for session, number in zip(sessions, numbers, strict=True):
            session.run_to(decision=number)
        rows = tuple(compared(sessions[0].explain(), sessions[1].explain()))
        involved = [name for name in dict.fromkeys((mine.node, other.node)) if name is not None]
        yield DecisionDiff(numbers, mine, other, rows, {name: _free(sessions, name) for name in involved})


def _free(sessions: list[RunSession], node: str) -> tuple[dict[str, int], dict[str, int]]:
    """What is free on a node in both runs: cpu_milli, memory_b, ..., gpu_milli."""
    first, second = (
        session.nodes.filter(regex=f"{_FREE}$").rename(columns=lambda name: str(name).removesuffix(_FREE))
        for session in sessions
    )
    return first.loc[[node]].to_dict("records")[0], second.loc[[node]].to_dict("records")[0]  # type: ignore[return-value]


# -- what followed ------------------------------------------------------------------------------------------


def _outcomes(a: RecordedRun, b: RecordedRun) -> tuple[pd.DataFrame, dict[str, int]]:
    import pandas as pd

    frames = [pd.DataFrame(_pods_table(run, [*_KEY, *_OUTCOME])) for run in (a, b)]
    for frame in frames:
        frame["t_scheduled_us"] = frame["t_scheduled_us"].astype("Int64")
    both = frames[0].merge(frames[1], on=_KEY, how="outer", suffixes=("_a", "_b"), indicator=True, sort=False)
    placed = [both[f"t_scheduled_us_{side}"].notna() for side in "ab"]
    paired, on_both = both["_merge"] == "both", placed[0] & placed[1]
    elsewhere = on_both & (both["node_a"] != both["node_b"])
    later = on_both & ~elsewhere & (both["t_scheduled_us_a"] != both["t_scheduled_us_b"]).fillna(False).astype(bool)
    ended = paired & ~(placed[0] ^ placed[1]) & ~elsewhere & ~later & (both["outcome_a"] != both["outcome_b"])
    counts = {
        "pods": len(both),
        "only_in_a": int((both["_merge"] == "left_only").sum()),
        "only_in_b": int((both["_merge"] == "right_only").sum()),
        "scheduled_only_in_a": int((paired & placed[0] & ~placed[1]).sum()),
        "scheduled_only_in_b": int((paired & placed[1] & ~placed[0]).sum()),
        "on_another_node": int(elsewhere.sum()),
        "at_another_time": int(later.sum()),
        "other_outcome": int(ended.sum()),
    }
    changed = both[~paired | (placed[0] ^ placed[1]) | elsewhere | later | ended].drop(columns="_merge")
    return changed.sort_values(_KEY, kind="stable", ignore_index=True), counts
