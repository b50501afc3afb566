"""From a recorded run back to what it was made of, so that it can be simulated again.

A result directory keeps the text of its experiment file; ``origin.json`` adds where that file and the outside traces
were, because policies and traces in it are paths relative to them. It is a hint, no part of any result: whoever
moved the files names the experiment file again. That nothing changed since is checked by the run's id, which is a
hash of everything that determines the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ksched.axis_filter import axis_values, check_axis, check_value
from ksched.errors import InputError
from ksched.experiments.file import SEED, Experiment, find_axis, find_value, load_experiment
from ksched.experiments.identity import installed_ksched
from ksched.experiments.plan import describe_run, make_plan
from ksched.experiments.run_spec import RunSpec
from ksched.experiments.store import ResultStore, pretty_json
from ksched.result_directory import ResultDirectory, read_json

ORIGIN = "origin.json"


@dataclass(frozen=True, eq=False)
class RecordedRun:
    """One finished run of a result directory, and the axis values it has there."""

    directory: ResultDirectory
    run_id: str
    axes: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Where its tables are."""
        return self.directory.run_folder(self.run_id)

    @property
    def label(self) -> str:
        """The run in messages: ``policy=best-fit seed=42``"""
        return describe_run(self.axes) or self.run_id


def write_origin(store: ResultStore, experiment: Experiment, data: Path | None) -> None:
    """Note where an experiment's own files are."""
    origin = {
        "experiment": str(experiment.document.path.resolve()),
        "data": None if data is None else str(data.resolve()),
    }
    store.write(store.root / ORIGIN, pretty_json(origin))


def find_run(
    results: Path | str, run: str | None = None, *, only: Iterable[str] = (), axes: Mapping[str, Any] | None = None
) -> RecordedRun:
    """The finished run that is meant.

    ``results`` is a result directory or the folder of one run in it; ``run`` is a run id or the beginning of one;
    ``only`` (``axis=value``) and ``axes`` select by axis values. Where several seeds are left it is the first one;
    InputError where another axis is left open, or nothing is left.
    """
    directory, named = open_directory(Path(results))
    run = named if run is None else run
    wanted = {str(axis): str(value) for axis, value in (axes or {}).items()} | dict(axis_values(only))
    cells = cells_of(directory)
    check_known(directory, wanted, cells)
    matching = [c for c in cells if all(c.axes.get(axis) == value for axis, value in wanted.items())]
    if run is not None:
        matching = [cell for cell in matching if cell.run_id.startswith(run)]
    finished = [cell for cell in matching if directory.state(cell.run_id) == "done"]
    if not finished:
        raise InputError(
            "no finished run matches" if not matching else f"the run {matching[0].label} is not finished",
            where=str(directory.root),
            hint="`ksched results DIR` lists the runs",
        )
    if run is None:
        _check_unique(directory, finished)
    elif len(ids := {cell.run_id for cell in finished}) > 1:
        raise InputError(f"{len(ids)} runs begin with {run!r}", where=str(directory.root), hint="write more of the id")
    return finished[0]


def open_directory(path: Path) -> tuple[ResultDirectory, str | None]:
    """The result directory of a path, and the run it names if it is the folder of one; InputError if it is neither."""
    if path.parent.name == "runs" and (path / "run.json").is_file():
        return ResultDirectory(path.absolute().parent.parent), path.name
    if not (path / "runs").is_dir():
        raise InputError(
            "this is no result directory: it has no runs", where=str(path), hint="give the -o DIR of ksched run"
        )
    return ResultDirectory(path), None


def cells_of(directory: ResultDirectory, *, planned_only: bool = False) -> list[RecordedRun]:
    """Every cell of the plan, finished or not; then runs of earlier versions of the experiment, which no cell has."""
    planned = [
        RecordedRun(directory, str(run["run_id"]), {str(k): str(v) for k, v in cell.items()})
        for run in directory.plan().get("runs", ())
        for cell in run.get("cells") or [run["axes"]]
    ]
    if planned_only:
        return planned
    known = {cell.run_id for cell in planned}
    older = [
        RecordedRun(directory, run_id, {str(k): str(v) for k, v in directory.facts(run_id).get("axes", {}).items()})
        for run_id in directory.run_ids()
        if run_id not in known
    ]
    return planned + older


def check_known(directory: ResultDirectory, wanted: Mapping[str, str], cells: list[RecordedRun]) -> None:
    """InputError, with the nearest name, for an axis or a value that no cell has."""
    where = str(directory.root)
    for axis, value in wanted.items():
        check_axis({name: None for cell in cells for name in cell.axes}, axis, where=where)
        check_value(axis, {cell.axes[axis]: None for cell in cells if axis in cell.axes}, value, where=where)


def _check_unique(directory: ResultDirectory, finished: list[RecordedRun]) -> None:
    for axis in finished[0].axes:
        values = list(dict.fromkeys(cell.axes[axis] for cell in finished if axis in cell.axes))
        runs = {cell.run_id for cell in finished}
        if axis != SEED and len(values) > 1 and len(runs) > 1:
            raise InputError(
                f"which {axis} is meant? There are {', '.join(values[:20])}",
                where=str(directory.root),
                hint=f"name it, for example --only {axis}={values[0]}, or give a run's id",
            )


def spec_of(run: RecordedRun, *, experiment: Path | str | None = None, data: Path | str | None = None) -> RunSpec:
    """What a recorded run was made of.

    ``experiment`` is its experiment file where that was moved, ``data`` the folder of outside traces. Raises
    InputError where anything that determines the run is not what it was: trace, policy, a plugin's source, ksched.
    """
    root = run.directory.root
    origin = read_json(root / ORIGIN)
    home = Path(experiment) if experiment is not None else Path(origin.get("experiment") or root / "experiment.yaml")
    home = home / "experiment.yaml" if home.is_dir() else home
    kept = load_experiment(root / "experiment.yaml")
    kept = replace(kept, document=replace(kept.document, path=home))
    traces = Path(data) if data is not None else Path(origin["data"]) if origin.get("data") else None
    try:
        spec = make_plan(one_cell(kept, run.axes), data=traces).selected[0]
    except InputError as error:
        raise InputError(
            f"the run {run.label} cannot be simulated again: {error}",
            where=str(root),
            hint=None if home.is_file() else f"its experiment file was {home}; if it was moved, name it (--experiment)",
        ) from error
    if spec.run_id != run.run_id:
        raise InputError(
            f"the run {run.label} cannot be simulated again: {_what_changed(run.directory.facts(run.run_id), spec)}",
            where=str(run.folder),
            hint="run the experiment again; only runs that are affected are repeated",
        )
    return replace(spec, axes=dict(run.axes))


def one_cell(experiment: Experiment, axes: Mapping[str, str]) -> Experiment:
    """The experiment with one value of every axis: those of ``axes``, else the first."""
    where = str(experiment.document.path)
    for name in axes:
        find_axis(experiment.axes, name, where=where)
    chosen = {
        name: replace(axis, values=(find_value(axis, axes[name], where=where) if name in axes else axis.values[0],))
        for name, axis in experiment.axes.items()
    }
    return replace(experiment, axes=chosen)


def _what_changed(facts: Mapping[str, Any], spec: RunSpec) -> str:
    if facts.get("trace", {}).get("content_hash") != spec.trace["content_hash"]:
        return f"the trace {spec.trace['name']} is not the one it replayed"
    if facts.get("config") != spec.config:
        return "its policy, replay or cluster configuration changed since"
    recorded = facts.get("plugins") or {}
    edited = [name for name, source in recorded.items() if spec.plugin_hashes.get(name) != source]
    if edited:
        return f"the source of {', '.join(edited)} changed since"
    version = facts.get("ksched") or {}
    if version and version != installed_ksched():
        return f"it was made by another ksched ({version.get('version')}, other source than the one installed)"
    return "ksched or the source of one of its plugins changed since"
