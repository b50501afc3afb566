"""Where the time of recorded runs went, per plugin, from the wall-clock figures beside the results."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ksched.axis_columns import axis_columns
from ksched.errors import InputError
from ksched.experiments.reopen import cells_of, open_directory

BY = ["profile", "plugin", "point"]
_SUMS = ["calls", "seconds", "rows", "rows_needed", "rows_computed"]


def timing(results: Path | str) -> pd.DataFrame:
    """Time per run, plugin and extension point of runs made with ``ksched run --profile-plugins``.

    One row each: the run's axes and ``run_id``; ``profile``, ``plugin``, ``point``; ``calls``; wall-clock ``seconds``
    without what other plugins took inside; ``rows`` of nodes it was asked about. Where results are cached (node-local
    Filter and Score): ``rows_needed`` by decisions, ``rows_computed``, and ``reused``, the share that was not computed
    again, else null. InputError if no run has such figures.
    """
    directory, only = open_directory(Path(results))
    frames = []
    seen = set()
    for cell in cells_of(directory):
        rows = directory.timing(cell.run_id).get("plugins")
        if not rows or cell.run_id in seen or only not in (None, cell.run_id):
            continue
        seen.add(cell.run_id)
        frame = pd.DataFrame(rows)
        names = axis_columns(cell.axes, [*frame.columns, "run_id"])
        labels = {names[axis]: value for axis, value in cell.axes.items()} | {"run_id": cell.run_id}
        for position, (name, value) in enumerate(labels.items()):
            frame.insert(position, name, value)
        frames.append(frame)
    if not frames:
        raise InputError(
            "no run here was timed plugin by plugin",
            where=str(directory.root),
            hint="ksched run EXPERIMENT -o A_NEW_DIR --profile-plugins; finished runs are kept, not timed",
        )
    return pd.concat(frames, ignore_index=True)


def per_plugin(times: pd.DataFrame) -> pd.DataFrame:
    """A table of :func:`timing` summed over runs, most time first."""
    table = times.groupby(BY, as_index=False, sort=True)[_SUMS].sum()
    reused = 1 - table["rows_computed"] / table["rows_needed"].where(table["rows_needed"] > 0)
    table["reused"] = reused.clip(lower=0)
    return table.sort_values("seconds", ascending=False, kind="stable", ignore_index=True)
