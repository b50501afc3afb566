"""Do the intervals hold what they promise? Simulated experiments whose true mean is known answer it.

``python -m ksched.report.statistics.coverage`` prints two tables: how often the 95 % intervals of the mean contain the
truth, and how often the interval at the end of a sequential run does. The same seed prints the same tables.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ksched.report.statistics.intervals import Method, mean_interval, t_interval
from ksched.report.statistics.samples import Floats
from ksched.report.statistics.stopping import enough
from ksched.report.statistics.streams import generator


@dataclass(frozen=True)
class Distribution:
    """Of simulated differences: how to draw an array of a shape, their true mean and standard deviation."""

    name: str
    draw: Callable[[np.random.Generator, tuple[int, int]], Floats]
    mean: float
    sd: float


DISTRIBUTIONS = (
    Distribution("normal", lambda rng, shape: rng.normal(0.0, 1.0, shape), 0.0, 1.0),
    Distribution(
        "skewed (lognormal, sigma 1)",
        lambda rng, shape: rng.lognormal(0.0, 1.0, shape),
        math.exp(0.5),
        math.sqrt((math.e - 1) * math.e),
    ),
    Distribution("heavy tails (t, 3 df)", lambda rng, shape: rng.standard_t(3, shape), 0.0, math.sqrt(3)),
)
SIZES = (5, 10, 30, 100)
METHODS: tuple[Method, ...] = ("t", "studentised", "BCa")
LEAST = (3, 5, 10, 20)
SEED = 1
ROUNDS = 1000
RESAMPLES = 999

STOP_AT = 40
"""The sequential rule is asked for the width that this many values would give if their spread were known."""
CAP = 400


def interval_coverage(
    distribution: Distribution, n: int, method: Method, *, rounds: int = ROUNDS, seed: int = SEED
) -> tuple[float, float]:
    """(share of 95 % intervals that contain the mean, median width in true standard deviations).

    The samples depend on seed, distribution and n alone: all methods see the same ones.
    """
    name = f"{seed}/{distribution.name}/{n}"
    samples = distribution.draw(generator(name), (rounds, n))
    bounds = np.array(
        [mean_interval(d, key=f"{name}/{i}", resamples=RESAMPLES, method=method)[:2] for i, d in enumerate(samples)]
    )
    covered = (bounds[:, 0] <= distribution.mean) & (distribution.mean <= bounds[:, 1])
    return float(covered.mean()), float(np.median(bounds[:, 1] - bounds[:, 0])) / distribution.sd


def stopping_coverage(
    distribution: Distribution, least: int, *, rounds: int = ROUNDS, seed: int = SEED
) -> tuple[float, float]:
    """(share of intervals at the stop that contain the mean, mean number of values at the stop)."""
    width = 2 * 1.96 * distribution.sd / math.sqrt(STOP_AT)
    sequences = distribution.draw(generator(f"{seed}/{distribution.name}/stop"), (rounds, CAP))
    covered, lengths = 0, 0
    for sequence in sequences:
        n = next(n for n in range(least, CAP + 1) if enough(sequence[:n], width, least=least, most=CAP))
        low, high = t_interval(sequence[:n])
        covered += low <= distribution.mean <= high
        lengths += n
    return covered / rounds, lengths / rounds


def interval_table(rounds: int = ROUNDS, seed: int = SEED) -> list[str]:
    """The lines of the first table, as markdown."""
    lines = [_row("differences", "n", *(f"{method} (width)" for method in METHODS)), "|---|---:|---:|---:|---:|"]
    for distribution in DISTRIBUTIONS:
        for n in SIZES:
            cells = (interval_coverage(distribution, n, method, rounds=rounds, seed=seed) for method in METHODS)
            lines.append(_row(distribution.name, n, *(f"{100 * share:.1f} % ({width:.2f})" for share, width in cells)))
    return lines


def stopping_table(rounds: int = ROUNDS, seed: int = SEED) -> list[str]:
    """The lines of the second table, as markdown."""
    lines = [_row("differences", "minimum n", "coverage", "mean n at the stop"), "|---|---:|---:|---:|"]
    for distribution in DISTRIBUTIONS:
        for least in LEAST:
            share, length = stopping_coverage(distribution, least, rounds=rounds, seed=seed)
            lines.append(_row(distribution.name, least, f"{100 * share:.1f} %", f"{length:.1f}"))
    return lines


def _row(*cells: object) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        prog="python -m ksched.report.statistics.coverage",
        description="Measure how often 95 %% confidence intervals contain the true mean, on simulated data.",
    )
    parser.add_argument("--rounds", type=_positive, default=ROUNDS, help="simulated experiments per cell (%(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="of everything drawn (%(default)s)")
    options = parser.parse_args(arguments)
    noise = 100 * 1.96 * math.sqrt(0.95 * 0.05 / options.rounds)
    sys.stdout.write(
        f"Coverage of 95 % intervals of the mean, and their median width in true standard deviations.\n"
        f"{options.rounds} rounds per cell: an exact method lands within 95 ± {noise:.1f} %.\n\n"
    )
    for line in interval_table(options.rounds, options.seed):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    sys.stdout.write(
        "\nThe same for the t interval at the stop of a sequential run, asked after every value from the minimum n\n"
        f"on, for the width that {STOP_AT} values would give if their spread were known.\n\n"
    )
    sys.stdout.write("\n".join(stopping_table(options.rounds, options.seed)) + "\n")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text!r}")
    return int(text)


if __name__ == "__main__":
    main()
