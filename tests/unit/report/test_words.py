"""Numbers and verdicts as sentences."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from ksched.report import Comparison, cautions, compare, open_results, words
from ksched.report.diagnosis import Fingerprint, what_varies
from ksched.report.headlines import Column, separating_column
from ksched.report.leaders import leaders, ranks
from ksched.report.numbers import scale
from ksched.report.series import unscheduled_table

from .fabricated import Effect, Plan, fabricate

NAN = math.nan


def fact(
    metric: str, title: str, unit: str, value: float, base: float, lo: float, hi: float, verdict: str, **more: str
):
    diff = value - base
    scale = 100 / base if base else NAN
    return {
        "metric": metric, "title": title, "part": "", "unit": unit, "value": value, "baseline": base, "diff": diff,
        "lo": lo, "hi": hi, "relative": diff * scale, "relative_lo": lo * scale, "relative_hi": hi * scale,
        "verdict": verdict, "n": 10, **more,
    }  # fmt: skip


PODS = ("scheduled_pods", "Scheduled pods", "pods")
WAIT = ("pending_p95", "Pending time, p95", "s")
SPAN = ("makespan", "Makespan", "s")
CPU = ("imbalance_mean", "Imbalance, mean: CPU", "%")
REASON = ("unscheduled_by_reason", "Unscheduled: Insufficient cpu", "pods")
LOST = "a difference in makespan does not survive the correction for many tests (+1.0 % [+0.1, +1.9])"

CLAUSES = [
    ("schedules 1.3 % fewer pods [−1.9, −0.7]", fact(*PODS, 987, 1000, -19, -7, "worse")),
    ("schedules 2.0 % more pods", fact(*PODS, 1020, 1000, NAN, NAN, "untested")),
    ("schedules as many pods", fact(*PODS, 1000, 1000, NAN, NAN, "equal")),
    ("p95 pending time is 20.0 % longer [+10.0, +30.0]", fact(*WAIT, 12, 10, 1, 3, "worse")),
    ("mean imbalance of CPU is 3.0 points lower [−4.0, −2.0]", fact(*CPU, 7, 10, -4, -2, "better", part="cpu")),
    ("no difference shown in makespan (+1.0 % [−2.0, +4.0])", fact(*SPAN, 101, 100, -2, 4, "undecided")),
    (LOST, fact(*SPAN, 101, 100, 0.1, 1.9, "undecided")),
    (
        "unscheduled (Insufficient cpu) is 5 higher [+2, +8]",
        fact(*REASON, 5, 0, 2, 8, "worse", part="Insufficient cpu"),
    ),
    ("makespan is under 0.001 % longer [0.000, 0.000]", fact(*SPAN, 100 + 3e-7, 100, 1e-7, 5e-7, "worse")),
]


@pytest.mark.parametrize(("text", "row"), CLAUSES, ids=[text for text, _ in CLAUSES])
def test_a_difference_as_a_clause(text: str, row: dict) -> None:
    assert words.clause(row) == text


VALUES = [
    ("s", 0.0123, "12.3 ms"), ("s", 45.0, "45.0 s"), ("s", 600.0, "10.0 min"), ("s", 7200.0, "2.00 h"),
    ("s", 864_000.0, "10.0 d"), ("s", 0.0, "0.00 s"), ("%", 12.345, "12.3 %"), ("%", 0.5, "0.50 %"),
    ("pods", 1931.4, "1,931"), ("pods", 39.0, "39"), ("pods", 39.5, "39.5"), ("nodes", 3.0, "3"), ("pods", NAN, "–"),
    ("%", -1.0, "−1.0 %"), ("frames", 3.14159, "3.14 frames"),
]  # fmt: skip


@pytest.mark.parametrize(("unit", "value", "text"), VALUES)
def test_values_with_units(unit: str, value: float, text: str) -> None:
    assert scale(unit, value).value(value) == text


def made(tmp_path: Path, plan: Plan) -> Comparison:
    return compare(open_results(fabricate(tmp_path, plan)))


def test_the_finding_names_the_best_policy(tmp_path: Path) -> None:
    effects = {"default": Effect(fail=0.2), "good": Effect(placement=1), "bad": Effect(fail=0.4, placement=2)}
    text = words.finding(made(tmp_path, Plan(effects, seeds=range(8))))
    assert re.fullmatch(
        r"good has the best scheduled pods against default \([0-9.]+ instead of [0-9.]+, "
        r"\+[0-9.]+ % \[\+[0-9.]+, \+[0-9.]+\], 8 seeds\)\.",
        text,
    )


def test_two_policies_that_tie_at_the_top_are_both_named(tmp_path: Path) -> None:
    effects = {"default": Effect(fail=0.2), "one": Effect(placement=1), "two": Effect(placement=1)}
    comparison = made(tmp_path, Plan(effects, seeds=range(8)))
    assert words.finding(comparison).startswith("one and two tie for the best scheduled pods against default")
    ahead = leaders(comparison, "demo", Column("scheduled_pods", "", "Scheduled pods"))
    assert (ahead.best, ahead.equal, ahead.open) == ("one", ("two",), ())


def test_a_policy_not_told_apart_from_the_leader_is_named_beside_it(tmp_path: Path) -> None:
    effects = {
        "default": Effect(fail=0.3),
        "one": Effect(fail=0.02, placement=1),
        "near": Effect(fail=0.021, placement=2),
        "behind": Effect(fail=0.2, placement=3),
    }
    comparison = made(tmp_path, Plan(effects, seeds=range(5)))
    ahead = leaders(comparison, "demo", Column("scheduled_pods", "", "Scheduled pods"))
    assert ahead.best in ("one", "near") and set(ahead.equal + ahead.open) | {ahead.best} == {"one", "near"}
    assert re.search(r"near .*not told apart from it|one and near tie", words.finding(comparison))


def test_the_baseline_may_lead_and_share_the_lead(tmp_path: Path) -> None:
    effects = {"default": Effect(), "same": Effect(), "bad": Effect(fail=0.3)}
    text = words.finding(made(tmp_path, Plan(effects, seeds=range(5))))
    assert text == "No policy improves on default in scheduled pods; same is equal to it (5 seeds)."


def test_ranks_name_all_who_lead(tmp_path: Path) -> None:
    effects = {
        "default": Effect(fail=0.3),
        "one": Effect(fail=0.05, placement=1),
        "two": Effect(fail=0.05, placement=2),
    }
    plan = Plan(effects, traces=[f"t{i}" for i in range(8)], seeds=(1, 2, 3), pods=80, samples=20)
    comparison = made(tmp_path, plan)
    found = ranks(comparison, separating_column(comparison))
    assert found.workloads == 8 and found.policies[-1] == "default" and found.ranks[-1] == 3.0
    assert words.finding(comparison).endswith("By mean rank one and two lead and are not told apart.")
    assert ranks(made(tmp_path / "few", Plan(effects, seeds=(1,), pods=40)), separating_column(comparison)) is None


def test_policies_that_serve_other_pods_are_compared_on_that_too(found: Comparison) -> None:
    told = {text.split(":")[0]: text for text in cautions.different_pods(found) if " scheduled " in text}
    mean = found.overlap.groupby("policy")["scheduled_there_only"].mean()
    assert set(told) == {"free-memory", "best-fit"}
    assert f"{mean['free-memory']:.0f} the other way round" in told["free-memory"]


def test_the_censored_pods_stand_in_a_table(found: Comparison) -> None:
    rows = dict(cautions.censoring_table(found))
    mean = found.censoring[found.censoring["policy"] == "free-memory"].mean(numeric_only=True)
    created, never, shares, running = rows["free-memory"]
    assert (created, never) == ("400.0", f"{mean['never_scheduled']:.1f}")
    assert shares.startswith(f"{100 * mean['never_scheduled_cpu']:.1f} % CPU, ")
    assert running == f"{mean['unfinished'] - mean['never_scheduled']:.1f}"


def test_how_many_seeds_one_percent_takes_is_said(found: Comparison) -> None:
    (text,) = [
        line
        for line in cautions.what_seeds_can_show(found, "demo", Column("scheduled_pods", "", "Scheduled pods"))
        if line.startswith("best-fit")
    ]
    assert re.fullmatch(
        r"best-fit: 4 seeds show a difference of .* of the baseline\) in four of five cases, after the correction; "
        r"to see a difference of 1 % about [0-9,]+ seeds are needed, cautiously [0-9,]+\.",
        text,
    )


def test_a_difference_that_is_not_established_is_no_win(found: Comparison) -> None:
    """best-fit schedules about 1 % more pods on four seeds: not enough to say so after correction."""
    text = words.finding(found)
    assert text.startswith("No policy is shown to improve on default in scheduled pods; nearest is best-fit (")
    assert "+1.0 %" in text


def test_a_worse_policy_is_no_finding_in_its_favour(tmp_path: Path) -> None:
    plan = Plan({"default": Effect(), "other": Effect(fail=0.2, placement=1)}, seeds=range(8))
    text = words.finding(made(tmp_path, plan))
    assert text == "No policy improves on default in scheduled pods (8 seeds)."


def test_ties_are_said_loudly(tmp_path: Path) -> None:
    comparison = made(tmp_path, Plan({"default": Effect(), "same": Effect()}, pods=80))
    assert cautions.cannot_separate(comparison)
    assert words.finding(comparison).startswith("This experiment cannot tell its policies apart")
    assert cautions.warnings(comparison)[0].startswith("The workload cannot separate these policies.")


def test_equal_outcomes_on_other_nodes_are_said_to_be_only_that(tmp_path: Path) -> None:
    effects = {"default": Effect(fail=0), "spread": Effect(fail=0, imbalance=0.02)}
    comparison = made(tmp_path, Plan(effects, pods=200))
    assert not cautions.cannot_separate(comparison)
    assert any("differ only in where these land" in text for text in cautions.warnings(comparison))


WARNINGS = [
    ("One seed only", {"seeds": (1,)}),
    ("No replication", {"seeds": (1, 2, 3), "seed_matters": False}),
    ("1 of 4 runs failed", {"seeds": (1, 2), "failed": [("other", "demo", 2)]}),
]


@pytest.mark.parametrize(("start", "options"), WARNINGS, ids=[w[0] for w in WARNINGS])
def test_what_limits_the_result_is_said(tmp_path: Path, start: str, options: dict) -> None:
    effects = {"default": Effect(), "other": Effect(fail=0.1, placement=1)}
    comparison = made(tmp_path, Plan(effects, pods=100, **options))
    assert any(text.startswith(start) for text in cautions.warnings(comparison))


def test_runs_that_are_not_there_yet_are_counted(tmp_path: Path) -> None:
    import shutil

    fabricate(tmp_path, Plan({"a": Effect(), "b": Effect(fail=0.1)}, seeds=(1, 2), pods=60))
    shutil.rmtree(sorted((tmp_path / "runs").iterdir())[-1])
    texts = cautions.warnings(compare(open_results(tmp_path)))
    assert "1 of 4 planned runs have not finished; this report covers 3." in texts


def test_one_policy_alone_is_reported_without_a_comparison(tmp_path: Path) -> None:
    comparison = made(tmp_path, Plan({"only": Effect()}, seeds=(1, 2), pods=60))
    assert words.finding(comparison) == "Only only has finished runs, so there is nothing to compare it with."
    assert len(comparison.frame) == 0 and len(comparison.per_run) > 0


def prints(**differing: str) -> Fingerprint:
    return Fingerprint(**{"pods": "", "order": "", "times": "", "nodes": "", "placement": "", **differing})


TIES = ["where pods are placed (by ties and random choices)"]
VARIES = [
    ("nothing", [prints(), prints()], []),
    ("ties alone", [prints(placement="1"), prints(placement="2")], TIES),
    (
        "the order, and placements as a consequence",
        [prints(order="1", placement="1"), prints(order="2", placement="2")],
        ["the order in which pods arrive"],
    ),
    (
        "the pods, and all that follows from it",
        [prints(pods="1", order="1", times="1"), prints(pods="2", order="2", times="2")],
        ["which pods arrive"],
    ),
    ("one run says nothing", [prints()], []),
]


@pytest.mark.parametrize(("runs", "changing"), [v[1:] for v in VARIES], ids=[v[0] for v in VARIES])
def test_what_the_seeds_vary(runs: list[Fingerprint], changing: list[str]) -> None:
    assert what_varies(runs)[0] == changing


def test_reasons_are_averaged_over_all_runs_of_a_policy(found: Comparison) -> None:
    comparison = found
    table = unscheduled_table(comparison, "demo")
    assert list(table.columns) == list(comparison.policies)
    unscheduled = comparison.summary()
    mine = unscheduled[unscheduled["metric"] == "unscheduled_pods"].set_index("policy")["mean"]
    assert table.sum().to_dict() == pytest.approx(mine.to_dict())
    assert table.sum(axis=1).is_monotonic_decreasing
