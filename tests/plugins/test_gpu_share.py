"""GpuShare: devices, not sums of devices."""

from __future__ import annotations

import pytest

from ksched.framework import Cycle
from ksched.objects import GpuRequest
from ksched.objects.gpu import GPU_INDEX_ANNOTATION
from ksched.tables import PodView
from ksched.testing import ask, make_node, make_pod, make_table
from ksched_plugins.gpu.gpu_share import GpuShare, GpuShareArgs, choose_devices


def share(selection: str = "best_fit") -> GpuShare:
    return GpuShare(GpuShareArgs.model_validate({"deviceSelection": selection}))


def holders(*held: tuple[int, str]) -> list[tuple[object, str]]:
    return [
        (make_pod(f"holder-{i}", gpu_milli=milli, annotations={GPU_INDEX_ANNOTATION: devices}), "n")
        for i, (milli, devices) in enumerate(held)
    ]


ROWS: list[tuple[str, int, int, tuple[tuple[int, str], ...], bool]] = [
    ("a share fits an empty device", 1, 500, (), True),
    ("a share fits beside another", 1, 500, ((500, "0"),), True),
    ("a share needs room on one device", 2, 600, ((500, "0"), (500, "1")), False),
    ("two halves on two devices do not make a whole one", 2, 1000, ((500, "0"), (500, "1")), False),
    ("a whole device beside a shared one does", 2, 1000, ((500, "0"),), True),
    ("k devices need k whole ones", 4, 3000, ((100, "0"), (100, "1")), False),
    ("and take them wherever they are", 4, 2000, ((100, "0"), (100, "2")), True),
    ("a node without devices has no room", 0, 100, (), False),
]


@pytest.mark.parametrize(("gpus", "milli", "held", "fits"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_filter(gpus: int, milli: int, held: tuple[tuple[int, str], ...], fits: bool) -> None:
    answer = ask(share(), make_pod(gpu_milli=milli), [make_node("n", gpus=gpus)], holders(*held))  # type: ignore[arg-type]
    assert answer.filter == {"n": None if fits else ("Unschedulable", ("node(s) had no GPU device with enough room",))}


def test_a_pod_without_gpus_is_skipped() -> None:
    outcome = ask(share(), make_pod(cpu=1), [make_node("n", gpus=1)]).pre_filter
    assert outcome is not None
    assert outcome.skipped == {"GpuShare"}


def test_whole_devices_of_a_device_plugin_count_alike() -> None:
    node = make_node("n", resources={"nvidia.com/gpu": 2})
    pod = make_pod(requests={"nvidia.com/gpu": 3})
    assert ask(share(), pod, [node]).filter == {"n": ("Unschedulable", ("node(s) had no GPU device with enough room",))}


@pytest.mark.parametrize(
    ("points", "request_", "free", "chosen"),
    [
        pytest.param([1, 2, 3], (1, 300), [1000, 400, 300], (2,), id="the device with the most points"),
        pytest.param([1, 1, 9], (1, 300), [400, 400, 200], (0,), id="ties go to the lowest index, no room counts not"),
        pytest.param([0, 9, 1, 2], (2, 1000), [1000, 500, 1000, 1000], (0, 2), id="whole ones: lowest free indices"),
        pytest.param([0, 0], (2, 1000), [1000, 999], None, id="no room, no devices"),
        pytest.param([9, 0], (1, 100), [-1, 100], (1,), id="an absent device is never chosen"),
    ],
)
def test_choice_of_devices(
    points: list[int], request_: tuple[int, int], free: list[int], chosen: tuple[int, ...] | None
) -> None:
    assert choose_devices(free, GpuRequest(*request_), points) == chosen


@pytest.mark.parametrize(("selection", "chosen"), [("best_fit", 2), ("worst_fit", 1), ("first_fit", 0)])
def test_a_share_goes_where_the_arguments_say(selection: str, chosen: int) -> None:
    table = make_table([make_node("n", gpus=3)], holders((500, "0"), (600, "2")))  # type: ignore[arg-type]
    pod = PodView(make_pod(gpu_milli=300))
    cycle = Cycle(table, pod, now=0, seed=0)
    assert share(selection).reserve(cycle, pod, "n") is None
    assert cycle.devices == (chosen,)


def test_a_cycle_tells_the_free_devices_of_a_node_as_a_view_of_it_does() -> None:
    nodes = [make_node("m", gpus=4), make_node("n", gpus=2), make_node("o")]
    table = make_table(nodes, holders((600, "1")))  # type: ignore[arg-type]
    cycle = Cycle(table, PodView(make_pod()), now=0, seed=0)
    for name, free in (("m", [1000] * 4), ("n", [1000, 400]), ("o", [])):
        assert cycle.free_devices(name) == free
        assert cycle.node(name).devices.free[0].tolist() == free + [-1] * (4 - len(free))


def test_devices_a_policy_chose_are_left_alone() -> None:
    table = make_table([make_node("n", gpus=3)])
    pod = PodView(make_pod(gpu_milli=300))
    cycle = Cycle(table, pod, now=0, seed=0)
    cycle.devices = (1,)
    assert share().reserve(cycle, pod, "n") is None
    assert cycle.devices == (1,)


def test_reserve_names_the_devices_and_unreserve_takes_that_back() -> None:
    table = make_table([make_node("m"), make_node("n", gpus=2)], holders((600, "0")))  # type: ignore[arg-type]
    pod = PodView(make_pod(gpu_milli=300))
    cycle = Cycle(table, pod, now=0, seed=0)
    plugin = share("best_fit")
    assert plugin.reserve(cycle, pod, "n") is None
    assert cycle.devices == (0,)
    plugin.unreserve(cycle, pod, "n")
    assert cycle.devices is None


def test_reserve_fails_when_the_devices_are_gone() -> None:
    table = make_table([make_node("n", gpus=1)], holders((600, "0")))  # type: ignore[arg-type]
    pod = PodView(make_pod(gpu_milli=500))
    status = share().reserve(Cycle(table, pod, now=0, seed=0), pod, "n")
    assert status is not None
    assert status.rejected
