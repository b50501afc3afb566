"""What can be set about the controllers; upstream's constants by default."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, PositiveInt

from ksched.sim.delays import Duration
from ksched.sim.kernel import MILLISECOND, MINUTE, SECOND


class ControllersConfig(BaseModel):
    """Constants of kube-controller-manager.

    ``enabled``: whether it runs at all; without it only bare pods make sense. ``workers``: syncs of one controller
    under way at once. ``garbage_collector_workers``: those of the garbage collector. ``base_delay``, ``max_delay``:
    per-item retry back-off.
    ``qps``, ``burst``: the retries of one controller together. ``job_sync_batch``: how long the Job controller waits
    after a pod event for more of them. ``job_backoff``, ``job_max_backoff``: wait after failed pods of a Job.
    ``burst_replicas``: creations or deletions one ReplicaSet sync may make. ``expectations_timeout``: after this
    long a controller stops waiting for events it expected. ``provisioning``: how long it takes to make a volume.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    workers: PositiveInt = 5
    garbage_collector_workers: PositiveInt = 20
    base_delay: Duration = 5 * MILLISECOND
    max_delay: Duration = 1000 * SECOND
    qps: PositiveInt = 10
    burst: PositiveInt = 100
    job_sync_batch: Duration = 1 * SECOND
    job_backoff: Duration = 10 * SECOND
    job_max_backoff: Duration = 10 * MINUTE
    burst_replicas: PositiveInt = 500
    expectations_timeout: Duration = 5 * MINUTE
    provisioning: Duration = 0
