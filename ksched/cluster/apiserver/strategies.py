"""What becomes of an object before it is stored for the first time, and how long a deletion waits."""

from __future__ import annotations

from functools import cache
from typing import Any

from ksched.objects.base import IdentityCache
from ksched.objects.meta import Condition, LabelSelector
from ksched.objects.pod import Pod, PodSpec, PodStatus
from ksched.objects.workloads import Job, JobStatus

PENDING = "Pending"
RUNNING = "Running"
SUCCEEDED = "Succeeded"
FAILED = "Failed"

CONTROLLER_UID_LABEL = "batch.kubernetes.io/controller-uid"
JOB_NAME_LABEL = "batch.kubernetes.io/job-name"
_LEGACY_CONTROLLER_UID_LABEL = "controller-uid"
_LEGACY_JOB_NAME_LABEL = "job-name"

_QOS_RESOURCES = ("cpu", "memory")


def create_without_status(obj: Any) -> Any:
    """Kinds whose status belongs to a controller: whatever the user wrote there is dropped."""
    empty = _EMPTY_STATUS.get(type(obj))
    if empty is None:
        empty = _EMPTY_STATUS[type(obj)] = type(obj)().status
    return obj.replaced(status=empty)


_EMPTY_STATUS: dict[type, Any] = {}


def initial_status(spec: PodSpec) -> PodStatus:
    """A new pod is Pending, with its QoS class and, if it is gated, the condition that says so."""
    status = _INITIAL_STATUS.get(spec)
    if status is None:
        status = _INITIAL_STATUS.put(spec, _pending(qos_class(spec), bool(spec.scheduling_gates)))
    return status


@cache
def _pending(qos: str, gated: bool) -> PodStatus:
    """One object for all pods it fits, so that what is made of it later can be one object, too."""
    status = PodStatus(phase=PENDING, qos_class=qos)
    return status.replaced(conditions=(_GATED,)) if gated else status


_INITIAL_STATUS: IdentityCache[PodSpec, PodStatus] = IdentityCache()
_GATED = Condition(
    type="PodScheduled",
    status="False",
    reason="SchedulingGated",
    message="Scheduling is blocked due to non-empty scheduling gates",
)


def qos_class(spec: PodSpec) -> str:
    """Guaranteed, Burstable or BestEffort (pkg/apis/core/helper/qos), by requests and limits for cpu and memory."""
    requests: dict[str, int] = {}
    limits: dict[str, int] = {}
    guaranteed = True
    for container in (*spec.containers, *spec.init_containers):
        resources = container.resources
        limited = set()
        for name in _QOS_RESOURCES:
            request = resources.requests.get(name) if resources is not None else None
            limit = resources.limits.get(name) if resources is not None else None
            if request is not None and request.milli_value() > 0:
                requests[name] = requests.get(name, 0) + request.milli_value()
            if limit is not None and limit.milli_value() > 0:
                limits[name] = limits.get(name, 0) + limit.milli_value()
                limited.add(name)
        guaranteed = guaranteed and len(limited) == len(_QOS_RESOURCES)
    if not requests and not limits:
        return "BestEffort"
    if guaranteed and requests == limits:
        return "Guaranteed"
    return "Burstable"


def create_job(job: Job) -> Job:
    """A new job has no status and, unless the user wrote one, a selector by its own uid."""
    if job.spec.manual_selector:
        return job.replaced(status=JobStatus())
    uid, name = job.metadata.uid, job.metadata.name
    template = job.spec.template
    labels = template.metadata.labels | {
        CONTROLLER_UID_LABEL: uid,
        _LEGACY_CONTROLLER_UID_LABEL: uid,
        JOB_NAME_LABEL: name,
        _LEGACY_JOB_NAME_LABEL: name,
    }
    spec = job.spec.replaced(
        selector=LabelSelector(match_labels={CONTROLLER_UID_LABEL: uid}),
        template=template.replaced(metadata=template.metadata.replaced(labels=labels)),
    )
    return job.replaced(spec=spec, status=JobStatus())


def pod_grace_seconds(pod: Pod, asked: int | None) -> int:
    """Seconds a pod gets to end; none when no kubelet has it or it has ended (podStrategy.CheckGracefulDelete)."""
    if not pod.spec.node_name or pod.status.phase in (SUCCEEDED, FAILED):
        return 0
    period = asked if asked is not None else pod.spec.termination_grace_period_seconds
    if period is None:
        return 30
    return period if period >= 0 else 1
