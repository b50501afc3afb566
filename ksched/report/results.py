"""Reading a result directory: which runs there are, and their tables as pandas DataFrames or Arrow tables.

::

    results = open_results("results/quickstart")
    results.runs                                   # one row a run: its axes, seed, trace, status
    results.table("pods", columns=["node"])        # that table of all runs, with the axes as columns
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

from ksched.errors import InputError, nearest

SCHEMA_VERSION = 1
"""The schema of result tables this version reads; the experiments package writes the same number."""
TABLES = ("pods", "nodes", "decisions", "samples", "events")
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
_RERUN = "run the experiment again with this version of ksched into a new directory (ksched run ... -o DIR)"


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


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Arrow to pandas with nullable integers as Int64, so that times beyond 2**53 us and nulls survive."""
    nullable = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype()}
    # Columns without nulls are plain numpy: faster, and what everybody expects.
    with_nulls = {name for name in table.column_names if table[name].null_count}
    frame: pd.DataFrame = table.select([n for n in table.column_names if n not in with_nulls]).to_pandas()
    for position, name in enumerate(table.column_names):
        if name in with_nulls:
            frame.insert(position, name, table.select([name]).to_pandas(types_mapper=nullable.get)[name])
    return frame


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

    @property
    def runs(self) -> pd.DataFrame:
        """One row a run, failed ones included: axes, then run_id, seed, status, trace, pods, horizon in seconds."""
        rows: list[dict[str, Any]] = [
            {
                **run.axes,
                "run_id": run.run_id,
                "status": "finished",
                "trace_hash": run.trace.get("content_hash"),
                "t_end_s": run.t_end_us / 1e6,
            }
            for run in self.finished
        ]
        rows += [{**run.axes, "run_id": run.run_id, "status": "failed"} for run in self.failed]
        return pd.DataFrame(rows)

    def table(self, name: str, columns: Sequence[str] | None = None, **where: str) -> pd.DataFrame:
        """A table of all runs in one frame, the axes as leading columns. ``where`` keeps runs by axis value::

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
                for position, axis in enumerate(self.axes):
                    frame.insert(position, axis, run.axes.get(axis))
                frames.append(frame)
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(self.axes))


def open_results(directory: Path | str) -> Results:
    """Open a result directory.

    Raises InputError when it does not exist, holds no finished run, was written by another schema version, or a
    run's files are damaged.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError("there is no such directory", where=str(directory), hint="give the -o DIR of ksched run")
    plan = _read_json(directory / "plan.json") if (directory / "plan.json").exists() else {}
    _check_schema(plan, directory / "plan.json")
    runs_directory = directory / "runs"
    folders = sorted(p for p in runs_directory.iterdir() if _is_run(p)) if runs_directory.is_dir() else []
    if not folders:
        raise InputError(
            "this directory holds no results",
            where=str(directory),
            hint="give the -o DIR of an earlier 'ksched run EXPERIMENT -o DIR'",
        )
    facts = {p.name: _read_facts(p) for p in folders if not p.name.endswith(".failed")}
    cells = _cells(plan)
    finished = [_run(runs_directory / run_id, facts[run_id], axes) for run_id, axes in _finished_cells(facts, cells)]
    failed = _failed(folders, facts, cells)
    if not finished:
        raise InputError(
            f"no run of this experiment has finished ({len(failed)} failed)",
            where=str(directory),
            hint=f"first failure: {failed[0].error}" if failed else _RERUN,
        )
    _check_distinct(finished)
    planned_ids = {run_id for run_id, _ in cells}
    return Results(
        directory,
        plan=plan,
        experiment=_read_experiment(directory / "experiment.yaml"),
        finished=finished,
        failed=failed,
        planned=len(planned_ids) or len(finished) + len(failed),
        stale=len(set(facts) - planned_ids) if cells else 0,
    )


def natural_key(text: str) -> tuple[int, float, str]:
    """Numbers by value before texts by alphabet: 5, 25, 100, best-fit."""
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)


def _is_run(path: Path) -> bool:
    # Names with a leading dot are runs being written.
    return path.is_dir() and not path.name.startswith(".")


def _known_table(name: str) -> str:
    if name not in TABLES:
        guess = nearest(name, TABLES)
        raise InputError(
            f"there is no result table {name!r}",
            hint=f"did you mean {guess!r}?" if guess else f"tables: {', '.join(TABLES)}",
        )
    return name


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read this file: {error}", where=str(path), hint=_RERUN) from error
    if not isinstance(value, dict):
        raise InputError("expected a JSON object", where=str(path), hint=_RERUN)
    return value


def _read_facts(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    if not path.exists():
        raise InputError(
            "the run has no run.json",
            where=str(folder),
            hint="remove this folder and run the experiment again: only this run will be repeated",
        )
    facts = _read_json(path)
    if "schema_version" not in facts:
        raise InputError("run.json has no 'schema_version'", where=str(path), hint=_RERUN)
    _check_schema(facts, path)
    for key in ("axes", "trace", "t_end_us", "pending_time_meaningful"):
        if key not in facts:
            raise InputError(f"run.json has no {key!r}", where=str(path), hint=_RERUN)
    return facts


def _check_schema(facts: Mapping[str, Any], path: Path) -> None:
    version = facts.get("schema_version", SCHEMA_VERSION)
    if version == SCHEMA_VERSION:
        return
    newer = isinstance(version, int) and version > SCHEMA_VERSION
    raise InputError(
        f"these results have schema version {version}, this ksched reads {SCHEMA_VERSION}",
        where=str(path),
        hint="install a newer ksched to read them" if newer else _RERUN,
    )


def _cells(plan: Mapping[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """(run id, axes) of every cell of the plan; several cells share a run when an axis makes no difference to it."""
    return [
        (str(run["run_id"]), {str(k): str(v) for k, v in cell.items()})
        for run in plan.get("runs", ())
        for cell in run.get("cells") or [run["axes"]]
    ]


def _finished_cells(
    facts: Mapping[str, Mapping[str, Any]], cells: Sequence[tuple[str, dict[str, str]]]
) -> list[tuple[str, dict[str, str]]]:
    if cells:
        return [(run_id, axes) for run_id, axes in cells if run_id in facts]
    return [(run_id, {k: str(v) for k, v in facts[run_id]["axes"].items()}) for run_id in facts]


def _run(folder: Path, facts: Mapping[str, Any], axes: Mapping[str, str]) -> Run:
    return Run(
        path=folder,
        run_id=folder.name,
        axes=dict(axes),
        seed=int(facts.get("seed", 0)),
        trace=facts["trace"],
        t_end_us=int(facts["t_end_us"]),
        pending_time_meaningful=bool(facts["pending_time_meaningful"]),
        counts=facts.get("counts") or {},
        notes=tuple(str(note) for note in facts.get("notes") or ()),
        config=facts.get("config") or {},
        facts=facts,
    )


def _failed(
    folders: Sequence[Path], facts: Mapping[str, Any], cells: Sequence[tuple[str, dict[str, str]]]
) -> list[FailedRun]:
    planned: dict[str, dict[str, str]] = {}
    for run_id, axes in cells:
        planned.setdefault(run_id, axes)
    failed = []
    for folder in folders:
        run_id = folder.name.removesuffix(".failed")
        if not folder.name.endswith(".failed") or run_id in facts or (cells and run_id not in planned):
            continue
        run_json = _read_json(folder / "run.json") if (folder / "run.json").exists() else {}
        axes = planned.get(run_id) or {k: str(v) for k, v in (run_json.get("axes") or {}).items()}
        error = str(run_json.get("error") or _last_line(folder / "traceback.txt"))
        failed.append(FailedRun(run_id, axes, error))
    return failed


def _last_line(path: Path) -> str:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        return "no traceback was kept"
    return lines[-1] if lines else "no traceback was kept"


def _check_distinct(finished: Sequence[Run]) -> None:
    seen: dict[tuple[tuple[str, str], ...], Run] = {}
    for run in finished:
        key = tuple(sorted(run.axes.items()))
        if key in seen:
            raise InputError(
                f"the runs {seen[key].run_id} and {run.run_id} have the same axes ({run.label})",
                where=str(run.path.parent),
                hint="plan.json, which tells today's runs from older ones, is missing: run the experiment again",
            )
        seen[key] = run


def _read_experiment(path: Path) -> dict[str, Any]:
    """The copy of the experiment file; a report needs only its name, question, baseline and axes."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"cannot read this file: {error}", where=str(path)) from error
    return data if isinstance(data, dict) else {}


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
