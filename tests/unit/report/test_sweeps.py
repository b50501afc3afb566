"""The figure of a sweep: metrics against an axis of numbers, with the intervals of the paired differences."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from ksched.report import Comparison, charts, compare, open_results, write_report
from ksched.report.headlines import Column
from ksched.report.sweeps import sweep, swept_axes

from .fabricated import Effect, Plan, fabricate

WEIGHTS = {"0": Effect(fail=0.2), "1": Effect(fail=0.1, placement=1), "20": Effect(fail=0.02, placement=2)}
SCHEDULED = Column("scheduled_pods", "", "Scheduled pods")


def renamed(directory: Path, old: str, new: str) -> Path:
    """The fabricated results with an axis called otherwise."""
    for path in [directory / "plan.json", *sorted(directory.glob("runs/*/run.json"))]:
        document = json.loads(path.read_text())
        for run in document.get("runs", [document]):
            for axes in [run["axes"], *run.get("cells", ())]:
                axes.update({new: axes.pop(old)} if old in axes else {})
        if "runs" in document:
            document["axes"] = {new if name == old else name: v for name, v in document["axes"].items()}
        path.write_text(json.dumps(document))
    (directory / "experiment.yaml").unlink()
    return directory


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three weights, the first the baseline, four seeds."""
    made = fabricate(tmp_path_factory.mktemp("weights"), Plan(WEIGHTS, seeds=(1, 2, 3, 4), pods=100, samples=20))
    return renamed(made, "policy", "weight")


@pytest.fixture(scope="module")
def swept(weights: Path) -> Comparison:
    return compare(open_results(weights))


def test_a_point_is_the_baseline_plus_the_paired_difference(swept: Comparison) -> None:
    frame = sweep(swept, "weight", [SCHEDULED])
    base = swept.mean("0", "demo", "scheduled_pods")
    assert frame["x"].tolist() == [0.0, 1.0, 20.0] and frame["baseline"].tolist() == [1, 0, 0]
    for point in frame.itertuples():
        row = swept.row(f"{point.x:g}", "demo", "scheduled_pods") or {"diff": 0.0, "lo": 0.0, "hi": 0.0}
        expected = (base + row["diff"], base + row["lo"], base + row["hi"])
        assert (point.y, point.lo, point.hi) == pytest.approx(expected)
        assert point.own == pytest.approx(swept.mean(f"{point.x:g}", "demo", "scheduled_pods"))


def test_the_figure_holds_the_numbers_and_marks_the_baseline(swept: Comparison) -> None:
    (figure,) = charts.all_figures(swept)[""]
    assert figure.name == "sweep-weight" and "the baseline, 0" in figure.caption
    (text,) = figure.spec["datasets"].values()
    drawn = pd.read_csv(io.StringIO(text))
    mine = drawn[drawn["panel"] == "Scheduled pods"]
    assert mine["y"].tolist() == pytest.approx(sweep(swept, "weight", [SCHEDULED])["y"].tolist(), rel=1e-4)
    assert drawn.loc[drawn["baseline"] == 1, "x"].unique().tolist() == [0.0]


def test_the_figure_is_on_the_page_and_in_files(weights: Path) -> None:
    page = write_report(weights)
    assert 'id="figure-0-sweep-weight"' in page.read_text()
    files = {path.name for path in (page.parent / "figures").iterdir()}
    assert {"sweep-weight.svg", "sweep-weight.pdf"} <= files


def test_policies_are_lines_where_the_baseline_is_a_policy(tmp_path: Path) -> None:
    policies = {"default": Effect(fail=0.2), "other": Effect(placement=1)}
    made = fabricate(tmp_path, Plan(policies, traces=("5", "1", "25"), seeds=(1, 2, 3), pods=60, samples=20))
    comparison = compare(open_results(renamed(made, "trace", "load")))
    frame = sweep(comparison, "load", [SCHEDULED])
    assert list(frame["line"]) == ["default"] * 3 + ["other"] * 3
    assert list(frame["x"]) == [1.0, 5.0, 25.0] * 2
    at_25 = frame[(frame["line"] == "other") & (frame["x"] == 25)].iloc[0]
    row = comparison.row("other", "25", "scheduled_pods")
    assert at_25["y"] == pytest.approx(comparison.mean("default", "25", "scheduled_pods") + row["diff"])
    assert charts.all_figures(comparison)[""][0].name == "sweep-load"


def test_names_and_seeds_are_no_sweep(found: Comparison, swept: Comparison) -> None:
    assert swept_axes(found) == [] and swept_axes(swept) == ["weight"]
