"""What there is to do for whoever drives the core (etcd: raft/node.go, Ready)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ksched.cluster.etcd.raft.messages import Entry, HardState, Message, ReadState, Snapshot
from ksched.cluster.etcd.raft.role import SoftState


@dataclass(slots=True)
class Ready:
    """One round of work. The order is part of the protocol's safety:

    1. ``messages`` depend on nothing here; they may go out at any time, in parallel with the writes.
    2. ``hard_state``, ``snapshot`` and ``entries`` are written. A snapshot replaces the log; entries replace those
       with the same or a higher index. With ``must_sync`` or a snapshot they have to be durable before step 3;
       without, only the commit index moved, and losing that does no harm.
    3. ``messages_after_sync`` go out: they promise that what was written will be found again after a crash.
    4. ``committed_entries`` are applied, after the snapshot if there is one; ``read_states`` are served.

    The snapshot in a SNAP message may be replaced by a newer one, and should be where the configuration has changed
    since: a follower that is not in the snapshot's configuration does not take it. Whether it arrived is told by
    ``RawNode.report_snapshot``.

    Then ``RawNode.advance`` is called. Fields without news are None or empty. With asynchronous storage writes the
    writes and promises come as STORAGE_APPEND and STORAGE_APPLY messages instead, whose responses carry on.
    """

    soft_state: SoftState | None
    hard_state: HardState | None
    read_states: Sequence[ReadState]
    entries: Sequence[Entry]
    snapshot: Snapshot | None
    committed_entries: Sequence[Entry]
    messages: list[Message]
    messages_after_sync: list[Message]
    must_sync: bool
