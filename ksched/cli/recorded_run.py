"""Options of the commands that rebuild a recorded run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ExperimentFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The experiment file of the results, if it was moved.")
]
DataFolder = Annotated[
    Path | None, typer.Option(envvar="KSCHED_DATA", help="Folder of traces that do not ship with ksched.")
]
