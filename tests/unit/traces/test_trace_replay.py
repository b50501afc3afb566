"""Replay: which objects come, when, how long they run, in what order."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksched.errors import InputError
from ksched.objects import Deployment, GpuRequest, Job, NodeDevices, Pod, gpu_request, node_devices
from ksched.objects.validation import validate
from ksched.traces.generate import generate
from ksched.traces.generator_config import GeneratorConfig
from ksched.traces.replay import (
    Arrival,
    InflateProblem,
    Order,
    cluster_nodes,
    inflate,
    priority_classes,
    replay,
    shuffle_then_sample,
    snapshot,
    timestamp,
)
from ksched.traces.schema import EndState, WorkloadKind

from .factories import GIB, S, trace

GPU_NODE = {"gpu_count": 4, "gpu_model": "T4", "gpu_mem_b": 16 * GIB, "zone": "z1", "rack": "r9"}
GPU_POD = {"gpu_count": 1, "gpu_milli": 1000}
NS = 1000
SERVICE = {"kind": WorkloadKind.SERVICE.value}
WORKLOAD = "ksched.dev/workload"
INDEX = "batch.kubernetes.io/job-completion-index"


def required(pod: Pod) -> list[dict[str, Any]]:
    selector = pod.spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution
    return [r.to_dict() for term in selector.node_selector_terms for r in term.match_expressions]


# ------------------------------------------------------------------------------------------------------- nodes


def test_nodes_have_resources_devices_and_labels() -> None:
    made = trace(
        [
            {**GPU_NODE, "labels": [("disktype", "ssd")], "disk_b": 7, "max_pods": 250},
            {"count": 2, "taints": [{"key": "k", "value": None, "effect": "NoExecute"}]},
            {"name": "later", "t_add": 5},
        ]
    )
    first, second, third = cluster_nodes(made, max_pods=50)
    assert [n.name for n in (first, second, third)] == ["n0", "n1-0", "n1-1"]
    assert first.metadata.labels == {
        "disktype": "ssd",
        "kubernetes.io/hostname": "n0",
        "topology.kubernetes.io/zone": "z1",
        "ksched.dev/rack": "r9",
        "alibabacloud.com/gpu-card-model": "T4",
        "alibabacloud.com/gpu-card-memory": str(16 * GIB),
    }
    amounts = {name: str(q) for name, q in first.status.allocatable.items()}
    assert amounts == {
        "cpu": "8000m",
        "memory": str(32 * GIB),
        "ephemeral-storage": "7",
        "pods": "250",
        "alibabacloud.com/gpu-milli": "4000",
    }
    assert node_devices(first) == NodeDevices(4, "T4", 16 * GIB)
    assert str(second.status.allocatable["pods"]) == "50"
    assert [t.to_dict() for t in third.spec.taints] == [{"key": "k", "effect": "NoExecute"}]
    for node in (first, second, third):
        validate(node)


# -------------------------------------------------------------------------------------------------------- specs


def test_nodes_of_one_kind_share_all_but_their_metadata() -> None:
    alike, again, more = cluster_nodes(trace([{"name": "a"}, {"name": "b"}, {"name": "c", "memory_b": 64 * GIB}]))
    assert alike.status is again.status is not more.status
    assert [n.metadata.labels["kubernetes.io/hostname"] for n in (alike, again, more)] == ["a", "b", "c"]


def test_a_spec_says_everything_the_row_says() -> None:
    made = trace(
        [GPU_NODE],
        [
            {
                "cpu_milli": 1500.2,
                "cpu_limit": 2000.0,
                "memory_limit": 2 * GIB,
                "disk_b": 9,
                "gpu_count": 2,
                "gpu_milli": 1000,
                "gpu_models": ["T4", "A10"],
                "extended": [{"name": "example.com/fpga", "qty": 2.0}],
                "constraint_set": 3,
                "spec_ref": 1,
                "priority": 7,
            }
        ],
        extra={
            "constraints": [
                {"constraint_set": 3, "key": "gen", "op": 5, "values": ["4"], "hard": True},
                {"constraint_set": 3, "key": "disktype", "op": 0, "values": ["ssd"], "hard": False},
            ],
            "templates": [{"spec_ref": 1, "spec": '{"tolerations":[{"operator":"Exists"}]}'}],
        },
    )
    (arrival,) = snapshot(made)
    (pod,) = arrival.objects
    validate(pod)
    resources = pod.spec.containers[0].resources.to_dict()
    assert resources["requests"] == {
        "cpu": "1501m",
        "memory": str(GIB),
        "ephemeral-storage": "9",
        "alibabacloud.com/gpu-milli": "2000",
        "example.com/fpga": "2",
    }
    assert resources["limits"] == {
        "cpu": "2000m",
        "memory": str(2 * GIB),
        "alibabacloud.com/gpu-milli": "2000",
        "example.com/fpga": "2",
    }
    assert gpu_request(pod.spec) == GpuRequest(2, 1000)
    assert required(pod) == [
        {"key": "gen", "operator": "Gt", "values": ["3"]},
        {"key": "alibabacloud.com/gpu-card-model", "operator": "In", "values": ["T4", "A10"]},
    ]
    (wish,) = pod.spec.affinity.node_affinity.preferred_during_scheduling_ignored_during_execution
    assert wish.preference.match_expressions[0].to_dict() == {"key": "disktype", "operator": "In", "values": ["ssd"]}
    assert pod.spec.tolerations[0].operator == "Exists"
    assert (pod.spec.priority, pod.spec.priority_class_name) == (7, "trace-7")
    assert [(p.name, p.value) for p in priority_classes(made)] == [("trace-7", 7)]


def test_pods_of_one_shape_share_one_spec_and_others_do_not() -> None:
    varied = [{}, {}, {"cpu_milli": 2000.0}, {"memory_b": None}, {"memory_b": 0}, {"run_us": 5, "t_submit": 0}]
    specs = [a.objects[0].spec for a in snapshot(trace([{}], varied))]
    assert specs[0] is specs[1] is specs[5]
    assert len({id(spec) for spec in specs}) == 4
    jobs = [a.objects[0].spec.template.spec for a in timestamp(trace([{}], varied))]
    assert jobs[0] is jobs[1]


BAD_ROWS = [
    ("a template that is no JSON", {"templates": [{"spec_ref": 0, "spec": "{"}]}, {"spec_ref": 0}, "not JSON"),
    ("a template with containers", {"templates": [{"spec_ref": 0, "spec": '{"containers":[]}'}]}, {"spec_ref": 0},
     "a template has none"),
    ("a template of wrong types", {"templates": [{"spec_ref": 0, "spec": '{"hostNetwork":"yes"}'}]}, {"spec_ref": 0},
     "makes no valid pod spec: hostNetwork"),
    ("an affinity that is no object", {}, {"affinity": "[]"}, "expected a JSON object"),
    ("a bound that is no number", {"constraints": [
        {"constraint_set": 0, "key": "k", "op": 2, "values": ["x"], "hard": True}]}, {"constraint_set": 0},
     "LT needs one whole number"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "extra", "pod", "message"), BAD_ROWS, ids=[b[0] for b in BAD_ROWS])
def test_rows_that_make_no_spec_are_refused(what: str, extra: Any, pod: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(snapshot(trace([{}], [pod], extra=extra)))


# ---------------------------------------------------------------------------------------------------- timestamp


def test_a_job_runs_its_time_and_is_removed_when_finished() -> None:
    (arrival,) = timestamp(trace([{}], [{"t_submit": 3 * S, "run_us": 5 * S, "t_end": 99 * S}]))
    (job,) = arrival.objects
    assert isinstance(job, Job)
    assert arrival == Arrival(3 * S * NS, (job,), (5 * S * NS,), None, "job-0")
    assert job.spec.ttl_seconds_after_finished == 0
    assert job.spec.template.spec.restart_policy == "Never"
    assert job.spec.template.metadata.annotations == {WORKLOAD: "job-0"}
    assert job.spec.completion_mode is None
    validate(job)


def test_a_job_of_several_pods_is_indexed_and_pairs_run_times_by_index() -> None:
    pods = [{"workload_id": 0, "index": i, "run_us": (9 - i) * S} for i in (2, 0, 1)]
    (arrival,) = timestamp(trace([{}], pods))
    (job,) = arrival.objects
    assert (job.spec.completion_mode, job.spec.completions, job.spec.parallelism) == ("Indexed", 3, 3)
    assert arrival.run_ns == (9 * S * NS, 8 * S * NS, 7 * S * NS)


def test_a_service_is_a_deployment_until_its_end() -> None:
    pods = [{"workload_id": 0, "index": i, "run_us": None, "t_end": (40 + i) * S} for i in range(2)]
    (arrival,) = timestamp(trace([{}], pods, [{"workload_id": 0, "n_pods": 2, "app": "shop", **SERVICE}]))
    (deployment,) = arrival.objects
    assert isinstance(deployment, Deployment)
    assert deployment.spec.replicas == 2
    assert arrival.run_ns == (None, None)
    assert arrival.delete_ns == 41 * S * NS
    template = deployment.spec.template
    assert deployment.spec.selector.match_labels.items() <= template.metadata.labels.items()
    assert template.metadata.labels["app"] == "shop"
    assert template.spec.restart_policy == "Always"
    validate(deployment)


def test_a_pod_whose_run_time_is_unknown_leaves_when_the_trace_says() -> None:
    unknown = {"run_us": None, "end_state": EndState.PENDING.value}
    arrivals = list(timestamp(trace([{}], [{**unknown, "t_end": 7 * S}, unknown])))
    assert [(a.run_ns, a.delete_ns) for a in arrivals] == [((None,), 7 * S * NS), ((None,), None)]


def test_expanded_to_pods_every_pod_is_bare_and_keeps_its_pairing() -> None:
    pods = [{"workload_id": 0, "index": 0}, {"workload_id": 0, "index": 1}, {"workload_id": 1, "t_submit": S}]
    first, second = timestamp(trace([{}], pods), expand="pods")
    assert [p.name for p in first.objects] == ["job-0-0", "job-0-1"]
    assert [p.metadata.annotations for p in first.objects] == [
        {WORKLOAD: "job-0", INDEX: "0"},
        {WORKLOAD: "job-0", INDEX: "1"},
    ]
    assert (second.objects[0].name, second.objects[0].metadata.annotations) == ("job-1", {WORKLOAD: "job-1"})
    assert all(p.spec.restart_policy == "Never" for p in first.objects)
    for pod in first.objects:
        validate(pod)


def test_parts_of_a_workload_that_differ_are_jobs_of_their_own() -> None:
    pods = [
        {"workload_id": 0, "index": 0},
        {"workload_id": 0, "index": 1, "cpu_milli": 2000.0},
        {"workload_id": 0, "index": 2, "t_submit": 5 * S},
    ]
    names = [a.objects[0].name for a in timestamp(trace([{}], pods))]
    assert names == ["job-0", "job-0-part-1", "job-0-part-2"]


def test_only_the_last_attempt_runs_from_the_first_submission() -> None:
    pods = [
        {"workload_id": 0, "attempt": 0, "t_submit": 2 * S, "run_us": 1},
        {"workload_id": 1, "t_submit": 3 * S, "run_us": 3},
        {"workload_id": 0, "attempt": 1, "t_submit": 9 * S, "run_us": 2},
    ]
    arrivals = list(timestamp(trace([{}], pods)))
    assert [(a.workload, a.time_ns, a.run_ns) for a in arrivals] == [
        ("job-0", 2 * S * NS, (2 * NS,)),
        ("job-1", 3 * S * NS, (3 * NS,)),
    ]


def test_equal_times_keep_the_order_of_the_table() -> None:
    pods = [{"cpu_milli": float(c), "workload_id": w} for w, c in ((5, 9), (3, 1), (4, 9))]
    assert [a.workload for a in timestamp(trace([{}], pods))] == ["job-0", "job-1", "job-2"]


def test_names_kubernetes_does_not_allow_are_made_allowed_and_stay_apart() -> None:
    names = ["A_b", "a-b", "x" * 70, None, "--", "é"]
    made = trace([{}], [{} for _ in names], [{"name": name} for name in names])
    got = [a.workload for a in timestamp(made)]
    assert got == ["a-b-0", "a-b", "x" * 40 + "-2", "w-3", "w-4", "w-5"]
    for arrival in timestamp(made):
        validate(arrival.objects[0])


def test_times_that_overflow_nanoseconds_are_refused() -> None:
    fits = trace([{}], [{"t_submit": (2**63 - 1) // 1000}])
    assert next(iter(timestamp(fits))).time_ns == (2**63 - 1) // 1000 * 1000
    with pytest.raises(InputError, match="is too large"):
        timestamp(trace([{}], [{"t_submit": (2**63 - 1) // 1000 + 1}]))


def test_an_end_before_submission_is_refused() -> None:
    with pytest.raises(InputError, match="row 1: the pod ends before it is submitted"):
        timestamp(trace([{}], [{"t_submit": 5, "t_end": 4}]))


def test_a_trace_without_times_is_not_replayed_by_them() -> None:
    with pytest.raises(InputError, match="use mode inflate or snapshot"):
        replay(trace(time_quality="none"), "timestamp")


def test_a_replay_can_be_run_again_and_knows_its_length() -> None:
    made = timestamp(generate(GeneratorConfig(pods=300)))
    first, second = list(made), list(made)
    assert len(first) == len(second) == len(made)
    assert [a.objects[0].to_dict() for a in first] == [a.objects[0].to_dict() for a in second]
    assert sum(len(a.run_ns) for a in first) == made.pods == 300
    times = [a.time_ns for a in first]
    assert times == sorted(times)


def test_replay_makes_arrivals_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = Job.model_validate
    monkeypatch.setattr(Job, "model_validate", lambda data: (made.append(1), original(data))[1])
    arrivals = iter(timestamp(trace([{}], [{"t_submit": i} for i in range(50)])))
    next(arrivals)
    next(arrivals)
    assert len(made) == 2


# ---------------------------------------------------------------------------------------------------- snapshot


def test_a_snapshot_has_everything_at_zero_and_nothing_ends() -> None:
    arrivals = list(replay(trace([{}], [{"t_submit": 5}, {"t_submit": 1}]), "snapshot"))
    assert [(a.time_ns, a.run_ns, a.delete_ns, a.workload) for a in arrivals] == [
        (0, (None,), None, "job-1"),
        (0, (None,), None, "job-0"),
    ]


# ----------------------------------------------------------------------------------------------------- inflate


def gpu_trace(pods: int = 20, nodes: int = 10) -> Any:
    shares = [{"gpu_count": 1, "gpu_milli": 100 + 50 * (i % 7), "run_us": None} for i in range(pods)]
    return trace([GPU_NODE] * nodes, shares, replay_mode="inflate")


def demand(arrivals: list[Arrival]) -> int:
    return sum(gpu_request(a.objects[0].spec).total_milli for a in arrivals)


def test_inflation_reaches_the_target_with_clones_at_the_end() -> None:
    arrivals = list(replay(gpu_trace(), seed=3, ratio=0.9))
    assert 0.9 * 40_000 <= demand(arrivals) < 0.9 * 40_000 + 400
    names = [a.workload for a in arrivals]
    assert sorted(names[:20]) == sorted(f"job-{i}" for i in range(20))
    assert names[:20] != sorted(names[:20])
    clones = names[20:]
    assert [name.rsplit("-tuned-")[1] for name in clones] == [str(i) for i in range(len(clones))]
    assert len(set(names)) == len(names)
    assert [a.time_ns for a in arrivals] == list(range(len(arrivals)))
    assert all(a.run_ns == (None,) and a.delete_ns is None for a in arrivals)
    assert arrivals[-1].objects[0].metadata.annotations == {WORKLOAD: names[-1]}


def test_the_arrivals_of_an_inflation_are_made_once_and_seeds_share_the_specs() -> None:
    made = gpu_trace()
    one, other = inflate(made, seed=1, ratio=0.9), inflate(made, seed=2, ratio=0.9)
    assert all(first is second for first, second in zip(one, one, strict=True))
    assert {id(a.objects[0].spec) for a in one} == {id(a.objects[0].spec) for a in other}


def test_inflation_drops_pods_when_there_are_too_many() -> None:
    arrivals = list(inflate(gpu_trace(pods=300, nodes=4), seed=3, ratio=1.0))
    assert 16_000 - 400 < demand(arrivals) <= 16_000
    assert not any("tuned" in a.workload for a in arrivals)


def test_the_seed_alone_decides_the_order() -> None:
    one, again, other = ([a.workload for a in inflate(gpu_trace(), seed=s, ratio=0.9)] for s in (1, 1, 2))
    assert one == again != other


def test_the_order_does_not_depend_on_the_order_of_rows() -> None:
    pods = [{"gpu_count": 1, "gpu_milli": 100 * (i + 1), "workload_id": i} for i in range(8)]
    names = [{"workload_id": i, "name": f"p-{i}"} for i in range(8)]
    ahead, behind = (
        [a.workload for a in inflate(trace([GPU_NODE], rows, names), seed=5)] for rows in (pods, pods[::-1])
    )
    assert ahead == behind


def test_an_order_function_gets_the_problem_and_is_obeyed() -> None:
    seen: list[InflateProblem] = []

    def backwards(problem: InflateProblem, seed: int) -> Order:
        seen.append(problem)
        return Order(np.array([2, 1, 0, 1, 1]) + seed)

    pods = [{"gpu_count": 2, "gpu_milli": 1000}, {"gpu_count": 1, "gpu_milli": 300}, {}, {}]
    arrivals = list(inflate(trace([GPU_NODE], pods), seed=1, order=backwards))
    assert [a.workload for a in arrivals] == ["job-3", "job-2", "job-1", "job-2-tuned-0", "job-2-tuned-1"]
    (problem,) = seen
    assert problem.names == ["job-0", "job-1", "job-2", "job-3"]
    assert problem.demand.tolist() == [2000, 300, 0, 0]
    assert problem.unit.tolist() == [1000, 300, 0, 0]
    assert problem.target == 1.3 * 4000
    assert problem.nodes == 1


REFUSED = [
    ("an unknown resource", {"resource": "disk"}, "none of cpu, memory, gpu"),
    ("no ratio", {"ratio": 0.0}, "is not positive"),
    ("a resource nobody asks for", {}, "no demand of gpu to inflate to"),
]


@pytest.mark.parametrize(("what", "options", "message"), REFUSED, ids=[r[0] for r in REFUSED])
def test_an_inflation_that_cannot_be_is_refused(what: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        inflate(trace([GPU_NODE], [{}]), seed=0, **options)


@settings(max_examples=60, deadline=None)
@given(
    amounts=st.lists(st.integers(0, 1000), min_size=1, max_size=40).filter(any),
    target=st.integers(1, 60_000),
    seed=st.integers(0, 2**32),
)
def test_the_default_order_meets_its_target_whatever_the_pods(amounts: list[int], target: int, seed: int) -> None:
    values = np.array(amounts, dtype=np.int64)
    problem = InflateProblem([f"{i:03d}" for i in range(len(amounts))], values, values, float(target))
    order = shuffle_then_sample(problem, seed).pods
    total = int(values[order].sum())
    counts = Counter(order.tolist())
    if values.sum() > target:
        assert max(counts.values(), default=1) == 1
        assert target - values.max() <= total <= target
    else:
        assert sorted(counts) == list(range(len(amounts)))
        assert sorted(order[: len(amounts)].tolist()) == list(range(len(amounts)))
        assert target <= total
        assert len(order) == len(amounts) or total - values[order[-1]] < target
