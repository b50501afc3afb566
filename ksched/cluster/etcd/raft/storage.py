"""The durable part of the log as the core sees it (etcd: raft/storage.go).

The core reads it and never writes it: what is to be written comes out in a ``Ready``, and whoever drives the core
puts it here once it is durable. The log starts behind the last compaction or snapshot; the term of the entry just
before the start is still known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ksched.cluster.etcd.raft.configuration import Configuration
from ksched.cluster.etcd.raft.errors import Compacted, InvariantViolated, SnapshotOutOfDate, Unavailable
from ksched.cluster.etcd.raft.messages import Entry, HardState, Snapshot, limit_size
from ksched.cluster.etcd.raft.quorum import NO_LIMIT


class Storage(Protocol):
    """What the core needs to read. Indexes are those of the log; ``Compacted`` and ``Unavailable`` are raised for
    what lies before its start and behind its end."""

    def initial_state(self) -> tuple[HardState, Configuration]: ...

    def first_index(self) -> int: ...

    def last_index(self) -> int: ...

    def term(self, index: int) -> int:
        """The term of an entry from ``first_index() - 1`` to ``last_index()``."""
        ...

    def entries(self, low: int, high: int, max_size: int) -> Sequence[Entry]:
        """Entries of ``[low, high)`` up to ``max_size`` encoded bytes, but at least one."""
        ...

    def snapshot(self) -> Snapshot:
        """A snapshot for a follower that is too far behind; ``SnapshotUnavailable`` to be asked again later."""
        ...


class MemoryStorage:
    """The log in memory. Give it what survived a crash by the same calls that filled it before."""

    __slots__ = ("_entries", "_hard_state", "_snapshot", "_start_index", "_start_term")

    def __init__(self, configuration: Configuration | None = None) -> None:
        """An empty log; ``configuration`` is the membership the cluster starts with, the same in all members."""
        self._hard_state = HardState()
        self._snapshot = Snapshot(configuration=configuration or Configuration())
        # The entry before the first: where the log was compacted to, or the snapshot it starts from.
        self._start_index = 0
        self._start_term = 0
        self._entries: list[Entry] = []

    def initial_state(self) -> tuple[HardState, Configuration]:
        return self._hard_state, self._snapshot.configuration

    def first_index(self) -> int:
        return self._start_index + 1

    def last_index(self) -> int:
        return self._start_index + len(self._entries)

    def term(self, index: int) -> int:
        position = index - self._start_index - 1
        if position >= 0:
            if position >= len(self._entries):
                raise Unavailable
            return self._entries[position].term
        if position < -1:
            raise Compacted
        return self._start_term

    def entries(self, low: int, high: int, max_size: int = NO_LIMIT) -> Sequence[Entry]:
        first = self._start_index + 1
        if low < first:
            raise Compacted
        if high > self.last_index() + 1:
            raise Unavailable
        return limit_size(self._entries[low - first : high - first], max_size)

    def snapshot(self) -> Snapshot:
        return self._snapshot

    def set_hard_state(self, state: HardState) -> None:
        self._hard_state = state

    def append(self, entries: Sequence[Entry]) -> None:
        """Adds entries, in place of those that have the same or a higher index."""
        if not entries:
            return
        position = entries[0].index - self._start_index - 1
        if position > len(self._entries):
            raise InvariantViolated(f"missing log entry [last: {self.last_index()}, append at: {entries[0].index}]")
        if position < 0:
            # Entries the snapshot already stands for.
            entries = entries[-position:]
            if not entries:
                return
            position = 0
        if position < len(self._entries):
            del self._entries[position:]
        self._entries.extend(entries)

    def compact(self, index: int) -> None:
        """Drops everything up to and with ``index``."""
        if index <= self._start_index:
            raise Compacted
        if index > self.last_index():
            raise InvariantViolated(f"compact {index} is out of bound lastindex({self.last_index()})")
        self._start_term = self.term(index)
        del self._entries[: index - self._start_index]
        self._start_index = index

    def apply_snapshot(self, snapshot: Snapshot) -> None:
        """Starts the log anew behind a snapshot; raises ``SnapshotOutOfDate`` if there is one as new."""
        if self._snapshot.index and self._snapshot.index >= snapshot.index:
            raise SnapshotOutOfDate
        self._snapshot = snapshot
        self._start_index, self._start_term = snapshot.index, snapshot.term
        self._entries = []

    def save_snapshot(self, snapshot: Snapshot) -> None:
        """Keeps a snapshot of the member's own state; the log stays until it is compacted."""
        if snapshot.index <= self._snapshot.index:
            raise SnapshotOutOfDate
        if snapshot.index > self.last_index():
            raise InvariantViolated(f"snapshot {snapshot.index} is out of bound lastindex({self.last_index()})")
        self._snapshot = snapshot
