"""Linearizable reads without a log entry (Ongaro's dissertation, section 6.4; etcd: raft/read_only.go).

A leader notes its commit index when a read arrives and may answer once a quorum has acknowledged a heartbeat sent
later: then it still was the leader when the read came. Reads are numbered, and a heartbeat carries the number of the
last one, so one round of heartbeats confirms all reads before it.
"""

from __future__ import annotations

from collections import deque

from ksched.cluster.etcd.raft.configuration import Configuration
from ksched.cluster.etcd.raft.messages import Message


class ReadIndexQueue:
    """The reads of one term of leadership that wait for a quorum."""

    __slots__ = ("_acked", "_confirmed", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[tuple[Message, int]] = deque()
        # How many reads were confirmed before the first that waits.
        self._confirmed = 0
        # By member: up to which read it has acknowledged.
        self._acked: dict[int, int] = {}

    def add(self, request: Message, commit: int) -> None:
        self._waiting.append((request, commit))

    def last_read(self) -> int:
        """The number of the last read that waits; 0 if none does."""
        return self._confirmed + len(self._waiting) if self._waiting else 0

    def acknowledge(self, member: int, read: int) -> None:
        if read > self._acked.get(member, 0):
            self._acked[member] = read

    def take_confirmed(self, configuration: Configuration) -> list[tuple[Message, int]]:
        """The reads, with their commit index, that a quorum has now confirmed."""
        confirmed = configuration.committed_index(self._acked)
        taken = [self._waiting.popleft() for _ in range(confirmed - self._confirmed)]
        self._confirmed = max(confirmed, self._confirmed)
        return taken
