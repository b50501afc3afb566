"""Writing a result directory (ksched.result_directory says what is where): a run is committed by one atomic rename.

Several processes, of one invocation or of many, may work on a directory at once: a run is written under a temporary
name by whoever holds its lock, and appears under its own name complete or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ksched.errors import InputError
from ksched.experiments.identity import sha256
from ksched.result_directory import SCHEMA_VERSION, ResultDirectory, read_json

try:
    import fcntl
except ImportError:  # Windows: no claims, the atomic rename alone keeps results whole
    fcntl = None  # type: ignore[assignment]


class Claimed(Exception):
    """Another live process is working on this run."""


class ResultStore(ResultDirectory):
    """A result directory opened for writing. Cheap to pickle."""

    @classmethod
    def create(cls, root: Path, *, experiment: str, plan: Mapping[str, Any], source: str) -> ResultStore:
        """Make or reopen the directory for ``experiment`` and write its plan and its experiment file.

        Raises InputError when it belongs to another experiment or an older schema, or cannot be written.
        """
        store = cls(root)
        store._check_owner(experiment)
        with writing(root):
            for folder in ("runs", "timing", "locks", "partial"):
                (store.root / folder).mkdir(parents=True, exist_ok=True)
            store.write(store.root / "experiment.yaml", source.encode())
            store.write(store.root / "plan.json", pretty_json(plan))
        return store

    def _check_owner(self, experiment: str) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise InputError("this is not a directory", where=str(self.root), hint="choose another with -o DIR")
        plan_file = self.root / "plan.json"
        if not plan_file.exists():
            if self.root.is_dir() and any(self.root.iterdir()) and not (self.root / "runs").is_dir():
                raise InputError(
                    "this directory holds other files and no results",
                    where=str(self.root),
                    hint="choose an empty or a new directory with -o DIR",
                )
            return
        plan = read_json(plan_file)
        if plan.get("experiment") != experiment:
            raise InputError(
                f"this directory holds results of the experiment {plan.get('experiment')!r}, not of {experiment!r}",
                where=str(self.root),
                hint="choose another directory with -o DIR",
            )
        if plan.get("schema_version") != SCHEMA_VERSION:
            raise InputError(
                f"these results have schema version {plan.get('schema_version')}, this ksched writes {SCHEMA_VERSION}",
                where=str(self.root),
                hint="choose another directory with -o DIR, or read them with the ksched that wrote them",
            )

    @contextmanager
    def claim(self, run_id: str) -> Iterator[None]:
        """Hold the run's lock; raises Claimed when another live process has it. Leftovers of dead ones are removed."""
        with writing(self.root):
            handle = os.open(self.lock_file(run_id), os.O_CREAT | os.O_RDWR, 0o666)
        try:
            if _lock(handle):
                for leftover in self.partial.glob(f"{run_id}.*"):
                    shutil.rmtree(leftover, ignore_errors=True)
            yield
        finally:
            os.close(handle)

    def commit(self, run_id: str, facts: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> None:
        """Write a finished run; ``facts`` is run.json without the sizes and hashes, which are added here."""
        folder = self._temporary(run_id)
        with writing(self.root, folder):
            files = {}
            for name in sorted(tables):
                write_table(folder / f"{name}.parquet", tables[name])
                data = (folder / f"{name}.parquet").read_bytes()
                files[f"{name}.parquet"] = {"bytes": len(data), "sha256": sha256(data)}
            (folder / "run.json").write_bytes(pretty_json({**facts, "files": files}))
            self._publish(folder, self.run_folder(run_id))
        shutil.rmtree(self.failed_folder(run_id), ignore_errors=True)

    def commit_failure(self, run_id: str, facts: Mapping[str, Any], traceback: str) -> None:
        """Record that the run failed; it is tried again by the next invocation."""
        folder = self._temporary(run_id)
        with writing(self.root, folder):
            (folder / "run.json").write_bytes(pretty_json(facts))
            (folder / "traceback.txt").write_text(traceback, encoding="utf-8")
            self._publish(folder, self.failed_folder(run_id))

    def relabel(self, run_id: str, axes: Mapping[str, str]) -> None:
        """Give a kept run the axis values it has in today's experiment file, where names may have changed."""
        path = self.run_folder(run_id) / "run.json"
        facts = read_json(path)
        if facts.get("axes") != dict(axes):
            self.write(path, pretty_json({**facts, "axes": dict(axes)}))

    def write_timing(self, run_id: str, timing: Mapping[str, Any]) -> None:
        """Wall-clock figures of one run, beside the results."""
        self.write(self.timing_file(run_id), pretty_json(timing))

    def write(self, path: Path, data: bytes) -> None:
        """Replace a file of this directory in one step, so that a reader sees the old content or the new."""
        temporary = self.partial_path(path.name)
        with writing(self.root, temporary):
            temporary.write_bytes(data)
            os.replace(temporary, path)

    def partial_path(self, name: str) -> Path:
        """A place to write something before it gets its name; no other process has the same."""
        return self.partial / f"{name}.{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}"

    def _temporary(self, run_id: str) -> Path:
        folder = self.partial_path(run_id)
        with writing(self.root):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        return folder

    def _publish(self, folder: Path, target: Path) -> None:
        if target.exists():  # an earlier failure, or a run that was not whole
            shutil.rmtree(target)
        os.rename(folder, target)


def write_table(path: Path, table: pa.Table) -> None:
    """Write Parquet whose bytes depend on the table's content alone: fixed options, no metadata, no threads.

    A dictionary is written for columns that have one. Most texts of the others are of one pod each, and where they are
    not the compression sees to it.
    """
    low_cardinality = [f.name for f in table.schema if pa.types.is_dictionary(f.type)]
    pq.write_table(
        table.replace_schema_metadata(None).combine_chunks(),
        path,
        version="2.6",
        compression="zstd",
        compression_level=3,
        use_dictionary=low_cardinality,
        row_group_size=1 << 20,
        data_page_version="1.0",
        write_statistics=True,
    )


def pretty_json(value: Mapping[str, Any]) -> bytes:
    """JSON for people and for byte comparison: indented, UTF-8, one newline at the end."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


@contextmanager
def writing(root: Path, temporary: Path | None = None) -> Iterator[None]:
    """Turn "permission denied" and "no space left" into one message, and leave nothing half-written."""
    try:
        yield
    except OSError as error:
        if temporary is not None:
            _remove(temporary)
        raise InputError(
            f"cannot write results: {error.strerror or error}",
            where=str(error.filename or root),
            hint="choose a writable directory with -o DIR; finished runs are whole and will be kept",
        ) from error


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _lock(handle: int) -> bool:
    """Whether the lock is ours; False where there are no locks, Claimed when somebody else has it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Claimed from error
    except OSError:
        # A file system without locks: two processes may compute the same run twice, and write the same bytes.
        return False
    return True
