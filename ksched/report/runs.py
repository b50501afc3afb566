"""The runs of result directories as one table: which there are, how they went, and several directories side by side.

::

    ksched.results("results/quickstart")                                 # one row a run
    ksched.results("results/a", only=["policy=best-fit"], status="failed")
    side_by_side(["results/a", "results/b"], metrics=["pending_mean"])    # joined on the axes both have

Only the small JSON files are read unless a metric is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from ksched.axis_columns import axis_columns
from ksched.axis_filter import axis_filter, check_axis
from ksched.errors import InputError, nearest
from ksched.report.metrics import Metric, all_metrics, find_metric
from ksched.report.opening import open_results
from ksched.report.results import RunTables
from ksched.result_directory import RUN_COLUMNS, SCHEMA_VERSION, ResultDirectory

Status = Literal["done", "failed", "missing", "stale"]
STATUSES: tuple[str, ...] = get_args(Status)
_MIB = 1024


@dataclass(frozen=True)
class ListedRun:
    """One run of a result directory. "stale": it is here, finished or failed, and today's plan does not need it."""

    run_id: str
    status: Status
    axes: Mapping[str, str]
    cells: Sequence[Mapping[str, str]]
    facts: Mapping[str, Any] = field(repr=False)
    timing: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Listing:
    """All runs a result directory plans or holds, planned ones first and in the order of the plan."""

    directory: ResultDirectory
    experiment: str
    axes: Mapping[str, Sequence[str]]
    runs: tuple[ListedRun, ...]

    def select(self, only: Iterable[str] = (), status: str | None = None) -> Listing:
        """The runs that match every ``axis=value`` of ``only`` and have this status. InputError for unknown ones."""
        if status is not None and status not in STATUSES:
            guess = nearest(status, STATUSES)
            hint = f"did you mean {guess!r}?" if guess else f"one of: {', '.join(STATUSES)}"
            raise InputError(f"there is no status {status!r}", where="--status", hint=hint)
        wanted = axis_filter(self.axes, only)
        kept = [r for r in self.runs if status in (None, r.status) and any(wanted(cell) for cell in r.cells)]
        return Listing(self.directory, self.experiment, self.axes, tuple(kept))


def list_runs(directory: Path | str) -> Listing:
    """Look into a result directory. InputError when it is none, or of another schema version."""
    opened = ResultDirectory(Path(directory))
    plan = opened.plan()
    if not plan:
        raise InputError(
            "this is no result directory: it has no plan.json",
            where=str(directory),
            hint="give the -o DIR of an earlier 'ksched run EXPERIMENT -o DIR'",
        )
    if plan.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"these results have schema version {plan.get('schema_version')}, this ksched reads {SCHEMA_VERSION}",
            where=str(directory),
            hint="run the experiment again into a new directory, or read them with the ksched that wrote them",
        )
    axes = {name: list(values) for name, values in plan["axes"].items()}
    return Listing(opened, str(plan["experiment"]), axes, tuple(_runs(opened, plan)))


def _runs(directory: ResultDirectory, plan: Mapping[str, Any]) -> Iterator[ListedRun]:
    planned = {run["run_id"]: run for run in plan["runs"]}
    for run_id, run in planned.items():
        yield ListedRun(
            run_id,
            directory.state(run_id),
            run["axes"],
            run["cells"],
            directory.facts(run_id),
            directory.timing(run_id),
        )
    for run_id in directory.run_ids():
        if run_id not in planned:
            facts = directory.facts(run_id)
            axes = facts.get("axes", {})
            yield ListedRun(run_id, "stale", axes, [axes], facts, directory.timing(run_id))


def results(
    *directories: Path | str,
    only: Iterable[str] = (),
    status: str | None = None,
    metrics: Iterable[Metric | str] = (),
) -> pd.DataFrame:
    """One row a run: its axes, then RUN_COLUMNS of ksched.result_directory: run_id, status, numbers of pods and
    decisions, end in virtual seconds, wall-clock and CPU seconds, peak memory of its process, ``error`` if it failed.

    ``only`` and ``status`` filter as on the command line; ``metrics`` (names, or ``file.py:function``) adds a column
    each, NaN for runs that are not finished; an axis called like one of them is the column ``axis_<name>``. Several
    directories are stacked, with a first column ``experiment``.
    """
    if not directories:
        raise InputError("give at least one result directory")
    frames: list[pd.DataFrame] = []
    for listing in _listings(directories):
        selected = listing.select(only, status)
        frame = _frame(selected, [(run, run.axes) for run in selected.runs], _metrics(metrics))
        if len(directories) > 1:
            frame.insert(0, "experiment", _labels(directories)[len(frames)])
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def side_by_side(
    directories: Sequence[Path | str],
    *,
    only: Iterable[str] = (),
    metrics: Iterable[Metric | str] = (),
    by: Sequence[str] = (),
) -> pd.DataFrame:
    """Several directories joined on the axes ``by`` (default: all that they share).

    One row a combination of values; for each directory the number of finished cells (``<directory>: runs``) and the
    mean of every metric over them (``<directory>: <metric>``). InputError when there is no axis to join on.
    """
    listings = list(_listings(directories))
    shared = [name for name in listings[0].axes if all(name in other.axes for other in listings)]
    for name in by:
        check_axis(shared, name, where="--by")
    keys = list(by) or shared
    if not keys:
        raise InputError("these experiments have no axis in common", where=", ".join(map(str, directories)))
    chosen = _metrics(metrics)
    joined = pd.DataFrame()
    for label, listing in zip(_labels(directories), listings, strict=True):
        selected = listing.select(only, "done")
        frame = _frame(selected, [(run, cell) for run in selected.runs for cell in run.cells], chosen)
        groups = frame.groupby([frame.attrs["axes"][key] for key in keys], sort=False, dropna=False)
        means = groups[frame.attrs["metrics"]].mean().add_prefix(f"{label}: ").rename_axis(keys)
        means.insert(0, f"{label}: runs", groups.size().to_numpy())
        joined = joined.join(means, how="outer") if len(joined.columns) else means
    counts = [column for column in joined.columns if column.endswith(": runs")]
    joined[counts] = joined[counts].fillna(0).astype(int)
    order = {name: {value: i for i, value in enumerate(listings[0].axes[name])} for name in keys}
    return joined.reset_index().sort_values(
        keys, key=lambda column: column.map(order[str(column.name)]), kind="stable", ignore_index=True
    )


def _listings(directories: Iterable[Path | str]) -> Iterator[Listing]:
    return (list_runs(directory) for directory in directories)


def _labels(directories: Sequence[Path | str]) -> list[str]:
    """Short names that tell the directories apart."""
    paths = [Path(directory).resolve() for directory in directories]
    for path in paths:
        if paths.count(path) > 1:
            raise InputError("this directory is given twice", where=str(path))
    names = [path.name for path in paths]
    return names if len(set(names)) == len(names) else [str(directory) for directory in directories]


def _metrics(given: Iterable[Metric | str]) -> list[Metric]:
    chosen = []
    known = all_metrics()
    for one in given:
        if isinstance(one, Metric):
            chosen.append(one)
        elif one in known:
            chosen.append(known[one])
        elif ":" in one:
            chosen.append(find_metric(one, where="--metric"))
        else:
            guess = nearest(one, known)
            hint = f"did you mean {guess!r}?" if guess else f"metrics: {', '.join(known)}"
            raise InputError(f"there is no metric {one!r}", where="--metric", hint=hint)
    return chosen


def _frame(
    listing: Listing, rows: Sequence[tuple[ListedRun, Mapping[str, str]]], metrics: Sequence[Metric]
) -> pd.DataFrame:
    values = _values(listing, metrics)
    measured = list(dict.fromkeys(name for found in values.values() for name in found))
    names = axis_columns(listing.axes, measured)
    frame = pd.DataFrame(
        [
            {names.get(axis, axis): value for axis, value in axes.items()} | _summary(run) | values.get(run.run_id, {})
            for run, axes in rows
        ],
        columns=[*names.values(), *RUN_COLUMNS, *measured],
    )
    frame.attrs["metrics"] = measured
    frame.attrs["axes"] = names
    return frame


def _summary(run: ListedRun) -> dict[str, Any]:
    counts = run.facts.get("counts", {})
    t_end_us = run.facts.get("t_end_us")
    rss_kib = run.timing.get("max_rss_kib")
    values = (
        run.run_id,
        run.status,
        counts.get("pods"),
        counts.get("decisions"),
        None if t_end_us is None else t_end_us / 1e6,
        run.timing.get("wall_s"),
        run.timing.get("cpu_s"),
        None if rss_kib is None else round(rss_kib / _MIB, 1),
        run.facts.get("error"),
    )
    return dict(zip(RUN_COLUMNS, values, strict=True))


def _values(listing: Listing, metrics: Sequence[Metric]) -> dict[str, dict[str, float]]:
    """Run id -> column -> value; a metric with parts has a column for each, ``allocation_mean.gpu``."""
    wanted = {run.run_id for run in listing.runs if run.status == "done"}
    if not metrics or not wanted:
        return {}
    found: dict[str, dict[str, float]] = {}
    for run in open_results(listing.directory.root).finished:
        if run.run_id in wanted and run.run_id not in found:
            tables = RunTables(run)
            found[run.run_id] = {
                f"{metric.name}.{part}" if part else metric.name: value
                for metric in metrics
                for part, value in metric(tables).items()
            }
    return found
