"""The consensus core of an etcd member: Raft without I/O, clock or chance of its own. Start at ``RawNode``."""

from __future__ import annotations

from ksched.cluster.etcd.raft.conf_change import ConfChange, ConfChangeSingle, ConfChangeType, Transition
from ksched.cluster.etcd.raft.config import RaftConfig
from ksched.cluster.etcd.raft.configuration import Configuration
from ksched.cluster.etcd.raft.errors import (
    Compacted,
    ConfChangeRefused,
    InvariantViolated,
    LocalMessage,
    PeerNotFound,
    ProposalDropped,
    RaftError,
    SnapshotOutOfDate,
    SnapshotUnavailable,
    Unavailable,
)
from ksched.cluster.etcd.raft.logger import Logger
from ksched.cluster.etcd.raft.messages import Entry, EntryType, HardState, Message, MessageType, ReadState, Snapshot
from ksched.cluster.etcd.raft.raw_node import RawNode
from ksched.cluster.etcd.raft.ready import Ready
from ksched.cluster.etcd.raft.role import Role, SoftState
from ksched.cluster.etcd.raft.status import Status
from ksched.cluster.etcd.raft.storage import MemoryStorage, Storage

__all__ = [
    "Compacted",
    "ConfChange",
    "ConfChangeRefused",
    "ConfChangeSingle",
    "ConfChangeType",
    "Configuration",
    "Entry",
    "EntryType",
    "HardState",
    "InvariantViolated",
    "LocalMessage",
    "Logger",
    "MemoryStorage",
    "Message",
    "MessageType",
    "PeerNotFound",
    "ProposalDropped",
    "RaftConfig",
    "RaftError",
    "RawNode",
    "ReadState",
    "Ready",
    "Role",
    "Snapshot",
    "SnapshotOutOfDate",
    "SnapshotUnavailable",
    "SoftState",
    "Status",
    "Storage",
    "Transition",
    "Unavailable",
]
