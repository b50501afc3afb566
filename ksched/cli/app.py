"""The typer application: commands are registered here and live in their own modules."""

from __future__ import annotations

import warnings
from typing import Annotated

import typer

from ksched import __version__
from ksched.cli import conformance, diff, explain, init, plugins, profile, report, results, run, traces

app = typer.Typer(
    name="ksched",
    help="Scheduler research for Kubernetes: write a policy, replay a trace, compare.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ksched {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    warnings.showwarning = _one_line_warning


def _one_line_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: object = None,
) -> None:
    """Warnings about a user's file are for the user: no source line of ours with them."""
    from ksched.objects import UnknownFieldWarning  # here, because it takes longer to import than --help should

    if issubclass(category, UnknownFieldWarning):
        typer.echo(f"warning: {message}", err=True)
    else:
        typer.echo(f"{filename}:{lineno}: {category.__name__}: {message}", err=True)


app.command("run")(run.run)
app.command()(report.report)
app.command("compare")(run.compare)
app.command()(explain.explain)
app.command()(diff.diff)
app.command()(conformance.conformance)
app.command()(init.init)
app.add_typer(traces.app, name="traces")
app.add_typer(plugins.app, name="plugins")
app.add_typer(profile.app, name="profile")
app.add_typer(results.app, name="results")
