"""SchedulingGates: a pod with gates stays out of the queue until somebody has removed them all.

Upstream: pkg/scheduler/framework/plugins/schedulinggates/scheduling_gates.go
"""

from __future__ import annotations

from collections.abc import Sequence

from ksched.framework import EventToRegister, Status
from ksched.tables import PodView


class SchedulingGates:
    """PreEnqueue: not while ``spec.schedulingGates`` is non-empty."""

    name = "SchedulingGates"
    node_local = True

    def skips(self, point: str, pod: PodView) -> bool:
        """Pods without gates."""
        return not pod.spec.scheduling_gates

    def pre_enqueue(self, pod: PodView) -> Status | None:
        """Names the gates that are left."""
        gates = pod.spec.scheduling_gates
        if not gates:
            return None
        names = " ".join(gate.name or "" for gate in gates)
        return Status.unschedulable(f"waiting for scheduling gates: [{names}]", resolvable=False)

    def events_to_register(self) -> Sequence[EventToRegister]:
        """None: only the pod's own update removes a gate, and the queue looks at that itself."""
        return ()
