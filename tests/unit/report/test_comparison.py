"""Comparing policies: pairs, planted differences found, nothing claimed where nothing can be known."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ksched.errors import InputError
from ksched.report import Comparison, RunTables, compare, metric, open_results, words
from ksched.report import statistics as s
from ksched.report.collection import _aligned
from ksched.report.comparison import _correct, _shape, _skew_note

from .fabricated import Effect, Plan, fabricate


def row(comparison: Comparison, policy: str, name: str, part: str = "", workload: str | None = None) -> dict:
    frame = comparison.frame
    chosen = frame[(frame["policy"] == policy) & (frame["metric"] == name) & (frame["part"] == part)]
    if workload is not None:
        chosen = chosen[chosen["workload"] == workload]
    assert len(chosen) == 1
    return chosen.iloc[0].to_dict()


def test_the_first_policy_is_the_baseline_and_has_no_rows_of_its_own(found: Comparison) -> None:
    assert (found.baseline, found.workloads) == ("default", ("demo",))
    assert found.policies == ("default", "free-memory", "best-fit", "default-again")
    assert set(found.frame["policy"]) == {"free-memory", "best-fit", "default-again"}


PLANTED = [
    ("free-memory", "scheduled_pods", "", "worse", 5),
    ("free-memory", "pending_p99", "", "worse", 5),
    ("free-memory", "imbalance_mean", "memory", "better", 5),
    ("best-fit", "imbalance_mean", "memory", "worse", 4),
    ("best-fit", "stranded_mean", "memory", "better", 4),
    ("default-again", "scheduled_pods", "", "equal", 5),
    ("default-again", "pending_mean", "", "equal", 5),
    ("free-memory", "pending_p95", "", "exploratory", 5),
]


@pytest.mark.parametrize(("policy", "name", "part", "verdict", "n"), PLANTED)
def test_planted_differences_are_found(
    found: Comparison, policy: str, name: str, part: str, verdict: str, n: int
) -> None:
    told = row(found, policy, name, part)
    assert (told["verdict"], told["n"]) == (verdict, n)
    if verdict != "equal":
        assert told["lo"] <= told["diff"] <= told["hi"]
        assert told["lo"] * told["hi"] > 0
        assert told["relative"] == pytest.approx(100 * told["diff"] / told["baseline"])


def test_a_pair_needs_both_runs(found: Comparison) -> None:
    """best-fit failed on seed 44: four pairs, and the baseline's mean is over these four only."""
    told = row(found, "best-fit", "scheduled_pods")
    runs = found.per_run[(found.per_run["metric"] == "scheduled_pods") & (found.per_run["policy"] == "default")]
    assert told["baseline"] == runs.loc[runs["seed"] != "44", "value"].mean()
    assert found.unpaired == ("demo, seed 44: no finished run of best-fit",)


def test_waits_are_compared_on_the_pods_both_policies_scheduled(found: Comparison, timed: Path) -> None:
    told = row(found, "free-memory", "pending_mean")
    results = open_results(timed)
    differences = []
    for seed in found.seeds:
        mine, base = (
            results.table("pods", ["workload", "t_create_us", "t_scheduled_us"], policy=p, seed=seed)
            for p in ("free-memory", "default")
        )
        both = mine.merge(base, on="workload").dropna()
        waits = [(both[f"t_scheduled_us_{c}"] - both[f"t_create_us_{c}"]) / 1e6 for c in "xy"]
        differences.append(float(waits[0].mean() - waits[1].mean()))
    assert told["diff"] == pytest.approx(np.mean(differences))
    assert "pods scheduled under both" in told["note"]


def test_common_pods_are_found_when_the_runs_list_them_in_another_order() -> None:
    left = pd.DataFrame({"workload": ["a", "b", "c"], "index": 0, "incarnation": [0, 0, 1]})
    right = pd.DataFrame({"workload": ["c", "a", "c"], "index": 0, "incarnation": [0, 0, 1]})
    mine, theirs = _aligned(left, right)
    assert sorted(zip(mine.tolist(), theirs.tolist(), strict=True)) == [(0, 1), (2, 2)]


def test_a_swap_of_policy_and_baseline_changes_the_sign_and_nothing_else(timed: Path, found: Comparison) -> None:
    swapped = compare(open_results(timed), baseline="free-memory")
    there, back = row(found, "free-memory", "scheduled_pods"), row(swapped, "default", "scheduled_pods")
    assert (back["diff"], back["lo"], back["hi"]) == pytest.approx((-there["diff"], -there["hi"], -there["lo"]))
    assert back["p"] == pytest.approx(there["p"])
    assert back["verdict"] == "better"


FAMILY = [
    # metric, differences by pair, p, expected p after Holm
    ("scheduled", [1.0, 2.0, 4.0], 0.01, 0.03),
    ("unscheduled, the same told the other way round", [-1.0, -2.0, -4.0], 0.01, 0.03),
    ("twice the first", [2.0, 4.0, 8.0], 0.01, 0.03),
    ("something else", [1.0, 2.0, 3.0], 0.02, 0.04),
    ("another", [1.0, -2.0, 3.0], 0.5, 0.5),
    ("equal in every pair, so no test", [0.0, 0.0, 0.0], 1.0, 1.0),
    ("not tested", [5.0], math.nan, math.nan),
]


def test_holm_runs_over_a_family_and_counts_restatements_once() -> None:
    rows = [
        {"shape": _shape(d), "p": p, "diff": sum(d), "note": "", "better": "none", "family": "primary"}
        for _, d, p, _ in FAMILY
    ]
    beside = {"shape": (1.0,), "p": 1e-9, "diff": 1.0, "note": "", "better": "lower", "family": "secondary"}
    _correct([*rows, beside])
    assert (math.isnan(beside["p_holm"]), beside["verdict"]) == (True, "exploratory")
    assert [row["p_holm"] for row in rows] == pytest.approx([row[3] for row in FAMILY], nan_ok=True)


def test_metrics_that_restate_each_other_share_their_p(timed: Path) -> None:
    twins = ["scheduled_pods", "unscheduled_pods", "pending_censored"]
    mine = compare(open_results(timed), primary=twins).frame.query("policy == 'free-memory' and metric in @twins")
    assert len(mine) == 3 and (mine["p_holm"] == mine["p"]).all()


def test_the_default_family_follows_the_mode(found: Comparison, found_inflated: Comparison) -> None:
    pods, times = [("scheduled_pods", "")], [("pending_p99", ""), ("pending_mean", "")]
    states = [(f"{name}_mean", "memory") for name in ("stranded", "imbalance", "allocation")]
    assert list(found.primary) == [*pods, *times, *states, ("failed_pods", "")]
    states = [(f"{name}_final", "cpu") for name in ("stranded", "imbalance", "allocation")]
    assert list(found_inflated.primary) == [*pods, *states, ("failed_pods", "")]
    assert not found.declared


def test_only_the_family_the_file_declares_is_tested(timed: Path, tmp_path: Path) -> None:
    shutil.copytree(timed, tmp_path / "r")
    with (tmp_path / "r" / "experiment.yaml").open("a") as file:
        file.write("primary: [pending p99, imbalance_mean.gpu, stranded_mean]\n")
    comparison = compare(open_results(tmp_path / "r"))
    stranded = [("stranded_mean", part) for part in ("cpu", "memory", "gpu")]
    assert list(comparison.primary) == [("pending_p99", ""), ("imbalance_mean", "gpu"), *stranded]
    tested = comparison.frame[comparison.frame["p_holm"].notna()]
    assert set(zip(tested["metric"], tested["part"], strict=True)) <= set(comparison.primary)
    assert set(comparison.frame.loc[comparison.frame["family"] == "secondary", "verdict"]) <= {"exploratory", "equal"}
    assert "as the experiment file declares): p99 pending time, mean imbalance of GPU" in words.family_text(comparison)


UNKNOWN = [("pending_p98", "did you mean 'pending_p99'"), ("imbalance_mean.gpus", "no part 'gpus' here")]


@pytest.mark.parametrize(("name", "message"), UNKNOWN)
def test_an_unknown_primary_metric_is_one_message(timed: Path, name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        compare(open_results(timed), primary=[name])
    assert message in str(caught.value)


def test_a_relative_difference_has_the_interval_of_a_ratio(found: Comparison) -> None:
    told = row(found, "free-memory", "pending_p99")
    pairs = found.pairs.query("policy == 'free-memory' and metric == 'pending_p99'")
    expected = s.relative_difference(pairs["value"], pairs["baseline"])
    assert (told["relative"], told["relative_lo"], told["relative_hi"]) == pytest.approx(expected)
    assert told["relative_lo"] != pytest.approx(100 * told["lo"] / told["baseline"])


def test_skewed_differences_come_with_the_studentised_interval() -> None:
    found = s.paired_difference([1.0, 1.1, 0.9, 1.2, 1.0, 9.0], np.zeros(6))
    (note,) = _skew_note(found, np.array([1.0, 1.1, 0.9, 1.2, 1.0, 9.0]), "s", "key")
    low, high = s.studentised_interval([1.0, 1.1, 0.9, 1.2, 1.0, 9.0], key="key")
    assert note == f"skewed differences: the studentised interval is [+{low:.2f}, +{high:.2f}] s"
    even = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert not list(_skew_note(s.paired_difference(even, np.zeros(6)), even, "s", "key"))


def test_an_inflated_replay_has_no_times_and_no_gpu_rows(found_inflated: Comparison) -> None:
    comparison = found_inflated
    names = set(comparison.frame["metric"])
    assert not any(name.startswith(("pending", "completion", "makespan")) for name in names)
    assert set(comparison.frame["part"]) >= {"cpu", "memory"} and "gpu" not in set(comparison.frame["part"])
    assert comparison.workloads == ("busy", "calm")


def test_one_seed_gives_differences_and_no_inference(tmp_path: Path) -> None:
    policies = {"default": Effect(), "other": Effect(fail=0.1, placement=1)}
    comparison = compare(open_results(fabricate(tmp_path, Plan(policies, seeds=(1,), pods=100))))
    assert set(comparison.frame["verdict"]) <= {"untested", "equal"}
    assert comparison.frame[["lo", "hi", "effect", "p", "p_holm"]].isna().all().all()
    assert comparison.frame["note"].str.startswith(s.SINGLE).all()


def test_seeds_that_change_nothing_are_no_replication(tmp_path: Path) -> None:
    policies = {"default": Effect(), "other": Effect(fail=0.1, placement=1)}
    plan = Plan(policies, seeds=(1, 2, 3), pods=100, seed_matters=False)
    comparison = compare(open_results(fabricate(tmp_path, plan)))
    assert comparison.frame["note"].str.startswith(s.NO_REPLICATION).all()
    assert set(comparison.frame["verdict"]) <= {"untested", "equal"}
    assert row(comparison, "other", "scheduled_pods")["verdict"] == "untested"


def test_the_baseline_may_name_any_axis(tmp_path: Path) -> None:
    """Weights are compared like policies when the baseline names their axis; the policy becomes the workload group."""
    fabricate(tmp_path, Plan({"5": Effect(), "25": Effect(fail=0.1)}, seeds=(1, 2, 3), pods=60))
    for path in [tmp_path / "plan.json", *sorted(tmp_path.glob("runs/*/run.json"))]:
        document = json.loads(path.read_text())
        for run in document.get("runs", [document]):
            for axes in [run["axes"], *run.get("cells", ())]:
                axes["weight"] = axes.pop("policy")
        if "runs" in document:
            document["axes"]["weight"] = document["axes"].pop("policy")
        path.write_text(json.dumps(document))
    (tmp_path / "experiment.yaml").unlink()
    comparison = compare(open_results(tmp_path), baseline={"weight": "5"})
    assert comparison.policies == ("5", "25")
    assert compare(open_results(tmp_path)).baseline == "5"  # the only axis that varies


BASELINES = [
    ("a policy that did not run", "besst-fit", "did you mean 'best-fit'"),
    ("an axis that does not exist", {"pollicy": "default"}, "not one of policy, trace, seed"),
    ("the seed is no policy", {"seed": "42"}, "not one of"),
]


@pytest.mark.parametrize(("given", "message"), [r[1:] for r in BASELINES], ids=[r[0] for r in BASELINES])
def test_a_wrong_baseline_is_one_message(timed: Path, given: str | dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare(open_results(timed), baseline=given)


def test_a_policy_without_a_finished_baseline_is_not_compared(tmp_path: Path) -> None:
    policies = {"default": Effect(), "other": Effect(fail=0.1)}
    plan = Plan(policies, traces=("a", "b"), seeds=(1, 2), pods=60, failed=[("default", "b", 1), ("default", "b", 2)])
    comparison = compare(open_results(fabricate(tmp_path, plan)))
    assert set(comparison.frame["workload"]) == {"a"}
    assert comparison.unpaired == (
        "b, seed 1: the baseline has no finished run, nothing was compared",
        "b, seed 2: the baseline has no finished run, nothing was compared",
    )


def test_a_users_metric_is_compared_and_a_broken_one_names_the_run(timed: Path) -> None:
    @metric("late_pods", title="Pods that waited over 5 s", unit="pods", better="lower")
    def late_pods(run: RunTables) -> float:
        """Pods that waited longer than five seconds."""
        return float(((run.pods["t_scheduled_us"] - run.pods["t_create_us"]) > 5_000_000).sum())

    comparison = compare(open_results(timed), metrics=[late_pods], primary=["late_pods"])
    assert row(comparison, "free-memory", "late_pods")["verdict"] == "worse"

    @metric("broken", title="Broken", unit="")
    def broken(run: RunTables) -> float:
        raise ValueError("no")

    comparison = compare(open_results(timed), metrics=[broken, late_pods], primary=["late_pods", "broken"])
    assert list(comparison.failed_metrics) == ["broken"]
    assert "metric 'broken' failed: ValueError: no" in str(comparison.failed_metrics["broken"])
    assert "broken" not in set(comparison.per_run["metric"]) | set(comparison.frame["metric"])
    assert row(comparison, "free-memory", "late_pods")["verdict"] == "worse"


def test_metrics_named_in_the_experiment_file_are_relative_to_it(timed: Path, tmp_path: Path) -> None:
    results, home = tmp_path / "results", tmp_path / "home"
    shutil.copytree(timed, results)
    home.mkdir()
    (home / "mine.py").write_text("def pods_of(run):\n    return len(run.pods)\n")
    with (results / "experiment.yaml").open("a") as file:
        file.write("metrics: [mine.py:pods_of]\n")
    with pytest.raises(InputError, match=r"experiment.yaml: metrics: the file 'mine.py' does not exist"):
        compare(open_results(results))
    (results / "origin.json").write_text(json.dumps({"experiment": str(home / "experiment.yaml")}))
    assert compare(open_results(results)).mean("default", "demo", "pods_of") == 400


def test_pairs_hold_the_differences_behind_a_row(found: Comparison) -> None:
    for name in ("scheduled_pods", "pending_p95"):
        told = row(found, "best-fit", name)
        differences = found.differences("best-fit", "demo", name)
        assert list(differences) == ["42", "43", "45", "46"]
        assert np.mean(list(differences.values())) == pytest.approx(told["diff"])


def test_pods_served_by_one_policy_only_are_counted(found: Comparison, timed: Path) -> None:
    counted = found.overlap.set_index(["policy", "seed"]).loc[("free-memory", "43")]
    results = open_results(timed)
    mine, base = (
        results.table("pods", ["workload", "t_scheduled_us"], policy=p, seed="43").set_index("workload")
        for p in ("free-memory", "default")
    )
    scheduled, there = mine["t_scheduled_us"].notna(), base["t_scheduled_us"].notna().reindex(mine.index)
    assert counted["scheduled_here_only"] == (scheduled & ~there).sum()
    assert counted["scheduled_there_only"] == (~scheduled & there).sum() > 0


def test_what_never_ran_is_weighed_by_its_demand(found: Comparison, timed: Path) -> None:
    pods = open_results(timed).table("pods", policy="free-memory", seed="43")
    told = found.censoring.set_index(["policy", "seed"]).loc[("free-memory", "43")]
    missed = pods[pods["t_scheduled_us"].isna()]
    assert told["never_scheduled"] == len(missed)
    assert told["never_scheduled_cpu"] == pytest.approx(missed["cpu_milli"].sum() / pods["cpu_milli"].sum())


def test_the_summary_is_over_seeds(found: Comparison) -> None:
    summary = found.summary()
    mine = summary[(summary["policy"] == "best-fit") & (summary["metric"] == "scheduled_pods")].iloc[0]
    values = found.per_run[(found.per_run["policy"] == "best-fit") & (found.per_run["metric"] == "scheduled_pods")]
    assert (mine["n"], mine["mean"]) == (4, values["value"].mean())
    assert not math.isnan(mine["sd"])


def test_overlap_counts_pods_on_other_nodes(found: Comparison) -> None:
    overlap = found.overlap.groupby("policy")[["common", "moved"]].sum()
    assert overlap.loc["default-again", "moved"] == 0
    assert overlap.loc["free-memory", "moved"] > 0.8 * overlap.loc["free-memory", "common"]
