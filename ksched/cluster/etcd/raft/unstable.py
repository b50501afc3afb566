"""The end of the log that is not known to be durable yet (etcd: raft/log_unstable.go)."""

from __future__ import annotations

from collections.abc import Sequence

from ksched.cluster.etcd.raft.errors import InvariantViolated
from ksched.cluster.etcd.raft.logger import Logger
from ksched.cluster.etcd.raft.messages import Entry, Snapshot


class Unstable:
    """Entries from ``offset`` on, and a snapshot that came from the leader.

    Both stay here while they are written, because only then can the storage be asked for them. ``in_progress`` is
    the first index not handed out for writing. ``offset`` may lie inside the storage's log: what is there from
    ``offset`` on is about to be overwritten.
    """

    __slots__ = ("_logger", "entries", "in_progress", "offset", "snapshot", "snapshot_in_progress")

    def __init__(self, offset: int, logger: Logger) -> None:
        self.snapshot: Snapshot | None = None
        self.snapshot_in_progress = False
        self.entries: list[Entry] = []
        self.offset = offset
        self.in_progress = offset
        self._logger = logger

    def last_index(self) -> int:
        """Where the whole log ends: what is stored ends at ``offset`` or is about to."""
        return self.offset + len(self.entries) - 1

    def _term(self, index: int) -> int | None:
        """The term at ``index`` if it is known here."""
        position = index - self.offset
        if position >= 0:
            return self.entries[position].term if position < len(self.entries) else None
        if self.snapshot is not None and self.snapshot.index == index:
            return self.snapshot.term
        return None

    def has_next_entries(self) -> bool:
        return self.offset + len(self.entries) > self.in_progress

    def next_entries(self) -> list[Entry]:
        """Entries that nobody has begun to write."""
        return self.entries[self.in_progress - self.offset :]

    def next_snapshot(self) -> Snapshot | None:
        return None if self.snapshot_in_progress else self.snapshot

    def accept(self) -> None:
        """Everything here has been handed out for writing."""
        if self.entries:
            self.in_progress = self.offset + len(self.entries)
        if self.snapshot is not None:
            self.snapshot_in_progress = True

    def stable_to(self, index: int, term: int) -> None:
        """Entries up to ``index`` are durable, if the one there is still the one of ``term`` that was written."""
        found = self._term(index)
        if found is None:
            self._logger.info("entry at index %d missing from unstable log; ignoring", index)
        elif index < self.offset:
            self._logger.info("entry at index %d matched unstable snapshot; ignoring", index)
        elif found != term:
            self._logger.info(
                "entry at (index,term)=(%d,%d) mismatched with entry at (%d,%d) in unstable log; ignoring",
                index,
                term,
                index,
                found,
            )
        else:
            del self.entries[: index + 1 - self.offset]
            self.offset = index + 1
            self.in_progress = max(self.in_progress, self.offset)

    def snapshot_stable_to(self, index: int) -> None:
        if self.snapshot is not None and self.snapshot.index == index:
            self.snapshot = None
            self.snapshot_in_progress = False

    def restore(self, snapshot: Snapshot) -> None:
        """Starts anew behind ``snapshot``."""
        self.snapshot = snapshot
        self.snapshot_in_progress = False
        self.entries = []
        self.offset = self.in_progress = snapshot.index + 1

    def append(self, entries: Sequence[Entry]) -> None:
        """Adds entries, in place of those from the first one's index on."""
        first = entries[0].index
        if first == self.offset + len(self.entries):
            self.entries.extend(entries)
        elif first <= self.offset:
            self._logger.info("replace the unstable entries from index %d", first)
            self.entries = list(entries)
            self.offset = self.in_progress = first
        else:
            self._logger.info("truncate the unstable entries before index %d", first)
            self.entries[first - self.offset :] = entries
            # What is being written from there on is void: its replacement has to be written, too.
            self.in_progress = min(self.in_progress, first)

    def slice(self, low: int, high: int) -> list[Entry]:
        if not self.offset <= low <= high <= self.offset + len(self.entries):
            upper = self.offset + len(self.entries)
            raise InvariantViolated(f"unstable.slice[{low},{high}) out of bound [{self.offset},{upper}]")
        return self.entries[low - self.offset : high - self.offset]
