"""Starting a campaign, and voting in one.

Sources: etcd, raft/raft.go; Raft paper, section 5.2; pre-vote: dissertation, section 9.6.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from ksched.cluster.etcd.raft.messages import EntryType, Message, MessageType
from ksched.cluster.etcd.raft.role import Role

if TYPE_CHECKING:
    from ksched.cluster.etcd.raft.raft import Raft


class Campaign(Enum):
    PRE_ELECTION = "CampaignPreElection"
    ELECTION = "CampaignElection"
    # Asked for by the leader itself: voters do not hold its lease against the candidate.
    TRANSFER = "CampaignTransfer"


RESPONSE_TO = {
    MessageType.VOTE: MessageType.VOTE_RESP,
    MessageType.PRE_VOTE: MessageType.PRE_VOTE_RESP,
}


def hup(raft: Raft, campaign: Campaign) -> None:
    """Campaigns, if the member is in a position to."""
    if raft.role is Role.LEADER:
        raft.logger.debug("%x ignoring MsgHup because already leader", raft.id)
        return
    if not raft.promotable():
        raft.logger.warning("%x is unpromotable and can not campaign", raft.id)
        return
    if _has_unapplied_conf_changes(raft):
        raft.logger.warning(
            "%x cannot campaign at term %d since there are still pending configuration changes to apply",
            raft.id,
            raft.term,
        )
        return
    raft.logger.info("%x is starting a new election at term %d", raft.id, raft.term)
    campaign_for(raft, campaign)


def _has_unapplied_conf_changes(raft: Raft) -> bool:
    log = raft.log
    if log.applied >= log.committed:
        return False
    return any(entry.type is not EntryType.NORMAL for entry in log.slice(log.applied + 1, log.committed + 1))


def campaign_for(raft: Raft, campaign: Campaign) -> None:
    """Becomes a candidate of the kind and asks everybody for their vote."""
    if campaign is Campaign.PRE_ELECTION:
        raft.become_pre_candidate()
        request, term = MessageType.PRE_VOTE, raft.term + 1
    else:
        raft.become_candidate()
        request, term = MessageType.VOTE, raft.term
    index, log_term = raft.log.last_entry()
    context = campaign if campaign is Campaign.TRANSFER else None
    for voter in sorted(raft.tracker.configuration.all_voters()):
        if voter == raft.id:
            # The own vote counts when it is durable, so it takes the way of all answers.
            raft.send(Message(RESPONSE_TO[request], voter, term=term))
            continue
        raft.logger.info(
            "%x [logterm: %d, index: %d] sent %s request to %x at term %d",
            raft.id,
            log_term,
            index,
            request,
            voter,
            raft.term,
        )
        raft.send(Message(request, voter, term=term, index=index, log_term=log_term, context=context))


def handle_vote_request(raft: Raft, m: Message) -> None:
    """Grants or refuses a vote or pre-vote. Learners vote, too: the candidate may know a newer configuration."""
    may_vote = (
        raft.vote == m.sender
        or (not raft.vote and not raft.lead)
        or (m.type is MessageType.PRE_VOTE and m.term > raft.term)
    )
    granted = may_vote and raft.log.is_up_to_date(m.index, m.log_term)
    log_request(raft, m, "cast %s for" if granted else "rejected %s from")
    if not granted:
        raft.send(Message(RESPONSE_TO[m.type], m.sender, term=raft.term, reject=True))
        return
    # The term of the request: for a pre-vote it is ahead of ours, and the candidate ignores what is behind its own.
    raft.send(Message(RESPONSE_TO[m.type], m.sender, term=m.term))
    if m.type is MessageType.VOTE:
        raft.election_elapsed = 0
        raft.vote = m.sender


def log_request(raft: Raft, m: Message, verdict: str, reason: str = "") -> None:
    index, term = raft.log.last_entry()
    raft.logger.info(
        "%x [logterm: %d, index: %d, vote: %x] " + verdict + " %x [logterm: %d, index: %d] at term %d%s",
        raft.id,
        term,
        index,
        raft.vote,
        m.type,
        m.sender,
        m.log_term,
        m.index,
        raft.term,
        reason,
    )
