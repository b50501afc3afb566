"""``ksched profile``: what a KubeSchedulerConfiguration comes to once defaults are merged and points expanded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Scheduler profiles: show what a configuration file really says.", no_args_is_help=True)


@app.command()
def show(
    file: Annotated[
        Path | None, typer.Argument(help="A KubeSchedulerConfiguration; without one the default profile is shown.")
    ] = None,
) -> None:
    """Print the effective configuration: every plugin at every point, every weight and argument."""
    import yaml

    from ksched.framework import default_configuration, load_configuration

    configuration = default_configuration() if file is None else load_configuration(file)
    typer.echo(yaml.safe_dump(configuration.effective(), sort_keys=False), nl=False)
