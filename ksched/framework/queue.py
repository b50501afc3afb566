"""The scheduling queue: who is next, who waits and until when (upstream: pkg/scheduler/internal/queue, v1.30).

Three places: the active queue (ordered by the QueueSort plugin), the back-off queue (pods that failed and whose
back-off has not run out) and the unschedulable pool (pods that wait for an event that may help them). Time is an
argument, in ns; :meth:`next_wakeup` says when something would move by time alone, so nobody has to poll.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ksched.framework.events import NODE, Action, ClusterEvent, EventToRegister
from ksched.framework.status import Status
from ksched.tables import PodView

SECOND = 1_000_000_000
UNSCHEDULABLE_FLUSH_PERIOD = 30 * SECOND
"""How often the unschedulable pool is looked through (upstream: flushUnschedulablePodsLeftover)."""
UNSCHEDULABLE_TIMEOUT = 300 * SECOND
"""A pod older than this in the unschedulable pool is tried again without any event."""
BACKOFF_FLUSH_PERIOD = SECOND
"""How often upstream looks for pods whose back-off has run out."""


@dataclass(slots=True, eq=False)
class QueuedPod:
    """A pod in the queue: ``attempts`` made so far, ``queued_at`` of the last time it was added (ns)."""

    pod: PodView
    queued_at: int
    first_seen: int
    attempts: int = 0
    plugins: frozenset[str] = frozenset()
    """Plugins that rejected it last time."""


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """Back-off in seconds: doubles from ``initial`` with each attempt up to ``maximum``.

    ``queueing_hints``: whether plugins' hints are asked, or an event of the right kind is enough (upstream's feature
    gate SchedulerQueueingHints, which is off in v1.30).
    """

    initial_backoff: int = 1
    max_backoff: int = 10
    queueing_hints: bool = True


_Entry = tuple[Any, int, QueuedPod]
"""(key, sequence, pod): no two have the same sequence, so the pods themselves are never compared."""


class _Heap:
    """A heap of pods with removal by uid; equal keys leave in the order they came.

    An entry that ``by_uid`` does not know (any more) is dead and dropped when it comes to the top.
    """

    def __init__(self) -> None:
        self.by_uid: dict[str, _Entry] = {}
        self._heap: list[_Entry] = []
        self._sequence = 0

    def push(self, key: Any, queued: QueuedPod) -> None:
        self._sequence = sequence = self._sequence + 1
        self.by_uid[queued.pod.uid] = entry = (key, sequence, queued)
        heapq.heappush(self._heap, entry)

    def pop(self) -> QueuedPod:
        self._drop_dead()
        queued = heapq.heappop(self._heap)[2]
        del self.by_uid[queued.pod.uid]
        return queued

    def peek_key(self) -> Any:
        if not self.by_uid:
            self._heap.clear()
            return None
        self._drop_dead()
        return self._heap[0][0]

    def remove(self, uid: str) -> QueuedPod | None:
        entry = self.by_uid.pop(uid, None)
        return entry[2] if entry is not None else None

    def get(self, uid: str) -> QueuedPod | None:
        entry = self.by_uid.get(uid)
        return entry[2] if entry is not None else None

    def resort(self, uid: str, key: Any) -> None:
        entry = self.by_uid[uid]
        if entry[0] != key:
            self.push(key, entry[2])

    def _drop_dead(self) -> None:
        heap = self._heap
        while heap and not self._lives(heap[0]):
            heapq.heappop(heap)

    def _lives(self, entry: _Entry) -> bool:
        return self.by_uid.get(entry[2].pod.uid) is entry

    def __len__(self) -> int:
        return len(self.by_uid)

    def pods(self) -> list[QueuedPod]:
        return [entry[2] for entry in sorted(self._heap) if self._lives(entry)]


class SchedulingQueue:
    """activeQ, backoffQ and the unschedulable pool of all pods that wait for a node.

    ``sort_key(pod, queued_at)`` orders the active queue, ``pre_enqueue(pod)`` keeps gated pods out of it, and
    ``events`` maps plugin name -> the events that may help a pod it rejected.
    """

    def __init__(
        self,
        sort_key: Callable[[PodView, int], Any],
        *,
        pre_enqueue: Callable[[PodView], Status | None] = lambda pod: None,
        events: Mapping[str, Iterable[EventToRegister]] | None = None,
        options: QueueOptions | None = None,
    ) -> None:
        self._sort_key = sort_key
        self._pre_enqueue = pre_enqueue
        self._events = {plugin: _with_taint_updates(registered) for plugin, registered in (events or {}).items()}
        self._options = options or QueueOptions()
        self._active = _Heap()
        self._backoff = _Heap()
        self._parked = _Pool()
        self._gated = _Pool()
        self._in_flight: dict[str, bool] = {}
        """Popped pods, and whether one changed since in a way that may help it."""
        self._uninterested: dict[ClusterEvent, frozenset[str]] = {}
        self._cycle = 0
        self._move_cycle = -1

    # -- in and out -----------------------------------------------------------------------------------------

    def add(self, pod: PodView, now: int) -> None:
        """A new pending pod: into the active queue, or aside if a PreEnqueue plugin holds it."""
        self.delete(pod.uid)
        self._activate(QueuedPod(pod, now, now))

    def pop(self) -> QueuedPod | None:
        """The next pod to schedule, None if the active queue is empty. Counts as an attempt."""
        if not self._active.by_uid:
            return None
        queued = self._active.pop()
        queued.attempts += 1
        self._cycle += 1
        self._in_flight[queued.pod.uid] = False
        return queued

    def done(self, uid: str) -> None:
        """The popped pod needs the queue no more (bound, or deleted)."""
        self._in_flight.pop(uid, None)

    def requeue(self, queued: QueuedPod, now: int, *, plugins: frozenset[str], cycle: int | None = None) -> None:
        """A popped pod could not be placed (upstream: AddUnschedulableIfNotPresent).

        ``plugins`` rejected it; none means an error, which is retried after back-off without waiting for an event. So
        is a pod during whose attempt (begun at queue ``cycle``) it changed, or an event arrived that may have come too
        late for it.
        """
        uid = queued.pod.uid
        changed = self._in_flight.pop(uid, False)
        if self._holds(uid):
            return
        queued.queued_at = now
        queued.plugins = plugins
        attempt_cycle = self._cycle if cycle is None else cycle
        if self._move_cycle >= attempt_cycle or changed or not plugins:
            self._backoff.push(self._backoff_ends(queued), queued)
        else:
            self._parked.put(queued)

    @property
    def cycle(self) -> int:
        """Number of pods popped so far."""
        return self._cycle

    def update(self, pod: PodView, now: int, *, may_help: bool) -> None:
        """A pending pod changed; a parked one is retried if that ``may_help`` (its spec, labels or gates changed)."""
        uid = pod.uid
        for heap in (self._active, self._backoff):
            held = heap.get(uid)
            if held is not None:
                held.pod = pod
                if heap is self._active:
                    heap.resort(uid, self._sort_key(pod, held.queued_at))
                return
        parked = self._parked.get(uid) or self._gated.get(uid)
        if parked is None:
            if uid not in self._in_flight:
                self.add(pod, now)
            elif may_help:
                self._in_flight[uid] = True
            return
        parked.pod = pod
        if may_help:
            self._take(uid)
            self._retry(parked, now)

    def delete(self, uid: str) -> None:
        """A pending pod is gone."""
        self._active.by_uid.pop(uid, None)
        self._backoff.by_uid.pop(uid, None)
        self._take(uid)
        self._in_flight.pop(uid, None)

    def activate(self, uids: Iterable[str]) -> None:
        """Move waiting pods straight to the active queue, whatever back-off remains (upstream: Activate)."""
        for uid in uids:
            queued = self._backoff.remove(uid) or self._take(uid)
            if queued is not None:
                self._activate(queued)

    # -- events and time ------------------------------------------------------------------------------------

    def move(
        self,
        event: ClusterEvent,
        now: int,
        *,
        old: Any = None,
        new: Any = None,
        check: Callable[[PodView], bool] | None = None,
    ) -> int:
        """An event: move the parked and gated pods it may help to the active or back-off queue; returns how many.

        ``check`` says of a pod whether it is worth a thought at all (upstream: preCheck). Costs nothing while no pod
        waits because of a plugin this event interests.
        """
        self._move_cycle = self._cycle
        if not (self._parked.by_uid or self._gated.by_uid):
            return 0
        moved = 0
        uninterested = self._uninterest(event)
        parked = self._parked.rejected_by_others_than(uninterested)
        for uid, queued in [*parked, *self._gated.rejected_by_others_than(uninterested)]:
            if (check is None or check(queued.pod)) and self._worth_retrying(queued, event, old, new):
                self._take(uid)
                self._retry(queued, now)
                moved += 1
        return moved

    def flush(self, now: int) -> None:
        """Do what time alone brings about: end back-offs, retry pods that were parked too long."""
        while (ends := self._backoff.peek_key()) is not None and _next_look(ends, BACKOFF_FLUSH_PERIOD) <= now:
            self._activate(self._backoff.pop())
        while (oldest := self._parked.oldest()) is not None and _leaves_pool(oldest) <= now:
            self._parked.take(oldest.pod.uid)
            self._retry(oldest, now)
            self._move_cycle = self._cycle  # upstream does this as a move by an event of its own

    def next_wakeup(self) -> int | None:
        """When :meth:`flush` would next move a pod, in ns; None if nothing waits for time."""
        times = []
        ends = self._backoff.peek_key()
        if ends is not None:
            times.append(_next_look(ends, BACKOFF_FLUSH_PERIOD))
        oldest = self._parked.oldest()
        if oldest is not None:
            times.append(_leaves_pool(oldest))
        return min(times) if times else None

    def _backoff_ends(self, queued: QueuedPod) -> int:
        """When the pod's back-off ends (ns): it doubles with each attempt (upstream: calculateBackoffDuration)."""
        doublings = min(max(queued.attempts - 1, 0), 40)
        seconds = min(self._options.initial_backoff << doublings, self._options.max_backoff)
        return queued.queued_at + seconds * SECOND

    # -- inner ----------------------------------------------------------------------------------------------

    def _uninterest(self, event: ClusterEvent) -> frozenset[str]:
        """Plugins that registered for events but not for this one: pods only they rejected are not looked at."""
        found = self._uninterested.get(event)
        if found is None:
            names = (
                plugin
                for plugin, registered in self._events.items()
                if not any(interest.event.matches(event) for interest in registered)
            )
            found = self._uninterested[event] = frozenset(names)
        return found

    def _worth_retrying(self, queued: QueuedPod, event: ClusterEvent, old: Any, new: Any) -> bool:
        for plugin in sorted(queued.plugins):
            registered = self._events.get(plugin)
            if registered is None:
                return True  # a plugin that does not say what helps it is retried on every event
            for interest in registered:
                if interest.event.matches(event) and self._hinted(interest, queued.pod, old, new):
                    return True
        return False

    def _hinted(self, interest: EventToRegister, pod: PodView, old: Any, new: Any) -> bool:
        return not self._options.queueing_hints or interest.hint is None or interest.hint(pod, old, new)

    def _retry(self, queued: QueuedPod, now: int) -> None:
        ends = self._backoff_ends(queued)
        if queued.attempts and ends > now:
            self._backoff.push(ends, queued)
        else:
            self._activate(queued)

    def _activate(self, queued: QueuedPod) -> None:
        status = self._pre_enqueue(queued.pod)
        if status is not None:
            queued.plugins = frozenset({status.plugin})
            self._gated.put(queued)
            return
        self._active.push(self._sort_key(queued.pod, queued.queued_at), queued)

    def _take(self, uid: str) -> QueuedPod | None:
        for pool in (self._parked, self._gated):
            if uid in pool.by_uid:
                return pool.take(uid)
        return None

    def _holds(self, uid: str) -> bool:
        waiting = self._active.get(uid) or self._backoff.get(uid) or self._parked.get(uid)
        return waiting is not None or self._gated.get(uid) is not None

    # -- looking in -----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._active) + len(self._backoff) + len(self._parked) + len(self._gated)

    @property
    def has_active(self) -> bool:
        """Whether :meth:`pop` would return a pod."""
        return bool(self._active.by_uid)

    def waiting(self) -> Iterator[tuple[str, QueuedPod]]:
        """Every pod that waits, next first, with where: active, backoff, unschedulable or gated."""
        places = (
            ("active", self._active.pods()),
            ("backoff", self._backoff.pods()),
            ("unschedulable", self._parked.pods()),
            ("gated", self._gated.pods()),
        )
        return ((name, queued) for name, pods in places for queued in pods)

    def active(self) -> list[PodView]:
        """Pods in the active queue, next first."""
        return [queued.pod for queued in self._active.pods()]

    def backing_off(self) -> list[PodView]:
        """Pods whose back-off has not run out, soonest first."""
        return [queued.pod for queued in self._backoff.pods()]

    def unschedulable(self) -> list[PodView]:
        """Pods waiting for an event, longest first."""
        return [queued.pod for queued in self._parked.pods()]

    def gated(self) -> list[PodView]:
        """Pods a PreEnqueue plugin holds, longest first."""
        return [queued.pod for queued in self._gated.pods()]


class _Pool:
    """The unschedulable pool in the order pods were parked, indexed by the plugins that rejected them."""

    def __init__(self) -> None:
        self.by_uid: dict[str, QueuedPod] = {}
        self._by_plugin: dict[str, dict[str, QueuedPod]] = {}

    def put(self, queued: QueuedPod) -> None:
        uid = queued.pod.uid
        self.by_uid[uid] = queued
        for plugin in queued.plugins:
            self._by_plugin.setdefault(plugin, {})[uid] = queued

    def take(self, uid: str) -> QueuedPod | None:
        queued = self.by_uid.pop(uid, None)
        if queued is not None:
            for plugin in queued.plugins:
                del self._by_plugin[plugin][uid]
        return queued

    def rejected_by_others_than(self, plugins: frozenset[str]) -> list[tuple[str, QueuedPod]]:
        """Pods that some plugin not among ``plugins`` rejected, longest parked first."""
        wanted = [pods for plugin, pods in self._by_plugin.items() if pods and plugin not in plugins]
        if not wanted:
            return []
        if len(wanted) == 1:
            return list(wanted[0].items())
        return [(uid, queued) for uid, queued in self.by_uid.items() if any(uid in pods for pods in wanted)]

    def get(self, uid: str) -> QueuedPod | None:
        return self.by_uid.get(uid)

    def oldest(self) -> QueuedPod | None:
        return next(iter(self.by_uid.values())) if self.by_uid else None

    def pods(self) -> list[QueuedPod]:
        return list(self.by_uid.values())

    def __len__(self) -> int:
        return len(self.by_uid)


def _with_taint_updates(registered: Iterable[EventToRegister]) -> tuple[EventToRegister, ...]:
    """Who waits for new nodes also waits for changed taints.

    A node often appears with a taint that keeps the pod from being woken by it (``check`` of
    :meth:`SchedulingQueue.move`); when the taint goes, that is the event it needs (upstream: buildQueueingHintMap).
    """
    events = tuple(registered)
    of_nodes = Action(0)
    for interest in events:
        if interest.event.resource == NODE:
            of_nodes |= interest.event.action
    if Action.ADD in of_nodes and Action.UPDATE_NODE_TAINT not in of_nodes:
        return (*events, EventToRegister(ClusterEvent(NODE, Action.UPDATE_NODE_TAINT)))
    return events


def _next_look(time: int, period: int) -> int:
    """The first of upstream's periodic looks at or after ``time``."""
    return -(-time // period) * period


def _leaves_pool(queued: QueuedPod) -> int:
    """The first look at which the pod has been parked for more than the timeout."""
    return _next_look(queued.queued_at + UNSCHEDULABLE_TIMEOUT + 1, UNSCHEDULABLE_FLUSH_PERIOD)
