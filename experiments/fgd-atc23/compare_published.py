"""Compare the CSV files of a result directory with the published ones, cell by cell.

    python experiments/fgd-atc23/compare_published.py RESULTS PUBLISHED

RESULTS holds ``analysis_{allo,frag,frag_ratio}_discrete.csv`` as ``ksched run`` writes them, PUBLISHED the files of the
paper's artifact (``experiments/analysis/expected_results``), plain or gzipped. Deterministic policies must agree in
every printed digit. The artifact's random policy depends on goroutines; its runs must lie within the interval that the
published seeds span. Prints a table; exit code 1 when something disagrees.
"""

from __future__ import annotations

import csv
import gzip
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

FILES = tuple(f"analysis_{name}_discrete.csv" for name in ("allo", "frag", "frag_ratio"))
KEYS = ("workload", "sc_policy", "tune", "seed")
RANDOM = "01-Random"
LAST_DIGITS = 1e-12
"""Ratios are printed unrounded, so the order in which a mean is summed shows in their last digits."""
SPREAD = 4.0
"""Standard deviations of the published seeds within which the mean over ours must lie, for the random policy."""

Row = dict[str, str]
Key = tuple[str, ...]


@dataclass
class Agreement:
    """Of one policy on one workload: how many runs were compared, how many cells of them, and which differ."""

    runs: int = 0
    cells: int = 0
    identical: int = 0
    differing: list[str] = field(default_factory=list)


def read(folder: Path, name: str) -> dict[Key, Row]:
    """The rows of a CSV file, plain or gzipped, by (workload, policy, tune, seed)."""
    plain = folder / name
    if plain.is_file():
        with plain.open(newline="") as file:
            rows = list(csv.DictReader(file))
    else:
        with gzip.open(folder / f"{name}.gz", "rt", newline="") as file:
            rows = list(csv.DictReader(file))
    return {tuple(row[key] for key in KEYS): row for row in rows}


def compare(results: Path, published: Path) -> dict[tuple[str, str], Agreement]:
    """Agreement by (workload, policy), for the runs that are in both folders."""
    found: dict[tuple[str, str], Agreement] = defaultdict(Agreement)
    for name in FILES:
        ours, theirs = read(results, name), read(published, name)
        common = [key for key in ours if key in theirs]
        for key in common:
            if key[1] != RANDOM:
                _compare_cells(found[key[0], key[1]], name, ours[key], theirs[key])
        for workload in dict.fromkeys(key[0] for key in common if key[1] == RANDOM):
            mine = [ours[key] for key in common if key[:2] == (workload, RANDOM)]
            all_published = [row for key, row in theirs.items() if key[:2] == (workload, RANDOM)]
            _compare_means(found[workload, RANDOM], name, mine, all_published)
        for key in common:
            found[key[0], key[1]].runs += name == FILES[0]
    return dict(found)


def _columns(row: Row) -> Iterable[str]:
    return (column for column in row if column not in KEYS)


def _compare_cells(agreement: Agreement, name: str, ours: Row, theirs: Row) -> None:
    for column in _columns(theirs):
        agreement.cells += 1
        mine, published = ours[column], theirs[column]
        agreement.identical += mine == published
        if not math.isclose(float(mine), float(published), rel_tol=LAST_DIGITS, abs_tol=0.0):
            agreement.differing.append(f"{name} seed {ours['seed']} column {column}: {mine}, published {published}")


def _compare_means(agreement: Agreement, name: str, ours: Sequence[Row], theirs: Sequence[Row]) -> None:
    for column in _columns(theirs[0]):
        agreement.cells += 1
        published = [float(row[column]) for row in theirs]
        mean = sum(published) / len(published)
        spread = math.sqrt(sum((value - mean) ** 2 for value in published) / max(len(published) - 1, 1))
        # The difference of two means varies with both sample sizes; 0.01 is the last printed digit.
        limit = SPREAD * spread * math.sqrt(1 / len(ours) + 1 / len(theirs)) + 0.01
        mine = sum(float(row[column]) for row in ours) / len(ours)
        if abs(mine - mean) > limit:
            agreement.differing.append(f"{name} column {column}: mean {mine:.4f}, published {mean:.4f} +- {limit:.4f}")


def main(arguments: Sequence[str]) -> int:
    """Print the table; 1 when something disagrees or there was nothing to compare."""
    if len(arguments) != 2:
        print(__doc__)
        return 2
    agreements = compare(Path(arguments[0]), Path(arguments[1]))
    print(f"{'workload':28}{'policy':18}{'runs':>5}{'cells':>8}{'same text':>11}{'differ':>8}")
    for (workload, policy), found in sorted(agreements.items()):
        text = "-" if policy == RANDOM else str(found.identical)
        print(f"{workload:28}{policy:18}{found.runs:5}{found.cells:8}{text:>11}{len(found.differing):8}")
    differing = [line for found in agreements.values() for line in found.differing]
    print("\n".join(differing[:20]))
    return 1 if differing or not agreements else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
