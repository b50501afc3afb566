"""Opening a result directory: which runs it holds, checked against its plan. Reads the small JSON files only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ksched.errors import InputError
from ksched.report.results import FailedRun, Results, Run
from ksched.result_directory import SCHEMA_VERSION

_RERUN = "run the experiment again with this version of ksched into a new directory (ksched run ... -o DIR)"
_GIVE = "give the -o DIR of an earlier 'ksched run EXPERIMENT -o DIR'"


def open_results(directory: Path | str) -> Results:
    """Open a result directory.

    Raises InputError when it is no result directory, holds no finished run or runs of another experiment, was written
    by another schema version, or a run's files are damaged.
    """
    directory = Path(directory)
    _check_directory(directory)
    plan = _read_plan(directory / "plan.json")
    experiment = _read_experiment(directory / "experiment.yaml")
    _check_same_experiment(directory, plan, experiment)
    runs_directory = directory / "runs"
    folders = sorted(p for p in runs_directory.iterdir() if _is_run(p)) if runs_directory.is_dir() else []
    if not folders:
        raise InputError("this directory holds no results", where=str(directory), hint=_GIVE)
    facts = {p.name: _read_facts(p) for p in folders if not p.name.endswith(".failed")}
    cells = _cells(plan)
    finished = [_run(runs_directory / run_id, facts[run_id], axes) for run_id, axes in _finished_cells(facts, cells)]
    failed = _failed(folders, facts, cells)
    if not finished:
        raise _nothing_finished(directory, plan, facts, failed)
    _check_distinct(finished)
    planned_ids = {run_id for run_id, _ in cells}
    return Results(
        directory,
        plan=plan,
        experiment=experiment,
        finished=finished,
        failed=failed,
        planned=len(planned_ids) or len(finished) + len(failed),
        stale=len(set(facts) - planned_ids) if cells else 0,
    )


def _check_directory(directory: Path) -> None:
    if directory.is_dir() and not ((directory / "plan.json").exists() or (directory / "runs").exists()):
        if (directory / "experiment.yaml").exists():
            raise InputError(
                "this is the folder of an experiment, not of its results", where=str(directory), hint=_GIVE
            )
        raise InputError("this directory holds no results", where=str(directory), hint=_GIVE)
    if directory.is_file():
        raise InputError("this is a file, not a directory of results", where=str(directory), hint=_GIVE)
    if not directory.is_dir():
        raise InputError("there is no such directory", where=str(directory), hint=_GIVE)


def _read_plan(path: Path) -> dict[str, Any]:
    plan = _read_json(path) if path.exists() else {}
    _check_schema(plan, path)
    runs = plan.get("runs", [])
    good = isinstance(runs, list) and all(isinstance(r, dict) and "run_id" in r and "axes" in r for r in runs)
    if not good:
        raise InputError("this is no plan of an experiment: 'runs' is not a list of runs", where=str(path), hint=_RERUN)
    return plan


def _check_same_experiment(directory: Path, plan: Mapping[str, Any], experiment: Mapping[str, Any]) -> None:
    planned, written = plan.get("experiment"), experiment.get("name")
    if planned and written and planned != written:
        raise InputError(
            f"plan.json is of the experiment {planned!r}, experiment.yaml of {written!r}: they are mixed",
            where=str(directory),
            hint="run each into a directory of its own (ksched run ... -o DIR)",
        )


def _nothing_finished(
    directory: Path, plan: Mapping[str, Any], facts: Mapping[str, Any], failed: Sequence[FailedRun]
) -> InputError:
    if facts:
        return InputError(
            f"none of the {len(facts)} finished runs here belongs to the plan of {plan.get('experiment')!r}",
            where=str(directory),
            hint="they are of another experiment, or of an older state of its file; run the experiment again",
        )
    hint = f"first failure: {failed[0].error}" if failed else "run the experiment: ksched run EXPERIMENT -o DIR"
    return InputError(f"no run of this experiment has finished ({len(failed)} failed)", where=str(directory), hint=hint)


def _is_run(path: Path) -> bool:
    # Names with a leading dot are runs being written.
    return path.is_dir() and not path.name.startswith(".")


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
