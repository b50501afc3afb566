"""Coverage of the intervals on simulated data: within Monte Carlo error where theory is exact, honest elsewhere."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from scipy import stats

from ksched.report.statistics import coverage
from ksched.report.statistics.coverage import DISTRIBUTIONS, SIZES, interval_coverage, stopping_coverage
from ksched.report.statistics.intervals import Method
from ksched.report.statistics.streams import generator

NORMAL, SKEWED, HEAVY = DISTRIBUTIONS
DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "background" / "statistics.md"


@pytest.mark.parametrize("n", SIZES)
def test_the_t_interval_of_normal_values_covers_95_percent_within_monte_carlo_error(n: int) -> None:
    rounds = 4000
    share, width = interval_coverage(NORMAL, n, "t", rounds=rounds, seed=2)
    assert share == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / rounds))
    median_sd = math.sqrt(stats.chi2.median(n - 1) / (n - 1))
    assert width == pytest.approx(2 * stats.t.ppf(0.975, n - 1) / math.sqrt(n) * median_sd, rel=0.02)


def test_on_few_skewed_values_the_studentised_interval_covers_more_than_t_and_t_more_than_bca() -> None:
    share = {method: interval_coverage(SKEWED, 10, method, rounds=300, seed=2)[0] for method in coverage.METHODS}
    assert share["studentised"] > share["t"] + 0.02
    assert 0.87 <= share["studentised"] <= 0.97
    assert 0.80 <= share["t"] <= 0.91
    assert 0.78 <= share["BCa"] <= 0.90


@pytest.mark.parametrize(("method", "least", "most"), [("studentised", 0.92, 0.98), ("BCa", 0.90, 0.97)])
def test_bootstrap_intervals_of_many_normal_values_come_near_95_percent(
    method: Method, least: float, most: float
) -> None:
    share, _ = interval_coverage(NORMAL, 50, method, rounds=300, seed=2)
    assert least <= share <= most


def test_the_sequential_rule_loses_coverage_and_a_minimum_number_of_seeds_limits_the_loss() -> None:
    early, _ = stopping_coverage(SKEWED, 3, rounds=150, seed=2)
    late, _ = stopping_coverage(SKEWED, 20, rounds=150, seed=2)
    assert early < late
    share, n = stopping_coverage(NORMAL, 10, rounds=300, seed=2)
    assert 0.90 <= share <= 0.98
    assert n == pytest.approx(coverage.STOP_AT, rel=0.1)


def test_the_truth_of_each_distribution_is_right() -> None:
    for distribution in DISTRIBUTIONS:
        values = distribution.draw(generator("truth"), (1, 400_000))
        assert float(values.mean()) == pytest.approx(distribution.mean, abs=0.03)
        assert float(values.std()) == pytest.approx(distribution.sd, rel=0.1)


def test_the_documented_table_is_what_the_command_prints() -> None:
    """Checked on the column that is quick to compute again; the others come from the same samples."""
    rows = [line.split("|")[1:-1] for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if "|" in line]
    documented = {(row[0].strip(), row[1].strip()): row[2].strip() for row in rows if len(row) == 5}
    for distribution in DISTRIBUTIONS:
        for n in (5, 30):
            share, width = interval_coverage(distribution, n, "t")
            assert documented[distribution.name, str(n)] == f"{100 * share:.1f} % ({width:.2f})"


def test_the_command_prints_both_tables_and_twice_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    def printed() -> str:
        coverage.main(["--rounds", "2", "--seed", "5"])
        return capsys.readouterr().out

    first = printed()
    assert len(re.findall(r"^\| (?:normal|skewed|heavy)", first, re.MULTILINE)) == 12 + 12
    assert printed() == first


@pytest.mark.parametrize("rounds", ["0", "-3", "many"])
def test_a_wrong_number_of_rounds_is_one_clear_message(rounds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        coverage.main(["--rounds", rounds])
    assert stopped.value.code == 2
    assert "--rounds" in capsys.readouterr().err


def test_importing_the_statistics_loads_no_scipy() -> None:
    code = "import sys, ksched.report.statistics.coverage; print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"
