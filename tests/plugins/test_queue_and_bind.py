"""PrioritySort and DefaultBinder."""

from __future__ import annotations

from ksched.framework import Cycle
from ksched.tables import NodeTable, PodView
from ksched.testing import make_pod
from ksched_plugins.kubernetes.default_binder import DefaultBinder
from ksched_plugins.kubernetes.priority_sort import PrioritySort


def test_higher_priority_goes_first_and_among_equals_the_one_that_waited_longer() -> None:
    key = PrioritySort().queue_sort_key
    pods = {name: PodView(make_pod(name, priority=p)) for name, p in (("low", -5), ("none", None), ("high", 9))}
    waiting = [("none", 3), ("low", 1), ("high", 5), ("none", 2), ("high", 4)]
    order = sorted(waiting, key=lambda entry: key(pods[entry[0]], entry[1]))
    assert order == [("high", 4), ("high", 5), ("none", 2), ("none", 3), ("low", 1)]


class Recorder:
    def __init__(self) -> None:
        self.bound: list[tuple[str, str]] = []

    def bind(self, pod: PodView, node_name: str) -> None:
        self.bound.append((pod.name, node_name))


def test_default_binder_binds_the_pod_to_the_chosen_node() -> None:
    pod, recorder = PodView(make_pod("p")), Recorder()
    status = DefaultBinder().bind(Cycle(NodeTable(), pod, now=0, seed=0), pod, "n", recorder)
    assert status is None
    assert recorder.bound == [("p", "n")]
