"""SchedulingGates keeps a pod out of the queue for exactly as long as it has gates."""

from __future__ import annotations

import pytest

from ksched.tables import PodView
from ksched.testing.factories import make_pod
from ksched_plugins.kubernetes.scheduling_gates import SchedulingGates


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        pytest.param([], None, id="a pod without gates may be queued"),
        pytest.param(["quota"], "waiting for scheduling gates: [quota]", id="a gate keeps it out"),
        pytest.param(["a", "b"], "waiting for scheduling gates: [a b]", id="all gates are named"),
    ],
)
def test_gates(gates: list[str], message: str | None) -> None:
    pod = PodView(make_pod(schedulingGates=[{"name": gate} for gate in gates]))
    status = SchedulingGates().pre_enqueue(pod)
    assert (status.reasons[0] if status else None) == message
