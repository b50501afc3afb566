"""kube-scheduler in the modelled cluster: informers feed its cache and queue, decisions go back as Bindings.

The framework decides; this module owns time and the api-server. One pod is decided after another, binding runs beside
it (upstream: pkg/scheduler/scheduler.go, schedule_one.go, eventhandlers.go).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from ksched.cluster.apiserver.client import Client
from ksched.cluster.apiserver.errors import ApiError
from ksched.cluster.priorities import SCHEDULE
from ksched.framework import (
    Action,
    ClusterEvent,
    Code,
    Cycle,
    Decision,
    Framework,
    Outcome,
    QueuedPod,
    QueueOptions,
    SchedulerCache,
    SchedulerConfiguration,
    SchedulingQueue,
    Status,
    TieBreak,
)
from ksched.framework.events import ASSIGNED_POD_ADD, ASSIGNED_POD_DELETE, ASSIGNED_POD_UPDATE, NODE_ADD
from ksched.framework.events import NODE as NODE_RESOURCE
from ksched.objects import Binding, Condition, Node, ObjectMeta, ObjectReference, Pod
from ksched.objects.gpu import GPU_INDEX_ANNOTATION, format_indices
from ksched.sim.delays import Constant, Delay, Sampler
from ksched.sim.kernel import Kernel, Timer
from ksched.sim.streams import Streams
from ksched.tables import PodView

SECOND = 1_000_000_000
# Copies of a validated object cost a tenth of making one.
_BINDING = Binding(metadata=ObjectMeta(), target=ObjectReference(kind="Node"))
_NOT_SCHEDULED = Condition(type="PodScheduled", status="False")
# As kube-scheduler's own informer: a pod that has finished is as good as gone.
_NOT_FINISHED = "status.phase!=Succeeded,status.phase!=Failed"
_NODE_UPDATES: dict[Action, ClusterEvent] = {}


class SchedulerConfig(BaseModel):
    """What can be set about the scheduler beside its KubeSchedulerConfiguration.

    ``decision``: how long one scheduling cycle takes; pods wait for each other that long. ``tie_break``: how one of
    several equally good nodes is chosen. ``candidates``: how many best nodes a decision record keeps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    decision: Delay = Constant()
    tie_break: TieBreak = TieBreak.RANDOM
    candidates: int = 5


@dataclass(slots=True, eq=False)
class _Waiting:
    """A pod held by Permit."""

    attempt: _Attempt
    timer: Timer


@dataclass(slots=True, eq=False)
class _Attempt:
    """A pod between being chosen a node for and being bound."""

    framework: Framework
    cycle: Cycle
    queued: QueuedPod
    decision: Decision
    queue_cycle: int

    @property
    def pod(self) -> PodView:
        return self.queued.pod

    @property
    def node(self) -> str:
        assert self.decision.node is not None
        return self.decision.node


class Scheduler:
    """One scheduler process: a framework per profile over one cache, one queue.

    ``on_decision`` is called with every :class:`~ksched.framework.Decision` as soon as it is made.
    """

    def __init__(
        self,
        kernel: Kernel,
        client: Client,
        configuration: SchedulerConfiguration,
        *,
        seed: int,
        streams: Streams,
        config: SchedulerConfig | None = None,
    ) -> None:
        self.config = config or SchedulerConfig()
        self.cache = SchedulerCache()
        self.frameworks = {
            profile.scheduler_name: Framework(profile, self.cache.table, seed=seed, tie_break=self.config.tie_break)
            for profile in configuration.profiles
        }
        first = next(iter(self.frameworks.values()))
        events = {name: found for framework in self.frameworks.values() for name, found in framework.events().items()}
        self.queue = SchedulingQueue(
            first.queue_sort_key,
            pre_enqueue=lambda pod: self.frameworks[pod.scheduler_name].pre_enqueue(pod),
            events=events,
            options=QueueOptions(configuration.pod_initial_backoff_seconds, configuration.pod_max_backoff_seconds),
        )
        self.on_decision: list[Callable[[Decision], object]] = []
        self._kernel = kernel
        self._client = client
        self._decision_time = Sampler(self.config.decision, streams, "scheduler/decision")
        self._busy = False
        self._wakeup: Timer | None = None
        self._waiting: dict[str, _Waiting] = {}
        self.nodes = client.informer(
            Node, on_add=self._node_added, on_update=self._node_updated, on_delete=self._node_deleted
        )
        self.pods = client.informer(
            Pod,
            field_selector=_NOT_FINISHED,
            on_add=self._pod_added,
            on_update=self._pod_updated,
            on_delete=self._pod_gone,
        )

    # -- what the watches tell ------------------------------------------------------------------------------

    def _node_added(self, node: Node) -> None:
        self.cache.add_node(node)
        self._moved(NODE_ADD, None, node)

    def _node_updated(self, old: Node, new: Node) -> None:
        self.cache.update_node(new)
        action = _node_change(old, new)
        if action:
            event = _NODE_UPDATES.setdefault(action, ClusterEvent(NODE_RESOURCE, action, "NodeUpdate"))
            self._moved(event, old, new)

    def _node_deleted(self, node: Node) -> None:
        self.cache.remove_node(node.metadata.name or "")

    def _pod_added(self, pod: Pod) -> None:
        if pod.spec.node_name:
            self.cache.add_pod(pod)
            self._moved(ASSIGNED_POD_ADD, None, pod)
        elif self._responsible(pod):
            self.queue.add(PodView(pod), self._kernel.now)
            self._wake()

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if not new.spec.node_name:
            if self._responsible(new) and not self.cache.is_assumed(new.metadata.uid or ""):
                self._pending_updated(old, new)
        elif not old.spec.node_name:
            self._assigned(new)
        elif _counts_differently(old, new):
            self.cache.update_pod(new)
            self._moved(ASSIGNED_POD_UPDATE, old, new)

    def _pending_updated(self, old: Pod, new: Pod) -> None:
        changed = old.spec is not new.spec or old.metadata.labels != new.metadata.labels
        self.queue.update(PodView(new), self._kernel.now, may_help=changed)
        self._wake()

    def _assigned(self, pod: Pod) -> None:
        self.queue.delete(pod.metadata.uid or "")
        self.cache.add_pod(pod)
        self._moved(ASSIGNED_POD_ADD, None, pod)

    def _pod_gone(self, pod: Pod) -> None:
        """A pod was deleted, or finished and so left the watch: it holds nothing any more."""
        uid = pod.metadata.uid or ""
        if uid in self._waiting:
            self.reject_waiting(uid, "removed")
        if pod.spec.node_name:
            self.cache.remove_pod(uid)
            self._moved(ASSIGNED_POD_DELETE, pod, None)
        else:
            self.queue.delete(uid)

    def _moved(self, event: ClusterEvent, old: object, new: object) -> None:
        self.queue.move(event, self._kernel.now, old=old, new=new)
        self._wake()

    def _responsible(self, pod: Pod) -> bool:
        return pod.spec.scheduler_name in self.frameworks and pod.metadata.deletion_timestamp is None

    # -- the scheduling cycle -------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Make sure the next cycle, or the next time-driven move of the queue, will happen."""
        kernel = self._kernel
        if self.queue.has_active:
            if not self._busy:
                self._busy = True
                kernel.call_at(kernel.now, self._begin_cycle, priority=SCHEDULE)
            return
        wakeup = self.queue.next_wakeup()
        if wakeup is None:
            return
        if self._wakeup is not None:
            if self._wakeup.time <= wakeup:
                return
            self._wakeup.cancel()
        self._wakeup = kernel.call_at(max(wakeup, kernel.now), self._flush, priority=SCHEDULE)

    def _flush(self) -> None:
        self._wakeup = None
        self.queue.flush(self._kernel.now)
        self._wake()

    def _begin_cycle(self) -> None:
        """Take the next pod; the decision falls when its computation is done."""
        self.queue.flush(self._kernel.now)
        queued = self.queue.pop()
        if queued is None:
            self._busy = False
            self._wake()
            return
        if self._decision_time.is_zero:
            self._schedule_one(queued)
        else:
            delay = self._decision_time()
            self._kernel.call_at(self._kernel.now + delay, self._schedule_one, queued, priority=SCHEDULE)

    def _schedule_one(self, queued: QueuedPod) -> None:
        if self._still_wanted(queued.pod):
            self._decide(queued)
        else:
            self.queue.done(queued.pod.uid)
        self._busy = False
        self._wake()

    def _still_wanted(self, pod: PodView) -> bool:
        current = self.pods.get(pod.namespace, pod.name)
        return current is not None and current.metadata.uid == pod.uid and current.metadata.deletion_timestamp is None

    def _decide(self, queued: QueuedPod) -> None:
        framework = self.frameworks[queued.pod.scheduler_name]
        cycle = framework.new_cycle(queued.pod, now=self._kernel.now, attempt=queued.attempts)
        decision = framework.schedule(queued.pod, cycle, top=self.config.candidates)
        attempt = _Attempt(framework, cycle, queued, decision, self.queue.cycle)
        for observe in self.on_decision:
            observe(decision)
        if decision.outcome is not Outcome.SCHEDULED:
            self._failed(attempt, decision.message(), decision.plugins)
            return
        # Reserve sees the table without the pod; devices it takes are counted from the moment the pod is assumed.
        status = framework.reserve(cycle, queued.pod, attempt.node)
        if status is not None:
            self._rejected(attempt, status, assumed=False)
            return
        self.cache.assume(queued.pod, attempt.node, cycle.devices)
        status = framework.permit(cycle, queued.pod, attempt.node)
        if status is None:
            self._bind(attempt)
        elif status.code is Code.WAIT:
            self._hold(attempt, status)
        else:
            self._unreserve(attempt, status)

    # -- permit ---------------------------------------------------------------------------------------------

    def _hold(self, attempt: _Attempt, status: Status) -> None:
        timeout = int(status.timeout_s * SECOND)
        uid = attempt.pod.uid
        expire = self._kernel.call_at(
            self._kernel.now + timeout, self.reject_waiting, uid, "timeout", priority=SCHEDULE
        )
        self._waiting[uid] = _Waiting(attempt, expire)

    def waiting_pods(self) -> list[PodView]:
        """Pods held by Permit plugins."""
        return [waiting.attempt.pod for waiting in self._waiting.values()]

    def allow_waiting(self, uid: str) -> None:
        """Let a held pod be bound."""
        waiting = self._waiting.pop(uid, None)
        if waiting is not None:
            waiting.timer.cancel()
            self._bind(waiting.attempt)

    def reject_waiting(self, uid: str, why: str) -> None:
        """Refuse a held pod."""
        waiting = self._waiting.pop(uid, None)
        if waiting is not None:
            waiting.timer.cancel()
            self._unreserve(waiting.attempt, Status.unschedulable(f"rejected while waiting on permit: {why}"))
            self._wake()

    # -- the binding cycle ----------------------------------------------------------------------------------

    def _bind(self, attempt: _Attempt) -> None:
        framework, cycle, pod = attempt.framework, attempt.cycle, attempt.pod
        status = framework.pre_bind(cycle, pod, attempt.node)
        if status is None:
            status = framework.bind(cycle, pod, attempt.node, _BindHandle(self, attempt))
        if status is not None:
            self._unreserve(attempt, status)

    def send_binding(self, attempt: _Attempt) -> None:
        """Ask the api-server to bind; the answer ends the binding cycle."""
        pod, devices = attempt.pod, attempt.cycle.devices
        annotations = {GPU_INDEX_ANNOTATION: format_indices(devices)} if devices else {}
        meta = _BINDING.metadata.replaced(name=pod.name, namespace=pod.namespace, uid=pod.uid, annotations=annotations)
        binding = _BINDING.replaced(metadata=meta, target=_BINDING.target.replaced(name=attempt.node))

        def answered(result: object, error: ApiError | None) -> None:
            if error is None:
                self.queue.done(pod.uid)
                attempt.framework.post_bind(attempt.cycle, pod, attempt.node)
            else:
                self._unreserve(attempt, Status.error(f"binding failed: {error}"))
                self._wake()

        self._client.bind(binding, answered)

    def _unreserve(self, attempt: _Attempt, status: Status) -> None:
        attempt.framework.unreserve(attempt.cycle, attempt.pod, attempt.node)
        self.cache.forget(attempt.pod)
        # Others may fit now that this pod holds nothing (upstream: handleBindingCycleError).
        self.queue.move(ASSIGNED_POD_DELETE, self._kernel.now, old=attempt.pod.pod)
        self._rejected(attempt, status, assumed=True)

    def _rejected(self, attempt: _Attempt, status: Status, *, assumed: bool) -> None:
        plugins = frozenset({status.plugin}) if status.rejected and status.plugin else frozenset()
        self._failed(attempt, "; ".join(status.reasons), plugins)

    def _failed(self, attempt: _Attempt, message: str, plugins: frozenset[str]) -> None:
        """Queue the pod again and tell the world why it is pending (upstream: handleSchedulingFailure)."""
        pod = attempt.pod
        current = self.pods.get(pod.namespace, pod.name)
        if current is None or current.metadata.uid != pod.uid or current.spec.node_name:
            self.queue.done(pod.uid)
            return
        if current is not pod.pod:
            attempt.queued.pod = PodView(current)
        self.queue.requeue(attempt.queued, self._kernel.now, plugins=plugins, cycle=attempt.queue_cycle)
        reason = "SchedulerError" if attempt.decision.outcome is Outcome.ERROR else "Unschedulable"
        self._report_unschedulable(current, reason, message)

    def _report_unschedulable(self, pod: Pod, reason: str, message: str) -> None:
        known = next((c for c in pod.status.conditions if c.type == "PodScheduled"), None)
        if known is not None and (known.status, known.reason, known.message) == ("False", reason, message):
            return

        def change(current: Pod) -> Pod:
            if current.spec.node_name:
                return current
            condition = Condition.model_construct(type="PodScheduled", status="False", reason=reason, message=message)
            others = tuple(c for c in current.status.conditions if c.type != "PodScheduled")
            return current.replaced(status=current.status.replaced(conditions=(*others, condition)))

        self._client.patch(
            Pod, pod.metadata.namespace, pod.metadata.name or "", change, subresource="status", uid=pod.metadata.uid
        )


class _BindHandle:
    """What Bind plugins may do."""

    __slots__ = ("_attempt", "_scheduler")

    def __init__(self, scheduler: Scheduler, attempt: _Attempt) -> None:
        self._scheduler = scheduler
        self._attempt = attempt

    def bind(self, pod: PodView, node_name: str) -> None:
        """Bind ``pod`` to the node that was reserved for it."""
        self._scheduler.send_binding(self._attempt)


def _counts_differently(old: Pod, new: Pod) -> bool:
    """Whether the table must look at a bound pod again: its spec, labels or deletion changed, not its status."""
    before, after = old.metadata, new.metadata
    return (
        old.spec is not new.spec
        or before.labels != after.labels
        or (before.deletion_timestamp is None) != (after.deletion_timestamp is None)
    )


def _node_change(old: Node, new: Node) -> Action:
    """What changed that can matter to scheduling (upstream: nodeSchedulingPropertiesChange)."""
    action = Action(0)
    if old.status.allocatable != new.status.allocatable:
        action |= Action.UPDATE_NODE_ALLOCATABLE
    if old.metadata.labels != new.metadata.labels:
        action |= Action.UPDATE_NODE_LABEL
    if old.spec.taints != new.spec.taints or old.spec.unschedulable != new.spec.unschedulable:
        action |= Action.UPDATE_NODE_TAINT
    if old.status.conditions != new.status.conditions:
        action |= Action.UPDATE_NODE_CONDITION
    return action
