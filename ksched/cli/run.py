"""``ksched run`` and ``ksched compare``: experiments from the command line."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ksched.cli.timing_text import print_timing
from ksched.errors import InputError

if TYPE_CHECKING:
    from ksched.experiments.plan import Plan
    from ksched.experiments.sweep import Sweep
    from ksched.report.metrics import Metric
    from ksched.report.precision import Target

console = Console(stderr=True)
out = Console()

_SHOWN_RUNS = 200
"""Rows of a plan on a terminal; the rest is counted."""

ExperimentFile = Annotated[Path, typer.Argument(help="An experiment file, or the folder with its experiment.yaml.")]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="Result directory.", show_default="results/<experiment's name>")
]
Only = Annotated[
    list[str] | None, typer.Option(metavar="AXIS=VALUE", help="Run only these; repeat to add values or axes.")
]
Data = Annotated[Path | None, typer.Option(envvar="KSCHED_DATA", help="Folder of traces that do not ship with ksched.")]
Jobs = Annotated[int | None, typer.Option("-j", "--jobs", min=1, help="Processes.", show_default="one per CPU")]
ExecutorName = Annotated[
    str, typer.Option("--executor", metavar="processes|dask://HOST:PORT", help="Where runs are computed.")
]
ProfilePlugins = Annotated[
    bool, typer.Option("--profile-plugins", help="Measure the time of every plugin and what the caches save.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and run nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask about very many runs.")]


Until = Annotated[
    str | None,
    typer.Option(
        metavar="METRIC=WIDTH",
        help="Run the seeds of the file in order, first ten, then five at a time, until the 95 % interval of every "
        "policy's paired difference is this narrow: 'pending p99=5%' of the baseline's mean, or 'makespan=60' in the "
        "metric's unit.",
    ),
]


def run(
    experiment: ExperimentFile,
    output: Output = None,
    only: Only = None,
    data: Data = None,
    jobs: Jobs = None,
    executor: ExecutorName = "processes",
    profile_plugins: ProfilePlugins = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Run an experiment. Finished runs are kept; what was interrupted or failed is done again."""
    plan = _plan(experiment, only, data, yes)
    if dry_run:
        _show_plan(plan, output)
        return
    sweep = _announced(partial(_run, output, jobs, executor, profile_plugins), plan)
    if profile_plugins:
        print_timing(sweep)
    _raise_failures(sweep)


def compare(
    experiment: ExperimentFile,
    output: Output = None,
    only: Only = None,
    data: Data = None,
    jobs: Jobs = None,
    executor: ExecutorName = "processes",
    until: Until = None,
    profile_plugins: ProfilePlugins = False,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Run an experiment and report: a table here, and one HTML file that opens offline."""
    from ksched.cli.report import report
    from ksched.report.precision import parse_target

    plan = _plan(experiment, only, data, yes)
    known = _checked_metrics(plan)
    target = parse_target(until, known) if until is not None else None
    if dry_run:
        _show_plan(plan, output)
        return
    run_one = partial(_run, output, jobs, executor, profile_plugins)
    sweep = _announced(run_one if target is None else partial(_until, target, run_one), plan)
    if sweep.result.done or sweep.result.kept:
        report(sweep.directory)
    if profile_plugins:
        print_timing(sweep)
    _raise_failures(sweep)


def _checked_metrics(plan: Plan) -> dict[str, Metric]:
    """Every metric the report will have. What the file names wrongly is said before the first run."""
    from ksched.report.metrics import all_metrics, find_metric
    from ksched.report.primary import find_name

    written = plan.experiment.document
    where = written.where(("metrics",))
    named = [find_metric(one, base=plan.experiment.folder, where=where) for one in written.data.get("metrics", ())]
    known = all_metrics(named)
    for name in written.data.get("primary", ()):
        find_name(name, known, where=written.where(("primary",)))
    return known


def _until(target: Target, run_one: Callable[[Plan], Sweep], plan: Plan) -> Sweep:
    """Batches of seeds until the intervals are narrow enough; the report says what was decided."""
    from ksched.experiments.batches import run_in_batches
    from ksched.report.precision import judge

    total = len({spec.seed for spec in plan.selected})
    return run_in_batches(plan, run_one, lambda directory, seeds: judge(directory, target, seeds, total).enough)


def _plan(path: Path, only: list[str] | None, data: Path | None, yes: bool) -> Plan:
    from ksched.experiments import load_experiment, make_plan
    from ksched.experiments.expand import count_cells
    from ksched.experiments.plan import MANY_CELLS
    from ksched.experiments.worker_memory import start_small

    start_small()
    experiment = load_experiment(path)
    cells = count_cells(experiment)
    if cells > MANY_CELLS and not yes and sys.stdin.isatty():
        yes = typer.confirm(f"The axes multiply to {cells:,} runs. Go on?", abort=True)
    with console.status("reading the experiment and its traces"):
        return make_plan(experiment, only=only or (), data=data, many=yes)


def _run(output: Path | None, jobs: int | None, executor: str, profile_plugins: bool, plan: Plan) -> Sweep:
    from ksched.experiments import run_plan
    from ksched.experiments.runner import Interrupted

    try:
        return run_plan(plan, output, jobs=jobs, executor=executor, profile_plugins=profile_plugins)
    except Interrupted as stopped:
        console.print(str(stopped), markup=False)
        raise typer.Exit(130) from None


def _announced(run_one: Callable[[Plan], Sweep], plan: Plan) -> Sweep:
    started = time.monotonic()
    sweep = run_one(plan)
    result = sweep.result
    if result.done or result.kept:
        from ksched.report.exports import write_exports

        write_exports(sweep.directory)
    console.print(
        f"{len(result.done)} runs done in {time.monotonic() - started:.1f} s, {len(result.kept)} kept, "
        f"{len(result.failed)} failed; results are in {short_path(sweep.directory)}",
        markup=False,
    )
    return sweep


def _raise_failures(sweep: Sweep) -> None:
    from ksched.experiments.plan import describe_run

    failed = sweep.result.failed
    if not failed:
        return
    run_id, message = next(iter(failed.items()))
    label = describe_run(next(spec.axes for spec in sweep.plan.selected if spec.run_id == run_id))
    raise InputError(
        f"{len(failed)} of {len(sweep.plan.selected)} runs failed; the first ({label}): {message}",
        hint=f"its traceback: {short_path(sweep.directory)}/runs/{run_id}.failed/traceback.txt; "
        "the same command tries failed runs again",
    )


def _show_plan(plan: Plan, output: Path | None) -> None:
    from ksched.experiments.sweep import default_output
    from ksched.result_directory import ResultDirectory

    directory = ResultDirectory(output or default_output(plan.experiment.name))
    states = [directory.state(spec.run_id) for spec in plan.selected]
    table = Table("run", *plan.experiment.axes, "state", box=None, pad_edge=False)
    for spec, state in list(zip(plan.selected, states, strict=True))[:_SHOWN_RUNS]:
        # An axis that makes no difference to a run has no value there.
        table.add_row(spec.run_id, *(spec.axes.get(axis, "any") for axis in plan.experiment.axes), state)
    out.print(table)
    if len(states) > _SHOWN_RUNS:
        out.print(f"... and {len(states) - _SHOWN_RUNS:,} more")
    console.print(
        f"{len(states)} runs, {states.count('done')} of them finished in {short_path(directory.root)}", markup=False
    )


def short_path(path: Path) -> str:
    """A path as a user would type it from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
