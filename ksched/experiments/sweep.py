"""An experiment from its file to its results, in one call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ksched.experiments.driver import simulate
from ksched.experiments.file import load_experiment
from ksched.experiments.plan import Plan, make_plan
from ksched.experiments.progress import ConsoleWatcher
from ksched.experiments.runner import Silent, SweepResult, default_jobs, run_all
from ksched.experiments.store import ResultStore


@dataclass(frozen=True)
class Sweep:
    """What :func:`run_experiment` did: where the results are, the plan, and what became of each run."""

    directory: Path
    plan: Plan
    result: SweepResult


def default_output(name: str) -> Path:
    """Where results go unless told otherwise."""
    return Path("results") / name


def run_experiment(
    experiment: Path | str,
    output: Path | str | None = None,
    *,
    only: Iterable[str] = (),
    data: Path | str | None = None,
    jobs: int | None = None,
    many: bool = False,
    progress: bool = True,
) -> Sweep:
    """Run every run of an experiment file that is not finished yet.

    ``output`` is the result directory (default ``results/<name>``), ``only`` selects runs as ``axis=value``, ``data``
    is the folder of outside traces (default $KSCHED_DATA), ``jobs`` the number of processes (default: one per CPU; 1
    works in this process). Raises InputError for bad input; a run whose policy fails is in ``result.failed`` instead.
    """
    plan = make_plan(load_experiment(experiment), only=only, data=_folder(data), many=many)
    return run_plan(plan, output, jobs=jobs, progress=progress)


def run_plan(plan: Plan, output: Path | str | None = None, *, jobs: int | None = None, progress: bool = True) -> Sweep:
    """Run what a plan selects; see :func:`run_experiment`."""
    experiment = plan.experiment
    root = Path(output) if output is not None else default_output(experiment.name)
    store = ResultStore.create(root, experiment=experiment.name, plan=plan.to_json(), source=experiment.document.text)
    workers = jobs or default_jobs()
    if not progress:
        return Sweep(store.root, plan, run_all(plan.selected, store, simulate, jobs=workers, watcher=Silent()))
    with ConsoleWatcher(len(plan.selected)) as watcher:
        return Sweep(store.root, plan, run_all(plan.selected, store, simulate, jobs=workers, watcher=watcher))


def _folder(data: Path | str | None) -> Path | None:
    return None if data is None else Path(data)
