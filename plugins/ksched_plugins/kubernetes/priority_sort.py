"""PrioritySort: the order of the scheduling queue.

Upstream: pkg/scheduler/framework/plugins/queuesort/priority_sort.go
"""

from __future__ import annotations

from ksched.tables import PodView


class PrioritySort:
    """Higher priority first, among equals the one that has waited longer."""

    name = "PrioritySort"
    node_local = True

    def queue_sort_key(self, pod: PodView, queued_at: int) -> tuple[int, int]:
        """Smaller keys leave the queue first; ``queued_at`` in nanoseconds."""
        return (-pod.priority, queued_at)
