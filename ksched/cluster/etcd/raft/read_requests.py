"""What a leader does with read index requests (etcd: raft/raft.go)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksched.cluster.etcd.raft import heartbeat
from ksched.cluster.etcd.raft.messages import NONE, Message, MessageType, ReadState

if TYPE_CHECKING:
    from ksched.cluster.etcd.raft.raft import Raft


def handle(raft: Raft, m: Message) -> None:
    if raft.tracker.configuration.is_single_voter():
        _answer(raft, m, raft.log.committed)
    elif not raft.committed_in_current_term():
        # Until an entry of its own term is committed, a leader does not know how far the cluster has committed.
        raft.postponed_reads.append(m)
    else:
        _start(raft, m)


def release_postponed(raft: Raft) -> None:
    """Starts the reads that waited for the first commit of the term, once there is one."""
    if raft.postponed_reads and raft.committed_in_current_term():
        requests, raft.postponed_reads = raft.postponed_reads, []
        for request in requests:
            _start(raft, request)


def acknowledge(raft: Raft, member: int, read: int) -> None:
    """``member`` has answered a heartbeat that was sent after the read of this number came."""
    if raft.config.lease_based_reads:
        return
    raft.reads.acknowledge(member, read)
    for request, commit in raft.reads.take_confirmed(raft.tracker.configuration):
        _answer(raft, request, commit)


def _start(raft: Raft, m: Message) -> None:
    if raft.config.lease_based_reads:
        _answer(raft, m, raft.log.committed)
        return
    raft.reads.add(m, raft.log.committed)
    raft.reads.acknowledge(raft.id, raft.reads.last_read())
    heartbeat.broadcast(raft)


def _answer(raft: Raft, request: Message, index: int) -> None:
    if request.sender in (NONE, raft.id):
        raft.read_states.append(ReadState(index, request.context))
    else:
        raft.send(Message(MessageType.READ_INDEX_RESP, request.sender, index=index, context=request.context))
