"""The scheduling queue: who is next, who waits and until when (upstream: pkg/scheduler/internal/queue, v1.30).

Three places: the active queue (ordered by the QueueSort plugin), the back-off queue (pods that failed and whose
back-off has not run out) and the unschedulable pool (pods that wait for an event that may help them). Time is an
argument, in ns; :meth:`next_wakeup` says when something would move by time alone, so nobody has to poll.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from heapq import heappop, heappush
from operator import itemgetter
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


class Place(Enum):
    """Where the queue has a pod."""

    ACTIVE = "active"
    BACKOFF = "backoff"
    UNSCHEDULABLE = "unschedulable"
    GATED = "gated"
    IN_FLIGHT = "in flight"
    """Popped: an attempt to place it is under way."""


_Entry = tuple[Any, int, "QueuedPod"]
"""(key, sequence number, pod) in a heap: no two sequence numbers are equal."""


_NO_PLUGINS: frozenset[str] = frozenset()


class QueuedPod:
    """A pod in the queue: ``attempts`` made so far, ``queued_at`` of the last time it was added (ns).

    ``plugins`` rejected it last time. ``place``, ``entry``, ``cycle`` and ``changed`` are the queue's own.
    """

    __slots__ = ("attempts", "changed", "cycle", "entry", "first_seen", "place", "plugins", "pod", "queued_at")

    def __init__(self, pod: PodView, now: int) -> None:
        self.pod = pod
        self.queued_at = now
        self.first_seen = now
        self.attempts = 0
        self.plugins: frozenset[str] = _NO_PLUGINS
        self.place: Place | None = None
        self.entry: _Entry | None = None
        """Where it waits in a heap."""
        self.cycle = 0
        """How many pods had been popped when it was."""
        self.changed = False
        """Whether it changed since it was popped in a way that may help it."""


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """Back-off in seconds: doubles from ``initial`` with each attempt up to ``maximum``.

    ``queueing_hints``: whether plugins' hints are asked, or an event of the right kind is enough (upstream's feature
    gate SchedulerQueueingHints, which is off in v1.30).
    """

    initial_backoff: int = 1
    max_backoff: int = 10
    queueing_hints: bool = True


class _Heap:
    """The pods of one place by key; equal keys leave in the order they came.

    A pod that is removed leaves its entry behind, which is dropped when it comes to the top.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self.size = 0
        self._entries: list[_Entry] = []
        self._sequence = 0

    def push(self, key: Any, queued: QueuedPod) -> None:
        self._sequence = sequence = self._sequence + 1
        queued.place = self.place
        queued.entry = entry = (key, sequence, queued)
        self.size += 1
        heappush(self._entries, entry)

    def pop(self) -> QueuedPod:
        entry = heappop(self._entries)
        while entry[2].entry is not entry:
            entry = heappop(self._entries)
        self.remove(queued := entry[2])
        return queued

    def first_key(self) -> Any:
        entries = self._entries
        while entries[0][2].entry is not entries[0]:
            heappop(entries)
        return entries[0][0]

    def remove(self, queued: QueuedPod) -> None:
        queued.place = queued.entry = None
        self.size -= 1
        if not self.size:
            self._entries.clear()

    def resort(self, queued: QueuedPod, key: Any) -> None:
        assert queued.entry is not None
        if queued.entry[0] != key:
            self.size -= 1
            self.push(key, queued)

    def pods(self) -> list[QueuedPod]:
        return [entry[2] for entry in sorted(self._entries, key=_ORDER) if entry[2].entry is entry]


_ORDER = itemgetter(0, 1)


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
        self._pods: dict[str, QueuedPod] = {}
        """Every pod that waits or is in flight, by uid."""
        self._active = _Heap(Place.ACTIVE)
        self._backoff = _Heap(Place.BACKOFF)
        self._parked = _Pool(Place.UNSCHEDULABLE)
        self._gated = _Pool(Place.GATED)
        self._waiting_at: dict[Place | None, _Heap | _Pool] = {
            where.place: where for where in (self._active, self._backoff, self._parked, self._gated)
        }
        self._uninterested: dict[ClusterEvent, frozenset[str]] = {}
        self._cycle = 0
        self._move_cycle = -1

    # -- in and out -----------------------------------------------------------------------------------------

    def add(self, pod: PodView, now: int) -> None:
        """A new pending pod: into the active queue, or aside if a PreEnqueue plugin holds it."""
        uid = pod.uid
        if uid in self._pods:
            self.delete(uid)
        self._pods[uid] = queued = QueuedPod(pod, now)
        self._activate(queued)

    def pop(self) -> QueuedPod | None:
        """The next pod to schedule, None if the active queue is empty. Counts as an attempt."""
        if not self._active.size:
            return None
        queued = self._active.pop()
        queued.attempts += 1
        queued.changed = False
        queued.place = Place.IN_FLIGHT
        self._cycle = queued.cycle = self._cycle + 1
        return queued

    def done(self, uid: str) -> None:
        """The popped pod needs the queue no more (bound, or deleted)."""
        queued = self._pods.get(uid)
        if queued is not None and queued.place is Place.IN_FLIGHT:
            del self._pods[uid]

    def requeue(self, queued: QueuedPod, now: int, *, plugins: frozenset[str]) -> None:
        """A popped pod could not be placed (upstream: AddUnschedulableIfNotPresent).

        ``plugins`` rejected it; none means an error, which is retried after back-off without waiting for an event. So
        is a pod during whose attempt it changed, or an event arrived that may have come too late for it.
        """
        uid = queued.pod.uid
        known = self._pods.get(uid)
        if known is not None and known.place is not Place.IN_FLIGHT:
            return
        changed = known is not None and known.changed
        self._pods[uid] = queued
        queued.queued_at = now
        queued.plugins = plugins
        if self._move_cycle >= queued.cycle or changed or not plugins:
            self._backoff.push(self._backoff_ends(queued), queued)
        else:
            self._parked.put(queued)

    def update(self, pod: PodView, now: int, *, may_help: bool) -> None:
        """A pending pod changed; a parked one is retried if that ``may_help`` (its spec, labels or gates changed)."""
        queued = self._pods.get(pod.uid)
        if queued is None:
            self.add(pod, now)
            return
        if queued.place is Place.IN_FLIGHT:
            queued.changed = queued.changed or may_help
            return
        queued.pod = pod
        if queued.place is Place.ACTIVE:
            self._active.resort(queued, self._sort_key(pod, queued.queued_at))
        elif queued.place is not Place.BACKOFF and may_help:
            self._leave(queued)
            self._retry(queued, now)

    def delete(self, uid: str) -> None:
        """A pending pod is gone."""
        queued = self._pods.pop(uid, None)
        if queued is not None and queued.place is not Place.IN_FLIGHT:
            self._leave(queued)

    def activate(self, uids: Iterable[str]) -> None:
        """Move waiting pods straight to the active queue, whatever back-off remains (upstream: Activate)."""
        for uid in uids:
            queued = self._pods.get(uid)
            if queued is not None and queued.place not in (Place.ACTIVE, Place.IN_FLIGHT):
                self._leave(queued)
                self._activate(queued)

    # -- events and time ------------------------------------------------------------------------------------

    def move(
        self,
        event: ClusterEvent,
        now: int,
        *,
        old: Any = None,
        new: Any = None,
        check: Callable[[PodView, Any], bool] | None = None,
    ) -> int:
        """An event: move the parked and gated pods it may help to the active or back-off queue; returns how many.

        ``check(pod, new)`` says whether a pod is worth a thought at all (upstream: preCheck). Costs nothing while no
        pod waits because of a plugin this event interests.
        """
        self._move_cycle = self._cycle
        if not (self._parked.by_uid or self._gated.by_uid):
            return 0
        moved = 0
        uninterested = self._uninterest(event)
        parked = self._parked.rejected_by_others_than(uninterested)
        for queued in [*parked, *self._gated.rejected_by_others_than(uninterested)]:
            if (check is None or check(queued.pod, new)) and self._worth_retrying(queued, event, old, new):
                self._leave(queued)
                self._retry(queued, now)
                moved += 1
        return moved

    def flush(self, now: int) -> None:
        """Do what time alone brings about: end back-offs, retry pods that were parked too long."""
        while self._backoff.size and _next_look(self._backoff.first_key(), BACKOFF_FLUSH_PERIOD) <= now:
            self._activate(self._backoff.pop())
        while self._parked.by_uid and _leaves_pool(oldest := self._parked.oldest()) <= now:
            self._parked.remove(oldest)
            self._retry(oldest, now)
            self._move_cycle = self._cycle  # upstream does this as a move by an event of its own

    def next_wakeup(self) -> int | None:
        """When :meth:`flush` would next move a pod, in ns; None if nothing waits for time."""
        ends = _next_look(self._backoff.first_key(), BACKOFF_FLUSH_PERIOD) if self._backoff.size else None
        leaves = _leaves_pool(self._parked.oldest()) if self._parked.by_uid else None
        if ends is None or leaves is None:
            return leaves if ends is None else ends
        return min(ends, leaves)

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

    def _leave(self, queued: QueuedPod) -> None:
        """Take a pod from where it waits."""
        self._waiting_at[queued.place].remove(queued)

    # -- looking in -----------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return sum(queued.place is not Place.IN_FLIGHT for queued in self._pods.values())

    @property
    def has_active(self) -> bool:
        """Whether :meth:`pop` would return a pod."""
        return self._active.size > 0

    def waiting(self) -> Iterator[tuple[str, QueuedPod]]:
        """Every pod that waits, next first, with where: active, backoff, unschedulable or gated."""
        places = (self._active, self._backoff, self._parked, self._gated)
        return ((where.place.value, queued) for where in places for queued in where.pods())

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
    """The pods of one place in the order they came, indexed by the plugins that rejected them."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.by_uid: dict[str, QueuedPod] = {}
        self._by_plugin: dict[str, dict[str, QueuedPod]] = {}

    def put(self, queued: QueuedPod) -> None:
        uid = queued.pod.uid
        queued.place = self.place
        self.by_uid[uid] = queued
        for plugin in queued.plugins:
            self._by_plugin.setdefault(plugin, {})[uid] = queued

    def remove(self, queued: QueuedPod) -> None:
        uid = queued.pod.uid
        queued.place = None
        del self.by_uid[uid]
        for plugin in queued.plugins:
            del self._by_plugin[plugin][uid]

    def rejected_by_others_than(self, plugins: frozenset[str]) -> list[QueuedPod]:
        """Pods that some plugin not among ``plugins`` rejected, longest parked first."""
        wanted = [pods for plugin, pods in self._by_plugin.items() if pods and plugin not in plugins]
        if not wanted:
            return []
        if len(wanted) == 1:
            return list(wanted[0].values())
        return [queued for uid, queued in self.by_uid.items() if any(uid in pods for pods in wanted)]

    def oldest(self) -> QueuedPod:
        return next(iter(self.by_uid.values()))

    def pods(self) -> list[QueuedPod]:
        return list(self.by_uid.values())


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
