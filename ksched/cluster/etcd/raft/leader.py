"""What a leader does with a message (etcd: raft/raft.go, stepLeader)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ksched.cluster.etcd.raft import read_requests, replication
from ksched.cluster.etcd.raft.conf_change import ConfChange
from ksched.cluster.etcd.raft.errors import InvariantViolated, ProposalDropped
from ksched.cluster.etcd.raft.messages import NONE, Entry, EntryType, Message, MessageType
from ksched.cluster.etcd.raft.progress import Progress

if TYPE_CHECKING:
    from ksched.cluster.etcd.raft.raft import Raft


def step(raft: Raft, m: Message) -> None:
    handle = _FROM_ANYBODY.get(m.type)
    if handle is not None:
        handle(raft, m)
        return
    handle_from_member = _FROM_MEMBERS.get(m.type)
    if handle_from_member is None:
        return
    progress = raft.tracker.progress.get(m.sender)
    if progress is None:
        raft.logger.debug("%x no progress available for %x", raft.id, m.sender)
        return
    handle_from_member(raft, m, progress)


def check_quorum(raft: Raft) -> None:
    """Steps down unless a quorum was heard of since the last check (dissertation, section 6.2)."""
    if not raft.tracker.quorum_active():
        raft.logger.warning("%x stepped down to follower since quorum is not active", raft.id)
        raft.become_follower(raft.term, NONE)
    for member, progress in raft.tracker.progress.items():
        if member != raft.id:
            progress.recent_active = False


def propose(raft: Raft, entries: Sequence[Entry]) -> None:
    """Writes the entries (term and index left open) to the log and sends them out, or raises ``ProposalDropped``."""
    if not entries:
        raise InvariantViolated(f"{raft.id:x} stepped empty MsgProp")
    # A leader that was removed takes nothing new.
    if raft.id not in raft.tracker.progress:
        raise ProposalDropped
    if raft.lead_transferee:
        raft.logger.debug(
            "%x [term %d] transfer leadership to %x is in progress; dropping proposal",
            raft.id,
            raft.term,
            raft.lead_transferee,
        )
        raise ProposalDropped
    if not raft.append(_check_conf_changes(raft, entries)):
        raise ProposalDropped
    replication.broadcast_append(raft)


def _handle_proposal(raft: Raft, m: Message) -> None:
    propose(raft, m.entries)


def _check_conf_changes(raft: Raft, entries: Sequence[Entry]) -> Sequence[Entry]:
    """The entries, with an empty one in place of each conf change that may not be made now.

    The check is by position in the log and so may refuse too much: a change is pending until it is applied here.
    """
    checked = entries
    for position, entry in enumerate(entries):
        if entry.type is EntryType.NORMAL:
            continue
        change: ConfChange = entry.data
        refusal = _conf_change_refusal(raft, change)
        if refusal and not raft.config.disable_conf_change_validation:
            raft.logger.info(
                "%x ignoring conf change %s at config %s: %s",
                raft.id,
                change,
                raft.tracker.configuration,
                refusal,
            )
            checked = [*checked[:position], Entry(), *checked[position + 1 :]]
        else:
            raft.pending_conf_index = raft.log.last_index() + position + 1
    return checked


def _conf_change_refusal(raft: Raft, change: ConfChange) -> str | None:
    joint = raft.tracker.configuration.joint
    if raft.pending_conf_index > raft.log.applied:
        return f"possible unapplied conf change at index {raft.pending_conf_index} (applied to {raft.log.applied})"
    if joint and change.changes:
        return "must transition out of joint config first"
    if not joint and not change.changes:
        return "not in joint state; refusing empty conf change"
    return None


def _transfer_leader(raft: Raft, m: Message, progress: Progress) -> None:
    """Hands leadership to the sender: brings its log up to date, then has it campaign at once."""
    if progress.is_learner:
        raft.logger.debug("%x is learner. Ignored transferring leadership", raft.id)
        return
    transferee = m.sender
    previous = raft.lead_transferee
    if previous:
        if previous == transferee:
            raft.logger.info(
                "%x [term %d] transfer leadership to %x is in progress, ignores request to same node %x",
                raft.id,
                raft.term,
                transferee,
                transferee,
            )
            return
        raft.lead_transferee = NONE
        raft.logger.info("%x [term %d] abort previous transferring leadership to %x", raft.id, raft.term, previous)
    if transferee == raft.id:
        raft.logger.debug("%x is already leader. Ignored transferring leadership to self", raft.id)
        return
    raft.logger.info("%x [term %d] starts to transfer leadership to %x", raft.id, raft.term, transferee)
    # The transfer is given up when it takes longer than an election timeout.
    raft.election_elapsed = 0
    raft.lead_transferee = transferee
    if progress.match == raft.log.last_index():
        raft.send(Message(MessageType.TIMEOUT_NOW, transferee))
        raft.logger.info(
            "%x sends MsgTimeoutNow to %x immediately as %x already has up-to-date log",
            raft.id,
            transferee,
            transferee,
        )
    else:
        replication.send_append(raft, transferee)


_FROM_ANYBODY = {
    MessageType.PROP: _handle_proposal,
    MessageType.READ_INDEX: read_requests.handle,
}
_FROM_MEMBERS = {
    MessageType.APP_RESP: replication.handle_append_response,
    MessageType.HEARTBEAT_RESP: replication.handle_heartbeat_response,
    MessageType.TRANSFER_LEADER: _transfer_leader,
}
