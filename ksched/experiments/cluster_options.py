"""The keys of a cluster in an experiment file."""

from __future__ import annotations

from ksched.cluster.cluster import ClusterConfig
from ksched.cluster.scheduler import SchedulerConfig


class ClusterOptions(ClusterConfig):
    """Everything that can be set about the cluster, and about the scheduler beside its own configuration.

    All latencies are zero by default. ``epoch``: the date (RFC 3339, UTC) of virtual time 0.
    """

    scheduler: SchedulerConfig = SchedulerConfig()
