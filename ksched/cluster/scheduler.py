"""kube-scheduler in the modelled cluster: informers feed its cache and queue, decisions go back as Bindings.

The framework decides; this module owns time and the api-server. One pod is decided after another, binding runs beside
it (upstream: pkg/scheduler/scheduler.go, schedule_one.go, eventhandlers.go).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict

from ksched.cluster.apiserver.client import Client
from ksched.cluster.apiserver.errors import ApiError
from ksched.cluster.evictions import Evictions, disruption_target, with_condition
from ksched.cluster.lister_feed import feed
from ksched.cluster.priorities import BIND, SCHEDULE
from ksched.framework import (
    Action,
    ClusterEvent,
    Code,
    Cycle,
    Decision,
    Framework,
    Outcome,
    PostFilterResult,
    QueuedPod,
    QueueOptions,
    SchedulerCache,
    SchedulerConfiguration,
    SchedulingQueue,
    Status,
    TieBreak,
)
from ksched.framework.admission import admits
from ksched.framework.events import ASSIGNED_POD_ADD, ASSIGNED_POD_DELETE, ASSIGNED_POD_UPDATE, NODE_ADD
from ksched.framework.events import NODE as NODE_RESOURCE
from ksched.framework.listers import Listers
from ksched.framework.node_order import NodeOrder
from ksched.framework.nominator import Nominator
from ksched.objects import Condition, KubeObject, Node, Pod
from ksched.objects.gpu import GPU_INDEX_ANNOTATION, format_indices
from ksched.sim.delays import Constant, Delay, Sampler
from ksched.sim.kernel import Kernel, Timer
from ksched.sim.streams import Streams
from ksched.tables import PodView
from ksched.tables.affinity_terms import terms_of

SECOND = 1_000_000_000
# Copies of a validated object cost a tenth of making one.
_NOT_SCHEDULED = Condition(type="PodScheduled", status="False")
# As kube-scheduler's own informer: a pod that has finished is as good as gone.
_NOT_FINISHED = "status.phase!=Succeeded,status.phase!=Failed"
_NODE_UPDATES: dict[Action, ClusterEvent] = {}
_NO_NOMINATION = PostFilterResult(Status.unschedulable(), nominated_node="")


class SchedulerConfig(BaseModel):
    """What can be set about the scheduler beside its KubeSchedulerConfiguration.

    ``decision``: how long one scheduling cycle takes; pods wait for each other that long. ``tie_break``: how one of
    several equally good nodes is chosen. ``candidates``: how many best nodes a decision record keeps.
    ``queueing_hints``: ask plugins whether an event is worth a retry (upstream's feature gate SchedulerQueueingHints;
    off as in v1.30, where any event of a kind the plugin registered for is).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    decision: Delay = Constant()
    tie_break: TieBreak = TieBreak.RANDOM
    candidates: int = 5
    queueing_hints: bool = False


@dataclass(slots=True, eq=False)
class _Waiting:
    """A pod held by Permit."""

    attempt: _Attempt
    timers: dict[str, Timer]
    """Per plugin that still holds it, when that plugin's patience ends."""


@dataclass(slots=True, eq=False)
class _Attempt:
    """A pod between being chosen a node for and being bound."""

    scheduler: Scheduler
    framework: Framework
    cycle: Cycle
    queued: QueuedPod
    decision: Decision
    node: str
    """The chosen one, "" for none."""

    @property
    def pod(self) -> PodView:
        return self.queued.pod

    def bind(self, pod: PodView, node_name: str) -> None:
        """All that a Bind plugin may do: bind the pod to the node that was reserved for it."""
        scheduler, pod, devices = self.scheduler, self.queued.pod, self.cycle.devices
        annotations = {GPU_INDEX_ANNOTATION: format_indices(devices)} if devices else {}
        answered = partial(scheduler.binding_answered, self)
        scheduler.client.bind(pod.namespace, pod.name, self.node, answered, uid=pod.uid, annotations=annotations)


class Scheduler:
    """One scheduler process: a framework per profile over one cache, one queue.

    ``on_decision`` is called with every :class:`~ksched.framework.Decision` once it is made and the pod that found a
    node assumed there.

    With ``stepwise`` it stops before every decision: the pod is ``held``, time must stand still, and :meth:`decide`
    goes on. Nothing comes out differently, because a decision is the last thing that happens in its event.
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
        order = NodeOrder(self.cache.table)
        self.objects = Listers()
        self.nominator = Nominator(self.cache.table, self._is_pending)
        self.frameworks = {
            profile.scheduler_name: Framework(
                profile,
                self.cache.table,
                seed=seed,
                tie_break=self.config.tie_break,
                order=order,
                objects=self.objects,
                nominator=self.nominator,
            )
            for profile in configuration.profiles
        }
        first = next(iter(self.frameworks.values()))
        events = {name: found for framework in self.frameworks.values() for name, found in framework.events().items()}
        self.queue = SchedulingQueue(
            first.queue_sort_key,
            pre_enqueue=lambda pod: self.frameworks[pod.info.scheduler_name].pre_enqueue(pod),
            events=events,
            options=QueueOptions(
                configuration.pod_initial_backoff_seconds,
                configuration.pod_max_backoff_seconds,
                queueing_hints=self.config.queueing_hints,
            ),
        )
        self.on_decision: list[Callable[[Decision], object]] = []
        self.stepwise = False
        self.held: QueuedPod | None = None
        self._kernel = kernel
        self.client = client
        self._candidates = self.config.candidates
        self._decision_time = Sampler(self.config.decision, streams, "scheduler/decision")
        self._busy = False
        self._wakeup: Timer | None = None
        self._waiting: dict[str, _Waiting] = {}
        self._to_bind: list[_Attempt] = []
        self._api = _PluginApi(client)
        self._evictions = Evictions(client, self.nominator, self._reject_victim)
        feed(client, self.objects, self.cache.table.namespaces, self._moved)
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

    def close(self) -> None:
        """Let go of everything (:meth:`ksched.cluster.cluster.Cluster.close`)."""
        self.nodes.stop()
        self.pods.stop()
        for part in (*self.frameworks.values(), self.cache.table, self.queue, self):
            vars(part).clear()

    # -- what the watches tell ------------------------------------------------------------------------------

    def _node_added(self, node: Node) -> None:
        self.cache.add_node(node)
        self._moved(NODE_ADD, None, node, check=self._fits_on)

    def _node_updated(self, old: Node, new: Node) -> None:
        self.cache.update_node(new)
        action = _node_change(old, new)
        if action:
            event = _NODE_UPDATES.setdefault(action, ClusterEvent(NODE_RESOURCE, action, "NodeUpdate"))
            self._moved(event, old, new, check=self._fits_on)

    def _fits_on(self, pod: PodView, node: Node) -> bool:
        """Whether a waiting pod could be helped by this node (upstream: preCheckForNode)."""
        table = self.cache.table
        return admits(table, table.index[node.metadata.name or ""], pod)

    def _node_deleted(self, node: Node) -> None:
        self.cache.remove_node(node.metadata.name or "")

    def _pod_added(self, pod: Pod) -> None:
        if pod.spec.node_name:
            self.cache.add_pod(pod)
            self._moved(ASSIGNED_POD_ADD, None, pod, check=self._wants_near)
        elif self._responsible(pod):
            pending = PodView(pod)
            self.queue.add(pending, self._kernel.now)
            self.nominator.add(pending)
            self._wake()

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if not new.spec.node_name:
            if self._responsible(new) and not self.cache.is_assumed(new.metadata.uid or ""):
                self._pending_updated(old, new)
        elif not old.spec.node_name:
            self._assigned(new)
        elif _counts_differently(old, new):
            self.cache.update_pod(new)
            self._moved(ASSIGNED_POD_UPDATE, old, new, check=self._wants_near)
        elif _preemption_looks_at(old, new):
            self.cache.renew_pod(new)

    def _wants_near(self, pod: PodView, other: Pod) -> bool:
        """Whether a waiting pod's required affinity means ``other``: no pod is helped in another way by one that comes
        (upstream: getUnschedulablePodsWithMatchingAffinityTerm)."""
        namespace, labels, namespaces = other.namespace, other.metadata.labels, self.cache.table.namespaces
        return any(term.matches(namespace, labels, namespaces) for term in terms_of(pod).required)

    def _pending_updated(self, old: Pod, new: Pod) -> None:
        pending = PodView(new)
        self.queue.update(pending, self._kernel.now, may_help=_changed(old, new))
        self.nominator.update(PodView(old), pending)
        self._wake()

    def _assigned(self, pod: Pod) -> None:
        uid = pod.metadata.uid or ""
        self.queue.delete(uid)
        self.nominator.remove(uid)
        self.cache.add_pod(pod)
        self._moved(ASSIGNED_POD_ADD, None, pod, check=self._wants_near)

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
            self.nominator.remove(uid)

    def _moved(
        self, event: ClusterEvent, old: object, new: object, *, check: Callable[[PodView, Any], bool] | None = None
    ) -> None:
        if self.queue.move(event, self._kernel.now, old=old, new=new, check=check):
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
        self._next_cycle()
        self._go_on()

    def _end_cycle(self, queued: QueuedPod) -> None:
        self._schedule_one(queued)
        self._go_on()

    def _go_on(self) -> None:
        """If the cycle is over: the next ones, here and now as long as nothing else is due before them."""
        while not self._busy and self.queue.has_active and self._kernel.comes_next(SCHEDULE):
            self._busy = True
            self._next_cycle()
        if not self._busy:
            self._wake()

    def _next_cycle(self) -> None:
        """Take the next pod; the decision falls when its computation is done."""
        self.queue.flush(self._kernel.now)
        queued = self.queue.pop()
        if queued is None:
            self._busy = False
        elif self._decision_time.is_zero:
            self._schedule_one(queued)
        else:
            delay = self._decision_time()
            self._kernel.call_at(self._kernel.now + delay, self._end_cycle, queued, priority=SCHEDULE)

    def _schedule_one(self, queued: QueuedPod) -> None:
        if not self._still_wanted(queued.pod):
            self.queue.done(queued.pod.uid)
            self._busy = False
        elif self.stepwise:
            self.held = queued
        else:
            self._decide(queued)

    def decide(self) -> None:
        """Make the decision about the pod that is ``held``."""
        queued, self.held = self.held, None
        if queued is None:
            raise RuntimeError("no pod is held")
        self._decide(queued)
        self._go_on()

    def _still_wanted(self, pod: PodView) -> bool:
        current = self._known(pod)
        if current is None:
            return False
        meta = current.metadata
        return meta.uid == pod.uid and meta.deletion_timestamp is None

    def _known(self, pod: PodView) -> Pod | None:
        """What the watch last told of the pod of this name."""
        return self.pods.store.get((pod.namespace, pod.name))

    def _decide(self, queued: QueuedPod) -> None:
        """One scheduling cycle. It is over at the end of this, or when the eviction of pods has been answered."""
        framework, cycle = self.cycle_of(queued)
        decision = framework.schedule(queued.pod, cycle, top=self._candidates)
        attempt = _Attempt(self, framework, cycle, queued, decision, decision.node or "")
        scheduled, tried = decision.outcome is Outcome.SCHEDULED, _NO_NOMINATION
        if scheduled:
            self._place(attempt)
        else:
            tried = self._post_filter(attempt)
        for observe in self.on_decision:
            observe(decision)
        if scheduled or not self._preempt(attempt, tried):
            self._busy = False

    def _place(self, attempt: _Attempt) -> None:
        """Reserve the chosen node and go on to Permit and the binding cycle."""
        framework, cycle, pod, node = attempt.framework, attempt.cycle, attempt.queued.pod, attempt.node
        # Reserve sees the table without the pod; devices it takes are counted from the moment the pod is assumed.
        status = framework.reserve(cycle, pod, node)
        if status is not None:
            self._rejected(attempt, status)
            return
        self.cache.assume(pod, node, cycle.devices)
        self.nominator.remove(pod.uid)
        status = framework.permit(cycle, pod, node) if framework.permits else None
        if status is None:
            self._bind(attempt)
        elif status.code is Code.WAIT:
            self._hold(attempt)
        else:
            self._unreserve(attempt, status, others_may_fit=False)

    def cycle_of(self, queued: QueuedPod) -> tuple[Framework, Cycle]:
        """The framework that decides about a pod now, and a new cycle for its attempt."""
        pod = queued.pod
        framework = self.frameworks[pod.info.scheduler_name]
        return framework, framework.new_cycle(pod, now=self._kernel.now, attempt=queued.attempts)

    # -- preemption -----------------------------------------------------------------------------------------

    def _post_filter(self, attempt: _Attempt) -> PostFilterResult:
        """What PostFilter can do for an attempt that found no node; without nodes or after an error it is not asked."""
        decision = attempt.decision
        if decision.outcome is Outcome.UNSCHEDULABLE and decision.nodes:
            return attempt.framework.post_filter(attempt.cycle, attempt.pod, decision)
        return _NO_NOMINATION

    def _preempt(self, attempt: _Attempt, tried: PostFilterResult) -> bool:
        """Evict the victims, then nominate the pod; True while that takes time."""
        if tried.status is not None or not tried.nominated_node:
            self._unschedulable(attempt, tried.nominated_node)
            return False
        node_name = tried.nominated_node

        def evicted(errors: list[ApiError]) -> None:
            self._unschedulable(attempt, None if errors else node_name)
            self._busy = False
            self._wake()

        self._evictions.start(attempt.pod, node_name, tried.victims, evicted)
        return True

    def _unschedulable(self, attempt: _Attempt, nominated: str | None) -> None:
        self._failed(attempt, attempt.decision.message(), attempt.decision.plugins, nominated)

    def _reject_victim(self, uid: str) -> bool:
        """Refuse a victim that Permit holds."""
        if uid not in self._waiting:
            return False
        self.reject_waiting(uid, "preempted")
        return True

    def _is_pending(self, pod: PodView) -> bool:
        current = self._known(pod)
        return current is not None and not current.spec.node_name

    # -- permit ---------------------------------------------------------------------------------------------

    def _hold(self, attempt: _Attempt) -> None:
        """Keep the pod until every plugin that waits allows it, or the first of them loses patience."""
        uid, now = attempt.pod.uid, self._kernel.now
        timers = {
            plugin: self._kernel.call_at(
                now + int(timeout * SECOND), self._timed_out, uid, plugin, timeout, priority=SCHEDULE
            )
            for plugin, timeout in attempt.cycle.waits.items()
        }
        self._waiting[uid] = _Waiting(attempt, timers)

    def _timed_out(self, uid: str, plugin: str, timeout: float) -> None:
        self.reject_waiting(uid, f"timeout after waiting {timeout:g}s at plugin {plugin}", plugin=plugin)

    def waiting_pods(self) -> list[PodView]:
        """Pods held by Permit plugins."""
        return [waiting.attempt.pod for waiting in self._waiting.values()]

    def allow_waiting(self, uid: str, plugin: str | None = None) -> None:
        """``plugin`` (None: every plugin) holds the pod no longer; it is bound when none does."""
        waiting = self._waiting.get(uid)
        if waiting is None:
            return
        for name in [plugin] if plugin is not None else list(waiting.timers):
            timer = waiting.timers.pop(name, None)
            if timer is not None:
                timer.cancel()
        if not waiting.timers:
            del self._waiting[uid]
            self._bind(waiting.attempt)

    def reject_waiting(self, uid: str, why: str, *, plugin: str = "") -> None:
        """Refuse a held pod, on behalf of ``plugin``."""
        waiting = self._waiting.pop(uid, None)
        if waiting is not None:
            for timer in waiting.timers.values():
                timer.cancel()
            status = Status.unschedulable(f"rejected while waiting on permit: {why}").by(plugin)
            self._unreserve(waiting.attempt, status)
            self._wake()

    # -- the binding cycle ----------------------------------------------------------------------------------

    def _bind(self, attempt: _Attempt) -> None:
        """Let the binding cycle begin when the scheduling cycles of this instant are over.

        Upstream it runs beside them, so neither has to wait for the other. One kind of work after the other is faster
        than both in turns: each fills the processor's caches with code of its own.
        """
        if not self._to_bind:
            self._kernel.call_at(self._kernel.now, self.begin_bindings, priority=BIND)
        self._to_bind.append(attempt)

    def begin_bindings(self) -> None:
        """Begin the binding cycles that are due at this instant."""
        attempts, self._to_bind = self._to_bind, []
        for attempt in attempts:
            self._run_binding_cycle(attempt)
        self._wake()  # for those that failed at once and wait in the queue again

    def _run_binding_cycle(self, attempt: _Attempt) -> None:
        framework, cycle, pod, node = attempt.framework, attempt.cycle, attempt.queued.pod, attempt.node
        cycle.api = self._api
        status = framework.pre_bind(cycle, pod, node)
        if status is None:
            status = framework.bind(cycle, pod, node, attempt)
        if status is None:
            return
        if status.code is Code.WAIT:
            later = self._kernel.now + int(status.timeout_s * SECOND)
            self._kernel.call_at(later, self._continue_binding, attempt, priority=SCHEDULE)
        else:
            self._unreserve(attempt, status)

    def _continue_binding(self, attempt: _Attempt) -> None:
        """PreBind asked for some time; a pod that was deleted meanwhile is not bound any more."""
        if self._still_wanted(attempt.pod):
            self._run_binding_cycle(attempt)
        else:
            self._unreserve(attempt, Status.error("pod does not exist any more"))
        self._wake()

    def binding_answered(self, attempt: _Attempt, result: object, error: ApiError | None) -> None:
        """The api-server has bound the pod or refused to: the binding cycle is over."""
        if error is not None:
            self._unreserve(attempt, Status.error(f"binding failed: {error}"))
            self._wake()
            return
        framework, pod = attempt.framework, attempt.queued.pod
        self.queue.done(pod.uid)
        if framework.post_binds:
            framework.post_bind(attempt.cycle, pod, attempt.node)

    def _unreserve(self, attempt: _Attempt, status: Status, *, others_may_fit: bool = True) -> None:
        """Take the pod back from its node. Others may fit again, unless nobody saw it there: upstream tells them when
        the binding cycle fails (handleBindingCycleError), not when Permit refuses at once."""
        attempt.framework.unreserve(attempt.cycle, attempt.pod, attempt.node)
        self.cache.forget(attempt.pod)
        if others_may_fit:
            self.queue.move(ASSIGNED_POD_DELETE, self._kernel.now, old=attempt.pod.pod)
        self._rejected(attempt, status)

    def _rejected(self, attempt: _Attempt, status: Status) -> None:
        plugins = frozenset({status.plugin}) if status.rejected and status.plugin else frozenset()
        self._failed(attempt, "; ".join(status.reasons), plugins, "")

    def _failed(self, attempt: _Attempt, message: str, plugins: frozenset[str], nominated: str | None) -> None:
        """Queue the pod again and tell the world why it is pending (upstream: handleSchedulingFailure).

        ``nominated``: the node the pod is nominated to from now on, "" for none, None for no change.
        """
        pod = attempt.pod
        current = self._known(pod)
        if current is None or current.metadata.uid != pod.uid or current.spec.node_name:
            self.queue.done(pod.uid)
            return
        if current is not pod.pod:
            attempt.queued.pod = PodView(current)
        self.queue.requeue(attempt.queued, self._kernel.now, plugins=plugins)
        self.nominator.add(attempt.pod, nominated)
        reason = "SchedulerError" if attempt.decision.outcome is Outcome.ERROR else "Unschedulable"
        self._report_unschedulable(current, reason, message, nominated)

    def _report_unschedulable(self, pod: Pod, reason: str, message: str, nominated: str | None) -> None:
        known = next((c for c in pod.status.conditions if c.type == "PodScheduled"), None)
        told = known is not None and (known.status, known.reason, known.message) == ("False", reason, message)
        if told and nominated in (None, pod.status.nominated_node_name or ""):
            return

        def change(current: Pod) -> Pod:
            if current.spec.node_name:
                return current
            condition = _NOT_SCHEDULED.replaced(reason=reason, message=message)
            status = current.status.replaced(conditions=with_condition(current.status.conditions, condition))
            if nominated is not None:
                status = status.replaced(nominated_node_name=nominated or None)
            return current.replaced(status=status)

        self.client.patch(
            Pod, pod.metadata.namespace, pod.metadata.name or "", change, subresource="status", uid=pod.metadata.uid
        )


class _PluginApi:
    """What plugins may ask of the api-server."""

    __slots__ = ("_client",)

    def __init__(self, client: Client) -> None:
        self._client = client

    def update(self, obj: KubeObject, then: Callable[[KubeObject | None, str | None], object]) -> None:
        """Replace an object, all but its status."""
        self._client.update(obj, lambda result, error: then(result, None if error is None else str(error)))


def _changed(old: Pod, new: Pod) -> bool:
    """Whether anything but a pending pod's status changed (upstream: isPodUpdated)."""
    before, after = old.metadata, new.metadata
    return (
        old.spec is not new.spec
        or before.labels != after.labels
        or before.annotations != after.annotations
        or before.deletion_timestamp != after.deletion_timestamp
    )


def _preemption_looks_at(old: Pod, new: Pod) -> bool:
    """Whether a bound pod's status changed in what decides who is evicted: its start, its disruption."""
    before, after = old.status, new.status
    return before.start_time != after.start_time or (
        before.conditions is not after.conditions and disruption_target(old) != disruption_target(new)
    )


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
