"""DefaultBinder: writes the decision to the api-server.

Upstream: pkg/scheduler/framework/plugins/defaultbinder/default_binder.go
"""

from __future__ import annotations

from ksched.framework import Cycle, Handle, Status
from ksched.tables import PodView


class DefaultBinder:
    """Posts a Binding of the pod to the chosen node."""

    name = "DefaultBinder"
    node_local = True

    def bind(self, cycle: Cycle, pod: PodView, node_name: str, handle: Handle) -> Status | None:
        """Whatever the api-server answers reaches the scheduler through ``handle``."""
        handle.bind(pod, node_name)
        return None
