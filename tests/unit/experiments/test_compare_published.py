"""experiments/fgd-atc23/compare_published.py: what counts as equal, and when a random policy's mean is inside."""

from __future__ import annotations

import csv
import runpy
from collections.abc import Mapping
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "experiments" / "fgd-atc23" / "compare_published.py"
script = runpy.run_path(str(SCRIPT), run_name="compare_published")
Cells = Mapping[tuple[str, int], tuple[str, str]]
PUBLISHED: Cells = {
    ("06-FGD", 42): ("0.1", "33.333333333333336"),
    ("01-Random", 42): ("1.00", "10"),
    ("01-Random", 43): ("1.10", "20"),
    ("01-Random", 44): ("1.20", "60"),
}


def write(folder: Path, rows: Cells) -> Path:
    folder.mkdir()
    for name in script["FILES"]:
        with (folder / name).open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow([*script["KEYS"], "0", "1"])
            table.writerows(["w", policy, "1.3", seed, *cells] for (policy, seed), cells in rows.items())
    return folder


def judged(tmp_path: Path, ours: Cells) -> int:
    return script["main"]([str(write(tmp_path / "ours", ours)), str(write(tmp_path / "published", PUBLISHED))])


def test_the_last_digit_of_an_unrounded_mean_may_differ_and_nothing_else(tmp_path, capsys):
    assert judged(tmp_path, {("06-FGD", 42): ("0.1", "33.33333333333333")}) == 0
    assert "6/6" in capsys.readouterr().out


def test_a_differing_cell_is_named(tmp_path, capsys):
    assert judged(tmp_path, {("06-FGD", 42): ("0.2", "33.333333333333336")}) == 1
    out = capsys.readouterr().out
    assert "3/6" in out
    assert "w 06-FGD seed 42 column 0: 0.2, published 0.1" in out


@pytest.mark.parametrize(
    ("second", "in_range", "in_t"),
    [("30", 2, 2), ("59", 2, 2), ("61", 1, 2), ("100", 1, 1), ("", 1, 1)],
)
def test_the_mean_of_a_random_policy_is_held_against_range_and_t_interval(second, in_range, in_t, tmp_path):
    # Of 10, 20 and 60 the mean is 30 and its 95 % t interval reaches from -35.7 to 95.7.
    ours = write(tmp_path / "ours", {("01-Random", 50): ("1.10", second)})
    found = script["compare_random"](ours, write(tmp_path / "published", PUBLISHED))
    assert [(s.columns, s.in_range, s.in_t, s.runs, s.published) for s in found.values()] == [
        (2, in_range, in_t, 1, 3)
    ] * 3


def test_a_random_policy_out_of_the_range_is_a_failure(tmp_path, capsys):
    assert judged(tmp_path, {("01-Random", 42): ("1.3", "20"), ("01-Random", 43): ("1.3", "20")}) == 1
    assert "column 0: mean 1.3000, published 1.0 to 1.2" in capsys.readouterr().out


def test_nothing_in_common_is_a_failure(tmp_path):
    assert judged(tmp_path, {("06-FGD", 99): ("0.1", "0.1")}) == 1
