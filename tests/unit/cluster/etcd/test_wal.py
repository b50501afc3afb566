"""What a member finds in its write-ahead log when it starts."""

from __future__ import annotations

from ksched.cluster.etcd.raft import Entry, HardState, Snapshot
from ksched.cluster.etcd.wal import Wal
from ksched.sim import Kernel, Streams
from ksched.sim.disk import Disk, DiskConfig


def make_wal(*, torn: float = 1, seed: int = 1) -> Wal:
    return Wal(Disk(Kernel(), Streams(seed), "disk", DiskConfig(torn=torn)))


def entries(term: int, *indexes: int) -> list[Entry]:
    return [Entry(term, index) for index in indexes]


def terms(found: list[Entry]) -> dict[int, int]:
    return {entry.index: entry.term for entry in found}


def test_an_empty_disk_is_a_member_that_never_ran() -> None:
    assert make_wal().recover() == (HardState(), Snapshot(), [])


def test_entries_and_the_last_hard_state_are_found_again() -> None:
    wal = make_wal()
    wal.save(HardState(1, 2, 0), entries(1, 1, 2))
    wal.save(HardState(1, 2, 2), [])
    found = wal.recover()
    assert found.hard_state == HardState(1, 2, 2)
    assert terms(found.entries) == {1: 1, 2: 1}


def test_later_entries_replace_those_with_the_same_and_higher_indexes() -> None:
    wal = make_wal()
    wal.save(None, entries(1, 1, 2, 3))
    wal.save(None, entries(2, 2))
    assert terms(wal.recover().entries) == {1: 1, 2: 2}


def test_a_torn_record_and_nothing_before_it_is_lost() -> None:
    for seed in range(20):
        wal = make_wal(seed=seed)
        wal.save(None, entries(1, 1, 2))
        wal.disk.settle()
        wal.save(HardState(1, 1, 3), entries(1, 3))
        wal.disk.crash()
        found = wal.recover()
        assert list(terms(found.entries)) in ([1, 2], [1, 2, 3])
        wal.save(None, entries(1, len(found.entries) + 1))
        wal.disk.settle()
        assert len(wal.recover().entries) == len(found.entries) + 1


def test_a_snapshot_of_the_own_state_keeps_the_log_behind_it_before_and_after_its_release() -> None:
    wal, snapshot = make_wal(), Snapshot(2, 1)
    wal.save(None, entries(1, 1, 2, 3))
    wal.save_snapshot(snapshot, HardState(1, 1, 2))
    wal.save(None, entries(1, 4))
    wal.disk.settle()
    before = wal.recover()
    wal.release(snapshot)
    after = wal.recover()
    assert before == after
    assert terms(after.entries) == {3: 1, 4: 1}
    assert after.snapshot is snapshot
    assert Entry(1, 2) not in wal.disk.records()


def test_snapshots_may_be_saved_long_after_the_entries_they_stand_for() -> None:
    wal, newest = make_wal(), Snapshot(4, 1)
    wal.save(HardState(1, 1, 5), entries(1, 1, 2, 3, 4, 5))
    for snapshot in (Snapshot(2, 1), newest):
        wal.save_snapshot(snapshot, HardState(1, 1, 5))
    wal.disk.settle()
    wal.release(newest)
    found = wal.recover()
    assert found.snapshot is newest
    assert terms(found.entries) == {5: 1}


def test_a_snapshot_from_a_leader_takes_the_place_of_the_log() -> None:
    for index in (9, 2):
        wal = make_wal()
        wal.save(None, entries(1, 1, 2, 3))
        wal.install_snapshot(Snapshot(index, 2), HardState(2, 1, 1))
        found = wal.recover()
        assert found.entries == []
        assert found.hard_state.commit == index
