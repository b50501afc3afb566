"""Load curves that were published, compared with ours: ``ksched report DIR --published FOLDER``.

FOLDER holds the files of the export ``load-curves`` under their names, plain or gzipped. Runs are the same where
workload, policy, tuning ratio and seed are; cells are compared as they are printed.
"""

from __future__ import annotations

import csv
import gzip
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import pandas as pd

from ksched.errors import InputError
from ksched.report.comparison import Comparison
from ksched.report.load_curves import FILES, KEYS, LAST_PERCENT, cells, curves_of, key
from ksched.report.series import runs_of

PERCENTS = tuple(map(str, range(LAST_PERCENT + 1)))
LAST_DIGITS = 1e-12
"""Ratios are printed unrounded, so the order in which a mean is summed shows in their last digits."""

Rows = dict[tuple[str, ...], dict[str, str]]
"""The rows of a file by :data:`~ksched.report.load_curves.KEYS`: column -> cell."""


class Published(NamedTuple):
    """Our runs beside the published ones, of those that are both.

    ``means``: columns workload, policy, file, percent and the means ``ours`` and ``published`` over runs (NaN where
    demand never was near). ``agreement``: columns workload, policy, file, runs, cells, equal (cells the same as
    printed), one_sided (cells that are empty here or there, but not in both), largest (greatest absolute difference
    of two cells that are not empty; NaN where there is none). ``only_ours``: policy -> our runs that were not
    published. ``only_published``: how many published runs are not ours.
    """

    means: pd.DataFrame
    agreement: pd.DataFrame
    only_ours: Mapping[str, int]
    only_published: int

    def sentence(self, workload: str | None = None) -> str:
        """How many cells agree, by policy, on one workload or on all."""
        found = self.agreement if workload is None else self.agreement[self.agreement["workload"] == workload]
        whole, parts = [], []
        for policy, rows in found.groupby("policy"):
            equal, compared = int(rows["equal"].sum()), int(rows["cells"].sum())
            if equal == compared:
                whole.append(str(policy))
            else:
                parts.append(f"{policy} {equal:,} of {compared:,} ({_off(rows)})")
        said = [f"all of {', '.join(whole)}"] if whole else []
        compared, runs = int(found["cells"].sum()), int(found.loc[found["file"] == FILES[0], "runs"].sum())
        return f"Cells equal as printed, of {compared:,} in the {runs:,} runs published: {'; '.join([*said, *parts])}."

    def left_out(self) -> str:
        """Which runs only one side has; empty where both have the same."""
        said = []
        if self.only_ours:
            by_policy = ", ".join(f"{runs:,} of {policy}" for policy, runs in self.only_ours.items())
            said.append(f"Not published: {by_policy}.")
        if self.only_published:
            said.append(f"Published but not in these results: {self.only_published:,} runs.")
        return " ".join(said)


def compare_with(comparison: Comparison, folder: Path) -> Published:
    """Compare. InputError where a file cannot be used, the runs have no load curves, or no run was published."""
    theirs = {file: read(folder, file, PERCENTS) for file in FILES}
    means: list[dict[str, Any]] = []
    agreement: list[dict[str, Any]] = []
    only_ours: Counter[str] = Counter()
    everywhere = set.intersection(*map(set, theirs.values()))
    compared = 0
    for workload in comparison.workloads:
        for policy, runs in runs_of(comparison, workload).items():
            both = [run for run in runs if key(run) in everywhere]
            compared += len(both)
            if len(both) < len(runs):
                only_ours[policy] += len(runs) - len(both)
            curves = [curves_of(run) for run in both]
            for number, file in enumerate(FILES if both else ()):
                ours = pd.DataFrame([cells(of_run[number]) for of_run in curves], columns=PERCENTS)
                published = pd.DataFrame([theirs[file][key(run)] for run in both])[list(PERCENTS)]
                where = {"workload": workload, "policy": policy, "file": file}
                agreement.append({**where, "runs": len(both), **_agreement(ours, published)})
                for percent, mine, their in zip(PERCENTS, _means(ours), _means(published), strict=True):
                    means.append({**where, "percent": int(percent), "ours": mine, "published": their})
    if not agreement:
        raise InputError(
            "none of these runs is in the results",
            where=str(folder),
            hint=f"the columns {', '.join(KEYS)} say which runs are the same",
        )
    return Published(pd.DataFrame(means), pd.DataFrame(agreement), only_ours, len(everywhere) - compared)


def _agreement(ours: pd.DataFrame, published: pd.DataFrame) -> dict[str, Any]:
    pairs = list(zip(ours.to_numpy().ravel().tolist(), published.to_numpy().ravel().tolist(), strict=True))
    off = [abs(float(mine) - float(their)) for mine, their in pairs if mine and their]
    return {
        "cells": len(pairs),
        "equal": sum(same(mine, their) for mine, their in pairs),
        "one_sided": sum((mine == "") != (their == "") for mine, their in pairs),
        "largest": max(off, default=math.nan),
    }


def _off(rows: pd.DataFrame) -> str:
    """In what the cells of these rows differ."""
    largest, one_sided = float(rows["largest"].max()), int(rows["one_sided"].sum())
    said = [f"largest difference {largest:.4g}"] if largest > 0 else []
    return ", ".join([*said, f"{one_sided:,} empty on one side only"] if one_sided else said)


def _means(printed: pd.DataFrame) -> list[float]:
    return [float(mean) for mean in printed.replace("", "nan").astype(float).mean()]


def same(mine: str, published: str) -> bool:
    """Whether two cells are the same as printed."""
    if mine == published:
        return True
    return bool(mine and published) and math.isclose(float(mine), float(published), rel_tol=LAST_DIGITS, abs_tol=0.0)


def read(folder: Path, file: str, percents: Sequence[str] = ()) -> Rows:
    """The rows of a file, plain or gzipped, which must have the columns ``percents`` and may have more.

    InputError with file and line where something is not as it should be.
    """
    path = next((path for path in (folder / file, folder / f"{file}.gz") if path.is_file()), None)
    if path is None:
        raise InputError(
            f"there is no {file}, plain or gzipped",
            where=str(folder),
            hint="`ksched run` writes it where the experiment says 'exports: [load-curves]'",
        )
    try:
        with _opened(path) as text:
            found = _by_run(_rows(text, path, percents))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read this file: {error}", where=str(path), hint="is it whole?") from error
    if not found:
        raise InputError("the file has no rows", where=str(path), hint="no run is finished yet")
    return found


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", newline="", encoding="utf-8")
    return path.open(newline="", encoding="utf-8")


def _by_run(rows: Iterable[tuple[str, dict[str, str]]]) -> Rows:
    found: Rows = {}
    for where, row in rows:
        run = tuple(row[name] for name in KEYS)
        if run in found:
            raise InputError(
                f"the run {', '.join(run)} is in this file twice",
                where=where,
                hint="leave one line a run: which of them counts cannot be told",
            )
        found[run] = row
    return found


def _rows(text: IO[str], path: Path, percents: Sequence[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Every row with its place."""
    reader = csv.DictReader(text, strict=True)
    missing = [name for name in (*KEYS, *percents) if name not in (reader.fieldnames or ())]
    if missing:
        raise InputError(
            f"the column {missing[0]!r} is missing",
            where=f"{path}:1",
            hint=f"expected are {', '.join(KEYS)} and the percents from 0 to {LAST_PERCENT}",
        )
    for row in reader:
        where = f"{path}:{reader.line_num}"
        _check(row, where)
        yield where, row


def _check(row: Mapping[str | None, Any], where: str) -> None:
    if None in row or None in row.values():
        raise InputError("this line has not as many cells as the first", where=where, hint="is the file whole?")
    for percent in filter(str.isdecimal, map(str, row)):
        if row[percent] and not _is_finite(row[percent]):
            raise InputError(f"column {percent}: {row[percent]!r} is not a finite number", where=where)


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
