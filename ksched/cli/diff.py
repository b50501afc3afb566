"""``ksched diff``: two recorded runs, the first decisions that differ, and what followed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ksched.cli.recorded_run import DataFolder, ExperimentFile
from ksched.errors import InputError

if TYPE_CHECKING:
    from ksched.experiments.diff import RunDiff

_OUTPUTS = ("table", "json")


def diff(
    run_a: Annotated[Path, typer.Argument(help="The folder of a run (DIR/runs/ID), or a result directory.")],
    run_b: Annotated[
        Path | None, typer.Argument(help="The folder of the other run; not with --a and --b.", show_default=False)
    ] = None,
    a: Annotated[
        list[str] | None,
        typer.Option("--a", metavar="AXIS=VALUE", help="Of a result directory, the one run; repeatable."),
    ] = None,
    b: Annotated[
        list[str] | None, typer.Option("--b", metavar="AXIS=VALUE", help="And the other; other axes agree.")
    ] = None,
    count: Annotated[int, typer.Option(min=0, help="Rebuild and show so many decisions that differ.")] = 1,
    limit: Annotated[int, typer.Option(min=1, help="List at most so many pods.")] = 10,
    experiment: ExperimentFile = None,
    data: DataFolder = None,
    output: Annotated[str, typer.Option("-o", "--output", metavar="|".join(_OUTPUTS))] = "table",
) -> None:
    """Say where two runs of one workload part, what both policies saw and scored there, and which pods it changed."""
    from ksched.experiments.diff import diff as compare_runs

    if output not in _OUTPUTS:
        raise InputError(f"unknown output {output!r}", where="--output", hint=f"write {' or '.join(_OUTPUTS)}")
    if (run_b is None) == (not a or not b):
        raise InputError(
            "give two folders of runs, or one result directory with --a and --b",
            where="ksched diff",
            hint="for example: ksched diff results/quickstart --a policy=default --b policy=free-memory",
        )
    if run_b is not None:
        found = compare_runs(run_a, run_b, count=count, experiment=experiment, data=data)
    else:
        sides = [_axes(side or []) for side in (a, b)]
        found = compare_runs(*sides, results=run_a, count=count, experiment=experiment, data=data)
    _print(found, output, limit)


def _axes(given: list[str]) -> dict[str, str]:
    axes = {}
    for text in given:
        axis, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"{text!r} is not of the form axis=value", where="--a/--b")
        axes[axis] = value
    return axes


def _print(found: RunDiff, output: str, limit: int) -> None:
    if output == "json":
        typer.echo(json.dumps(found.to_json(), indent=2))
        return
    from ksched.cli.diff_text import print_diff

    print_diff(found, limit=limit)
