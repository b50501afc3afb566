"""The scheduling queue, in upstream's words (pkg/scheduler/internal/queue/scheduling_queue_test.go, v1.30)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksched.framework import Action, ClusterEvent, EventToRegister, QueueOptions, SchedulingQueue, Status
from ksched.framework.events import ASSIGNED_POD_DELETE, NODE, NODE_ADD, POD, UNSCHEDULABLE_TIMEOUT, WILDCARD
from ksched.framework.queue import SECOND
from ksched.tables import PodView

from .build import pod

NODE_LABELS = ClusterEvent(NODE, Action.UPDATE_NODE_LABEL)
EVENTS = {
    "Fit": (EventToRegister(ClusterEvent(POD, Action.DELETE)), EventToRegister(ClusterEvent(NODE, Action.ADD))),
    "Affinity": (EventToRegister(ClusterEvent(NODE, Action.ADD | Action.UPDATE_NODE_LABEL)),),
    "Hinted": (EventToRegister(NODE_ADD, lambda pod, old, new: new == f"for {pod.name}"),),
    "Deaf": (),
}


def gate(pod: PodView) -> Status | None:
    return Status.unschedulable("gated").by("Gates") if pod.labels.get("gate") == "closed" else None


def queue(**options: int) -> SchedulingQueue:
    return SchedulingQueue(
        lambda pod, queued_at: (-pod.priority, queued_at),
        pre_enqueue=gate,
        events=EVENTS,
        options=QueueOptions(**options),
    )


def names(pods: list[PodView]) -> list[str]:
    return [pod.name for pod in pods]


def where(q: SchedulingQueue) -> dict[str, str]:
    places = {"active": q.active(), "backoff": q.backing_off(), "unschedulable": q.unschedulable(), "gated": q.gated()}
    return {pod.name: place for place, pods in places.items() for pod in pods}


def drain(q: SchedulingQueue) -> list[str]:
    found = []
    while (queued := q.pop()) is not None:
        found.append(queued.pod.name)
    return found


def fail(q: SchedulingQueue, now: int, *plugins: str) -> str:
    """Pop a pod and let ``plugins`` reject it; returns its name."""
    queued = q.pop()
    assert queued is not None
    q.requeue(queued, now, plugins=frozenset(plugins))
    return queued.pod.name


# -- order ------------------------------------------------------------------------------------------------------

ORDERS = [
    ("the higher priority goes first", [("a", 0, 0), ("b", 5, 1)], ["b", "a"]),
    ("among equals who came first", [("a", 1, 2), ("b", 1, 1), ("c", 1, 3)], ["b", "a", "c"]),
    ("among those of one moment who was added first", [("b", 0, 0), ("a", 0, 0), ("c", 0, 0)], ["b", "a", "c"]),
    ("a negative priority goes last", [("a", -1, 0), ("b", 0, 9)], ["b", "a"]),
]


@pytest.mark.parametrize(("sentence", "pods", "order"), ORDERS, ids=[r[0] for r in ORDERS])
def test_the_active_queue_is_ordered(sentence: str, pods: list, order: list[str]) -> None:
    q = queue()
    for name, priority, now in pods:
        q.add(pod(name, priority=priority), now)
    assert names(q.active()) == order
    assert drain(q) == order
    assert q.pop() is None


@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(0, 3), st.booleans()), max_size=20))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_pods_leave_sorted_however_they_came_and_whoever_left(rows: list[tuple[int, int, bool]]) -> None:
    q = queue()
    kept = []
    for i, (priority, now, stays) in enumerate(rows):
        q.add(pod(f"p{i}", priority=priority), now)
        if stays:
            kept.append((-priority, now, i))
        else:
            q.delete(f"default/p{i}")
    assert drain(q) == [f"p{i}" for _, _, i in sorted(kept)]


# -- back-off -----------------------------------------------------------------------------------------------------


def test_back_off_doubles_from_one_to_ten_seconds() -> None:
    q = queue()
    q.add(pod("p"), 0)
    waits, now = [], 0
    for _ in range(7):
        assert fail(q, now) == "p"
        wakeup = q.next_wakeup()
        assert wakeup is not None
        waits.append((wakeup - now) // SECOND)
        now = wakeup
        q.flush(now - 1)
        assert not q.has_active
        q.flush(now)
        assert q.has_active
    assert waits == [1, 2, 4, 8, 10, 10, 10]


def test_back_off_follows_the_configuration() -> None:
    q = queue(initial_backoff=3, max_backoff=7)
    q.add(pod("p"), 0)
    now, waits = 0, []
    for _ in range(4):
        fail(q, now)
        wakeup = q.next_wakeup()
        waits.append((wakeup - now) // SECOND)
        now = wakeup
        q.flush(now)
    assert waits == [3, 6, 7, 7]


def test_upstream_looks_at_the_back_off_queue_once_a_second() -> None:
    q = queue()
    q.add(pod("p"), 0)
    fail(q, SECOND // 2)
    q.flush(SECOND * 3 // 2)
    assert where(q) == {"p": "backoff"}, "its back-off has run out, but nobody looked"
    assert q.next_wakeup() == 2 * SECOND
    q.flush(2 * SECOND)
    assert where(q) == {"p": "active"}


def test_a_pod_keeps_its_place_in_time_through_back_off() -> None:
    q = queue()
    q.add(pod("p"), 0)
    fail(q, 100)
    q.add(pod("later"), 200)
    q.flush(2 * SECOND)
    assert names(q.active()) == ["p", "later"]


# -- events -------------------------------------------------------------------------------------------------------

MOVES = [
    ("an event the rejecting plugin registered moves the pod", ["Fit"], NODE_ADD, None, "backoff"),
    ("another event does not", ["Affinity"], ASSIGNED_POD_DELETE, None, "unschedulable"),
    ("another action on the resource does not", ["Fit"], NODE_LABELS, None, "unschedulable"),
    ("one of several plugins is enough", ["Affinity", "Fit"], ASSIGNED_POD_DELETE, None, "backoff"),
    ("a plugin that registered nothing is not helped", ["Deaf"], NODE_ADD, None, "unschedulable"),
    ("a plugin that does not say is helped by everything", ["Unheard"], NODE_LABELS, None, "backoff"),
    ("a hint may say yes", ["Hinted"], NODE_ADD, "for p", "backoff"),
    ("a hint may say no", ["Hinted"], NODE_ADD, "for q", "unschedulable"),
    ("an event about anything helps everybody who listens", ["Affinity"], UNSCHEDULABLE_TIMEOUT, None, "backoff"),
]


@pytest.mark.parametrize(("sentence", "plugins", "event", "new", "place"), MOVES, ids=[r[0] for r in MOVES])
def test_events_move_parked_pods(sentence: str, plugins: list, event: ClusterEvent, new: object, place: str) -> None:
    q = queue()
    q.add(pod("p"), 0)
    fail(q, 0, *plugins)
    assert where(q) == {"p": "unschedulable"}
    assert q.move(event, 1, new=new) == (place != "unschedulable")
    assert where(q) == {"p": place}


def test_only_pods_that_wait_for_the_event_are_checked_and_those_that_fail_the_check_stay() -> None:
    q = queue()
    asked = []

    def check(pod: PodView, new: str) -> bool:
        asked.append((pod.name, new))
        return pod.name == "b"

    for name in "abc":
        q.add(pod(name), 0)
    assert q.move(NODE_ADD, 0, new="x", check=check) == 0
    for plugin in ("Fit", "Fit", "Deaf"):
        fail(q, 0, plugin)
    assert q.move(NODE_ADD, 1, new="y", check=check) == 1
    assert asked == [("a", "y"), ("b", "y")]
    assert where(q) == {"a": "unschedulable", "b": "backoff", "c": "unschedulable"}


def test_a_pod_whose_back_off_is_over_goes_straight_to_the_active_queue() -> None:
    q = queue()
    q.add(pod("p"), 0)
    fail(q, 0, "Fit")
    q.move(NODE_ADD, SECOND)
    assert where(q) == {"p": "active"}


def test_events_move_pods_in_the_order_they_were_parked() -> None:
    q = queue()
    for name in "abc":
        q.add(pod(name), 0)
    for plugins in (["Fit"], ["Affinity", "Fit"], ["Deaf", "Affinity"]):
        fail(q, 0, *plugins)
    assert q.move(NODE_ADD, 5 * SECOND) == 3
    assert drain(q) == ["a", "b", "c"]


IN_FLIGHT = [
    ("an event during the attempt sends it to back-off", ["Fit"], NODE_ADD, "backoff"),
    ("without one it is parked", ["Fit"], None, "unschedulable"),
    ("an error is retried without any event", [], None, "backoff"),
]


@pytest.mark.parametrize(("sentence", "plugins", "event", "place"), IN_FLIGHT, ids=[r[0] for r in IN_FLIGHT])
def test_a_pod_that_fails(sentence: str, plugins: list[str], event: ClusterEvent | None, place: str) -> None:
    q = queue()
    q.add(pod("p"), 0)
    q.move(NODE_ADD, 0)  # before the attempt: too early to help
    queued = q.pop()
    if event is not None:
        q.move(event, 1)
    q.requeue(queued, 2, plugins=frozenset(plugins))
    assert where(q) == {"p": place}


def test_an_event_before_another_pod_was_popped_still_counts_for_the_first() -> None:
    q = queue()
    for name in "ab":
        q.add(pod(name), 0)
    first = q.pop()
    q.move(NODE_ADD, 1)
    second = q.pop()
    q.requeue(first, 2, plugins=frozenset({"Fit"}))
    q.requeue(second, 2, plugins=frozenset({"Fit"}))
    assert where(q) == {"a": "backoff", "b": "unschedulable"}


# -- time alone -----------------------------------------------------------------------------------------------------


def test_a_pod_parked_for_more_than_five_minutes_is_tried_again_at_the_next_look() -> None:
    q = queue()
    q.add(pod("p"), 0)
    fail(q, 0, "Deaf")
    assert q.next_wakeup() == 330 * SECOND, "looks are every 30 s, and 300 s is not more than five minutes"
    q.flush(330 * SECOND - 1)
    assert where(q) == {"p": "unschedulable"}
    q.flush(330 * SECOND)
    assert where(q) == {"p": "active"}


def test_a_pod_parked_between_looks_leaves_at_the_first_look_after_five_minutes() -> None:
    q = queue()
    q.add(pod("p"), 0)
    fail(q, 10 * SECOND, "Deaf")
    assert q.next_wakeup() == 330 * SECOND


def test_the_time_in_the_pool_counts_from_the_last_attempt() -> None:
    q = queue()
    q.add(pod("p"), 0)
    fail(q, 0, "Fit")
    q.move(NODE_ADD, 100 * SECOND)
    fail(q, 100 * SECOND, "Fit")
    assert q.next_wakeup() == 420 * SECOND


@given(st.lists(st.tuples(st.sampled_from(["add", "fail", "park", "event", "wait"]), st.integers(0, 40)), max_size=40))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_wakeup_is_neither_missed_nor_vain(steps: list[tuple[str, int]]) -> None:
    q = queue()
    now = 0
    for i, (step, seconds) in enumerate(steps):
        if step == "add":
            q.add(pod(f"p{i}"), now)
        elif step in ("fail", "park") and q.has_active:
            fail(q, now, *(["Fit"] if step == "park" else []))
        elif step == "event":
            q.move(NODE_ADD, now)
        elif step == "wait":
            until = now + seconds * SECOND // 3
            while (wakeup := q.next_wakeup()) is not None and wakeup <= until:
                before = where(q)
                q.flush(wakeup - 1)
                assert where(q) == before, "something moved earlier than announced"
                q.flush(wakeup)
                assert where(q) != before, "nothing moved although announced"
            before = where(q)
            q.flush(until)
            assert where(q) == before, "something moved unannounced"
            now = until
        assert q.next_wakeup() is None or q.next_wakeup() > now - SECOND
    if set(where(q).values()) & {"backoff", "unschedulable"}:
        assert q.next_wakeup() is not None


# -- gates, updates, deletion -----------------------------------------------------------------------------------------

CLOSED, OPEN = {"gate": "closed"}, {"gate": "open"}


def test_a_gated_pod_waits_outside_until_it_changes() -> None:
    q = queue()
    q.add(pod("p", labels=CLOSED), 0)
    assert where(q) == {"p": "gated"}
    assert q.pop() is None
    q.move(NODE_ADD, SECOND)
    q.flush(1000 * SECOND)
    assert where(q) == {"p": "gated"}, "no event and no time opens a gate"
    assert q.next_wakeup() is None
    q.update(pod("p", labels=CLOSED), SECOND, may_help=True)
    assert where(q) == {"p": "gated"}
    q.update(pod("p", labels=OPEN), SECOND, may_help=True)
    assert where(q) == {"p": "active"}


UPDATES = [
    ("a parked pod is retried if the change may help", ["Fit"], True, SECOND, "active"),
    ("after its back-off", ["Fit"], True, 0, "backoff"),
    ("and stays if it may not", ["Fit"], False, SECOND, "unschedulable"),
    ("a pod backing off stays where it is", [], True, 0, "backoff"),
]


@pytest.mark.parametrize(("sentence", "plugins", "may_help", "now", "place"), UPDATES, ids=[r[0] for r in UPDATES])
def test_an_update(sentence: str, plugins: list[str], may_help: bool, now: int, place: str) -> None:
    q = queue()
    q.add(pod("p"), 0)
    fail(q, 0, *plugins)
    q.update(pod("p", labels={"new": "yes"}), now, may_help=may_help)
    assert where(q) == {"p": place}
    every = [*q.active(), *q.backing_off(), *q.unschedulable()]
    assert [p.labels for p in every] == [{"new": "yes"}], "the pod is the new one"


def test_an_update_of_an_active_pod_puts_it_where_it_now_belongs() -> None:
    q = queue()
    for name in "abc":
        q.add(pod(name), 0)
    q.update(pod("c", priority=9), 1, may_help=True)
    assert names(q.active()) == ["c", "a", "b"]
    q.update(pod("a", labels={"new": "yes"}), 2, may_help=True)
    assert names(q.active()) == ["c", "a", "b"], "the same key keeps its place"
    assert drain(q) == ["c", "a", "b"]


def test_an_update_of_an_unknown_pod_adds_it_and_of_one_in_flight_does_not() -> None:
    q = queue()
    q.update(pod("p"), 0, may_help=False)
    assert where(q) == {"p": "active"}
    q.pop()
    q.update(pod("p"), 1, may_help=True)
    assert where(q) == {}
    q.done("default/p")
    q.update(pod("p"), 2, may_help=False)
    assert where(q) == {"p": "active"}


@pytest.mark.parametrize(("may_help", "place"), [(True, "backoff"), (False, "unschedulable")])
def test_a_pod_that_changed_during_its_attempt_is_retried_if_that_may_help(may_help: bool, place: str) -> None:
    q = queue()
    q.add(pod("p"), 0)
    queued = q.pop()
    q.update(pod("p"), 1, may_help=may_help)
    q.requeue(queued, 2, plugins=frozenset({"Fit"}))
    assert where(q) == {"p": place}


@pytest.mark.parametrize("place", ["active", "backoff", "unschedulable", "gated"])
def test_a_deleted_pod_is_nowhere(place: str) -> None:
    q = queue()
    q.add(pod("p", labels=CLOSED if place == "gated" else {}), 0)
    if place in ("backoff", "unschedulable"):
        fail(q, 0, *(["Fit"] if place == "unschedulable" else []))
    assert where(q) == {"p": place}
    q.delete("default/p")
    assert (where(q), len(q), q.next_wakeup(), q.pop()) == ({}, 0, None, None)
    q.move(NODE_ADD, SECOND)
    q.flush(1000 * SECOND)
    assert where(q) == {}


@pytest.mark.parametrize("place", ["active", "backoff", "unschedulable"])
def test_a_pod_added_twice_is_there_once(place: str) -> None:
    q = queue()
    q.add(pod("p"), 0)
    if place != "active":
        fail(q, 0, *(["Fit"] if place == "unschedulable" else []))
    q.add(pod("p"), 1)
    assert len(q) == 1
    assert drain(q) == ["p"]


def test_a_pod_requeued_while_already_waiting_is_there_once() -> None:
    q = queue()
    q.add(pod("p"), 0)
    queued = q.pop()
    q.add(pod("p"), 1)
    q.requeue(queued, 2, plugins=frozenset({"Fit"}))
    assert where(q) == {"p": "active"}
    assert len(q) == 1


def test_a_pod_in_flight_is_not_among_those_that_wait() -> None:
    q = queue()
    q.add(pod("p"), 0)
    q.pop()
    assert (len(q), where(q), q.has_active, q.next_wakeup()) == (0, {}, False, None)
    q.activate(["default/p"])
    assert where(q) == {}


def test_a_pod_deleted_in_flight_is_new_when_it_is_added_again() -> None:
    q = queue()
    q.add(pod("p"), 0)
    first = q.pop()
    q.delete("default/p")
    q.add(pod("p"), 1)
    q.done("default/p")
    assert where(q) == {"p": "active"}, "done is for the one in flight"
    again = q.pop()
    assert again is not first
    assert again.attempts == 1


def test_a_pod_that_left_the_queue_and_came_back_leaves_it_once() -> None:
    q = queue()
    for name in "ab":
        q.add(pod(name), 0)
    for now in (1, 2, 3):
        q.delete("default/a")
        q.add(pod("a"), now)
    q.update(pod("a", priority=1), 4, may_help=True)
    assert names(q.active()) == ["a", "b"]
    assert drain(q) == ["a", "b"]


def test_activation_moves_waiting_pods_at_once_and_keeps_their_age() -> None:
    q = queue()
    for name in "ab":
        q.add(pod(name), 0)
    fail(q, 0, "Deaf")
    fail(q, 0)
    q.add(pod("c"), 1)
    q.activate(["default/b", "default/a", "default/c", "ghost"])
    assert where(q) == {"a": "active", "b": "active", "c": "active"}
    assert names(q.active())[2] == "c"


def test_a_pod_gated_again_after_back_off_is_not_scheduled() -> None:
    q = queue()
    q.add(pod("p"), 0)
    fail(q, 0)
    q.update(pod("p", labels=CLOSED), 0, may_help=True)
    q.flush(SECOND)
    assert where(q) == {"p": "gated"}


# -- event matching ---------------------------------------------------------------------------------------------------

MATCHES = [
    ("the same event", ClusterEvent(NODE, Action.ADD), NODE_ADD, True),
    ("one action of several", ClusterEvent(NODE, Action.ADD | Action.DELETE), NODE_ADD, True),
    ("another action", ClusterEvent(NODE, Action.DELETE), NODE_ADD, False),
    ("another resource", ClusterEvent(POD, Action.ADD), NODE_ADD, False),
    ("any update is one of its kinds", ClusterEvent(NODE, Action.UPDATE), NODE_LABELS, True),
    ("everything about everything", ClusterEvent(WILDCARD, Action.ALL), NODE_ADD, True),
    ("deletions of anything are no additions", ClusterEvent(WILDCARD, Action.DELETE), NODE_ADD, False),
    ("an event about everything", ClusterEvent(POD, Action.DELETE), UNSCHEDULABLE_TIMEOUT, True),
]


@pytest.mark.parametrize(("sentence", "registered", "event", "matches"), MATCHES, ids=[r[0] for r in MATCHES])
def test_a_registration_covers(sentence: str, registered: ClusterEvent, event: ClusterEvent, matches: bool) -> None:
    assert registered.matches(event) is matches
