from __future__ import annotations

import pytest

from ksched.cluster.etcd.raft import Compacted, Entry, InvariantViolated, MemoryStorage, Snapshot, SnapshotOutOfDate
from ksched.cluster.etcd.raft.log import RaftLog
from ksched.cluster.etcd.raft.logger import Silent
from ksched.cluster.etcd.raft.messages import ENTRY_OVERHEAD


def entries(first: int, *terms: int) -> list[Entry]:
    return [Entry(term, index, size=10) for index, term in enumerate(terms, first)]


def log_with(stored: list[Entry], unstable: list[Entry]) -> RaftLog:
    storage = MemoryStorage()
    storage.append(stored)
    log = RaftLog(storage, Silent())
    if unstable:
        log.append(unstable)
    return log


def terms(log: RaftLog) -> list[int]:
    return [log.term(index) for index in range(log.first_index(), log.last_index() + 1)]


@pytest.mark.parametrize("stored", [0, 1, 2, 3])
def test_stored_and_unstable_entries_read_as_one_log(stored: int) -> None:
    every = entries(1, 1, 2, 2)
    log = log_with(every[:stored], every[stored:])
    assert log.last_entry() == (3, 2)
    assert terms(log) == [1, 2, 2]
    assert list(log.slice(1, 4)) == every
    one = 10 + ENTRY_OVERHEAD
    assert [len(log.slice(1, 4, size)) for size in (0, one, 2 * one - 1, 2 * one, 3 * one)] == [1, 1, 1, 2, 3]


@pytest.mark.parametrize(
    ("first", "new", "expected"),
    [(4, [3], [1, 2, 2, 3]), (3, [3], [1, 2, 3]), (2, [3, 3], [1, 3, 3]), (1, [3], [3])],
)
def test_new_entries_replace_those_from_their_index_on(first: int, new: list[int], expected: list[int]) -> None:
    log = log_with(entries(1, 1), entries(2, 2, 2))
    log.append(entries(first, *new))
    assert terms(log) == expected


def test_an_old_message_does_not_cut_off_what_came_later() -> None:
    log = log_with([], entries(1, 1, 1, 1))
    assert log.maybe_append(1, 1, entries(2, 1), committed=3) == 2
    assert log.last_index() == 3
    assert log.committed == 2


def test_entries_that_do_not_follow_ours_are_not_taken() -> None:
    log = log_with([], entries(1, 1, 1))
    assert log.maybe_append(2, 2, entries(3, 2), committed=3) is None
    assert log.maybe_append(5, 1, entries(6, 2), committed=3) is None
    assert terms(log) == [1, 1]


def test_a_committed_entry_is_never_replaced() -> None:
    log = log_with([], entries(1, 1, 1))
    log.commit_to(2)
    with pytest.raises(InvariantViolated, match="conflict with committed"):
        log.maybe_append(1, 1, entries(2, 2), committed=2)
    with pytest.raises(InvariantViolated, match="tocommit"):
        log.commit_to(3)


def test_a_finished_write_counts_only_for_the_entries_that_were_written() -> None:
    log = log_with([], entries(1, 1, 1))
    log.unstable.accept()
    log.append(entries(2, 2))
    log.unstable.stable_to(2, 1)
    assert log.unstable.offset == 1
    assert [entry.index for entry in log.unstable.next_entries()] == [2]
    log.unstable.stable_to(1, 1)
    assert log.unstable.offset == 2


def test_what_is_being_applied_is_bounded() -> None:
    storage = MemoryStorage()
    storage.append(entries(1, 1, 1, 1))
    log = RaftLog(storage, Silent(), max_applying_size=2 * (10 + ENTRY_OVERHEAD))
    log.commit_to(3)
    first = log.next_committed(allow_unstable=True)
    assert len(first) == 2
    log.accept_applying(2, 2 * (10 + ENTRY_OVERHEAD), allow_unstable=True)
    assert not log.has_next_committed(allow_unstable=True)
    log.applied_to(2, 2 * (10 + ENTRY_OVERHEAD))
    assert [entry.index for entry in log.next_committed(allow_unstable=True)] == [3]


def test_a_compacted_log_still_knows_the_term_before_its_start() -> None:
    storage = MemoryStorage()
    storage.append(entries(1, 1, 2, 3))
    storage.compact(2)
    assert (storage.first_index(), storage.last_index(), storage.term(2)) == (3, 3, 2)
    with pytest.raises(Compacted):
        storage.term(1)
    with pytest.raises(Compacted):
        storage.entries(2, 4)


def test_a_snapshot_replaces_the_log_and_an_older_one_is_refused() -> None:
    storage = MemoryStorage()
    storage.append(entries(1, 1, 1))
    storage.apply_snapshot(Snapshot(index=5, term=2))
    assert (storage.first_index(), storage.last_index(), storage.term(5)) == (6, 5, 2)
    storage.append(entries(4, 1, 2, 3))
    assert storage.last_index() == 6
    with pytest.raises(SnapshotOutOfDate):
        storage.apply_snapshot(Snapshot(index=5, term=2))
