"""``ksched run``, ``ksched compare`` and ``ksched results``: experiments from the command line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ksched.errors import InputError, nearest

if TYPE_CHECKING:
    from ksched.experiments.plan import Plan
    from ksched.experiments.store import ResultStore
    from ksched.experiments.sweep import Sweep

console = Console(stderr=True)
out = Console()

Experiment = Annotated[Path, typer.Argument(help="An experiment file, or the folder with its experiment.yaml.")]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="Result directory.", show_default="results/<experiment's name>")
]
Only = Annotated[
    list[str] | None, typer.Option(metavar="AXIS=VALUE", help="Run only these; repeat to add values or axes.")
]
Data = Annotated[Path | None, typer.Option(envvar="KSCHED_DATA", help="Folder of traces that do not ship with ksched.")]
Jobs = Annotated[int | None, typer.Option("-j", "--jobs", min=1, help="Processes.", show_default="one per CPU")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and run nothing.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask about very many runs.")]


def run(
    experiment: Experiment,
    output: Output = None,
    only: Only = None,
    data: Data = None,
    jobs: Jobs = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Run an experiment. Finished runs are kept; what was interrupted or failed is done again."""
    plan = _plan(experiment, only, data, yes)
    if dry_run:
        _show_plan(plan, output)
        return
    sweep = _sweep(plan, output, jobs)
    _raise_failures(sweep)


def compare(
    experiment: Experiment,
    output: Output = None,
    only: Only = None,
    data: Data = None,
    jobs: Jobs = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Run an experiment and report: a table here, and one HTML file that opens offline."""
    plan = _plan(experiment, only, data, yes)
    if dry_run:
        _show_plan(plan, output)
        return
    sweep = _sweep(plan, output, jobs)
    if not sweep.result.done and not sweep.result.kept:
        _raise_failures(sweep)
    from ksched.cli.report import report

    report(sweep.directory)
    _raise_failures(sweep)


def results(
    directory: Annotated[Path, typer.Argument(help="A result directory.")],
    only: Annotated[list[str] | None, typer.Option(metavar="AXIS=VALUE", help="List only these.")] = None,
) -> None:
    """List the runs of a result directory: finished, failed and missing."""
    from ksched.experiments.store import ResultStore, read_json

    plan = read_json(directory / "plan.json")
    if not plan:
        raise InputError("this is no result directory: it has no plan.json", where=str(directory))
    wanted = _axis_filter(plan["axes"], only or [])
    store = ResultStore(directory)
    listed = [run for run in plan["runs"] if any(wanted(cell) for cell in run["cells"])]
    out.print(_runs_table(plan["axes"], [(run["run_id"], run["axes"]) for run in listed], store))


def _axis_filter(axes: dict[str, list[str]], only: list[str]) -> Callable[[dict[str, str]], bool]:
    wanted: dict[str, set[str]] = {}
    for text in only:
        axis, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"{text!r} is not of the form axis=value", where="--only")
        for name, known in ((axis, axes), (value, axes.get(axis, [value]))):
            if name not in known:
                guess = nearest(name, known)
                hint = f"did you mean {guess!r}?" if guess else f"known: {', '.join(known)}"
                raise InputError(f"there is no {name!r}", where=f"--only {text}", hint=hint)
        wanted.setdefault(axis, set()).add(value)
    return lambda cell: all(cell[axis] in values for axis, values in wanted.items())


def _plan(experiment: Path, only: list[str] | None, data: Path | None, yes: bool) -> Plan:
    from ksched.experiments import load_experiment, make_plan

    with console.status("reading the experiment and its traces"):
        return make_plan(load_experiment(experiment), only=only or (), data=data, many=yes)


def _sweep(plan: Plan, output: Path | None, jobs: int | None) -> Sweep:
    from ksched.experiments import run_plan
    from ksched.experiments.runner import Interrupted

    started = time.monotonic()
    try:
        sweep = run_plan(plan, output, jobs=jobs)
    except Interrupted as stopped:
        console.print(str(stopped), markup=False)
        raise typer.Exit(130) from None
    result = sweep.result
    console.print(
        f"{len(result.done)} runs done in {time.monotonic() - started:.1f} s, {len(result.kept)} kept, "
        f"{len(result.failed)} failed; results are in {_short(sweep.directory)}",
        markup=False,
    )
    return sweep


def _raise_failures(sweep: Sweep) -> None:
    failed = sweep.result.failed
    if not failed:
        return
    run_id, message = next(iter(failed.items()))
    axes = next(spec.axes for spec in sweep.plan.selected if spec.run_id == run_id)
    label = " ".join(f"{axis}={value}" for axis, value in axes.items())
    raise InputError(
        f"{len(failed)} of {len(sweep.plan.selected)} runs failed; the first ({label}): {message}",
        hint=f"its traceback: {_short(sweep.directory)}/runs/{run_id}.failed/traceback.txt; "
        "the same command tries failed runs again",
    )


def _show_plan(plan: Plan, output: Path | None) -> None:
    from ksched.experiments.store import ResultStore
    from ksched.experiments.sweep import default_output

    store = ResultStore(output or default_output(plan.experiment.name))
    axes = {name: [value.name for value in axis.values] for name, axis in plan.experiment.axes.items()}
    out.print(_runs_table(axes, [(spec.run_id, spec.axes) for spec in plan.selected], store))
    states = [store.state(spec.run_id) for spec in plan.selected]
    console.print(f"{len(states)} runs, {states.count('done')} of them finished in {_short(store.root)}", markup=False)


def _runs_table(axes: Iterable[str], runs: list[tuple[str, dict[str, str]]], store: ResultStore) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("run", *axes, "state"):
        table.add_column(column)
    for run_id, values in runs:
        # An axis that makes no difference to a run has no value there.
        table.add_row(run_id, *(values.get(axis, "any") for axis in axes), store.state(run_id))
    return table


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
