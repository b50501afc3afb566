"""Compare the CSV files of a result directory with the published ones, cell by cell.

    python experiments/fgd-atc23/compare_published.py RESULTS PUBLISHED

RESULTS holds ``analysis_{allo,frag,frag_ratio}_discrete.csv`` as ``ksched run`` writes them, PUBLISHED the files of the
paper's artifact (``experiments/analysis/expected_results``), plain or gzipped. Runs are compared that are in both.

Deterministic policies must agree in every printed digit: the first table says how many cells do, by workload and
policy. The artifact's random policy depends on goroutines, so of its runs only the distribution can be compared: in
every column from 0 to 130 % the mean over our seeds must lie between the least and the greatest published seed. The
second table counts those columns, and beside them those whose mean lies in the 95 % t interval of the published mean.
Ours varies from sample to sample as much as theirs, so about 86 % would lie there if both drew the same ten seeds from
one distribution; neighbouring columns go together. Exit code 1 when a cell differs or a mean is out of the range.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ksched.errors import InputError
from ksched.report.load_curves import FILES, KEYS
from ksched.report.published import read, same
from ksched.report.statistics.intervals import t_interval

RANDOM = "01-Random"
HALF_DIGIT = 0.005
"""Cells are printed with two decimals, so a bound is known no better."""
SHOWN = 20

Row = Mapping[str, str]


@dataclass
class Agreement:
    """Of one deterministic policy on one workload: runs and cells that were compared, and what differs."""

    runs: int = 0
    cells: int = 0
    differing: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.cells - len(self.differing)}/{self.cells}"


@dataclass
class Sample:
    """Of the random policy on one workload, one file: how many columns have our mean inside the published interval."""

    runs: int
    published: int
    columns: int = 0
    in_range: int = 0
    in_t: int = 0
    outside: list[str] = field(default_factory=list)


def compare(results: Path, published: Path) -> dict[tuple[str, str], Agreement]:
    """Agreement of the deterministic policies by (workload, policy)."""
    found: dict[tuple[str, str], Agreement] = defaultdict(Agreement)
    for name in FILES:
        theirs = read(published, name)
        for key, row in read(results, name).items():
            if key in theirs and key[1] != RANDOM:
                found[key[0], key[1]].runs += name == FILES[0]
                _compare_cells(found[key[0], key[1]], name, row, theirs[key])
    return dict(found)


def _compare_cells(agreement: Agreement, name: str, ours: Row, theirs: Row) -> None:
    for column, published in theirs.items():
        if column in KEYS:
            continue
        agreement.cells += 1
        mine = ours[column]
        if not same(mine, published):
            agreement.differing.append(
                f"{name} {ours['workload']} {ours['sc_policy']} seed {ours['seed']} column {column}: "
                f"{mine or 'empty'}, published {published or 'empty'}"
            )


def compare_random(results: Path, published: Path) -> dict[tuple[str, str], Sample]:
    """Samples of the random policy by (workload, file). Published are all its seeds, ours those that have run."""
    found = {}
    for name in FILES:
        ours, theirs = (_random_rows(read(folder, name)) for folder in (results, published))
        for workload in ours:
            if workload in theirs:
                found[workload, name] = _compare_means(name, ours[workload], theirs[workload])
    return found


def _random_rows(rows: Mapping[tuple[str, ...], Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for key, row in rows.items():
        if key[1] == RANDOM:
            found.setdefault(key[0], []).append(row)
    return found


def _compare_means(name: str, ours: Sequence[Row], theirs: Sequence[Row]) -> Sample:
    sample = Sample(len(ours), len(theirs))
    for column in filter(str.isdecimal, theirs[0]):
        published = [float(row[column]) for row in theirs]
        mean = sum(float(row[column] or "nan") for row in ours) / len(ours)
        sample.columns += 1
        sample.in_t += _inside(mean, *t_interval(published))
        if _inside(mean, min(published), max(published)):
            sample.in_range += 1
        else:
            sample.outside.append(
                f"{name} {ours[0]['workload']} {RANDOM} column {column}: mean {mean:.4f}, "
                f"published {min(published)} to {max(published)}"
            )
    return sample


def _inside(mean: float, low: float, high: float) -> bool:
    return low - HALF_DIGIT <= mean <= high + HALF_DIGIT


def print_agreement(agreements: Mapping[tuple[str, str], Agreement]) -> None:
    """One row a workload, one column a policy: cells that agree, of all that were compared."""
    policies = sorted({policy for _, policy in agreements})
    print("cells equal" + "".join(f"{policy:>18}" for policy in ["", *policies]))
    for workload in sorted({workload for workload, _ in agreements}):
        cells = [str(agreements.get((workload, policy), "")) for policy in policies]
        print(f"{workload:29}" + "".join(f"{cell:>18}" for cell in cells))


def print_samples(samples: Mapping[tuple[str, str], Sample]) -> None:
    """One row a workload and file: columns with our mean inside, of 131."""
    print(f"\n{RANDOM:29}{'file':34}{'seeds':>6}{'published':>10}{'columns':>9}{'in range':>9}{'in 95 % t':>10}")
    for (workload, name), s in sorted(samples.items()):
        print(f"{workload:29}{name:34}{s.runs:6}{s.published:10}{s.columns:9}{s.in_range:9}{s.in_t:10}")


def main(arguments: Sequence[str]) -> int:
    """Print the tables; 1 when something disagrees or there was nothing to compare."""
    if len(arguments) != 2:
        print(__doc__)
        return 2
    results, published = map(Path, arguments)
    try:
        agreements, samples = compare(results, published), compare_random(results, published)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if agreements:
        print_agreement(agreements)
    if samples:
        print_samples(samples)
    wrong = [line for found in agreements.values() for line in found.differing]
    wrong += [line for found in samples.values() for line in found.outside]
    print(*wrong[:SHOWN], sep="\n")
    if len(wrong) > SHOWN:
        print(f"... and {len(wrong) - SHOWN} more")
    return 1 if wrong or not (agreements or samples) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
