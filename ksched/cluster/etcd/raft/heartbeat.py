"""How a leader shows that it is there (etcd: raft/raft.go)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksched.cluster.etcd.raft.messages import Message, MessageType

if TYPE_CHECKING:
    from ksched.cluster.etcd.raft.raft import Raft


def broadcast(raft: Raft) -> None:
    """Tells everybody who leads, and the number of the last read that waits to be confirmed.

    The commit index is cut to what the follower is known to have: its log may end before it.
    """
    last_read = raft.reads.last_read()
    committed = raft.log.committed
    for member, progress in raft.tracker.progress.items():
        if member != raft.id:
            commit = min(progress.match, committed)
            raft.send(Message(MessageType.HEARTBEAT, member, commit=commit, context=last_read))
            progress.sent_commit = commit
