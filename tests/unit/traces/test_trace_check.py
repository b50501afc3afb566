"""Findings: each is raised by a trace that has the fault and by no sound one."""

from __future__ import annotations

from typing import Any

import pytest

from ksched.traces.check import Finding, check

from .factories import GIB, S, trace

GPU_NODE = {"gpu_count": 2, "gpu_model": "T4", "cpu_milli": 16000.0}
TAINTED = {"taints": [{"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}]}
TOLERATION = '{"tolerations":[{"key":"dedicated","operator":"Exists"}]}'
SSD = {"constraint_set": 0, "key": "disktype", "op": 0, "values": ["ssd"], "hard": True}


def found(made: Any) -> dict[str, Finding]:
    return {finding.code: finding for finding in check(made)}


def test_a_sound_trace_has_no_warnings() -> None:
    made = trace([{}], [{"t_submit": i * 10 * S, "run_us": (50 + 7 * (i % 5)) * S} for i in range(200)])
    assert {f.severity for f in check(made)} == {"info"}


def test_peak_load_counts_what_runs_at_once_releasing_before_claiming() -> None:
    half = {"cpu_milli": 4000.0, "run_us": 10 * S}
    numbers = found(trace([{}], [{**half, "t_submit": t * S} for t in (0, 5, 10, 15)]))["offered-load"].numbers
    assert numbers["peak_cpu_fraction"] == 1.0
    assert numbers["peak_pods"] == 2


def test_a_load_far_below_capacity_is_a_warning_that_policies_tie() -> None:
    finding = found(trace([{"count": 100}], [{"t_submit": t * S} for t in (0, 5, 200)]))["low-load"]
    assert finding.severity == "warning"
    assert "every policy will tie" in finding.message
    assert finding.numbers["peak_cpu_fraction"] == pytest.approx(2 / 800)


def test_more_than_capacity_on_average_is_overload() -> None:
    finding = found(trace([{}], [{"cpu_milli": 6000.0, "run_us": 1000 * S, "t_submit": t * S} for t in range(50)]))
    assert finding["overload"].numbers["mean_cpu"] > 10


FITTING = [
    ("a pod as large as the node", [{}], {"cpu_milli": 8000.0, "memory_b": 32 * GIB}, True),
    ("a millicore more", [{}], {"cpu_milli": 8001.0}, False),
    ("a byte more", [{}], {"memory_b": 32 * GIB + 1}, False),
    ("cpu on one node and memory on the other", [{"memory_b": 1}, {"cpu_milli": 1.0}], {}, False),
    ("a GPU where there is none", [{}], {"gpu_count": 1, "gpu_milli": 1000}, False),
    ("as many GPUs as there are", [GPU_NODE], {"gpu_count": 2, "gpu_milli": 1000}, True),
    ("one GPU more", [GPU_NODE], {"gpu_count": 3, "gpu_milli": 1000}, False),
    ("a share of a GPU", [GPU_NODE], {"gpu_count": 1, "gpu_milli": 1}, True),
    ("the model there is", [GPU_NODE], {"gpu_count": 1, "gpu_milli": 500, "gpu_models": ["V100", "T4"]}, True),
    ("another model", [GPU_NODE], {"gpu_count": 1, "gpu_milli": 500, "gpu_models": ["V100"]}, False),
    ("a taint it does not tolerate", [TAINTED], {}, False),
    ("a taint it tolerates", [TAINTED], {"spec_ref": 0}, True),
    ("a label it needs and is there", [{"labels": [("disktype", "ssd")]}], {"constraint_set": 0}, True),
    ("a label it needs and is not", [{"labels": [("disktype", "hdd")]}], {"constraint_set": 0}, False),
    ("a resource only the pod knows", [{}], {"extended": [{"name": "example.com/fpga", "qty": 1.0}]}, False),
    ("a node without pod slots", [{"max_pods": 0}], {}, False),
]


@pytest.mark.parametrize(("what", "nodes", "pod", "fits"), FITTING, ids=[f[0] for f in FITTING])
def test_pods_that_fit_no_empty_node_are_named(what: str, nodes: list[Any], pod: Any, fits: bool) -> None:
    extra = {"constraints": [SSD], "templates": [{"spec_ref": 0, "spec": TOLERATION}]}
    findings = found(
        trace(nodes, [{"cpu_milli": 100.0}, pod] if fits and not nodes[0].get("taints") else [pod], extra=extra)
    )
    assert ("infeasible" not in findings) == fits
    if not fits:
        assert findings["infeasible"].severity == "error"
        assert findings["infeasible"].numbers["pods"] == 1


CODES = [
    ("an end before the start", [{"t_submit": 5, "t_start": 9, "t_end": 8}], "time-inversion", "error"),
    ("a placement before submission", [{"t_submit": 5, "t_sched": 4}], "time-inversion", "error"),
    ("a run of no time", [{"run_us": 0}], "zero-duration", "warning"),
    ("an end at submission", [{"run_us": None, "t_submit": 4, "t_end": 4}], "zero-duration", "warning"),
    ("a tenth of the pods cut off", [{"censor_right": i == 0} for i in range(10)], "censor-right", "warning"),
    ("one pod in a hundred cut off", [{"censor_right": i == 0} for i in range(100)], "censor-right", "info"),
    ("a pod that was there before", [{"censor_left": True}], "censor-left", "warning"),
    ("two equal pods of two workloads", [{"t_end": 9 * S}, {"t_end": 9 * S}], "duplicate-rows", "warning"),
    ("a retried pod", [{"workload_id": 0}, {"workload_id": 0, "attempt": 1}], "retries", "info"),
    ("a marked row", [{"quality": 8}], "quality", "info"),
    ("GPU pods on a cluster without", [{"gpu_count": 1, "gpu_milli": 1000}], "no-capacity", "error"),
    ("nothing known of run times", [{"run_us": None}], "no-lifetimes", "warning"),
    (
        "one run that outweighs all others",
        [{"t_submit": i, "run_us": 10**12 if i == 0 else 10**6 + i} for i in range(300)],
        "heavy-tail",
        "warning",
    ),
    (
        "a long silence",
        [{"t_submit": (i if i < 5 else 10**6 + i) * S, "run_us": S + i} for i in range(200)],
        "clock-gap",
        "warning",
    ),
]


@pytest.mark.parametrize(("what", "pods", "code", "severity"), CODES, ids=[c[0] for c in CODES])
def test_a_fault_is_found_and_graded(what: str, pods: list[Any], code: str, severity: str) -> None:
    assert found(trace([{}], pods))[code].severity == severity


def test_equal_pods_of_one_workload_are_no_duplicates() -> None:
    made = trace([{}], [{"workload_id": 0, "index": i} for i in range(3)])
    assert "duplicate-rows" not in found(made)


def test_a_workload_with_other_pods_than_it_says() -> None:
    made = trace([{}], [{}], [{"n_pods": 3}])
    assert found(made)["pod-count"].numbers["workloads"] == 1


def test_what_a_replay_does_not_act_on_is_listed() -> None:
    made = trace([{"t_remove": 5}], [{}], [{"gang_min": 2, "max_per_node": 1}])
    assert found(made)["not-replayed"].numbers == {"gangs (gang_min)": 1, "max_per_node": 1, "nodes that leave": 1}


def test_findings_come_worst_first() -> None:
    made = trace([{"count": 50}], [{"gpu_count": 1, "gpu_milli": 1000, "run_us": 0, "quality": 4}])
    severities = [f.severity for f in check(made)]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    assert len(set(severities)) == 3


def test_tables_changed_after_the_manifest_are_an_error(tmp_path) -> None:
    made = trace()
    made.manifest = made.manifest.model_copy(update={"content_hash": "0" * 64})
    assert found(made)["content-hash"].severity == "error"
