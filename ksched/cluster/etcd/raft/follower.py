"""What a follower does with a message (etcd: raft/raft.go, stepFollower)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ksched.cluster.etcd.raft import election
from ksched.cluster.etcd.raft.errors import ProposalDropped
from ksched.cluster.etcd.raft.messages import NONE, Message, MessageType, ReadState, Snapshot

if TYPE_CHECKING:
    from ksched.cluster.etcd.raft.raft import Raft

# Only the leader of a term sends these in it.
FROM_LEADER = frozenset({MessageType.APP, MessageType.HEARTBEAT, MessageType.SNAP})


def step(raft: Raft, m: Message) -> None:
    if m.type in FROM_LEADER:
        raft.election_elapsed = 0
        raft.lead = m.sender
    handle = _HANDLERS.get(m.type)
    if handle is not None:
        handle(raft, m)


def forget_leader(raft: Raft) -> None:
    """Makes the follower vote for others at once, as if it had not heard of its leader for an election timeout."""
    if raft.config.lease_based_reads:
        raft.logger.error("ignoring MsgForgetLeader due to ReadOnlyLeaseBased")
    elif raft.lead:
        raft.logger.info("%x forgetting leader %x at term %d", raft.id, raft.lead, raft.term)
        raft.lead = NONE


def _handle_append(raft: Raft, m: Message) -> None:
    log = raft.log
    if m.index < log.committed:
        raft.send(Message(MessageType.APP_RESP, m.sender, index=log.committed))
        return
    last_new = log.maybe_append(m.index, m.log_term, m.entries, m.commit)
    if last_new is not None:
        raft.send(Message(MessageType.APP_RESP, m.sender, index=last_new))
        return
    raft.logger.debug(
        "%x [logterm: %d, index: %d] rejected MsgApp [logterm: %d, index: %d] from %x",
        raft.id,
        log.term_or_zero(m.index),
        m.index,
        m.log_term,
        m.index,
        m.sender,
    )
    # The last place where the logs may still agree: behind it our terms are above the leader's.
    hint, hint_term = log.find_conflict_by_term(min(m.index, log.last_index()), m.log_term)
    raft.send(
        Message(
            MessageType.APP_RESP,
            m.sender,
            index=m.index,
            log_term=hint_term,
            reject=True,
            reject_hint=hint,
        )
    )


def _handle_heartbeat(raft: Raft, m: Message) -> None:
    raft.log.commit_to(m.commit)
    raft.send(Message(MessageType.HEARTBEAT_RESP, m.sender, context=m.context))


def _handle_snapshot(raft: Raft, m: Message) -> None:
    snapshot = m.snapshot or Snapshot()
    restored = _restore(raft, snapshot)
    raft.logger.info(
        "%x [commit: %d] %s snapshot [index: %d, term: %d]",
        raft.id,
        raft.log.committed,
        "restored" if restored else "ignored",
        snapshot.index,
        snapshot.term,
    )
    index = raft.log.last_index() if restored else raft.log.committed
    raft.send(Message(MessageType.APP_RESP, m.sender, index=index))


def _restore(raft: Raft, snapshot: Snapshot) -> bool:
    """Replaces log and configuration by the snapshot; False if there is no need or no place for it."""
    log = raft.log
    if snapshot.index <= log.committed:
        return False
    if raft.id not in snapshot.configuration.members():
        raft.logger.warning(
            "%x attempted to restore snapshot but it is not in the ConfState %s; should never happen",
            raft.id,
            snapshot.configuration,
        )
        return False
    last_index, last_term = log.last_entry()
    if log.matches(snapshot.index, snapshot.term):
        raft.logger.info(
            "%x [commit: %d, lastindex: %d, lastterm: %d] fast-forwarded commit to snapshot [index: %d, term: %d]",
            raft.id,
            log.committed,
            last_index,
            last_term,
            snapshot.index,
            snapshot.term,
        )
        log.commit_to(snapshot.index)
        return False
    log.restore(snapshot)
    raft.restore_configuration(snapshot.configuration)
    raft.logger.info(
        "%x [commit: %d, lastindex: %d, lastterm: %d] restored snapshot [index: %d, term: %d]",
        raft.id,
        log.committed,
        *log.last_entry(),
        snapshot.index,
        snapshot.term,
    )
    return True


def _handle_timeout_now(raft: Raft, m: Message) -> None:
    raft.logger.info(
        "%x [term %d] received MsgTimeoutNow from %x and starts an election to get leadership.",
        raft.id,
        raft.term,
        m.sender,
    )
    # Without pre-vote: the leader itself asked, so this is no return from a partition.
    election.hup(raft, election.Campaign.TRANSFER)


def _forward_proposal(raft: Raft, m: Message) -> None:
    if not raft.lead:
        raft.logger.info("%x no leader at term %d; dropping proposal", raft.id, raft.term)
        raise ProposalDropped
    if raft.config.disable_proposal_forwarding:
        raft.logger.info("%x not forwarding to leader %x at term %d; dropping proposal", raft.id, raft.lead, raft.term)
        raise ProposalDropped
    raft.send(replace(m, to=raft.lead))


def _forward_transfer(raft: Raft, m: Message) -> None:
    if not raft.lead:
        raft.logger.info("%x no leader at term %d; dropping leader transfer msg", raft.id, raft.term)
        return
    raft.send(replace(m, to=raft.lead))


def _forward_read(raft: Raft, m: Message) -> None:
    if not raft.lead:
        raft.logger.info("%x no leader at term %d; dropping index reading msg", raft.id, raft.term)
        return
    raft.send(replace(m, to=raft.lead))


def _handle_read_response(raft: Raft, m: Message) -> None:
    raft.read_states.append(ReadState(m.index, m.context))


_HANDLERS = {
    MessageType.APP: _handle_append,
    MessageType.HEARTBEAT: _handle_heartbeat,
    MessageType.SNAP: _handle_snapshot,
    MessageType.TIMEOUT_NOW: _handle_timeout_now,
    MessageType.PROP: _forward_proposal,
    MessageType.TRANSFER_LEADER: _forward_transfer,
    MessageType.READ_INDEX: _forward_read,
    MessageType.READ_INDEX_RESP: _handle_read_response,
}
