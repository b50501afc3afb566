"""What the replay modes do to a cluster of one or two nodes, and what the recorder writes down."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from ksched.cluster.cluster import Cluster
from ksched.errors import InputError
from ksched.experiments import modes
from ksched.experiments.driver import simulate
from ksched.experiments.file import load_experiment
from ksched.experiments.plan import make_plan
from ksched.experiments.run_spec import RunOutput

from .small import GIB, S, columns, experiment_file, make_trace, run_one

TIMES = ("t_create_us", "t_scheduled_us", "t_running_us", "t_finished_us")


def test_a_job_runs_for_its_time(tmp_path):
    make_trace(tmp_path, [{"t_submit": 5 * S, "run_us": 10 * S}])
    output = run_one(tmp_path, {"mode": "timestamp"})
    assert columns(output, "pods", *TIMES) == [(5 * S, 5 * S, 5 * S, 15 * S)]
    assert columns(output, "pods", "workload", "node", "outcome", "attempts", "censored") == [
        ("w0", "n0", "scheduled", 1, False)
    ]
    assert output.t_end_us == 15 * S
    assert output.pending_time_meaningful


def test_a_second_job_waits_until_the_first_has_left(tmp_path):
    make_trace(tmp_path, [{}, {"t_submit": 1 * S}])
    output = run_one(tmp_path, {"mode": "timestamp"})
    (first, second) = columns(output, "pods", *TIMES)
    assert first == (0, 0, 0, 10 * S)
    assert second == (1 * S, 10 * S, 10 * S, 20 * S)
    assert columns(output, "decisions", "t_us", "workload", "attempt", "result", "node", "feasible") == [
        (0, "w0", 1, "scheduled", "n0", 1),
        (1 * S, "w1", 1, "unschedulable", None, 0),
        (10 * S, "w1", 2, "scheduled", "n0", 1),
    ]
    assert columns(output, "decisions", "rejections")[1][0] == [
        {"plugin": "NodeResourcesFit", "reason": "Insufficient cpu", "nodes": 1}
    ]
    message = (
        "0/1 nodes are available: 1 Insufficient cpu. "
        "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )
    assert columns(output, "events", "t_us", "reason", "message", "count") == [(1 * S, "FailedScheduling", message, 1)]


def test_pods_that_can_never_run_end_the_run_as_censored(tmp_path):
    make_trace(tmp_path, [{}, {"cpu_milli": 2000.0}])
    output = run_one(tmp_path, {"mode": "timestamp"})
    assert columns(output, "pods", "workload", "outcome", "reason", "censored") == [
        ("w0", "scheduled", None, False),
        ("w1", "unschedulable", "Insufficient cpu", True),
    ]
    assert output.t_end_us == 70 * S  # the last departure and one quiet minute


def test_a_horizon_cuts_the_run(tmp_path):
    make_trace(tmp_path, [{}, {"t_submit": 8 * S}, {"t_submit": 60 * S}])
    output = run_one(tmp_path, {"mode": "timestamp", "horizon": "12s"})
    assert output.t_end_us == 12 * S
    assert columns(output, "pods", "workload", "t_finished_us", "censored") == [
        ("w0", 10 * S, False),
        ("w1", None, True),
    ]


def test_a_service_is_deleted_at_its_end_and_frees_its_node(tmp_path):
    service = {"run_us": None, "t_end": 20 * S}
    make_trace(tmp_path, [service, service | {"t_submit": 2 * S, "t_end": 50 * S}], service=True)
    output = run_one(tmp_path, {"mode": "timestamp"})
    assert columns(output, "pods", "workload", "t_scheduled_us", "t_deleted_us", "outcome") == [
        ("w0", 0, 20 * S, "scheduled"),
        ("w1", 20 * S, 50 * S, "scheduled"),
    ]


def test_a_service_without_end_does_not_keep_the_run_going(tmp_path):
    make_trace(tmp_path, [{"run_us": None}], service=True)
    output = run_one(tmp_path, {"mode": "timestamp"})
    assert columns(output, "pods", "t_deleted_us", "censored") == [(None, True)]
    assert output.t_end_us == 0


def test_bare_pods_instead_of_workloads(tmp_path):
    make_trace(tmp_path, [{"workload_id": 0, "index": i, "run_us": (i + 1) * S} for i in range(2)], [{"count": 2}])
    output = run_one(tmp_path, {"mode": "timestamp", "expand": "pods"})
    assert columns(output, "pods", "pod", "index", "t_finished_us") == [
        ("default/w0-0", 0, 1 * S),
        ("default/w0-1", 1, 2 * S),
    ]


def test_indexed_pods_of_a_job_run_each_for_their_own_time(tmp_path):
    make_trace(tmp_path, [{"workload_id": 0, "index": i, "run_us": (i + 1) * S} for i in range(3)], [{"count": 3}])
    output = run_one(tmp_path, {"mode": "timestamp"})
    assert sorted(columns(output, "pods", "index", "t_finished_us")) == [(0, 1 * S), (1, 2 * S), (2, 3 * S)]


def test_inflate_gives_up_what_does_not_fit_and_never_lets_go(tmp_path):
    make_trace(tmp_path, [{"cpu_milli": 400.0}] * 4)
    output = run_one(tmp_path, {"mode": "inflate", "resource": "cpu", "ratio": 1.6})
    rows = columns(output, "pods", "outcome", "attempts", "reason")
    assert rows == [("scheduled", 1, None)] * 2 + [("unschedulable", 1, "Insufficient cpu")] * 2
    samples = columns(output, "samples", "arrived_pods", "scheduled_pods", "failed_pods", "pending_pods")
    assert samples == [(0, 0, 0, 0), (1, 1, 0, 0), (2, 2, 0, 0), (3, 2, 1, 0), (4, 2, 2, 0)]
    last = output.tables["samples"].to_pylist()[-1]
    assert last["arrived_cpu"] == pytest.approx(1.6)
    assert last["allocated_cpu"] == pytest.approx(0.8)
    assert last["stranded_cpu"] == pytest.approx(0.2)
    assert not output.pending_time_meaningful
    assert not any(output.tables["pods"]["censored"].to_pylist())


def but_for_times(output: RunOutput) -> dict[str, dict[str, list[Any]]]:
    return {
        name: {column: values for column, values in table.to_pydict().items() if not column.startswith("t_")}
        for name, table in output.tables.items()
    }


@pytest.mark.parametrize("batch", [2, 3, 100])
def test_pods_created_in_batches_meet_the_same_fate_as_one_by_one(tmp_path, monkeypatch, batch):
    monkeypatch.setattr(modes, "SAMPLES", 3)
    make_trace(tmp_path, [{"cpu_milli": 30.0 * (1 + i % 7)} for i in range(40)], [{"count": 3}])
    replay = {"mode": "inflate", "resource": "cpu", "ratio": 1.4}
    keys = {"policy": {"score": {"FreeMemory": 1}}, "probes": ["fragmentation"]}
    one_by_one = run_one(tmp_path, replay, **keys)
    together = run_one(tmp_path, replay | {"batch": batch}, **keys)
    assert but_for_times(together) == but_for_times(one_by_one)
    assert {row[0] for row in columns(together, "pods", "outcome")} == {"scheduled", "unschedulable"}
    created = [t for (t,) in columns(together, "pods", "t_create_us")]
    assert max(map(created.count, created)) == min(batch, len(created) // 3)


def test_a_pod_of_a_batch_has_arrived_when_the_scheduler_tries_it(tmp_path, monkeypatch):
    monkeypatch.setattr(modes, "SAMPLES", 1)
    small, large = {"cpu_milli": 100.0, "priority": 0}, {"cpu_milli": 400.0, "priority": 9}
    gpu = {"gpu_count": 1, "gpu_milli": 500}
    make_trace(tmp_path, [small, large | gpu], [{"cpu_milli": 5000.0, "gpu_count": 4}])
    output = run_one(
        tmp_path,
        {"mode": "inflate", "resource": "cpu", "ratio": 0.1, "batch": 2},
        policy={"filter": ["GpuShare"]},
        probes=["fragmentation"],
    )
    assert [pod for (pod,) in columns(output, "decisions", "attempt")] == [1, 1]
    # The one of higher priority goes first, whatever the order they were created in.
    assert columns(output, "fragmentation", "arrived_pods", "arrived_gpu_milli") == [(0, 0), (1, 500), (2, 500)]


def test_a_snapshot_counts_pods_as_they_are_tried_and_sees_them_bound(tmp_path):
    make_trace(tmp_path, [{"cpu_milli": 400.0}] * 3)
    output = run_one(tmp_path, {"mode": "snapshot"})
    samples = columns(output, "samples", "arrived_pods", "scheduled_pods", "pending_pods")
    assert samples == [(0, 0, 0), (1, 1, 2), (2, 2, 1), (3, 2, 1)]
    assert [share for (share,) in columns(output, "samples", "arrived_cpu")] == pytest.approx([0, 0.4, 0.8, 1.2])


def test_a_snapshot_tries_everything_once(tmp_path):
    make_trace(tmp_path, [{"t_submit": i * S} for i in range(3)], [{"count": 2}])
    output = run_one(tmp_path, {"mode": "snapshot"})
    assert [row[0] for row in columns(output, "pods", "outcome")] == ["scheduled", "scheduled", "unschedulable"]
    assert output.t_end_us == 0


def test_decisions_keep_the_best_nodes_with_weighted_scores(tmp_path):
    make_trace(tmp_path, [{"cpu_milli": 500.0}], [{"memory_b": 2 * GIB}, {"memory_b": 4 * GIB}])
    output = run_one(tmp_path, {"mode": "snapshot"}, policy={"score": {"FreeMemory": 1, "NodeResourcesFit": 2}})
    ((top, node, score, tied),) = columns(output, "decisions", "top", "node", "score", "tied")
    # Least allocated on n1: half the cpu and three quarters of the memory stay free.
    assert top[0] == {"node": "n1", "total": 100 + 2 * 62, "scores": [("FreeMemory", 100), ("NodeResourcesFit", 124)]}
    assert top[1] == {"node": "n0", "total": 200, "scores": [("FreeMemory", 100), ("NodeResourcesFit", 100)]}
    assert (node, score, tied) == ("n1", 224, 1)


def test_nodes_say_what_was_requested_on_them_at_the_end(tmp_path):
    make_trace(tmp_path, [{"cpu_milli": 250.0}], [{"zone": "z1"}])
    output = run_one(tmp_path, {"mode": "snapshot"})
    names = ("node", "t_add_us", "cpu_milli", "zone", "final_cpu_milli", "final_memory_b", "final_pods")
    assert columns(output, "nodes", *names) == [("n0", 0, 1000, "z1", 250, GIB, 1)]


def test_gpu_pods_hold_devices(tmp_path):
    gpu = {"gpu_count": 1, "gpu_milli": 600}
    make_trace(tmp_path, [gpu | {"cpu_milli": 1.0}] * 3, [{"gpu_count": 2, "gpu_model": "T4"}])
    output = run_one(tmp_path, {"mode": "snapshot"}, policy={"filter": ["GpuShare"]})
    assert columns(output, "pods", "outcome", "gpu_milli", "gpu_count") == [
        ("scheduled", 600, 1),
        ("scheduled", 600, 1),
        ("unschedulable", 600, 1),
    ]
    assert output.tables["samples"].to_pylist()[-1]["allocated_gpu"] == pytest.approx(0.6)


def test_a_trace_that_changed_after_planning_is_refused(tmp_path):
    make_trace(tmp_path, [{}])
    (spec,) = make_plan(load_experiment(experiment_file(tmp_path))).selected
    (tmp_path / "other").mkdir()
    changed = make_trace(tmp_path / "other", [{"run_us": 5 * S}])
    moved = {**spec.__dict__, "trace_source": str(changed)}
    with pytest.raises(InputError, match="the trace changed after the experiment was started"):
        simulate(type(spec)(**moved), lambda done, total: None)


def test_options_of_another_mode_are_refused(tmp_path):
    make_trace(tmp_path, [{}])
    with pytest.raises(InputError, match="'ratio' does not concern replay mode 'timestamp'"):
        run_one(tmp_path, {"mode": "timestamp", "ratio": 2})


def test_a_run_is_the_same_after_another_of_the_same_arrivals_or_of_others(tmp_path):
    make_trace(tmp_path, [{"cpu_milli": 400.0}] * 4, [{"count": 2}])
    replay = {"mode": "inflate", "resource": "cpu", "ratio": 0.9}
    policies = ({}, {"score": {"FreeMemory": 1}})
    first, *_, again = (
        run_one(tmp_path, replay, policy=policy, axes={"seed": [seed]})
        for policy, seed in ((policies[0], 1), (policies[1], 1), (policies[0], 2), (policies[0], 1))
    )
    assert first.tables == again.tables


def clusters() -> list[Cluster]:
    return [each for each in gc.get_objects() if isinstance(each, Cluster)]


def test_a_run_leaves_nothing_behind_for_the_next(tmp_path):
    make_trace(tmp_path, [{}])
    thresholds = gc.get_threshold()
    others = clusters()  # of other tests
    for _ in range(3):
        run_one(tmp_path, {"mode": "timestamp"})
    assert [each for each in clusters() if not any(each is other for other in others)] == []
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == thresholds
