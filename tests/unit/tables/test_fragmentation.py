"""Typical pods and buckets, on nodes small enough to do by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ksched.objects.gpu import MODEL_LABEL
from ksched.tables import DeviceState, ExpectedPod, compile_spec
from ksched.tables.fragmentation import BUCKETS, Fragmentation, TypicalPod, fragmentation, typical_pods
from ksched.testing import make_pod


def expected(count: int, cpu: str, gpu_milli: int | None = None, models: tuple[str, ...] = ()) -> ExpectedPod:
    requirement = {"key": MODEL_LABEL, "operator": "In", "values": list(models)}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}} if models else None
    return ExpectedPod(compile_spec(make_pod(cpu=cpu, gpu_milli=gpu_milli, affinity=affinity).spec), count)


def state(*free: int, model: str = "T4") -> DeviceState:
    return DeviceState(model, tuple(sorted(free)))


def shapes(pods: tuple[TypicalPod, ...]) -> list[tuple[int, int, int, int]]:
    return [(pod.count, pod.cpu_milli, pod.gpu_milli, pod.gpu_count) for pod in pods]


def test_the_most_usual_shapes_are_taken_until_they_cover_95_percent() -> None:
    found = typical_pods([expected(60, "4"), expected(30, "2", 500), expected(6, "1", 2000), expected(4, "1")])
    assert shapes(found) == [(60, 4000, 0, 0), (30, 2000, 500, 1), (6, 1000, 1000, 2)]
    assert [pod.share for pod in found] == pytest.approx([60 / 96, 30 / 96, 6 / 96])


def test_shapes_that_differ_in_memory_alone_are_one_and_of_equally_usual_ones_the_larger_comes_first() -> None:
    twice = [expected(1, "1", 300), expected(1, "1", 300), expected(2, "1", 400), expected(2, "2")]
    assert shapes(typical_pods(twice)) == [(2, 2000, 0, 0), (2, 1000, 400, 1), (2, 1000, 300, 1)]


def test_models_tell_shapes_apart_as_written() -> None:
    pods = [expected(1, "1", 300, ("A", "B")), expected(1, "1", 300, ("A", "B", "B")), expected(1, "1", 300)]
    assert [pod.models for pod in typical_pods(pods)] == [("A", "B", "B"), ("A", "B"), ()]


def test_nobody_expected_is_no_fragmentation() -> None:
    assert typical_pods([]) == ()
    nothing = Fragmentation(())
    assert nothing.fragments(state(1000))[nothing.level(4000)] == 0.0
    assert nothing.buckets(state(1000), 0) == (0,) * 7


CASES = [
    ("it fits", (1, "2", 500), 4000, (500, 1000), {"q3_satisfied": 1500}),
    ("devices with too little for it are no use", (1, "2", 500), 4000, (400, 1000), {"q2_lack_gpu": 400, "q3_satisfied": 1000}),  # noqa: E501
    ("no device has enough", (1, "2", 500), 4000, (400, 300), {"q2_lack_gpu": 700}),
    ("too little cpu", (1, "2", 500), 1999, (500, 1000), {"q4_lack_cpu": 1500}),
    ("too little of both", (1, "2", 500), 1999, (400,), {"q1_lack_both": 400}),
    ("two whole devices are wanted, one is free", (1, "2", 2000), 4000, (900, 1000), {"q2_lack_gpu": 1900}),
    ("a pod without GPUs uses none", (1, "2"), 2000, (1000,), {"xl_satisfied": 1000}),
    ("nor does one that lacks cpu", (1, "2"), 1999, (1000,), {"xr_lack_cpu": 1000}),
    ("another model, whatever the cpu", (1, "2", 500, ("A10", "G2")), 0, (1000,), {"no_access": 1000}),
    ("one of its models", (1, "2", 500, ("A10", "T4")), 2000, (1000,), {"q3_satisfied": 1000}),
    ("nothing is idle", (1, "2", 500), 4000, (0, 0), {}),
]  # fmt: skip


@pytest.mark.parametrize(("pod", "cpu", "free", "buckets"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_idle_devices_fall_into_the_bucket_the_pod_puts_them_in(
    pod: tuple[int, str], cpu: int, free: tuple[int, ...], buckets: dict[str, int]
) -> None:
    found = Fragmentation(typical_pods([expected(*pod)]))
    masses = found.buckets(state(*free), found.level(cpu))
    assert {name: mass for name, mass in zip(BUCKETS, masses, strict=True) if mass} == buckets
    fragments = sum(mass for name, mass in buckets.items() if name != "q3_satisfied")
    assert found.fragments(state(*free))[found.level(cpu)] == fragments


def test_pods_count_by_how_usual_they_are_and_all_buckets_together_are_what_is_idle() -> None:
    found = Fragmentation(typical_pods([expected(3, "1", 600), expected(1, "1")]))
    masses = dict(zip(BUCKETS, found.buckets(state(500, 1000), found.level(1000)), strict=True))
    assert masses["q3_satisfied"] == 3 * 1000
    assert (masses["q2_lack_gpu"], masses["xl_satisfied"]) == (3 * 500, 1500)
    assert sum(masses.values()) == found.pods * 1500
    assert found.fragments(state(500, 1000))[found.level(1000)] == 0.75 * 500 + 0.25 * 1500


def summed_one_by_one(pods: tuple[TypicalPod, ...], devices: DeviceState, level: int) -> float:
    """The fragments as the published simulator adds them up."""
    requests = sorted({pod.cpu_milli for pod in pods})
    masses = dict.fromkeys(BUCKETS, 0.0)
    for pod in pods:
        enough = requests.index(pod.cpu_milli) < level
        fitting = [milli for milli in devices.free if milli >= pod.gpu_milli]
        room = len(fitting) >= pod.gpu_count
        unusable = devices.idle
        if not pod.gpu_milli:
            bucket = "xl_satisfied" if enough else "xr_lack_cpu"
        elif pod.models and devices.model not in pod.models:
            bucket = "no_access"
        elif room and enough:
            bucket, unusable = "q2_lack_gpu", devices.idle - sum(fitting)
        else:
            bucket = "q4_lack_cpu" if room else "q2_lack_gpu" if enough else "q1_lack_both"
        masses[bucket] += pod.share * unusable
    *fragments, _ = masses.values()
    total = 0.0
    for mass in fragments:
        total += mass
    return total


@pytest.mark.parametrize("seed", range(5))
def test_fragments_are_to_the_last_bit_what_adding_term_by_term_gives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gpus = (None, 100, 300, 460, 1000, 2000, 4000)
    usual = [
        expected(int(rng.integers(1, 999)), str(cpu), gpus[rng.integers(7)], ("A10", "T4")[: rng.integers(3)])
        for cpu in rng.integers(1, 20, 40)
    ]
    pods = typical_pods(usual)
    found = Fragmentation(pods)
    for count in range(9):
        devices = state(*(rng.integers(0, 11, count) * 100).tolist())
        by_level = found.fragments(devices)
        assert by_level == [summed_one_by_one(pods, devices, level) for level in range(len(by_level))]
        for level, fragments in enumerate(by_level):
            masses = found.buckets(devices, level)
            assert sum(masses) == found.pods * devices.idle
            assert sum(masses[:-1]) / found.pods == pytest.approx(fragments)


def test_levels_are_counted_alike_one_by_one_and_together() -> None:
    found = Fragmentation(typical_pods([expected(1, cpu) for cpu in ("1", "2", "8")]))
    amounts = [-5, 0, 999, 1000, 1500, 2000, 7999, 8000, 9000]
    assert [found.level(cpu) for cpu in amounts] == [0, 0, 0, 1, 1, 2, 2, 3, 3]
    for some in (amounts, amounts[:3], amounts[5:6], []):
        assert found.levels(np.array(some, dtype=np.int64)) == [found.level(cpu) for cpu in some]


def test_runs_of_one_workload_share_what_was_computed() -> None:
    pods = typical_pods([expected(1, "1", 500)])
    assert fragmentation(pods) is fragmentation(typical_pods([expected(1, "1", 500)]))
