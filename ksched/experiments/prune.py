"""What of a result directory can go: runs the plan does not need, records of failures, leftovers of dead processes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ksched.errors import InputError
from ksched.experiments.dataset import update_dataset
from ksched.experiments.store import Claimed, ResultStore, writing

Kind = Literal["stale", "failed", "partial"]
KINDS: tuple[Kind, ...] = ("stale", "failed", "partial")
_OLD_S = 60.0
"""A leftover younger than this may be in use."""


def known_kinds(names: Iterable[str]) -> tuple[Kind, ...]:
    """The kinds a user named; all for none. InputError for one that does not exist."""
    chosen = set(names)
    for name in sorted(chosen.difference(KINDS)):
        raise InputError(
            f"there is nothing called {name!r} to prune", where="--what", hint=f"one of: {', '.join(KINDS)}"
        )
    return tuple(kind for kind in KINDS if not chosen or kind in chosen)


@dataclass(frozen=True)
class Prunable:
    """Something that can go: of a run ``run_id`` ("stale", "failed"), or a leftover of a process that died."""

    kind: Kind
    path: Path
    run_id: str
    bytes: int


def find_prunable(store: ResultStore, kinds: tuple[Kind, ...] = KINDS) -> list[Prunable]:
    """What :func:`prune` would remove.

    Raises InputError when the plan does not know the whole grid: then it cannot tell which finished runs are needed.
    """
    plan = store.plan()
    if not plan:
        raise InputError("this is no result directory: it has no plan.json", where=str(store.root))
    planned = {run["run_id"] for run in plan["runs"]}
    if "stale" in kinds and plan.get("unresolved"):
        raise InputError(
            f"the plan here leaves out {plan['unresolved']} cells that could not be planned when it was made, so "
            "finished runs of theirs would count as not needed",
            where=str(store.root),
            hint="run the experiment where all its traces are, or prune only failed runs and leftovers",
        )
    found = []
    for run_id in store.run_ids():
        if store.run_folder(run_id).is_dir() and run_id not in planned and "stale" in kinds:
            found.append(_prunable("stale", store.run_folder(run_id), run_id))
        if store.failed_folder(run_id).is_dir() and "failed" in kinds:
            found.append(_prunable("failed", store.failed_folder(run_id), run_id))
    if "partial" in kinds:
        found += [_prunable("partial", path, "") for path in _old(store.partial)]
    return found


def prune(store: ResultStore, found: list[Prunable]) -> list[Prunable]:
    """Remove what was found; a run that somebody is working on stays. Returns what was removed."""
    removed = []
    for item in found:
        try:
            if item.run_id:
                with store.claim(item.run_id):
                    _remove(store, item.path)
                if item.kind == "stale":
                    _remove(store, store.timing_file(item.run_id))
            else:
                _remove(store, item.path)
        except Claimed:
            continue
        removed.append(item)
    update_dataset(store)
    return removed


def _remove(store: ResultStore, path: Path) -> None:
    with writing(store.root):
        if path.is_dir():
            # Out of sight by one rename first: whatever stops us, no half of a run stays behind under its name.
            doomed = store.partial_path(path.name)
            path.rename(doomed)
            shutil.rmtree(doomed)
        else:
            path.unlink(missing_ok=True)


def _old(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(p for p in folder.iterdir() if time.time() - p.stat().st_mtime > _OLD_S)


def _prunable(kind: Kind, path: Path, run_id: str) -> Prunable:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return Prunable(kind, path, run_id, sum(file.stat().st_size for file in files))
