"""Where things are in a result directory, and which of its runs are whole. Reading only; needs no other part of ksched.

::

    DIR/experiment.yaml  plan.json                  the experiment as last started: axes, cells, each cell's run
    DIR/runs/<run_id>/{run.json, *.parquet}         a finished run
    DIR/runs/<run_id>.failed/{run.json, traceback.txt}
    DIR/timing/<run_id>.json                        wall clock; no part of identity or of byte comparisons
    DIR/locks/<run_id>                              claims; the kernel drops the lock of a process that dies
    DIR/partial/                                    what is being written; what a dead process left means nothing
    DIR/tables/                                     all runs as one partitioned Parquet data set (links into runs/)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

SCHEMA_VERSION = 1
"""Version of the result tables and of run.json. A change of a column's name, type or meaning raises it."""

TABLES = ("pods", "nodes", "decisions", "samples", "events", "fragmentation")
"""``fragmentation`` is there only where the experiment asked for it."""
EXPORTS = ("load-curves",)
"""Files an experiment may ask for beside its results (ksched.report.exports)."""
RUN_COLUMNS = (
    "run_id",
    "status",
    "n_pods",
    "n_decisions",
    "t_end_s",
    "wall_s",
    "cpu_s",
    "max_rss_mib",
    "error",
)
"""Columns beside the axes wherever runs are listed: no axis may be called so."""
FAILED = ".failed"
State = Literal["done", "failed", "missing"]


class ResultDirectory:
    """A directory of results. Holds nothing but the path; every method goes to the file system."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @property
    def runs(self) -> Path:
        """The folder of all runs."""
        return self.root / "runs"

    @property
    def partial(self) -> Path:
        """The folder of what is being written."""
        return self.root / "partial"

    @property
    def tables(self) -> Path:
        """The folder of the data set that spans all runs."""
        return self.root / "tables"

    def run_folder(self, run_id: str) -> Path:
        """Where a finished run is, or will be."""
        return self.runs / run_id

    def failed_folder(self, run_id: str) -> Path:
        """Where the record of a failed run is."""
        return self.runs / f"{run_id}{FAILED}"

    def timing_file(self, run_id: str) -> Path:
        """Where a run's wall-clock figures are."""
        return self.root / "timing" / f"{run_id}.json"

    def lock_file(self, run_id: str) -> Path:
        """The file whose lock is the claim to a run."""
        return self.root / "locks" / run_id

    def plan(self) -> dict[str, Any]:
        """plan.json; {} when there is none."""
        return read_json(self.root / "plan.json")

    def state(self, run_id: str) -> State:
        """Whether the run is finished and whole, failed, or neither."""
        folder = self.run_folder(run_id)
        files = read_json(folder / "run.json").get("files", {})
        # A power cut may leave a renamed folder with empty files; such a run is simply computed again.
        if files and all(_size(folder / name) == entry["bytes"] for name, entry in files.items()):
            return "done"
        return "failed" if self.failed_folder(run_id).is_dir() else "missing"

    def facts(self, run_id: str) -> dict[str, Any]:
        """run.json of a finished or failed run; {} when there is none."""
        return read_json(self.run_folder(run_id) / "run.json") or read_json(self.failed_folder(run_id) / "run.json")

    def timing(self, run_id: str) -> dict[str, Any]:
        """Wall-clock figures of a run; {} when there are none."""
        return read_json(self.timing_file(run_id))

    def run_ids(self) -> Iterator[str]:
        """Every run that has a folder here, finished or failed, in the order of ids."""
        if self.runs.is_dir():
            yield from sorted({path.name.removesuffix(FAILED) for path in self.runs.iterdir()})


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; {} when it is absent or torn."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
