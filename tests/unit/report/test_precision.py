"""Enough seeds: what may be asked for, when it is reached, and what the report says about it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ksched.errors import InputError
from ksched.report import all_metrics, cautions, compare, open_results
from ksched.report import statistics as s
from ksched.report.comparison import metric_pairs
from ksched.report.precision import judge, parse_target

from .fabricated import Effect, Plan, fabricate

SEEDS = [str(seed) for seed in range(1, 21)]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two policies beside the baseline, twenty seeds."""
    effects = {"default": Effect(), "near": Effect(fail=0.03, placement=1), "far": Effect(fail=0.2, placement=2)}
    plan = Plan(effects, seeds=range(1, 21), pods=80, samples=10, nodes=4)
    return fabricate(tmp_path_factory.mktemp("many"), plan)


@pytest.fixture
def copied(many: Path, tmp_path: Path) -> Path:
    shutil.copytree(many, tmp_path / "r")
    return tmp_path / "r"


TARGETS = [
    ("pending p99=5%", "pending_p99", "", 5.0, True),
    ("scheduled_pods = 2.5", "scheduled_pods", "", 2.5, False),
    ("imbalance_mean.gpu=1", "imbalance_mean", "gpu", 1.0, False),
    ("Pending time, p99=.5 %", "pending_p99", "", 0.5, True),
]


@pytest.mark.parametrize(("text", "name", "part", "width", "relative"), TARGETS)
def test_a_target_is_a_metric_and_a_width(text: str, name: str, part: str, width: float, relative: bool) -> None:
    target = parse_target(text, all_metrics())
    assert (target.metric.name, target.part, target.width, target.relative) == (name, part, width, relative)


MISTAKES = [
    ("pending p99", "not of the form METRIC=WIDTH"),
    ("pending p99=", "not of the form METRIC=WIDTH"),
    ("pending p99=0%", "not of the form METRIC=WIDTH"),
    ("pending p98=5%", "did you mean 'pending_p99'"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_a_wrong_target_is_one_message(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_target(text, all_metrics())
    assert message in str(caught.value)


def widths(directory: Path, count: int) -> dict[str, float]:
    """Policy -> width of the t interval of its difference in scheduled pods over the first seeds."""
    results = open_results(directory).of_seeds(SEEDS[:count])
    pairs = metric_pairs(results, {"scheduled_pods": all_metrics()["scheduled_pods"]})
    bounds = {str(p): s.t_interval(g["diff"].to_numpy()) for p, g in pairs.groupby("policy")}
    return {policy: high - low for policy, (low, high) in bounds.items()}


def test_it_is_enough_when_every_policy_is_narrow_enough(copied: Path) -> None:
    reached = widths(copied, 15)
    widest = max(reached, key=lambda policy: reached[policy])
    for factor, enough in ((1.001, True), (0.999, False)):
        target = parse_target(f"scheduled_pods={factor * reached[widest]:.6f}", all_metrics())
        stop = judge(copied, target, SEEDS[:15], 20)
        assert stop.enough == enough
        assert f"widest: {widest}, " in stop.text and "15 of 20 seeds" in stop.text


def test_nine_seeds_are_never_enough(copied: Path) -> None:
    assert not judge(copied, parse_target("scheduled_pods=1000", all_metrics()), SEEDS[:9], 20).enough
    assert judge(copied, parse_target("scheduled_pods=1000", all_metrics()), SEEDS[:10], 20).enough


def test_the_verdict_looks_at_the_given_seeds_alone(copied: Path) -> None:
    target = parse_target("scheduled pods=3%", all_metrics())
    before = judge(copied, target, SEEDS[:10], 20)
    noted = (copied / "until.json").read_bytes()
    for run in open_results(copied).finished:
        if run.axes["seed"] not in SEEDS[:10]:
            shutil.rmtree(run.path)
    assert judge(copied, target, SEEDS[:10], 20) == before
    assert (copied / "until.json").read_bytes() == noted


def test_the_report_says_why_it_stopped_as_long_as_that_is_what_is_here(copied: Path) -> None:
    stop = judge(copied, parse_target("scheduled_pods=1000", all_metrics()), SEEDS[:10], 20)
    assert stop.text not in cautions.warnings(compare(open_results(copied))), "there are runs of more seeds here"
    for run in open_results(copied).finished:
        if run.axes["seed"] not in SEEDS[:10]:
            shutil.rmtree(run.path)
    told = cautions.warnings(compare(open_results(copied)))
    assert stop.text in told and not any("have not finished" in text for text in told)


def test_a_share_of_nothing_is_one_message(copied: Path) -> None:
    with pytest.raises(InputError, match="Failed pods is 0 under the baseline"):
        judge(copied, parse_target("failed pods=5%", all_metrics()), SEEDS[:10], 20)
    assert not json.loads((copied / "plan.json").read_text()).get("until")
