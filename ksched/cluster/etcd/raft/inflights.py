"""The window of append messages a follower has not acknowledged yet (etcd: raft/tracker/inflights.go)."""

from __future__ import annotations

from collections import deque

from ksched.cluster.etcd.raft.errors import InvariantViolated
from ksched.cluster.etcd.raft.quorum import NO_LIMIT


class Inflights:
    """At most ``max_messages`` messages; full, too, once their payloads reach ``max_bytes``.

    One message may go over the byte limit, so that an entry larger than it can be sent at all.
    """

    __slots__ = ("_bytes", "_max_bytes", "_max_messages", "_messages")

    def __init__(self, max_messages: int, max_bytes: int = NO_LIMIT) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        # (index of the last entry, payload bytes), oldest first.
        self._messages: deque[tuple[int, int]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def full(self) -> bool:
        return len(self._messages) >= self._max_messages or self._bytes >= self._max_bytes

    def add(self, last_index: int, size: int) -> None:
        if self.full():
            raise InvariantViolated("cannot add into a full window of inflight messages")
        self._messages.append((last_index, size))
        self._bytes += size

    def free_to(self, index: int) -> None:
        """Forgets the messages whose last entry is at or before ``index``."""
        messages = self._messages
        while messages and messages[0][0] <= index:
            self._bytes -= messages.popleft()[1]

    def clear(self) -> None:
        self._messages.clear()
        self._bytes = 0
