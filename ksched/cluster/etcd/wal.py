"""What a member writes to its disk, and what it finds there when it starts (etcd: server/storage/wal and snap).

Records are written in this order: entries, then the hard state that may refer to them. A snapshot is followed by the
hard state of its moment, so that everything before it can go. What a torn record spoilt is cut off at the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ksched.cluster.etcd.raft import Entry, HardState, Snapshot
from ksched.sim.disk import TORN, Disk


class Recovered(NamedTuple):
    """What survived: the entries follow the snapshot (index 0: there is none)."""

    hard_state: HardState
    snapshot: Snapshot
    entries: list[Entry]


class FromLeader(NamedTuple):
    """The record of a snapshot that came from a leader, in place of a log that did not lead there."""

    snapshot: Snapshot


class Wal:
    """The write-ahead log of one member."""

    __slots__ = ("disk",)

    def __init__(self, disk: Disk) -> None:
        self.disk = disk

    def save(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Append; safe once the disk has been synced."""
        if entries:
            self.disk.append(*entries)
        if hard_state is not None:
            self.disk.append(hard_state)

    def save_snapshot(self, snapshot: Snapshot, hard_state: HardState) -> None:
        """Append a snapshot of the member's own state; the log goes on."""
        self.disk.append(snapshot, hard_state)

    def install_snapshot(self, snapshot: Snapshot, hard_state: HardState) -> None:
        """Append a snapshot from a leader; the log begins anew behind it."""
        self.disk.append(FromLeader(snapshot), hard_state)

    def release(self, snapshot: Snapshot) -> None:
        """Forget what ``snapshot``, which must have been synced, stands for."""
        for position, record in enumerate(self.disk.records()):
            if record is snapshot or (isinstance(record, Entry) and record.index > snapshot.index):
                self.disk.forget(position)
                return

    def recover(self) -> Recovered:
        """Read everything back, and cut off a torn end."""
        hard_state, snapshot, entries = HardState(), Snapshot(), list[Entry]()
        for position, record in enumerate(self.disk.records()):
            if record is TORN:
                self.disk.cut(position)
                break
            if isinstance(record, HardState):
                hard_state = record
            elif isinstance(record, Snapshot):
                snapshot, entries = record, [entry for entry in entries if entry.index > record.index]
            elif isinstance(record, FromLeader):
                snapshot, entries = record.snapshot, []
            else:
                _put(entries, record)
        # The snapshot says that its entry was committed, also where the last hard state that did is lost.
        commit = max(hard_state.commit, snapshot.index)
        return Recovered(HardState(hard_state.term, hard_state.vote, commit), snapshot, entries)


def _put(entries: list[Entry], entry: Entry) -> None:
    """Add an entry in place of those with the same or a higher index."""
    if entries and entry.index <= entries[-1].index:
        del entries[max(entry.index - entries[0].index, 0) :]
    entries.append(entry)
