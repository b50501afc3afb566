"""Kubelets: what becomes of a pod on its node."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ksched.cluster.kubelet.processes import Processes
from ksched.objects.pod import Pod

from .harness import SECOND, History, cluster, node, pod


def phases(made: Any, history: History, name: str = "p") -> list[tuple[float, str, str]]:
    """(time, verb, phase or waiting reason) of each revision of a pod."""
    rows = []
    for time, _, verb, _, body in history.of(f"pods/default/{name}"):
        status = (body or {}).get("status", {})
        waiting = [
            c["state"]["waiting"]["reason"] for c in status.get("containerStatuses", ()) if "waiting" in c["state"]
        ]
        rows.append((time, verb, waiting[0] if waiting else status.get("phase", "")))
    return rows


def run_one(run_ns: int | None, *, config: Any = None, until: float = 1000, codes: Any = (), **spec: Any) -> Any:
    made = cluster(config)
    history = History(made)
    made.processes.add("w", [run_ns], codes)
    made.client.create(pod("p", metadata={"annotations": {"ksched.dev/workload": "w"}}, **spec))
    made.run(int(until * SECOND))
    return made, phases(made, history)


def test_a_pod_with_no_latencies_runs_at_once_and_ends_after_its_time() -> None:
    _made, rows = run_one(5 * SECOND)
    assert rows == [
        (0, "create", "Pending"),
        (0, "update", "Pending"),  # bound
        (0, "update", "Running"),
        (5, "update", "Succeeded"),
    ]


def test_runtime_latencies_add_up_and_show_the_container_being_created() -> None:
    latencies = {"run_pod_sandbox": "1s", "pull_image": "2s", "create_container": "3s", "start_container": "4s"}
    _, rows = run_one(5 * SECOND, config={"runtime": latencies})
    assert rows[2:] == [(0, "update", "ContainerCreating"), (10, "update", "Running"), (15, "update", "Succeeded")]


def test_the_conditions_tell_the_pods_progress() -> None:
    made, _ = run_one(None)
    (running,) = made.kubelets["n0"].pods
    conditions = {c.type: (c.status, c.reason) for c in running.status.conditions}
    assert conditions == {
        "PodReadyToStartContainers": ("True", None),
        "Initialized": ("True", None),
        "Ready": ("True", None),
        "ContainersReady": ("True", None),
        "PodScheduled": ("True", None),
    }
    made, _ = run_one(SECOND)
    (ended,) = made.kubelets["n0"].pods
    conditions = {c.type: (c.status, c.reason) for c in ended.status.conditions}
    assert conditions["Ready"] == ("False", "PodCompleted")
    assert conditions["PodScheduled"] == ("True", None)
    (container,) = ended.status.container_statuses
    assert (container.state.terminated.exit_code, container.state.terminated.reason) == (0, "Completed")
    assert container.state.terminated.finished_at == "2025-01-01T00:00:01Z"


def test_a_failing_container_fails_a_pod_that_never_restarts() -> None:
    _made, rows = run_one(2 * SECOND, codes=[3])
    assert rows[-1] == (2, "update", "Failed")


def test_on_failure_restarts_at_once_then_after_10_and_20_seconds_until_it_succeeds() -> None:
    made, rows = run_one(SECOND, codes=[[1, 1, 1, 0]], restartPolicy="OnFailure")
    running = [time for time, _, phase in rows if phase == "Running"]
    assert running == [0, 1, 12, 33]
    assert rows[-1] == (34, "update", "Succeeded")
    assert [phase for _, _, phase in rows].count("CrashLoopBackOff") == 2
    (ended,) = made.kubelets["n0"].pods
    assert ended.status.container_statuses[0].restart_count == 3


def test_restart_back_off_stops_growing_at_five_minutes_and_is_forgotten_after_ten_good_ones() -> None:
    _, rows = run_one(SECOND, restartPolicy="Always", until=2000)
    starts = [time for time, _, phase in rows if phase == "Running"]
    gaps = [b - a - 1 for a, b in itertools.pairwise(starts)]
    assert gaps[:8] == [0, 10, 20, 40, 80, 160, 300, 300]
    _, rows = run_one(700 * SECOND, restartPolicy="Always", until=3000)
    starts = [time for time, _, phase in rows if phase == "Running"]
    assert starts == [0, 700, 1400, 2100, 2800]


DELETIONS = [
    ("a process that ends on SIGTERM", {}, None, 10, [(10, "Failed"), (10, "Failed"), (10, "")], 143),
    ("one that takes its time", {"stop_container": "7s"}, None, 10, [(17, "Failed"), (17, "Failed"), (17, "")], 143),
    ("one that is killed", {"stop_container": "70s"}, None, 10, [(40, "Failed"), (40, "Failed"), (40, "")], 137),
    ("one with less grace", {"stop_container": "70s"}, 5, 10, [(15, "Failed"), (15, "Failed"), (15, "")], 137),
]


@pytest.mark.parametrize(("case", "runtime", "grace", "at", "after", "code"), DELETIONS, ids=[d[0] for d in DELETIONS])
def test_deletion_of_a_running_pod(case: str, runtime: Any, grace: Any, at: int, after: Any, code: int) -> None:
    made = cluster({"runtime": runtime})
    history = History(made)
    made.client.create(pod("p"))
    made.run(at * SECOND)
    made.client.delete(Pod, "default", "p", grace_seconds=grace)
    made.run(100 * SECOND)
    rows = phases(made, history)[3:]
    # marked; ended, as the kubelet reports; removed by the kubelet, which shortens the grace to nothing first
    assert rows == [
        (at, "update", "Running"),
        *zip(*[[t for t, _ in after], ["update", "update", "delete"], [p for _, p in after]], strict=True),
    ]
    (ended,) = history.of("pods/default/p")[4][4]["status"]["containerStatuses"]
    assert ended["state"]["terminated"]["exitCode"] == code
    assert made.kubelets["n0"].pods == []


def test_a_finished_pod_is_removed_by_the_server_without_its_kubelet() -> None:
    made = cluster()
    history = History(made)
    made.processes.add("w", [SECOND])
    made.client.create(pod("p", metadata={"annotations": {"ksched.dev/workload": "w"}}))
    made.run(5 * SECOND)
    made.client.delete(Pod, "default", "p")
    made.run()
    assert phases(made, history)[4:] == [(5, "update", "Succeeded"), (5, "delete", "")]


def bind_to(made: Any, name: str, where: str) -> None:
    made.client.bind("default", name, where)
    made.run(made.kernel.now)


def test_a_node_refuses_what_it_has_no_room_for() -> None:
    made = cluster(scheduler=None, nodes=0)
    made.client.create(node("small", cpu="1500m"))
    made.client.create(node("few", pods="1"))
    made.run(0)
    history = History(made)
    for name, where in (("a", "small"), ("b", "small"), ("c", "few"), ("d", "few")):
        made.client.create(pod(name))
        bind_to(made, name, where)
    status = {row[3][-1]: row[4]["status"] for row in history.of("pods/")}
    assert (status["a"]["phase"], status["c"]["phase"]) == ("Running", "Running")
    assert (status["b"]["phase"], status["b"]["reason"]) == ("Failed", "OutOfcpu")
    assert status["b"]["message"] == (
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 1000, used: 1000, capacity: 1500"
    )
    assert (status["d"]["phase"], status["d"]["reason"]) == ("Failed", "OutOfpods")


def test_room_is_free_again_when_a_pod_has_ended() -> None:
    made = cluster(scheduler=None, nodes=0)
    made.client.create(node("small", cpu="1"))
    made.processes.add("w", [SECOND])
    made.run(0)
    history = History(made)
    made.client.create(pod("a", metadata={"annotations": {"ksched.dev/workload": "w"}}))
    bind_to(made, "a", "small")
    made.run(2 * SECOND)
    made.client.create(pod("b"))
    bind_to(made, "b", "small")
    assert history.of("pods/default/b")[-1][4]["status"]["phase"] == "Running"


def test_a_node_that_goes_takes_its_kubelet_along() -> None:
    made = cluster()
    made.client.delete(type(node("x")), None, "n0")
    made.run(0)
    assert sorted(made.kubelets.by_node) == ["n1"]


def with_annotations(uid: str, **annotations: str) -> Any:
    made = pod("p")
    named = {key.replace("_", "."): value for key, value in annotations.items()}
    return made.replaced(metadata=made.metadata.replaced(uid=uid, annotations={"ksched.dev/workload": "w"} | named))


def test_processes_are_found_by_completion_index_else_by_the_order_pods_are_met() -> None:
    table = Processes()
    table.add("w", [10, 20, None], [0, 7])
    index = {"batch.kubernetes.io/job-completion-index": "1"}
    labelled = pod("p", metadata={"labels": index, "annotations": {"ksched.dev/workload": "w"}})
    assert table.run_ns(labelled) == 20
    assert [table.run_ns(with_annotations(uid)) for uid in ("x", "y", "x", "z", "v")] == [10, 20, 10, None, 10]
    assert table.start(with_annotations("y")) == (20, 7)
    assert table.run_ns(pod("p")) is None
    table.discard("w")
    assert table.run_ns(labelled) is None
