"""What members tell each other and what they keep (etcd: raft/raftpb).

Everything here is shared, not copied, and must not be changed once it was handed to or by the core: one entry is the
same object in the logs of all members. Payloads are opaque references; their encoded size travels along in bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ksched.cluster.etcd.raft.configuration import Configuration
from ksched.cluster.etcd.raft.names import Named
from ksched.cluster.etcd.raft.quorum import NO_LIMIT

# The id of no member.
NONE = 0
# Addresses of a member's own append and apply workers, with asynchronous storage writes.
LOCAL_APPEND_THREAD = NO_LIMIT
LOCAL_APPLY_THREAD = NO_LIMIT - 1

# Bytes of an encoded entry beside its payload: tags, type, a term and an index of usual length, payload length.
ENTRY_OVERHEAD = 16
# Bytes of an encoded message beside its entries and snapshot.
MESSAGE_OVERHEAD = 32


class EntryType(Named):
    NORMAL = 0
    CONF_CHANGE = 1
    CONF_CHANGE_V2 = 2

    @property
    def prefix(self) -> str:
        return "Entry"


@dataclass(slots=True)
class Entry:
    """One record of the log. ``data`` is a ``ConfChange`` in the conf change types, and opaque in the normal one."""

    term: int = 0
    index: int = 0
    type: EntryType = EntryType.NORMAL
    data: Any = None
    size: int = 0


@dataclass(slots=True, frozen=True)
class HardState:
    """What a member must find again after a crash, beside its log; ``commit`` may be lost, the rest may not."""

    term: int = 0
    vote: int = NONE
    commit: int = 0


@dataclass(slots=True, frozen=True)
class Snapshot:
    """The state machine (``data``, of ``size`` bytes) and the membership after the entry at ``index``."""

    index: int = 0
    term: int = 0
    configuration: Configuration = field(default_factory=Configuration)
    data: Any = None
    size: int = 0


@dataclass(slots=True, frozen=True)
class ReadState:
    """A read with this context may be served once everything up to ``index`` is applied."""

    index: int
    context: Any


class MessageType(Named):
    PROP = 2
    APP = 3
    APP_RESP = 4
    VOTE = 5
    VOTE_RESP = 6
    SNAP = 7
    HEARTBEAT = 8
    HEARTBEAT_RESP = 9
    TRANSFER_LEADER = 13
    TIMEOUT_NOW = 14
    READ_INDEX = 15
    READ_INDEX_RESP = 16
    PRE_VOTE = 17
    PRE_VOTE_RESP = 18
    STORAGE_APPEND = 19
    STORAGE_APPEND_RESP = 20
    STORAGE_APPLY = 21
    STORAGE_APPLY_RESP = 22

    @property
    def prefix(self) -> str:
        return "Msg"


# Between a member and its own append and apply workers; from another member they are refused.
LOCAL_TYPES = frozenset(
    {
        MessageType.STORAGE_APPEND,
        MessageType.STORAGE_APPEND_RESP,
        MessageType.STORAGE_APPLY,
        MessageType.STORAGE_APPLY_RESP,
    }
)
# Messages that only make sense from a member of the configuration.
RESPONSE_TYPES = frozenset(
    {
        MessageType.APP_RESP,
        MessageType.VOTE_RESP,
        MessageType.HEARTBEAT_RESP,
        MessageType.READ_INDEX_RESP,
        MessageType.PRE_VOTE_RESP,
        MessageType.STORAGE_APPEND_RESP,
        MessageType.STORAGE_APPLY_RESP,
    }
)


@dataclass(slots=True)
class Message:
    """One message; which fields mean something depends on the type. Term 0 marks one without a term of its own.

    ``index`` and ``log_term`` name a log position: the one before ``entries`` in APP, the candidate's last in VOTE,
    the last acknowledged (or the refused) in APP_RESP. ``context`` is the read's own in READ_INDEX, the number of
    reads a heartbeat confirms, or the mark of a leadership transfer in VOTE. ``responses`` are to be delivered when
    the local worker has finished, with asynchronous storage writes.
    """

    type: MessageType
    to: int = NONE
    sender: int = NONE
    term: int = 0
    log_term: int = 0
    index: int = 0
    entries: Sequence[Entry] = ()
    commit: int = 0
    vote: int = NONE
    snapshot: Snapshot | None = None
    reject: bool = False
    reject_hint: int = 0
    context: Any = None
    responses: Sequence[Message] = ()

    @property
    def size(self) -> int:
        """About how many bytes the message has on the wire."""
        size = MESSAGE_OVERHEAD + encoded_size(self.entries)
        return size + self.snapshot.size if self.snapshot is not None else size


def is_local_target(member: int) -> bool:
    return member in (LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD)


def payload_size(entries: Sequence[Entry]) -> int:
    """Bytes of the payloads; an entry without one counts nothing."""
    return sum([entry.size for entry in entries])


def encoded_size(entries: Sequence[Entry]) -> int:
    """Bytes of the entries as they are stored or sent."""
    return payload_size(entries) + ENTRY_OVERHEAD * len(entries)


def limit_size(entries: Sequence[Entry], max_size: int) -> Sequence[Entry]:
    """The longest prefix of at most ``max_size`` encoded bytes, but at least one entry if there is any."""
    if max_size >= NO_LIMIT:
        return entries
    size = 0
    for count, entry in enumerate(entries):
        size += entry.size + ENTRY_OVERHEAD
        if size > max_size and count:
            return entries[:count]
    return entries
