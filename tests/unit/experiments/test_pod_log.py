"""What the table ``pods`` says of pods that are evicted."""

from __future__ import annotations

import pytest

from ksched.cluster.evictions import DISRUPTION_TARGET
from ksched.experiments.columns import BLOCK
from ksched.experiments.pod_log import PodLog
from ksched.objects import Condition
from ksched.testing.factories import make_pod


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        pytest.param("PreemptionByScheduler", "preempted", id="a victim of preemption"),
        pytest.param("DeletionByPodGC", "scheduled", id="a pod disrupted for another reason"),
    ],
)
def test_a_pod_that_is_deleted_gracefully_says_whether_it_was_preempted(reason: str, outcome: str) -> None:
    log = PodLog()
    pod = make_pod("low", node_name="n0")
    log.added(pod, 0)
    condition = Condition.model_construct(type=DISRUPTION_TARGET, status="True", reason=reason)
    marked = pod.replaced(status=pod.status.replaced(conditions=(condition,)))
    log.changed(marked, 1)
    assert log.to_arrow(can_end=True)["outcome"].to_pylist() == ["scheduled"], "only marked, not yet deleted"
    stopping = marked.replaced(metadata=pod.metadata.replaced(deletion_timestamp="2024-01-01T00:00:30Z"))
    log.changed(stopping, 2)
    log.changed(stopping.replaced(status=stopping.status.replaced(phase="Failed")), 3)
    log.deleted(stopping, 4)
    row = log.to_arrow(can_end=True).to_pylist()[0]
    assert (row["outcome"], row["node"], row["t_finished_us"], row["t_deleted_us"]) == (outcome, "n0", 3, 4)


def test_pods_of_several_blocks_and_what_they_request_together() -> None:
    log = PodLog()
    count = 2 * BLOCK + 1
    for i in range(count):
        log.added(make_pod(f"p{i}", cpu="1", gpu_milli=500), i)
    assert log.demand()[:, [0, 2]].tolist() == [[1000 * k, 500 * k] for k in range(count + 1)]
    log.added(make_pod("late"), count)
    table = log.to_arrow(can_end=True)
    assert table["pod"].to_pylist() == [*(f"default/p{i}" for i in range(count)), "default/late"]
    assert table["t_create_us"].to_pylist() == list(range(count + 1))
