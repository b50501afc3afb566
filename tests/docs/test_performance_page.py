"""docs/performance.md shows the recorded figures, those and no others."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = runpy.run_path(str(ROOT / "tests" / "benchmarks" / "page.py"))


def test_the_page_is_what_the_recorded_figures_give() -> None:
    text = PAGE["PAGE"].read_text(encoding="utf-8")
    assert PAGE["filled"](text, PAGE["read"](PAGE["FIGURES"]), PAGE["read"](PAGE["BEFORE"])) == text, (
        "run python tests/benchmarks/measure.py --only-page"
    )


def test_the_plot_shows_every_case_and_comes_out_the_same_each_time() -> None:
    figures = PAGE["read"](PAGE["FIGURES"])
    drawn = PAGE["plot"](figures)
    assert drawn == PAGE["plot"](figures)
    assert all(case in drawn for case in figures["microseconds"])


def test_a_page_that_lost_the_place_of_a_table_is_not_written() -> None:
    figures, before = PAGE["read"](PAGE["FIGURES"]), PAGE["read"](PAGE["BEFORE"])
    with pytest.raises(ValueError, match="no place for 'machine'"):
        PAGE["filled"]("# Performance\n", figures, before)
