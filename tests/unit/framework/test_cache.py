"""The scheduler's cache: pods are counted from the decision on, confirmed or moved by what the watch shows."""

from __future__ import annotations

import pytest

from ksched.framework import SchedulerCache
from ksched.tables import NodeView, PodView
from ksched.tables.pod_counts import PodSelector
from ksched.testing.factories import make_node, make_pod


def bound(node: str, **fields):
    return make_pod("p", cpu=1, node_name=node, **fields)


def pending(**fields) -> PodView:
    return PodView(make_pod("p", cpu=1, **fields))


STORIES = [
    ("an assumed pod is counted", lambda c: c.assume(pending(), "a", None), {"a": 1}, True),
    ("a forgotten one is not", lambda c: (c.assume(pending(), "a", None), c.forget(pending())), {}, False),
    ("forgetting twice does no harm",
     lambda c: (c.assume(pending(), "a", None), c.forget(pending()), c.forget(pending())), {}, False),
    ("a confirmed pod is counted once",
     lambda c: (c.assume(pending(), "a", None), c.add_pod(bound("a"))), {"a": 1}, False),
    ("a confirmed pod cannot be forgotten",
     lambda c: (c.assume(pending(), "a", None), c.add_pod(bound("a")), c.forget(pending())), {"a": 1}, False),
    ("a pod bound elsewhere than assumed moves",
     lambda c: (c.assume(pending(), "a", None), c.add_pod(bound("b"))), {"b": 1}, False),
    ("a pod bound by somebody else is counted", lambda c: c.add_pod(bound("b")), {"b": 1}, False),
    ("a pod shown twice is counted once", lambda c: (c.add_pod(bound("b")), c.add_pod(bound("b"))), {"b": 1}, False),
    ("a removed pod is not counted", lambda c: (c.add_pod(bound("b")), c.remove_pod("default/p")), {}, False),
    ("an assumed pod may be removed",
     lambda c: (c.assume(pending(), "a", None), c.remove_pod("default/p")), {}, False),
    ("removing an unknown pod does no harm", lambda c: c.remove_pod("ghost"), {}, False),
    ("a pod without uid is known by its key",
     lambda c: (c.add_pod(without_uid()), c.add_pod(without_uid()), c.update_pod(without_uid())), {"a": 1}, False),
    ("a pod seen before its node is counted when that appears",
     lambda c: (c.add_pod(bound("late")), c.add_node(make_node("late"))), {"late": 1}, False),
]  # fmt: skip


def without_uid():
    made = bound("a")
    return made.replaced(metadata=made.metadata.replaced(uid=None))


@pytest.mark.parametrize(("sentence", "story", "counts", "assumed"), STORIES, ids=[r[0] for r in STORIES])
def test_the_cache(sentence: str, story, counts: dict[str, int], assumed: bool) -> None:
    cache = SchedulerCache()
    for name in ("a", "b"):
        cache.add_node(make_node(name))
    story(cache)
    assert {name: n for name, n in cache.table.pod_counts().items() if n} == counts
    nodes = NodeView(cache.table)
    assert nodes.requested("cpu").tolist() == [1000 * counts.get(name, 0) for name in nodes.names.tolist()]
    assert cache.is_assumed("default/p") is assumed


def test_labels_that_changed_before_the_confirmation_are_those_confirmed() -> None:
    cache = SchedulerCache()
    cache.add_node(make_node("a"))
    cache.assume(pending(labels={"app": "old"}), "a", None)
    cache.add_pod(bound("a", labels={"app": "new"}))
    assert [placed.pod.labels for placed in cache.table.pods_on("a")] == [{"app": "new"}]


def test_devices_stay_with_the_pod_through_confirmation_and_update() -> None:
    cache = SchedulerCache()
    cache.add_node(make_node("a", gpus=2))
    cache.assume(pending(gpu_milli=300), "a", (1,))
    assert NodeView(cache.table).devices.free.tolist() == [[1000, 700]]
    cache.add_pod(bound("a", gpu_milli=300, labels={"changed": "yes"}))
    cache.update_pod(bound("a", gpu_milli=500))
    assert NodeView(cache.table).devices.free.tolist() == [[1000, 500]]
    cache.remove_pod("default/p")
    assert NodeView(cache.table).devices.free.tolist() == [[1000, 1000]]


def test_a_node_that_comes_back_has_its_pods() -> None:
    cache = SchedulerCache()
    cache.add_node(make_node("a"))
    cache.assume(pending(), "a", None)
    cache.remove_node("a")
    cache.add_pod(bound("a"))
    cache.add_node(make_node("a"))
    assert cache.table.pod_counts() == {"a": 1}


def test_a_confirmed_pod_is_the_one_the_api_server_has() -> None:
    cache = SchedulerCache()
    cache.add_node(make_node("a"))
    cache.assume(pending(), "a", None)
    shown = bound("a")
    shown = shown.replaced(status=shown.status.replaced(start_time="2024-01-01T00:00:00Z"))

    cache.add_pod(shown)

    (placed,) = cache.table.pods_on("a")
    assert placed.pod.pod is shown, "preemption reads when it started, and nobody keeps the unbound one"


def test_a_pod_confirmed_while_it_is_being_deleted_is_counted_as_such() -> None:
    cache = SchedulerCache()
    cache.add_node(make_node("a"))
    staying = PodSelector((), None, terminating=False)
    cache.assume(pending(), "a", None)
    assert cache.table.pods_matching(staying).total == 1
    confirmed = bound("a")
    deleting = confirmed.metadata.replaced(deletion_timestamp="2024-01-01T00:00:00Z")
    cache.add_pod(confirmed.replaced(metadata=deleting))
    assert cache.table.pods_matching(staying).total == 0
    cache.remove_pod("default/p")
    assert cache.table.pods_matching(staying).total == 0
