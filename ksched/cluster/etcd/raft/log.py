"""The log of one member: what is stored, what is about to be, and how far it is committed and applied
(etcd: raft/log.go)."""

from __future__ import annotations

from collections.abc import Sequence

from ksched.cluster.etcd.raft.errors import Compacted, InvariantViolated, Unavailable
from ksched.cluster.etcd.raft.logger import Logger
from ksched.cluster.etcd.raft.messages import Entry, Snapshot, encoded_size, limit_size
from ksched.cluster.etcd.raft.quorum import NO_LIMIT
from ksched.cluster.etcd.raft.storage import Storage
from ksched.cluster.etcd.raft.unstable import Unstable


class RaftLog:
    """Storage and unstable end as one log. Always ``applied <= applying <= committed <= last_index()``.

    ``applying`` is what was handed out to be applied; at most ``max_applying_size`` encoded bytes of entries are on
    their way there at a time (one entry may go over).
    """

    __slots__ = (
        "_applying_paused",
        "_applying_size",
        "_logger",
        "_max_applying_size",
        "_storage",
        "applied",
        "applying",
        "committed",
        "unstable",
    )

    def __init__(self, storage: Storage, logger: Logger, max_applying_size: int = NO_LIMIT) -> None:
        self._storage = storage
        self._logger = logger
        self.unstable = Unstable(storage.last_index() + 1, logger)
        self.committed = self.applying = self.applied = storage.first_index() - 1
        self._max_applying_size = max_applying_size
        self._applying_size = 0
        self._applying_paused = False

    def first_index(self) -> int:
        snapshot = self.unstable.snapshot
        return snapshot.index + 1 if snapshot is not None else self._storage.first_index()

    def last_index(self) -> int:
        return self.unstable.last_index()

    def last_entry(self) -> tuple[int, int]:
        """Index and term of the last entry."""
        index = self.last_index()
        return index, self.term(index)

    def term(self, index: int) -> int:
        """Raises ``Compacted`` or ``Unavailable`` for what is not in the log; the entry just before it counts."""
        unstable = self.unstable
        position = index - unstable.offset
        if position >= 0:
            if position >= len(unstable.entries):
                raise Unavailable
            return unstable.entries[position].term
        snapshot = unstable.snapshot
        if snapshot is None or index > snapshot.index:
            return self._storage.term(index)
        if index < snapshot.index:
            raise Compacted
        return snapshot.term

    def term_or_zero(self, index: int) -> int:
        try:
            return self.term(index)
        except (Compacted, Unavailable):
            return 0

    def matches(self, index: int, term: int) -> bool:
        """Whether the entry at ``index`` is known to be of ``term``."""
        try:
            return self.term(index) == term
        except (Compacted, Unavailable):
            return False

    def is_up_to_date(self, index: int, term: int) -> bool:
        """Whether a log that ends in this entry has at least all that ours has (Raft paper, section 5.4.1)."""
        own_index, own_term = self.last_entry()
        return term > own_term or (term == own_term and index >= own_index)

    def entries(self, low: int, max_size: int = NO_LIMIT) -> Sequence[Entry]:
        """Entries from ``low`` on, up to ``max_size`` encoded bytes, but at least one if there is any."""
        last = self.last_index()
        return self.slice(low, last + 1, max_size) if low <= last else ()

    def slice(self, low: int, high: int, max_size: int = NO_LIMIT) -> Sequence[Entry]:
        """Entries of ``[low, high)`` up to ``max_size`` encoded bytes, but at least one."""
        unstable = self.unstable
        if low >= unstable.offset:
            return limit_size(unstable.slice(low, high), max_size)
        if low < self.first_index():
            raise Compacted
        cut = min(high, unstable.offset)
        stored = self._storage.entries(low, cut, max_size)
        if high <= unstable.offset or len(stored) < cut - low:
            return stored
        room = max_size - encoded_size(stored)
        rest = limit_size(unstable.slice(unstable.offset, high), room)
        # The one entry limit_size always gives may be too much here.
        if encoded_size(rest) > room:
            return stored
        return [*stored, *rest]

    def append(self, entries: Sequence[Entry]) -> None:
        """Adds entries, in place of those from the first one's index on; committed ones are never replaced."""
        if entries[0].index <= self.committed:
            raise InvariantViolated(f"after({entries[0].index - 1}) is out of range [committed({self.committed})]")
        self.unstable.append(entries)

    def maybe_append(self, index: int, term: int, entries: Sequence[Entry], committed: int) -> int | None:
        """Takes what a leader sent to follow the entry (index, term); the index it ends at, or None if our log does
        not have that entry. Entries already here are kept: the message may be an old one."""
        if not self.matches(index, term):
            return None
        last_new = index + len(entries)
        conflict = self._find_conflict(entries)
        if conflict is not None:
            if conflict <= self.committed:
                raise InvariantViolated(f"entry {conflict} conflict with committed entry [committed({self.committed})]")
            self.append(entries[conflict - index - 1 :])
        # Beyond its last new entry the leader has not vouched for our log.
        self.commit_to(min(committed, last_new))
        return last_new

    def _find_conflict(self, entries: Sequence[Entry]) -> int | None:
        """The index of the first entry that our log has not, or has with another term."""
        if not entries:
            return None
        last = self.last_index()
        if entries[0].index > last:
            return entries[0].index
        for entry in entries:
            if not self.matches(entry.index, entry.term):
                if entry.index <= last:
                    self._logger.info(
                        "found conflict at index %d [existing term: %d, conflicting term: %d]",
                        entry.index,
                        self.term_or_zero(entry.index),
                        entry.term,
                    )
                return entry.index
        return None

    def find_conflict_by_term(self, index: int, term: int) -> tuple[int, int]:
        """The last entry at or before ``index`` whose term is at most ``term``, and its term (0 if unknown).

        A log that has ``term`` at ``index`` cannot agree with ours behind that entry.
        """
        while index > 0:
            try:
                own_term = self.term(index)
            except (Compacted, Unavailable):
                return index, 0
            if own_term <= term:
                return index, own_term
            index -= 1
        return 0, 0

    def commit_to(self, index: int) -> None:
        if index <= self.committed:
            return
        if index > self.last_index():
            raise InvariantViolated(
                f"tocommit({index}) is out of range [lastIndex({self.last_index()})]. "
                "Was the raft log corrupted, truncated, or lost?"
            )
        self.committed = index

    def maybe_commit(self, index: int, term: int) -> bool:
        """Commits up to ``index`` if that is news and its entry is of ``term``.

        A leader passes its own term: entries of earlier terms are committed only by one of its own behind them
        (Raft paper, section 5.4.2).
        """
        if index <= self.committed or not self.matches(index, term):
            return False
        self.commit_to(index)
        return True

    def next_committed(self, *, allow_unstable: bool) -> Sequence[Entry]:
        """Entries to be applied next. ``allow_unstable`` includes those not known to be durable here."""
        if not self.has_next_committed(allow_unstable=allow_unstable):
            return ()
        room = self._max_applying_size - self._applying_size
        return self.slice(self.applying + 1, self._max_appliable(allow_unstable) + 1, room)

    def has_next_committed(self, *, allow_unstable: bool) -> bool:
        # Nothing may be applied before a snapshot that stands for it.
        if self._applying_paused or self.unstable.snapshot is not None:
            return False
        return self.applying < self._max_appliable(allow_unstable)

    def _max_appliable(self, allow_unstable: bool) -> int:
        return self.committed if allow_unstable else min(self.committed, self.unstable.offset - 1)

    def accept_applying(self, index: int, size: int, *, allow_unstable: bool) -> None:
        """Entries of ``size`` encoded bytes up to ``index`` were handed out to be applied."""
        if index > self.committed:
            raise InvariantViolated(
                f"applying({index}) is out of range [prevApplying({self.applying}), committed({self.committed})]"
            )
        self.applying = index
        self._applying_size += size
        self._applying_paused = self._applying_size >= self._max_applying_size or index < self._max_appliable(
            allow_unstable
        )

    def applied_to(self, index: int, size: int) -> None:
        """Entries of ``size`` encoded bytes up to ``index`` are applied."""
        if not self.applied <= index <= self.committed:
            raise InvariantViolated(
                f"applied({index}) is out of range [prevApplied({self.applied}), committed({self.committed})]"
            )
        self.applied = index
        self.applying = max(self.applying, index)
        self._applying_size = max(0, self._applying_size - size)
        self._applying_paused = self._applying_size >= self._max_applying_size

    def snapshot(self) -> Snapshot:
        return self.unstable.snapshot or self._storage.snapshot()

    def restore(self, snapshot: Snapshot) -> None:
        """Starts anew behind a snapshot from the leader."""
        self._logger.info(
            "log [%s] starts to restore snapshot [index: %d, term: %d]", self, snapshot.index, snapshot.term
        )
        self.committed = snapshot.index
        self.unstable.restore(snapshot)

    def __str__(self) -> str:
        return (
            f"committed={self.committed}, applied={self.applied}, applying={self.applying}, "
            f"unstable.offset={self.unstable.offset}, unstable.offsetInProgress={self.unstable.in_progress}, "
            f"len(unstable.Entries)={len(self.unstable.entries)}"
        )
