"""Every metric on a run small enough to work out by hand."""

from __future__ import annotations

import importlib.metadata
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ksched.errors import InputError, PluginError
from ksched.report import Run, RunTables, all_metrics, find_metric, metric
from ksched.report.outcomes import BUILT_IN

S = 1_000_000


def run_of(*, timed: bool = True, unfinished: bool = False, failed: bool = True) -> RunTables:
    """Five pods on three nodes; pod 4 never fits when ``failed``, pod 3 outlives the horizon when ``unfinished``."""
    facts = Run(Path("nowhere"), "r1", {"policy": "p"}, 1, {}, 100 * S, timed)
    missing = pd.NA
    tables = RunTables(facts)
    last = missing if failed else 46
    pods = pd.DataFrame(
        {
            "workload": [f"w{i}" for i in range(5)],
            "index": 0,
            "incarnation": 0,
            "t_create_us": [0, 10, 20, 30, 40],
            "t_scheduled_us": [1, 12, 23, 34, last],
            "t_finished_us": [11, 32, 53, missing if unfinished else 94, missing if failed else 60],
            "t_deleted_us": [missing] * 5,
            "node": ["a", "a", "b", "b", None if failed else "b"],
            "outcome": ["scheduled"] * 4 + ["unschedulable" if failed else "scheduled"],
            "reason": [None] * 4 + ["Insufficient cpu" if failed else None],
            "censored": [False, False, False, unfinished, failed],
        }
    )
    times = ["t_create_us", "t_scheduled_us", "t_finished_us", "t_deleted_us"]
    pods[times] = pods[times].astype("Int64") * S
    tables.__dict__["pods"] = pods
    tables.__dict__["nodes"] = pd.DataFrame({"node": list("abc"), "cpu_milli": 1, "memory_b": 1, "gpu_count": 0})
    tables.__dict__["samples"] = pd.DataFrame(
        {
            "t_us": np.array([0, 20, 60]) * S,
            "arrived_pods": [1, 3, 5],
            "allocated_cpu": [0.1, 0.5, 0.3],
            "allocated_memory": [0.2, 0.4, 0.4],
            "allocated_gpu": [0.0, 0.0, 0.0],
            "imbalance_cpu": [0.0, 0.1, 0.2],
            "imbalance_memory": [0.0, 0.0, 0.0],
            "imbalance_gpu": [0.0, 0.0, 0.0],
            "stranded_cpu": [0.0, 0.3, 0.1],
            "stranded_memory": [0.0, 0.0, 0.5],
            "stranded_gpu": [0.0, 0.0, 0.0],
        }
    )
    return tables


def value(name: str, run: RunTables, part: str = "") -> float:
    return all_metrics()[name](run)[part]


EXPECTED = [
    ("scheduled pods are those with a binding", "scheduled_pods", "", 4),
    ("the others are unscheduled", "unscheduled_pods", "", 1),
    ("by the scheduler's last reason", "unscheduled_by_reason", "Insufficient cpu", 1),
    ("waits are 1, 2, 3, 4 s: mean", "pending_mean", "", 2.5),
    ("waits are 1, 2, 3, 4 s: median", "pending_p50", "", 2.5),
    ("waits are 1, 2, 3, 4 s: p95 interpolates", "pending_p95", "", 3.85),
    ("waits are 1, 2, 3, 4 s: p99 interpolates", "pending_p99", "", 3.97),
    ("one waits beyond the horizon", "pending_censored", "", 1),
    ("turnarounds are 11, 22, 33, 64 s", "completion_mean", "", 32.5),
    ("turnarounds are 11, 22, 33, 64 s: median", "completion_p50", "", 27.5),
    ("turnarounds are 11, 22, 33, 64 s: p95", "completion_p95", "", 59.35),
    ("turnarounds are 11, 22, 33, 64 s: p99", "completion_p99", "", 63.07),
    ("jobs of one pod each say nothing more", "job_completion_mean", "", math.nan),
    ("jobs of one pod each: median", "job_completion_p50", "", math.nan),
    ("jobs of one pod each: p95", "job_completion_p95", "", math.nan),
    ("jobs of one pod each: p99", "job_completion_p99", "", math.nan),
    ("four ended", "finished_pods", "", 4),
    ("none failed", "failed_pods", "", 0),
    ("none was preempted", "preempted_pods", "", 0),
    ("no makespan while a pod was never scheduled", "makespan", "", math.nan),
    # 10 % for 20 s, 50 % for 40 s, 30 % for the last 40 s of 100
    ("allocation weighs by time to the horizon", "allocation_mean", "cpu", 34.0),
    ("allocation at the end", "allocation_final", "memory", 40.0),
    ("the peak", "allocation_max", "cpu", 50.0),
    ("imbalance over time", "imbalance_mean", "cpu", 12.0),
    ("imbalance at the end", "imbalance_final", "cpu", 20.0),
    ("the highest imbalance", "imbalance_max", "cpu", 20.0),
    ("the most that was stranded", "stranded_max", "cpu", 30.0),
    ("stranded over time", "stranded_mean", "memory", 20.0),
    ("stranded at the end", "stranded_final", "memory", 50.0),
    ("two of three nodes held a pod", "nodes_used", "", 2),
]


@pytest.mark.parametrize(("name", "part", "expected"), [r[1:] for r in EXPECTED], ids=[r[0] for r in EXPECTED])
def test_by_hand(name: str, part: str, expected: float) -> None:
    assert value(name, run_of(), part) == pytest.approx(expected, nan_ok=True)


def test_every_built_in_metric_is_tested_by_hand_and_explained() -> None:
    of_fragmentation = {"idle_gpu_final", "fragmentation_final", "fragmentation_ratio_final"}  # see test_load_curves
    assert {row[1] for row in EXPECTED} | of_fragmentation == {m.name for m in BUILT_IN}
    assert all(len(m.meaning) > 30 for m in all_metrics().values())


def test_makespan_is_known_once_every_pod_was_scheduled_and_ended() -> None:
    assert value("makespan", run_of(failed=False)) == 94
    assert math.isnan(value("makespan", run_of(failed=False, unfinished=True)))


def test_a_replay_without_time_has_no_times_and_weighs_arrivals_alike() -> None:
    run = run_of(timed=False)
    for name in ("pending_mean", "pending_p95", "pending_censored", "completion_mean", "completion_p95", "makespan"):
        assert math.isnan(value(name, run)), name
    # 10 % held by 1 arrival, 50 % by 2, 30 % by 2
    assert value("allocation_mean", run, "cpu") == pytest.approx((10 + 2 * 50 + 2 * 30) / 5)


def test_a_resource_the_cluster_lacks_is_not_reported() -> None:
    assert set(all_metrics()["allocation_mean"](run_of())) == {"cpu", "memory"}


def test_a_pod_without_a_reason_counts_by_its_outcome() -> None:
    run = run_of()
    run.pods.loc[4, "reason"] = None
    assert all_metrics()["unscheduled_by_reason"](run) == {"unschedulable": 1.0}


def test_limited_runs_share_all_but_the_pods() -> None:
    run = run_of()
    limited = run.limited_to(np.array([True, True, False, False, False]))
    assert value("pending_mean", limited) == 1.5
    assert limited.samples is run.samples


@metric("double", title="Double", unit="pods", better="higher")
def double(run: RunTables) -> float:
    """Twice the pods, to show that a metric of one's own is a decorated function."""
    return 2.0 * len(run.pods)


def test_a_users_metric_is_a_decorated_function() -> None:
    assert all_metrics([double])["double"](run_of()) == {"": 10.0}
    assert "double" not in all_metrics()


def test_metrics_that_break_the_contract_are_named() -> None:
    @metric("broken", title="Broken", unit="")
    def broken(run: RunTables) -> float:
        return float(run.pods["no such column"].sum())

    with pytest.raises(PluginError, match="metric 'broken' failed: KeyError"):
        broken(run_of())
    with pytest.raises(InputError, match="two metrics called 'double'"):
        all_metrics([double, double])
    with pytest.raises(InputError, match="is no metric"):
        all_metrics([5])  # type: ignore[list-item]
    with pytest.raises(InputError, match="none of lower, higher, none"):
        metric("m", title="M", unit="", better="more")(lambda run: 0.0)  # type: ignore[arg-type]


def test_an_infinite_value_is_a_failure() -> None:
    with pytest.raises(PluginError, match="infinite"):
        metric("m", title="M", unit="")(lambda run: math.inf)(run_of())


def test_a_job_ends_with_its_last_pod_and_counts_when_all_of_them_ended() -> None:
    run = run_of()
    run.pods["workload"] = ["a", "a", "b", "c", "c"]  # pod 4, of c, never ran
    # a: created at 0, ended at 32; b: 20 to 53
    assert value("job_completion_mean", run) == 32.5
    assert value("job_completion_p95", run) == pytest.approx(32.95)


def test_failed_and_preempted_pods_are_counted_by_outcome() -> None:
    run = run_of()
    run.pods.loc[[0, 1], "outcome"] = ["failed", "preempted"]
    assert (value("failed_pods", run), value("preempted_pods", run)) == (1, 1)


FILE = """
from ksched.report import metric

def late_pods(run):
    "Pods that waited over two seconds."
    return ((run.pods["t_scheduled_us"] - run.pods["t_create_us"]) > 2_000_000).sum()

late = metric("late", title="Late pods", unit="pods", better="lower")(late_pods)
number = 3
"""


def test_a_metric_is_found_in_a_file_decorated_or_not(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    plain = find_metric("mine.py:late_pods", base=tmp_path)
    assert (plain.name, plain.title, plain.better) == ("late_pods", "Late pods", "none")
    assert plain.meaning == "Pods that waited over two seconds."
    decorated = find_metric(f"{tmp_path}/mine.py:late")
    assert (decorated.name, decorated.better) == ("late", "lower")
    assert plain(run_of()) == decorated(run_of()) == {"": 2.0}
    assert find_metric("ksched.report.outcomes:nodes_used").name == "nodes_used"


WRONG = [
    ("no function is named", "mine.py", "names no metric"),
    ("the file is not there", "theirs.py:late", "the file 'theirs.py' does not exist"),
    ("the module is not there", "no_such_module:late", "cannot load the metric: ModuleNotFoundError"),
    ("the function is misspelled", "mine.py:late_pod", "did you mean 'late_pods'"),
    ("what is named is no function", "mine.py:number", "3 is no metric"),
    ("the file does not compile", "torn.py:late", "cannot load the metric: SyntaxError"),
]


@pytest.mark.parametrize(("reference", "message"), [r[1:] for r in WRONG], ids=[r[0] for r in WRONG])
def test_a_wrong_reference_is_one_message(tmp_path: Path, reference: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    (tmp_path / "torn.py").write_text("def late(run:")
    with pytest.raises(InputError, match=message):
        find_metric(reference, base=tmp_path)


def test_an_installed_function_is_called_what_its_package_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = importlib.metadata.EntryPoint("hosts", "ksched.report.outcomes:pending_seconds", "ksched.metrics")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry] if group == "ksched.metrics" else [])
    assert all_metrics()["hosts"].function.__name__ == "pending_seconds"
    gone = importlib.metadata.EntryPoint("gone", "no_such_module:gone", "ksched.metrics")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [gone])
    with pytest.raises(InputError, match=r"entry point gone = .*cannot load the metric: ModuleNotFoundError"):
        all_metrics()
