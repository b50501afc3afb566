"""Why two runs are not the same run: what their identities are made of, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ksched.errors import InputError
from ksched.report.runs import ListedRun, list_runs
from ksched.result_directory import FAILED, read_json

_PARTS = ("config", "trace", "plugins", "ksched", "seed", "schema_version")
"""What a run's id is the hash of, as run.json has it."""
ABSENT = "(absent)"


def run_differences(one: Path | str, other: Path | str) -> pd.DataFrame:
    """What differs between the identities of two runs: columns ``what`` (a dotted path below configuration, trace,
    plugin sources, ksched or seed), ``one``, ``other``. Empty for the same run.

    A run is named by its folder (``DIR/runs/ID``), by ``DIR/ID`` where a unique beginning of the id is enough, or by
    ``DIR/axis=value,axis=value``. InputError when that is no run, or several.
    """
    first, second = (dict(_identity(_facts_of(str(run)))) for run in (one, other))
    rows = [
        (key, first.get(key, ABSENT), second.get(key, ABSENT))
        for key in {**first, **second}
        if first.get(key, ABSENT) != second.get(key, ABSENT)
    ]
    return pd.DataFrame(rows, columns=["what", "one", "other"])


def _identity(facts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for part in _PARTS:
        if part in facts:
            yield from _flat(facts[part], part)


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every plain value with its dotted path; entries of a list go by their name if they have one."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "name" and len(value) > 1 and path.endswith(f"[{inner}]"):
                continue  # the path says it
            yield from _flat(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _flat(inner, f"{path}[{_label(inner, position)}]")
    else:
        yield path, value


def _label(entry: Any, position: int) -> Any:
    if isinstance(entry, Mapping):
        return entry.get("name", entry.get("schedulerName", position))
    return position


def _facts_of(reference: str) -> dict[str, Any]:
    facts = read_json(Path(reference) / "run.json")
    return facts or dict(_find(reference).facts)


def _find(reference: str) -> ListedRun:
    directory, _, which = reference.rstrip("/").rpartition("/")
    listing = list_runs(directory or ".")
    if "=" in which:
        found = [run for run in listing.select(which.split(",")).runs if run.status in ("done", "failed")]
    else:
        found = [run for run in listing.runs if run.facts and run.run_id.startswith(which.removesuffix(FAILED))]
    if len(found) == 1:
        return found[0]
    raise InputError(
        f"{len(found)} runs match" if found else "no run matches",
        where=reference,
        hint="name one run: DIR/ID, or DIR/axis=value,axis=value; `ksched results DIR` lists them",
    )
