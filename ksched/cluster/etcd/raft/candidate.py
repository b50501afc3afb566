"""What a candidate or pre-candidate does with a message (etcd: raft/raft.go, stepCandidate)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ksched.cluster.etcd.raft import election, follower, replication
from ksched.cluster.etcd.raft.errors import ProposalDropped
from ksched.cluster.etcd.raft.messages import NONE, Message, MessageType
from ksched.cluster.etcd.raft.quorum import VoteResult
from ksched.cluster.etcd.raft.role import Role

if TYPE_CHECKING:
    from ksched.cluster.etcd.raft.raft import Raft


def step(raft: Raft, m: Message) -> None:
    """A leader of this term ends the candidacy. Of answers only those to the present campaign count."""
    own_response = MessageType.PRE_VOTE_RESP if raft.role is Role.PRE_CANDIDATE else MessageType.VOTE_RESP
    if m.type is own_response:
        _count_vote(raft, m)
    elif m.type in follower.FROM_LEADER:
        raft.become_follower(m.term, m.sender)
        follower.step(raft, m)
    elif m.type is MessageType.PROP:
        raft.logger.info("%x no leader at term %d; dropping proposal", raft.id, raft.term)
        raise ProposalDropped
    elif m.type is MessageType.TIMEOUT_NOW:
        raft.logger.debug(
            "%x [term %d state %s] ignored MsgTimeoutNow from %x", raft.id, raft.term, raft.role, m.sender
        )


def _count_vote(raft: Raft, m: Message) -> None:
    raft.logger.info(
        "%x received %s%s from %x at term %d",
        raft.id,
        m.type,
        " rejection" if m.reject else "",
        m.sender,
        raft.term,
    )
    raft.tracker.record_vote(m.sender, not m.reject)
    granted, refused, result = raft.tracker.tally()
    raft.logger.info("%x has received %d %s votes and %d vote rejections", raft.id, granted, m.type, refused)
    if result is VoteResult.LOST:
        raft.become_follower(raft.term, NONE)
    elif result is VoteResult.WON:
        if raft.role is Role.PRE_CANDIDATE:
            election.campaign_for(raft, election.Campaign.ELECTION)
        else:
            raft.become_leader()
            replication.broadcast_append(raft)
