"""The pod status a kubelet reports (pkg/kubelet/status/generate.go and kubelet_pods.go)."""

from __future__ import annotations

from ksched.cluster.apiserver.strategies import FAILED, PENDING, RUNNING, SUCCEEDED
from ksched.objects.base import IdentityCache
from ksched.objects.meta import Condition
from ksched.objects.pod import (
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    Pod,
    PodStatus,
)

READY_TO_START = "PodReadyToStartContainers"
INITIALIZED = "Initialized"
READY = "Ready"
CONTAINERS_READY = "ContainersReady"
POD_SCHEDULED = "PodScheduled"

_TRUE, _FALSE = "True", "False"


class ContainerReport:
    """What a kubelet knows of a pod's containers (all alike: they start and end together).

    One of: waiting (``waiting`` is the reason), running since ``started_at``, or ended with ``exit_code``.
    """

    __slots__ = ("exit_code", "finished_at", "restarts", "started_at", "waiting")

    def __init__(self) -> None:
        self.waiting: str | None = "ContainerCreating"
        self.started_at: str | None = None
        self.finished_at: str | None = None
        self.exit_code: int | None = None
        self.restarts = 0

    def snapshot(self) -> ContainerReport:
        """What is true now, unaffected by what happens next."""
        copy = ContainerReport()
        copy.waiting, copy.started_at, copy.finished_at = self.waiting, self.started_at, self.finished_at
        copy.exit_code, copy.restarts = self.exit_code, self.restarts
        return copy


def report(
    current: PodStatus, pod: Pod, containers: ContainerReport, phase: str, start_time: str, now: str
) -> PodStatus:
    """The status to write: ``current`` with all that is the kubelet's to say replaced."""
    return current.replaced(
        phase=phase,
        conditions=_conditions(current.conditions, pod, phase, containers, now),
        start_time=current.start_time or start_time,
        container_statuses=_container_statuses(pod.spec.containers, containers, phase),
    )


def rejected(current: PodStatus, reason: str, message: str, now: str) -> PodStatus:
    """The status of a pod the kubelet will not run."""
    return current.replaced(
        phase=FAILED, reason=reason, message=f"Pod was rejected: {message}", start_time=current.start_time or now
    )


def _conditions(
    old: tuple[Condition, ...], pod: Pod, phase: str, containers: ContainerReport, now: str
) -> tuple[Condition, ...]:
    before = {condition.type: condition for condition in old}
    wanted: tuple[tuple[str, str | None], ...]
    if phase == SUCCEEDED:
        wanted = (("False", None), ("True", "PodCompleted"), ("False", "PodCompleted"))
    elif phase == FAILED:
        wanted = (("False", None), ("True", None), ("False", "PodFailed"))
    elif containers.started_at is not None and containers.waiting is None:
        wanted = (("True", None), ("True", None), ("True", None))
    else:
        sandbox = _TRUE if phase == RUNNING else _FALSE
        wanted = ((sandbox, None), ("True", None), ("False", "ContainersNotReady"))
    sandboxed, initialized, ready = wanted
    made = []
    for kind, (status, reason) in (
        (READY_TO_START, sandboxed),
        (INITIALIZED, initialized),
        (READY, ready),
        (CONTAINERS_READY, ready),
    ):
        made.append(_condition(before.pop(kind, None), kind, status, reason, now))
    # Everything else is somebody else's: PodScheduled, and whatever a controller put there.
    return (*made, *before.values())


_NOW: dict[tuple[str, str, str | None, str], Condition] = {}
_MOST_SHARED = 256


def _condition(old: Condition | None, kind: str, status: str, reason: str | None, now: str) -> Condition:
    """The condition, the same object for all pods that turned so at the same second."""
    if old is not None and old.status == status:
        if old.reason == reason:
            return old
        now = old.last_transition_time or now  # only a change of status is a transition
    shared = _NOW.get((kind, status, reason, now))
    if shared is None:
        if len(_NOW) >= _MOST_SHARED:
            _NOW.clear()
        fields = {"type": kind, "status": status, "last_transition_time": now}
        shared = _NOW[kind, status, reason, now] = Condition(**fields | ({"reason": reason} if reason else {}))
    return shared


_STATUS_TEMPLATES: IdentityCache[tuple[Container, ...], tuple[ContainerStatus, ...]] = IdentityCache()


# Copies of these cost a fraction of making one anew.
_STATE = ContainerState()
_WAITING, _RUNNING, _TERMINATED = ContainerStateWaiting(), ContainerStateRunning(), ContainerStateTerminated()


def _container_statuses(
    containers: tuple[Container, ...], known: ContainerReport, phase: str
) -> tuple[ContainerStatus, ...]:
    templates = _STATUS_TEMPLATES.get(containers)
    if templates is None:
        made = tuple(ContainerStatus(name=c.name, image=c.image, restart_count=0) for c in containers)
        templates = _STATUS_TEMPLATES.put(containers, made)
    running = False
    if known.exit_code is not None and known.waiting is None:
        terminated = _TERMINATED.replaced(
            exit_code=known.exit_code,
            reason="Completed" if known.exit_code == 0 else "Error",
            started_at=known.started_at,
            finished_at=known.finished_at,
        )
        state = _STATE.replaced(terminated=terminated)
    elif known.waiting is not None:
        state = _STATE.replaced(waiting=_WAITING.replaced(reason=known.waiting))
    else:
        running = True
        state = _STATE.replaced(running=_RUNNING.replaced(started_at=known.started_at))
    changes = {"state": state, "ready": running, "started": running}
    if known.restarts:
        changes["restart_count"] = known.restarts
    return tuple(template.replaced(**changes) for template in templates)


__all__ = ["FAILED", "PENDING", "RUNNING", "SUCCEEDED", "ContainerReport", "rejected", "report"]
