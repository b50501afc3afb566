"""Reading a result directory: which runs there are, and their tables as pandas DataFrames or Arrow tables.

::

    results = open_results("results/quickstart")
    results.runs                                   # one row a run: its axes, seed, trace, status
    results.table("pods", columns=["node"])        # that table of all runs, with the axes as columns
    results.axis_columns["workload"]               # "axis_workload": the pods have a column of that name themselves
    results.finished[0].table("decisions")         # one run

Opening reads the small JSON files only; Parquet is read when a table is asked for, and only the columns asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ksched.arrow_frames import to_pandas
from ksched.axis_columns import axis_columns, result_columns
from ksched.errors import InputError, nearest
from ksched.result_directory import TABLES, read_json

STOP_FILE = "until.json"
"""Why no more seeds were run; see ksched.report.precision."""
SEED_AXIS = "seed"
POLICY_AXIS = "policy"
_RESOURCE_COLUMN = "allocated_"
_REQUIRED = {
    "pods": [
        "pod",
        "workload",
        "index",
        "incarnation",
        "t_create_us",
        "t_scheduled_us",
        "t_finished_us",
        "t_deleted_us",
        "node",
        "outcome",
        "reason",
        "censored",
    ],
    "nodes": ["node"],
    "samples": ["t_us", "arrived_pods"],
}


@dataclass(frozen=True)
class Run:
    """One finished run as one cell of the experiment's grid. ``axes`` maps axis name to value name, seed included."""

    path: Path
    run_id: str
    axes: Mapping[str, str]
    seed: int
    trace: Mapping[str, Any]
    t_end_us: int
    pending_time_meaningful: bool
    counts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def label(self) -> str:
        """``policy=best-fit, seed=42 (run 12ab...)`` for messages."""
        axes = ", ".join(f"{name}={value}" for name, value in self.axes.items())
        return f"{axes} (run {self.run_id})" if axes else f"run {self.run_id}"

    def arrow(self, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """One table of this run as Arrow. InputError when it is missing, damaged or lacks a column."""
        path = self.path / f"{_known_table(table)}.parquet"
        try:
            with pq.ParquetFile(path) as file:
                missing = [c for c in (columns or _REQUIRED.get(table, [])) if c not in file.schema_arrow.names]
                if missing:
                    raise InputError(
                        f"the table has no column {missing[0]!r}; it has {', '.join(file.schema_arrow.names)}",
                        where=str(path),
                    )
                return file.read(columns=list(columns) if columns is not None else None)
        except FileNotFoundError as error:
            raise InputError(
                f"the table {table!r} of this run is missing",
                where=str(path),
                hint=f"remove {self.path} and run the experiment again: only this run will be repeated",
            ) from error
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(
                f"this is not a readable Parquet file ({str(error).splitlines()[0]})",
                where=str(path),
                hint=f"remove {self.path} and run the experiment again: only this run will be repeated",
            ) from error

    def table(self, table: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """One table of this run as a DataFrame; nullable integers stay exact (pandas Int64)."""
        return to_pandas(self.arrow(table, columns))


@dataclass(frozen=True)
class FailedRun:
    """A run that ended in an error: which, and the error in one message."""

    run_id: str
    axes: Mapping[str, str]
    error: str


class RunTables:
    """The tables of one run as metrics see them: each is read once, on first use."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @cached_property
    def pods(self) -> pd.DataFrame:
        """One row a pod (see the result schema); null times mean that it never happened."""
        return self.run.table("pods")

    @cached_property
    def nodes(self) -> pd.DataFrame:
        """One row a node."""
        return self.run.table("nodes")

    @cached_property
    def samples(self) -> pd.DataFrame:
        """The state of the cluster over time."""
        return self.run.table("samples")

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """One row a scheduling decision."""
        return self.run.table("decisions")

    @cached_property
    def events(self) -> pd.DataFrame:
        """Events of the run."""
        return self.run.table("events")

    @cached_property
    def fragmentation(self) -> pd.DataFrame | None:
        """Idle GPU by bucket after every arrival; None where the experiment did not record it."""
        return self.run.table("fragmentation") if "fragmentation" in self.run.counts else None

    @cached_property
    def resources(self) -> tuple[str, ...]:
        """Resources the samples speak of and the cluster has: cpu, memory, and gpu where there are GPUs."""
        found = []
        for column in self.samples.columns:
            if not str(column).startswith(_RESOURCE_COLUMN):
                continue
            resource = str(column).removeprefix(_RESOURCE_COLUMN)
            capacity = {"cpu": "cpu_milli", "memory": "memory_b", "gpu": "gpu_count"}.get(resource)
            if capacity in self.nodes.columns and not self.nodes[capacity].sum() > 0:
                continue
            found.append(resource)
        return tuple(found)

    def limited_to(self, kept: npt.NDArray[np.bool_]) -> RunTables:
        """The same run with only some of its pods (a mask over the rows of ``pods``); other tables are shared."""
        limited = RunTables(self.run)
        for name in ("nodes", "samples", "resources"):
            if name in self.__dict__:
                limited.__dict__[name] = self.__dict__[name]
        limited.__dict__["pods"] = self.pods[kept]
        return limited


class Results:
    """An opened result directory. Make one with :func:`open_results`."""

    def __init__(
        self,
        directory: Path,
        *,
        plan: Mapping[str, Any],
        experiment: Mapping[str, Any],
        finished: Sequence[Run],
        failed: Sequence[FailedRun],
        planned: int,
        stale: int,
    ) -> None:
        self.directory = directory
        self.plan = plan
        self.experiment = experiment
        self.finished = tuple(finished)
        self.failed = tuple(failed)
        self.planned = planned
        self.stale = stale

    @property
    def name(self) -> str:
        """The experiment's name."""
        return str(self.experiment.get("name") or self.plan.get("experiment") or "experiment")

    @property
    def question(self) -> str:
        """The question the experiment asks, in its author's words; may be empty."""
        return " ".join(str(self.experiment.get("question") or self.plan.get("question") or "").split())

    @property
    def origin(self) -> Path:
        """The folder of the experiment file these results are of, as far as it was noted; else their own."""
        path = self.directory / "origin.json"
        try:
            return Path(json.loads(path.read_text(encoding="utf-8"))["experiment"]).parent
        except (OSError, ValueError, TypeError, KeyError):
            return self.directory

    @property
    def stopped(self) -> str:
        """Why no more seeds of the file were run; empty unless that was decided over exactly the runs that are here."""
        noted = read_json(self.directory / STOP_FILE)
        return str(noted["text"]) if noted.get("run_ids") == sorted({run.run_id for run in self.finished}) else ""

    def of_seeds(self, seeds: Sequence[str]) -> Results:
        """The same results with the runs of some seeds only."""
        kept = set(seeds)
        return Results(
            self.directory,
            plan=self.plan,
            experiment=self.experiment,
            finished=[run for run in self.finished if run.axes.get(SEED_AXIS) in kept],
            failed=[run for run in self.failed if run.axes.get(SEED_AXIS) in kept],
            planned=self.planned,
            stale=self.stale,
        )

    @cached_property
    def axes(self) -> dict[str, tuple[str, ...]]:
        """Axis name -> value names, both in the order of the experiment file."""
        written = _written_axes(self.plan, self.experiment)
        axes: dict[str, tuple[str, ...]] = {}
        for name in [*written, *(n for run in self.finished for n in run.axes)]:
            if name not in axes:
                present = {run.axes[name] for run in self.finished if name in run.axes}
                known = [v for v in written.get(name, ()) if v in present]
                axes[name] = (*known, *sorted(present.difference(known), key=natural_key))
        return {name: values for name, values in axes.items() if values}

    @cached_property
    def axis_columns(self) -> dict[str, str]:
        """Axis -> its column in :meth:`table`: like the axis, or ``axis_<name>`` where a result table has a column
        called so."""
        return axis_columns(self.axes, result_columns(self.finished[0].path))

    @property
    def runs(self) -> pd.DataFrame:
        """One row a run, failed ones included: axes, then run_id, status, trace_hash, t_end_s (horizon in seconds)."""
        names = axis_columns(self.axes, ("run_id", "status", "trace_hash", "t_end_s"))
        rows: list[dict[str, Any]] = [
            {
                **{names[axis]: value for axis, value in run.axes.items()},
                "run_id": run.run_id,
                "status": "finished",
                "trace_hash": run.trace.get("content_hash"),
                "t_end_s": run.t_end_us / 1e6,
            }
            for run in self.finished
        ]
        rows += [
            {**{names.get(a, a): v for a, v in run.axes.items()}, "run_id": run.run_id, "status": "failed"}
            for run in self.failed
        ]
        return pd.DataFrame(rows)

    def table(self, name: str, columns: Sequence[str] | None = None, **where: str) -> pd.DataFrame:
        """A table of all runs in one frame, the axes as leading columns, named as in :attr:`axis_columns`.
        ``where`` keeps runs by axis value::

        results.table("samples", ["t_us", "allocated_cpu"], policy="best-fit")
        """
        for axis in where:
            if axis not in self.axes:
                guess = nearest(axis, self.axes)
                raise InputError(
                    f"there is no axis {axis!r}",
                    where=str(self.directory),
                    hint=f"did you mean {guess!r}?" if guess else f"axes: {', '.join(self.axes)}",
                )
        frames = []
        for run in self.finished:
            if all(run.axes.get(axis) == str(value) for axis, value in where.items()):
                frame = run.table(name, columns)
                for position, (axis, column) in enumerate(self.axis_columns.items()):
                    frame.insert(position, column, run.axes.get(axis))
                frames.append(frame)
        return (
            pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(self.axis_columns.values()))
        )


def natural_key(text: str) -> tuple[int, float, str]:
    """Numbers by value before texts by alphabet: 5, 25, 100, best-fit."""
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)


def _known_table(name: str) -> str:
    if name not in TABLES:
        guess = nearest(name, TABLES)
        raise InputError(
            f"there is no result table {name!r}",
            hint=f"did you mean {guess!r}?" if guess else f"tables: {', '.join(TABLES)}",
        )
    return name


def _written_axes(plan: Mapping[str, Any], experiment: Mapping[str, Any]) -> dict[str, list[str]]:
    """Axis -> value names as far as plan or experiment file spell them; the order is what matters here."""
    for source in (plan.get("axes"), experiment.get("axes")):
        if isinstance(source, Mapping) and source:
            return {str(name): _value_names(raw) for name, raw in source.items()}
    return {}


def _value_names(raw: Any) -> list[str]:
    if isinstance(raw, Mapping):
        raw = raw.get("values", raw)
    if isinstance(raw, Mapping):
        return [str(name) for name in raw]
    if isinstance(raw, list):
        return [str(v).lower() if isinstance(v, bool) else str(v) for v in raw if isinstance(v, (str, int, float))]
    return []
