"""The plan of an experiment: its cells resolved into runs, each with an identity. Nothing is simulated here.

Resolving checks everything a run needs (fragments, profiles, plugins and their arguments, traces), so that a mistake is
reported before the first run starts. Cells whose configurations come out equal, such as a policy that does not use the
swept weight, are one run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ksched.axis_filter import axis_filter
from ksched.errors import InputError, invalid
from ksched.experiments.cluster_options import ClusterOptions
from ksched.experiments.expand import Cell, Fragment, count_cells, expand
from ksched.experiments.file import Experiment
from ksched.experiments.identity import canonical_json, run_id, run_identity
from ksched.experiments.policy import PolicyFragment, SchedulerSource, canonical_policy, scheduler_source
from ksched.experiments.replay_options import Mode, ReplayOptions
from ksched.experiments.run_spec import RunSpec
from ksched.result_directory import SCHEMA_VERSION
from ksched.traces import load_trace

MANY_CELLS = 10_000
"""Above this a sweep is probably a slip; it has to be confirmed."""

Model = TypeVar("Model", bound=BaseModel)


class TraceFragment(BaseModel):
    """The keys of a trace in an experiment file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = Field(None, description="a trace's directory, relative to the experiment file")
    name: str | None = Field(None, description="a trace by name, such as openb:default (see `ksched traces list`)")
    replay: ReplayOptions = Field(default_factory=ReplayOptions, description="how its pods arrive")


@dataclass(frozen=True)
class PlannedRun:
    """A run and the cells of the grid it answers."""

    spec: RunSpec
    cells: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class Plan:
    """All runs of an experiment in the order of its file, and those that were asked for."""

    experiment: Experiment
    runs: tuple[PlannedRun, ...]
    selected: tuple[RunSpec, ...]
    unresolved: int
    """Cells that were not asked for and cannot be planned now, for example because their trace is not here."""

    def to_json(self) -> dict[str, Any]:
        """plan.json: what the grid is and which run answers which cell."""
        experiment = self.experiment
        return {
            "schema_version": SCHEMA_VERSION,
            "experiment": experiment.name,
            "question": experiment.question,
            "baseline": experiment.baseline,
            "axes": experiment.axis_values,
            "unresolved": self.unresolved,
            "runs": [{"run_id": run.spec.run_id, "axes": run.spec.axes, "cells": list(run.cells)} for run in self.runs],
        }


def make_plan(
    experiment: Experiment, *, only: Iterable[str] = (), data: Path | None = None, many: bool = False
) -> Plan:
    """Resolve an experiment.

    ``only`` selects runs as ``axis=value``; ``data`` is where outside traces are; ``many`` confirms more than
    MANY_CELLS cells. Raises InputError for whatever is wrong with a fragment, a plugin or a trace of a selected run.
    """
    wanted = axis_filter(experiment.axis_values, only)
    total = count_cells(experiment)
    if total > MANY_CELLS and not many:
        raise InputError(
            f"the axes multiply to {total:,} runs", where=experiment.document.where(), hint="pass --yes if you mean it"
        )
    resolver = _Resolver(experiment, data)
    specs: dict[str, RunSpec] = {}
    cells: dict[str, list[dict[str, str]]] = {}
    unresolved = 0
    for cell in expand(experiment):
        try:
            spec = resolver.resolve(cell)
        except InputError:
            if wanted(cell.axes):
                raise
            unresolved += 1
            continue
        specs.setdefault(spec.run_id, spec)
        cells.setdefault(spec.run_id, []).append(cell.axes)
    runs = [PlannedRun(replace(spec, axes=_shared(cells[key])), tuple(cells[key])) for key, spec in specs.items()]
    selected = [run.spec for run in runs if any(wanted(cell) for cell in run.cells)]
    if not selected:
        raise InputError("no run matches", where="--only", hint="`--dry-run` without --only shows all runs")
    return Plan(experiment, tuple(runs), tuple(selected), unresolved)


def _shared(cells: list[dict[str, str]]) -> dict[str, str]:
    """The axis values all cells of a run agree on; the other axes make no difference to it."""
    first, *others = cells
    return {axis: value for axis, value in first.items() if all(cell[axis] == value for cell in others)}


@dataclass(frozen=True)
class _Policy:
    source: SchedulerSource
    canonical: dict[str, Any]
    hashes: dict[str, str]


@dataclass(frozen=True)
class _Trace:
    """What a plan needs of a trace. The trace itself is dropped: a grid may have more of them than fit in memory."""

    source: str
    name: str
    content_hash: str
    replay_mode: Mode


class _Resolver:
    """Resolves cells; equal fragments are resolved once."""

    def __init__(self, experiment: Experiment, data: Path | None) -> None:
        self._experiment = experiment
        self._data = data
        self._policies: dict[str, _Policy] = {}
        self._replays: dict[str, tuple[_Trace, dict[str, Any]]] = {}
        self._clusters: dict[str, dict[str, Any]] = {}
        self._traces: dict[str, _Trace] = {}

    def resolve(self, cell: Cell) -> RunSpec:
        policy = self._policy(cell.policy)
        trace, replay = self._replay(cell.trace)
        cluster = self._cluster(cell.cluster)
        config = {
            "policy": policy.canonical,
            "replay": replay,
            "cluster": cluster,
            "probes": list(self._experiment.probes),
        }
        identity = run_identity(
            config=config, trace_hash=trace.content_hash, plugin_hashes=policy.hashes, seed=cell.seed
        )
        return RunSpec(
            run_id=run_id(identity),
            seed=cell.seed,
            axes=cell.axes,
            config=config,
            trace={"name": trace.name, "content_hash": trace.content_hash, "mode": replay["mode"]},
            trace_source=trace.source,
            data=self._data,
            scheduler=policy.source,
            plugin_hashes=policy.hashes,
            ksched=identity["ksched"],
        )

    def _policy(self, fragment: Fragment) -> _Policy:
        key = canonical_json(fragment.data)
        if key not in self._policies:
            model = self._validated(PolicyFragment, fragment)
            source = scheduler_source(model, self._experiment.folder, where=self._where(fragment))
            configuration = source.load()
            self._policies[key] = _Policy(source, canonical_policy(configuration), configuration.source_hashes())
        return self._policies[key]

    def _replay(self, fragment: Fragment) -> tuple[_Trace, dict[str, Any]]:
        key = canonical_json(fragment.data)
        if key not in self._replays:
            model = self._validated(TraceFragment, fragment)
            if (model.path is None) == (model.name is None):
                raise InputError("a trace has either a 'path' or a 'name'", where=self._where(fragment))
            source = model.name or str((self._experiment.folder / (model.path or "")).resolve())
            trace = self._trace(source)
            self._replays[key] = (trace, model.replay.resolved(trace.replay_mode, where=self._where(fragment)))
        return self._replays[key]

    def _trace(self, source: str) -> _Trace:
        if source not in self._traces:
            trace = load_trace(source, data=self._data)
            self._traces[source] = _Trace(source, trace.name, trace.content_hash, trace.manifest.replay_mode)
        return self._traces[source]

    def _cluster(self, fragment: Fragment) -> dict[str, Any]:
        key = canonical_json(fragment.data)
        if key not in self._clusters:
            self._clusters[key] = self._validated(ClusterOptions, fragment).model_dump(mode="json")
        return self._clusters[key]

    def _validated(self, model: type[Model], fragment: Fragment) -> Model:
        try:
            return model.model_validate(fragment.data)
        except ValidationError as error:
            document = self._experiment.document
            place = fragment.place(error.errors()[0]["loc"], document)
            raise invalid(error, model, where=document.where(place)) from error

    def _where(self, fragment: Fragment) -> str:
        return self._experiment.document.where(fragment.place((), self._experiment.document))


def describe_run(axes: Mapping[str, str]) -> str:
    """``policy=best-fit seed=3``"""
    return " ".join(f"{axis}={value}" for axis, value in axes.items())
