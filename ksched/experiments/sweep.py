"""An experiment from its file to its results, in one call."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ksched.experiments.dataset import update_dataset
from ksched.experiments.driver import simulate
from ksched.experiments.executors import PROCESSES, default_jobs, make_executor
from ksched.experiments.file import load_experiment
from ksched.experiments.plan import Plan, make_plan
from ksched.experiments.progress import ConsoleWatcher
from ksched.experiments.runner import Silent, SweepResult, run_all
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
    executor: str = PROCESSES,
    many: bool = False,
    progress: bool = True,
    profile_plugins: bool = False,
) -> Sweep:
    """Run every run of an experiment file that is not finished yet.

    ``output`` is the result directory (default ``results/<name>``), ``only`` selects runs as ``axis=value``, ``data``
    is the folder of outside traces (default $KSCHED_DATA), ``jobs`` the number of processes (default: one per CPU; 1
    works in this process), ``executor`` where runs are computed: "processes" or "dask://HOST:PORT". ``profile_plugins``
    measures the time of every plugin (see :func:`ksched.timing`). Raises InputError for bad input; a run whose policy
    fails is in ``result.failed`` instead.
    """
    plan = make_plan(load_experiment(experiment), only=only, data=_folder(data), many=many)
    return run_plan(plan, output, jobs=jobs, executor=executor, progress=progress, profile_plugins=profile_plugins)


def run_plan(
    plan: Plan,
    output: Path | str | None = None,
    *,
    jobs: int | None = None,
    executor: str = PROCESSES,
    progress: bool = True,
    profile_plugins: bool = False,
) -> Sweep:
    """Run what a plan selects; see :func:`run_experiment`."""
    from ksched.experiments.divergence import divergences
    from ksched.experiments.reopen import write_origin

    experiment = plan.experiment
    root = Path(output) if output is not None else default_output(experiment.name)
    jobs = jobs or default_jobs()
    workers = make_executor(executor, jobs)
    store = ResultStore.create(root, experiment=experiment.name, plan=plan.to_json(), source=experiment.document.text)
    write_origin(store, experiment, plan.selected[0].data)
    work = partial(simulate, profile_plugins=True) if profile_plugins else simulate
    try:
        with ConsoleWatcher(len(plan.selected)) if progress else nullcontext(Silent()) as watcher:
            result = run_all(plan.selected, store, work, workers, watcher)
    finally:
        update_dataset(store)
    divergences(store, jobs=jobs)
    return Sweep(store.root, plan, result)


def _folder(data: Path | str | None) -> Path | None:
    return None if data is None else Path(data)
