"""The same cluster run twice leaves the same history, revision by revision."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ksched.cluster.priorities import END, SCHEDULE, SUBMIT
from ksched.objects.pod import Pod
from ksched.objects.workloads import Deployment, ReplicaSet

from .harness import SECOND, Answers, History, cluster, job, pod
from .test_controllers import deployment, with_image

_SLOW: dict[str, Any] = {
    "etcd": {"network": "100us", "commit": {"kind": "lognormal", "median": "2ms", "sigma": 0.5}},
    "apiserver": {
        "request": {"kind": "uniform", "low": "100us", "high": "5ms"},
        "response": "200us",
        "watch": {"kind": "exponential", "mean": "3ms"},
    },
    "runtime": {"start_container": {"kind": "lognormal", "median": "55ms", "sigma": 0.3}, "stop_container": "1s"},
}


def busy_run(config: dict[str, Any] | None, seed: int) -> tuple[str, list[tuple[Any, ...]]]:
    """A run with something of everything: its digest and its end state."""
    made = cluster(config, nodes=3, seed=seed)
    made.run(SECOND)
    history = History(made)
    made.processes.add("w", [7 * SECOND, 3 * SECOND], [0, [1, 0]])
    made.client.create(deployment(6))
    made.client.create(job("j", "w", completions=4, parallelism=2, completionMode="Indexed"))
    for i in range(20):
        name = f"p{i}"
        made.kernel.call_at((2 + i) * SECOND, made.client.create, pod(name))
        made.kernel.call_at((9 + i) * SECOND, made.client.delete, Pod, "default", name)
    made.kernel.call_at(12 * SECOND, made.client.patch, Deployment, "default", "d", with_image("v2"))
    made.run(400 * SECOND)
    end = []
    for cls in (Deployment, ReplicaSet, Pod):
        answers = Answers()
        made.client.list(cls, answers)
        made.run(made.kernel.now + SECOND)
        end += [(o.KIND, o.name.partition("-")[0], o.status.to_dict().get("phase")) for o in answers.result.items]
    return history.digest(), end


@pytest.mark.parametrize("config", [None, _SLOW], ids=["no latencies", "random latencies"])
def test_the_same_seed_gives_the_same_history(config: dict[str, Any] | None) -> None:
    assert busy_run(config, 5) == busy_run(config, 5)


def test_another_seed_gives_another_history_with_the_same_end() -> None:
    one, other = busy_run(_SLOW, 5), busy_run(_SLOW, 6)
    assert one[0] != other[0]
    assert sorted(map(repr, one[1])) == sorted(map(repr, other[1]))


def test_latencies_change_when_things_happen_but_not_what_comes_of_it() -> None:
    assert sorted(map(repr, busy_run(None, 5)[1])) == sorted(map(repr, busy_run(_SLOW, 5)[1]))


def test_the_hash_seed_of_the_process_does_not_matter() -> None:
    program = "from tests.unit.cluster.test_cluster_repeats import busy_run, _SLOW; print(busy_run(_SLOW, 5)[0])"
    root = Path(__file__).parents[3]
    digests = []
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(root)}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=root, capture_output=True, text=True, check=True
        )
        digests.append(done.stdout)
    assert digests[0] == digests[1]
    assert len(digests[0].strip()) == 64


def test_ends_come_before_arrivals_and_all_arrivals_before_scheduling() -> None:
    made = cluster(nodes=1, scheduler=None)
    order: list[str] = []
    made.client.informer(
        Pod,
        on_add=lambda p: order.append(f"arrives {p.name}"),
        on_update=lambda o, n: order.append(f"ends {n.name}") if n.status.phase == "Succeeded" else None,
        on_delete=lambda p: order.append(f"goes {p.name}"),
    )
    made.processes.add("w", [10 * SECOND])
    made.client.create(pod("first", metadata={"annotations": {"ksched.dev/workload": "w"}}))
    made.client.bind("default", "first", "n0")
    made.client.create(pod("old"))
    at = 10 * SECOND
    made.kernel.call_at(at, order.append, "schedule", priority=SCHEDULE)
    for name in ("a", "b"):
        made.kernel.call_at(at, made.client.create, pod(name), priority=SUBMIT)
    made.kernel.call_at(at, made.client.delete, Pod, "default", "old", priority=END)
    made.run(at - 1)
    order.clear()
    made.run(at)
    assert sorted(order[:2]) == ["ends first", "goes old"]
    assert order[2:] == ["arrives a", "arrives b", "schedule"]
