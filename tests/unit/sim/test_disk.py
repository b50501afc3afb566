"""The simulated disk: what a sync makes safe, and what a loss of power takes."""

from __future__ import annotations

import pytest

from ksched.sim import Kernel, Streams
from ksched.sim.delays import Constant
from ksched.sim.disk import TORN, Disk, DiskConfig


def make_disk(seed: int = 1, *, sync: int = 0, torn: float = 0.5) -> tuple[Kernel, Disk]:
    kernel = Kernel()
    return kernel, Disk(kernel, Streams(seed), "disk", DiskConfig(sync=Constant(value=sync), torn=torn))


def test_what_was_synced_is_found_again_after_a_loss_of_power() -> None:
    _, disk = make_disk(torn=0)
    disk.append(1, 2)
    disk.sync(lambda: None)
    disk.crash()
    assert list(disk.records()) == [1, 2]


def test_of_what_was_not_synced_any_beginning_may_survive() -> None:
    lengths = set()
    for seed in range(40):
        _, disk = make_disk(seed, torn=0)
        disk.append("safe")
        disk.sync(lambda: None)
        disk.append(1, 2, 3)
        disk.crash()
        records = list(disk.records())
        assert records == ["safe", 1, 2, 3][: len(records)]
        lengths.add(len(records))
    assert lengths == {1, 2, 3, 4}


def test_the_first_lost_record_may_be_torn() -> None:
    ends = set()
    for seed in range(40):
        _, disk = make_disk(seed, torn=1)
        disk.append(1, 2, 3)
        disk.crash()
        records = list(disk.records())
        ends.add(tuple(records))
        assert records == [1, 2, 3] or records[-1] is TORN
    assert ends == {(TORN,), (1, TORN), (1, 2, TORN), (1, 2, 3)}


def test_a_process_that_merely_dies_loses_nothing() -> None:
    _, disk = make_disk()
    disk.append(1, 2)
    disk.crash(power_loss=False)
    disk.crash()
    assert list(disk.records()) == [1, 2]


def test_a_sync_takes_its_time_and_syncs_queue() -> None:
    kernel, disk = make_disk(sync=10)
    ended: list[tuple[int, str]] = []
    disk.append(1)
    disk.sync(lambda: ended.append((kernel.now, "first")))
    disk.sync(lambda: ended.append((kernel.now, "second")))
    kernel.run()
    assert ended == [(10, "first"), (20, "second")]


def test_a_sync_covers_what_was_written_before_it_began_only() -> None:
    survivors = set()
    for seed in range(20):
        kernel, disk = make_disk(seed, sync=10, torn=0)
        disk.append(1)
        disk.sync(lambda: None)
        disk.append(2)
        kernel.run()
        disk.crash()
        survivors.add(tuple(disk.records()))
    assert survivors == {(1,), (1, 2)}


def test_a_sync_that_a_crash_cuts_short_tells_nobody() -> None:
    kernel, disk = make_disk(sync=10)
    disk.append(1)
    disk.sync(lambda: pytest.fail("the process is dead"))
    kernel.run(5)
    disk.crash()
    kernel.run()


def test_the_beginning_can_be_forgotten_once_it_is_synced() -> None:
    kernel, disk = make_disk(sync=10, torn=0)
    disk.append(1, 2, 3)
    with pytest.raises(ValueError, match="only 0 are synced"):
        disk.forget(1)
    disk.sync(lambda: disk.forget(2))
    disk.append(4)
    disk.sync(lambda: None)
    kernel.run()
    disk.crash()
    assert list(disk.records()) == [3, 4]


def test_a_torn_end_can_be_cut_off_and_written_on() -> None:
    _, disk = make_disk(torn=1, seed=3)
    disk.append(1)
    disk.settle()
    disk.append(2)
    while TORN not in disk.records():
        disk.append(2)
        disk.crash()
        if TORN not in disk.records():
            disk.cut(1)
    disk.cut(len(disk.records()) - 1)
    disk.append(3)
    assert list(disk.records())[-1] == 3
    assert TORN not in disk.records()
