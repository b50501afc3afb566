"""``ksched init``: the quickstart and a policy to start from, as files of one's own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from ksched.errors import InputError


def init(
    directory: Annotated[Path, typer.Argument(help="Where to write it; must be new or empty.")] = Path("quickstart"),
) -> None:
    """Write the quickstart experiment and its trace, and a policy file to edit with an experiment of its own."""
    from ksched.cli.starter import FILES
    from ksched.shipped import shipped

    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError("is not an empty directory", where=str(directory), hint="name a new one")
    staging = directory.with_name(f".{directory.name}.part")
    try:
        shutil.copytree(shipped("experiments/quickstart"), staging, ignore=shutil.ignore_patterns("report", "results"))
        shutil.copytree(shipped("traces/quickstart"), staging / "trace")
        _point_at_own_trace(staging / "experiment.yaml")
        for name, content in FILES.items():
            (staging / name).write_text(content, encoding="utf-8")
        if directory.exists():
            directory.rmdir()
        staging.rename(directory)
    except OSError as error:
        shutil.rmtree(staging, ignore_errors=True)
        raise InputError(f"cannot write: {error.strerror}", where=str(directory)) from None
    typer.echo(f"wrote {directory}")
    typer.echo(f"the quickstart:   ksched compare {directory / 'experiment.yaml'}")
    typer.echo(f"your own policy:  edit {directory / 'my_policy.py'},")
    typer.echo(f"                  then ksched compare {directory / 'my_experiment.yaml'}")


def _point_at_own_trace(experiment: Path) -> None:
    """The shipped file names the trace by its place in the repository; the copy has it beside itself."""
    text = experiment.read_text(encoding="utf-8")
    experiment.write_text(text.replace("../../traces/quickstart", "trace"), encoding="utf-8")
