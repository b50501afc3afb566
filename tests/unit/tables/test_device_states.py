"""What is remembered of devices: equal ones share a state, and pods are counted by how many they hold."""

from __future__ import annotations

import pytest

from ksched.tables import DeviceState, NodeTable, NodeView
from ksched.testing import make_node

from .build import pod, table_of


def gpus(count: int = 2, model: str = "T4", name: str = "n") -> NodeTable:
    return table_of(make_node(name, gpus=count, gpu_model=model))


def state(table: NodeTable, row: int = 0) -> DeviceState:
    return NodeView(table).devices.states[row]


def test_a_state_is_the_model_and_what_is_free_in_ascending_order() -> None:
    table = gpus(3)
    table.add_pod(pod("p", gpu_milli=300), "n", (1,))
    assert (state(table).model, state(table).free) == ("T4", (700, 1000, 1000))


def test_nodes_whose_devices_are_alike_have_the_same_state_whichever_device_it_is() -> None:
    table = table_of(*(make_node(name, gpus=2) for name in "abc"), make_node("other", gpus=2, gpu_model="A10"))
    table.add_pod(pod("p", gpu_milli=300), "a", (0,))
    table.add_pod(pod("q", gpu_milli=300), "b", (1,))
    a, b, c, other = NodeView(table).devices.states
    assert a is b
    assert len({a, c, other}) == 3


def test_a_state_follows_pods_that_come_and_go() -> None:
    table = gpus()
    before = state(table)
    table.add_pod(pod("p", gpu_milli=300), "n", (0,))
    assert state(table) is not before
    table.remove_pod("default/p")
    assert state(table) is before


def test_the_room_of_a_node_follows_pods_that_come_and_go() -> None:
    table = table_of(make_node("n", gpus=3), "without")
    devices = NodeView(table).devices

    def room() -> list[tuple[int, int, int]]:
        columns = (devices.milli_free, devices.largest_free, devices.wholly_free)
        return list(zip(*(column.tolist() for column in columns), strict=True))

    assert room() == [(3000, 1000, 3), (0, 0, 0)]
    table.add_pod(pod("whole", gpu_milli=2000), "n", (0, 2))
    assert room()[0] == (1000, 1000, 1)
    table.add_pod(pod("share", gpu_milli=300), "n", (1,))
    assert room()[0] == (700, 700, 0)
    table.remove_pod("default/whole")
    assert room()[0] == (2700, 1000, 2)


def test_taking_leads_to_the_state_a_pod_would_leave() -> None:
    table = gpus()
    expected = state(table).taking(1000, 300)
    table.add_pod(pod("p", gpu_milli=300), "n", (1,))
    assert state(table) is expected
    assert expected.taking(1000, 1000).free == (0, 700)
    with pytest.raises(ValueError, match="not in list"):
        expected.taking(1000, 1000, 2)


def test_choices_are_the_states_a_request_may_leave_by_what_was_free_on_its_devices() -> None:
    table = gpus(3)
    table.add_pod(pod("p", gpu_milli=300), "n", (1,))

    def choices(milli: int) -> dict[int, tuple[int, ...]]:
        request = pod("q", gpu_milli=milli).gpu
        assert request is not None
        return {room: left.free for room, left in state(table).choices(request).items()}

    assert choices(500) == {700: (200, 1000, 1000), 1000: (500, 700, 1000)}
    assert choices(800) == {1000: (200, 700, 1000)}
    assert choices(2000) == {1000: (0, 0, 700)}
    assert choices(3000) == {}


def test_pods_are_counted_by_the_whole_devices_they_hold() -> None:
    table = gpus(4)
    for name, milli, devices in (("a", 200, (0,)), ("b", 300, (0,)), ("c", 1000, (1,)), ("d", 2000, (2, 3))):
        table.add_pod(pod(name, gpu_milli=milli), "n", devices)
    table.add_pod(pod("no-gpu", cpu=1), "n")
    assert NodeView(table).devices.holders[0].tolist() == [2, 1, 1, 0, 0]
    table.remove_pod("default/d")
    assert NodeView(table).devices.holders[0].tolist() == [2, 1, 0, 0, 0]


def test_restoring_what_was_held_restores_states_and_counts() -> None:
    table = gpus()
    rows = NodeView(table).rows
    before, held = state(table), table.devices.held(rows)
    table.devices.hold(0, pod("p", gpu_milli=500).gpu, (0,), 1)
    assert state(table) is not before
    table.devices.restore(rows, held)
    assert state(table) is before
    assert not NodeView(table).devices.holders.any()
