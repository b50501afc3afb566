"""All runs of a result directory as one Parquet data set a table, partitioned by run, and the table that joins them.

::

    DIR/tables/runs.parquet                        one row a cell of the grid: its axes, run, run_id, status
    DIR/tables/pods/run=run-<id>/part-0.parquet    and likewise nodes, decisions, samples, events

pandas, DuckDB and Polars read a folder or a glob of this form and give every row its ``run``; joined with
``runs.parquet`` a row knows its axes. An axis that is called like a column of a result table is ``axis_<name>`` there
(see ksched.axis_columns). The parts are links to the runs' own files: they cost no space, and a run is committed by one
rename as ever. Runs that today's plan does not need are left out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ksched.axis_columns import axis_columns, result_columns
from ksched.experiments.store import ResultStore, write_table, writing
from ksched.result_directory import TABLES

RUN, RUN_ID, STATUS = "run", "run_id", "status"
_PART = "part-0.parquet"


def update_dataset(store: ResultStore) -> None:
    """Bring ``tables/`` up to date with the plan and the finished runs. InputError when it cannot be written."""
    plan = store.plan()
    runs = plan.get("runs", [])
    states = {run["run_id"]: store.state(run["run_id"]) for run in runs}
    finished = {run_id for run_id, state in states.items() if state == "done"}
    with writing(store.root):
        for name in TABLES:
            _update_parts(store, name, finished)
        temporary = store.partial_path("runs.parquet")
        taken = result_columns(store.run_folder(min(finished))) if finished else set()
        write_table(temporary, _runs_table(axis_columns(plan.get("axes", ()), taken), runs, states))
        os.replace(temporary, store.tables / "runs.parquet")


def _update_parts(store: ResultStore, table: str, finished: set[str]) -> None:
    folder = store.tables / table
    # A simulation need not fill every table, and a folder without a part is no data set.
    filled = {run_id for run_id in finished if _file(store, table, run_id).exists()}
    if not filled and not folder.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {f"{RUN}={_name(run_id)}": run_id for run_id in filled}
    present = set(os.listdir(folder))
    for name in sorted(present.difference(wanted)):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name, run_id in sorted(wanted.items()):
        part = folder / name / _PART
        if not part.exists():
            _link(part, _file(store, table, run_id))


def _file(store: ResultStore, table: str, run_id: str) -> Path:
    return store.run_folder(run_id) / f"{table}.parquet"


def _name(run_id: str) -> str:
    # Readers guess the type of a partition's values, and an id may happen to be all digits.
    return f"run-{run_id}"


def _link(part: Path, file: Path) -> None:
    part.parent.mkdir(exist_ok=True)
    part.unlink(missing_ok=True)
    try:
        os.symlink(os.path.relpath(file, part.parent), part)
    except FileExistsError:
        return  # another sweep on this directory was quicker
    except (OSError, NotImplementedError):
        os.link(file, part)  # Windows allows symbolic links to few


def _runs_table(axes: Mapping[str, str], runs: Sequence[Mapping[str, Any]], states: Mapping[str, str]) -> pa.Table:
    cells = [(run["run_id"], cell) for run in runs for cell in run["cells"]]
    columns = {name: pa.array([cell[axis] for _, cell in cells], pa.string()) for axis, name in axes.items()}
    columns[RUN] = pa.array([_name(run_id) for run_id, _ in cells], pa.string())
    columns[RUN_ID] = pa.array([run_id for run_id, _ in cells], pa.string())
    columns[STATUS] = pa.array([states[run_id] for run_id, _ in cells], pa.string())
    return pa.table(columns)
