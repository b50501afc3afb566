"""What can go wrong in the consensus core. Messages are those of go.etcd.io/raft/v3, which clients of etcd see."""

from __future__ import annotations


class RaftError(Exception):
    """Base of what a caller of the core is expected to handle."""


class ProposalDropped(RaftError):
    """The proposal was not taken: no leader is known, leadership is on the move, or too much is uncommitted."""

    def __init__(self) -> None:
        super().__init__("raft proposal dropped")


class LocalMessage(RaftError):
    """A message that only a member may send to itself came from outside."""

    def __init__(self) -> None:
        super().__init__("raft: cannot step raft local message")


class PeerNotFound(RaftError):
    """A response came from a member that is not in the configuration."""

    def __init__(self) -> None:
        super().__init__("raft: cannot step as peer not found")


class Compacted(RaftError):
    """The entry asked for lies before the start of the log."""

    def __init__(self) -> None:
        super().__init__("requested index is unavailable due to compaction")


class Unavailable(RaftError):
    """The entry asked for lies behind the end of the log."""

    def __init__(self) -> None:
        super().__init__("requested entry at index is unavailable")


class SnapshotOutOfDate(RaftError):
    """The snapshot is not newer than the one the storage already has."""

    def __init__(self) -> None:
        super().__init__("requested index is older than the existing snapshot")


class SnapshotUnavailable(RaftError):
    """The storage cannot give a snapshot just now; the leader tries again later."""

    def __init__(self) -> None:
        super().__init__("snapshot is temporarily unavailable")


class ConfChangeRefused(RaftError):
    """A membership change that would break an invariant of the configuration."""


class InvariantViolated(AssertionError):
    """The core's own state contradicts itself, or its contract was broken. Going on could lose data."""
