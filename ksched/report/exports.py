"""Files that ``ksched run`` writes beside the results where the experiment file asks for them (``exports: [...]``)."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path

from ksched.errors import InputError

EXPORTS = {"load-curves": "ksched.report.load_curves"}
"""Name -> module with ``export(results)``, which returns file name -> content."""


def write_exports(directory: Path | str) -> list[Path]:
    """Write what the experiment in a result directory asks for, from the runs that are finished; returns the files.

    Each file appears whole and replaces an older one. InputError when the runs lack what it needs.
    """
    from ksched.report.opening import open_results

    results = open_results(directory)
    written = []
    for name in results.experiment.get("exports") or ():
        files: Mapping[str, bytes] = importlib.import_module(EXPORTS[name]).export(results)
        written += [_written(Path(directory) / file, content) for file, content in files.items()]
    return written


def _written(path: Path, content: bytes) -> Path:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_bytes(content)
        os.replace(fresh, path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise InputError(f"cannot write this file: {error.strerror or error}", where=str(path)) from error
    return path
