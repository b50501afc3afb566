"""The consensus state machine of one member (etcd: raft/raft.go; Ongaro and Ousterhout, "In Search of an
Understandable Consensus Algorithm").

It does no I/O and has no clock: messages and ticks go in, messages and things to be made durable come out (collected
by ``RawNode``). This module holds the state, the rules about terms and the changes of role; what a role does with a
message is in ``follower``, ``candidate`` and ``leader``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ksched.cluster.etcd.raft import candidate, changer, election, follower, heartbeat, leader, replication
from ksched.cluster.etcd.raft.changer import Changer
from ksched.cluster.etcd.raft.conf_change import ConfChange
from ksched.cluster.etcd.raft.config import RaftConfig
from ksched.cluster.etcd.raft.configuration import Configuration
from ksched.cluster.etcd.raft.errors import InvariantViolated, ProposalDropped
from ksched.cluster.etcd.raft.log import RaftLog
from ksched.cluster.etcd.raft.logger import Logger
from ksched.cluster.etcd.raft.messages import (
    ENTRY_OVERHEAD,
    NONE,
    Entry,
    EntryType,
    HardState,
    Message,
    MessageType,
    ReadState,
    Snapshot,
    payload_size,
)
from ksched.cluster.etcd.raft.read_index import ReadIndexQueue
from ksched.cluster.etcd.raft.role import Role, SoftState
from ksched.cluster.etcd.raft.storage import Storage
from ksched.cluster.etcd.raft.tracker import ProgressTracker

# Promises: they say that something is in this member's log, or what it voted, and so go out when that is durable.
_AFTER_SYNC = frozenset({MessageType.APP_RESP, MessageType.VOTE_RESP, MessageType.PRE_VOTE_RESP})
# Messages whose term is not simply the sender's: votes set their own, forwarded requests have none.
_OWN_TERM = frozenset(
    {
        MessageType.VOTE,
        MessageType.VOTE_RESP,
        MessageType.PRE_VOTE,
        MessageType.PRE_VOTE_RESP,
        MessageType.PROP,
        MessageType.READ_INDEX,
    }
)
_STEP_OF_ROLE = {
    Role.FOLLOWER: follower.step,
    Role.CANDIDATE: candidate.step,
    Role.PRE_CANDIDATE: candidate.step,
    Role.LEADER: leader.step,
}


class Raft:
    """Everything one member knows. Changed by ``step`` and ``tick`` and the calls of ``RawNode`` only.

    ``randrange(n)`` draws from 0 to n - 1, once per change of role or term, for the election timeout.
    ``election_elapsed`` and ``heartbeat_elapsed`` count ticks; see ``RawNode`` for skipping some.
    """

    __slots__ = (
        "_randrange",
        "_step_role",
        "_uncommitted_size",
        "config",
        "election_elapsed",
        "heartbeat_elapsed",
        "id",
        "is_learner",
        "lead",
        "lead_transferee",
        "log",
        "logger",
        "messages",
        "messages_after_sync",
        "pending_conf_index",
        "postponed_reads",
        "randomized_election_timeout",
        "read_states",
        "reads",
        "role",
        "term",
        "tracker",
        "vote",
    )

    def __init__(self, config: RaftConfig, storage: Storage, randrange: Callable[[int], int], logger: Logger) -> None:
        self.config = config
        self.id = config.id
        self.logger = logger
        self._randrange = randrange
        committed_size = config.max_committed_size_per_ready
        self.log = RaftLog(storage, logger, config.max_size_per_message if committed_size is None else committed_size)
        self.term = 0
        self.vote = NONE
        self.lead = NONE
        self.role = Role.FOLLOWER
        self.is_learner = False
        self.messages: list[Message] = []
        self.messages_after_sync: list[Message] = []
        self.read_states: list[ReadState] = []
        self.reads = ReadIndexQueue()
        self.postponed_reads: list[Message] = []
        self.lead_transferee = NONE
        # The last conf change in the log may be here; until it is applied no other is taken.
        self.pending_conf_index = 0
        self._uncommitted_size = 0
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0

        hard_state, configuration = storage.initial_state()
        self.restore_configuration(configuration)
        self._load(hard_state)
        if config.applied:
            self.log.applied_to(config.applied, 0)
        self.become_follower(self.term, NONE)
        last_index, last_term = self.log.last_entry()
        logger.info(
            "newRaft %x [peers: [%s], term: %d, commit: %d, applied: %d, lastindex: %d, lastterm: %d]",
            self.id,
            ",".join(f"{voter:x}" for voter in sorted(self.tracker.configuration.all_voters())),
            self.term,
            self.log.committed,
            self.log.applied,
            last_index,
            last_term,
        )

    def _load(self, state: HardState) -> None:
        if state == HardState():
            return
        if not self.log.committed <= state.commit <= self.log.last_index():
            raise InvariantViolated(
                f"{self.id:x} state.commit {state.commit} is out of range "
                f"[{self.log.committed}, {self.log.last_index()}]"
            )
        self.log.committed = state.commit
        self.term = state.term
        self.vote = state.vote

    def soft_state(self) -> SoftState:
        return SoftState(self.lead, self.role)

    def hard_state(self) -> HardState:
        return HardState(self.term, self.vote, self.log.committed)

    def send(self, m: Message) -> None:
        """Puts a message made here (nobody else may hold it) into the right box, with its sender and term."""
        if not m.sender:
            m.sender = self.id
        if m.type not in _OWN_TERM:
            m.term = self.term
        if m.type in _AFTER_SYNC:
            self.messages_after_sync.append(m)
        else:
            self.messages.append(m)

    # Time

    def tick(self) -> None:
        """One tick of the member's clock passes."""
        self.election_elapsed += 1
        if self.role is Role.LEADER:
            self._tick_leader()
        elif self.election_elapsed >= self.randomized_election_timeout and self.promotable():
            self.election_elapsed = 0
            self.campaign()

    def _tick_leader(self) -> None:
        self.heartbeat_elapsed += 1
        if self.election_elapsed >= self.config.election_tick:
            self.election_elapsed = 0
            if self.config.check_quorum:
                leader.check_quorum(self)
                if self.role is not Role.LEADER:
                    return
            self.lead_transferee = NONE
        if self.heartbeat_elapsed >= self.config.heartbeat_tick:
            self.heartbeat_elapsed = 0
            heartbeat.broadcast(self)

    def campaign(self) -> None:
        kind = election.Campaign.PRE_ELECTION if self.config.pre_vote else election.Campaign.ELECTION
        election.hup(self, kind)

    def promotable(self) -> bool:
        """Whether the member may become leader: a voter of its configuration, with no snapshot half taken."""
        progress = self.tracker.progress.get(self.id)
        return progress is not None and not progress.is_learner and self.log.unstable.snapshot is None

    # Roles

    def _reset(self, term: int) -> None:
        if self.term != term:
            self.term = term
            self.vote = NONE
        self.lead = NONE
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        self.randomized_election_timeout = self.config.election_tick + self._randrange(self.config.election_tick)
        self.lead_transferee = NONE
        self.tracker.reset(self.id, self.log.last_index())
        self.pending_conf_index = 0
        self._uncommitted_size = 0
        self.reads = ReadIndexQueue()

    def _set_role(self, role: Role) -> None:
        self.role = role
        self._step_role = _STEP_OF_ROLE[role]

    def become_follower(self, term: int, lead: int) -> None:
        self._reset(term)
        self.lead = lead
        self._set_role(Role.FOLLOWER)
        self.logger.info("%x became follower at term %d", self.id, self.term)

    def become_pre_candidate(self) -> None:
        """Asks whether it would be elected; neither term nor vote change, so asking disturbs nobody."""
        self._must_not_be(Role.LEADER)
        self.tracker.votes = {}
        self.lead = NONE
        self._set_role(Role.PRE_CANDIDATE)
        self.logger.info("%x became pre-candidate at term %d", self.id, self.term)

    def become_candidate(self) -> None:
        self._must_not_be(Role.LEADER)
        self._reset(self.term + 1)
        self.vote = self.id
        self._set_role(Role.CANDIDATE)
        self.logger.info("%x became candidate at term %d", self.id, self.term)

    def become_leader(self) -> None:
        self._must_not_be(Role.FOLLOWER)
        self._reset(self.term)
        self.lead = self.id
        self._set_role(Role.LEADER)
        progress = self.tracker.progress[self.id]
        progress.become_replicate()
        progress.recent_active = True
        # There may be a conf change among the entries not yet committed; not to look for it is simpler.
        self.pending_conf_index = self.log.last_index()
        # An entry of the own term, without which earlier ones could not be committed.
        self.append([Entry()])
        self.logger.info("%x became leader at term %d", self.id, self.term)

    def _must_not_be(self, role: Role) -> None:
        if self.role is role:
            raise InvariantViolated(f"invalid transition from {role}")

    # Messages

    def step(self, m: Message) -> None:
        """Takes one message. Raises ``ProposalDropped`` for a proposal that goes nowhere."""
        if m.type is MessageType.STORAGE_APPEND_RESP:
            self.written(m.term, m.index, m.log_term, m.snapshot)
            return
        if m.term:
            if m.term > self.term:
                if self._in_lease(m):
                    return
                self._meet_higher_term(m)
            elif m.term < self.term:
                self._meet_lower_term(m)
                return
        kind = m.type
        if kind is MessageType.STORAGE_APPLY_RESP:
            self.entries_applied(m.entries)
        elif kind in election.RESPONSE_TO:
            election.handle_vote_request(self, m)
        else:
            self._step_role(self, m)

    def _in_lease(self, m: Message) -> bool:
        """Whether to ignore a candidate because our leader was heard of lately (dissertation, section 4.2.3)."""
        if m.type not in election.RESPONSE_TO or m.context is election.Campaign.TRANSFER:
            return False
        remaining = self.config.election_tick - self.election_elapsed
        if not (self.config.check_quorum and self.lead and remaining > 0):
            return False
        reason = f": lease is not expired (remaining ticks: {remaining})"
        election.log_request(self, m, "ignored %s from", reason)
        return True

    def _meet_higher_term(self, m: Message) -> None:
        # A pre-vote is asked and granted for a term nobody is in yet. A refusal carries the voter's own term.
        if m.type is MessageType.PRE_VOTE or (m.type is MessageType.PRE_VOTE_RESP and not m.reject):
            return
        self.logger.info(
            "%x [term: %d] received a %s message with higher term from %x [term: %d]",
            self.id,
            self.term,
            m.type,
            m.sender,
            m.term,
        )
        self.become_follower(m.term, m.sender if m.type in follower.FROM_LEADER else NONE)

    def _meet_lower_term(self, m: Message) -> None:
        config = self.config
        if m.type in (MessageType.HEARTBEAT, MessageType.APP) and (config.check_quorum or config.pre_vote):
            # A leader behind us cannot know it: our vote requests are ignored in its lease, or we made none. The
            # answer's term deposes it, and ends the standstill.
            self.send(Message(MessageType.APP_RESP, m.sender))
        elif m.type is MessageType.PRE_VOTE:
            # Answered, because a candidate that waits for silent voters might never catch up with their term.
            election.log_request(self, m, "rejected %s from")
            self.send(Message(MessageType.PRE_VOTE_RESP, m.sender, term=self.term, reject=True))
        else:
            self.logger.info(
                "%x [term: %d] ignored a %s message with lower term from %x [term: %d]",
                self.id,
                self.term,
                m.type,
                m.sender,
                m.term,
            )

    # Log

    def append(self, proposed: Sequence[Entry]) -> bool:
        """Adds entries to the leader's log; False if too much is uncommitted. Empty payloads are never refused."""
        size = payload_size(proposed)
        uncommitted = self._uncommitted_size
        if uncommitted and size and uncommitted + size > self.config.max_uncommitted_size:
            self.logger.warning(
                "%x appending new entries to log would exceed uncommitted entry size limit; dropping proposal",
                self.id,
            )
            return False
        self._uncommitted_size = uncommitted + size
        term = self.term
        last_index = self.log.last_index()
        entries = [
            Entry(term, index, entry.type, entry.data, entry.size)
            for index, entry in enumerate(proposed, last_index + 1)
        ]
        self.log.append(entries)
        # The leader acknowledges to itself like any other, when the entries are durable.
        self.send(Message(MessageType.APP_RESP, self.id, index=last_index + len(entries)))
        return True

    def maybe_commit(self) -> bool:
        """Commits what a quorum has, if that ends in an entry of this term."""
        return self.log.maybe_commit(self.tracker.committed(), self.term)

    def committed_in_current_term(self) -> bool:
        return self.log.matches(self.log.committed, self.term)

    def written(self, term: int, index: int, log_term: int, snapshot: Snapshot | None) -> None:
        """A write that began in ``term`` is durable: the log as far as the entry (index, log_term) if there is one,
        and a snapshot. In a later term the entries may be about to be overwritten by another write, so they do not
        count; a snapshot is committed state and does."""
        if index:
            if term == self.term:
                self.log.unstable.stable_to(index, log_term)
            else:
                self.logger.info(
                    "%x [term: %d] ignored entry appends from a %s message with lower term [term: %d]",
                    self.id,
                    self.term,
                    MessageType.STORAGE_APPEND_RESP,
                    term,
                )
        if snapshot is not None:
            self.log.unstable.snapshot_stable_to(snapshot.index)
            self._applied_to(snapshot.index, 0)

    def entries_applied(self, entries: Sequence[Entry]) -> None:
        """Committed entries, in the order they were handed out, are applied."""
        size = payload_size(entries)
        self._applied_to(entries[-1].index, size + ENTRY_OVERHEAD * len(entries))
        # Entries of earlier terms were never counted.
        self._uncommitted_size = max(0, self._uncommitted_size - size)

    def _applied_to(self, index: int, size: int) -> None:
        index = max(index, self.log.applied)
        self.log.applied_to(index, size)
        configuration = self.tracker.configuration
        if configuration.auto_leave and index >= self.pending_conf_index and self.role is Role.LEADER:
            leave = Entry(type=EntryType.CONF_CHANGE_V2, data=ConfChange())
            try:
                self.step(Message(MessageType.PROP, entries=[leave]))
            except ProposalDropped as error:
                self.logger.debug(
                    "not initiating automatic transition out of joint configuration %s: %s", configuration, error
                )
            else:
                self.logger.info("initiating automatic transition out of joint configuration %s", configuration)

    # Membership

    def restore_configuration(self, configuration: Configuration) -> None:
        """Takes over the configuration of a snapshot; nothing is known of its members."""
        self.tracker = ProgressTracker(self.config.max_inflight_messages, self.config.max_inflight_bytes)
        changer.restore(self.tracker, configuration, self.log.last_index())
        self._configuration_changed()

    def apply_conf_change(self, change: ConfChange) -> Configuration:
        """Makes a committed change. Raises ``ConfChangeRefused`` if it cannot be made."""
        single = Changer(self.tracker, self.log.last_index())
        if change.leaves_joint():
            changed = single.leave_joint()
        elif change.enters_joint():
            changed = single.enter_joint(change.changes, auto_leave=change.leaves_by_itself())
        else:
            changed = single.simple(change.changes)
        self.tracker.switch(*changed)
        self._configuration_changed()
        return self.tracker.configuration

    def _configuration_changed(self) -> None:
        configuration = self.tracker.configuration
        self.logger.info("%x switched to configuration %s", self.id, configuration)
        progress = self.tracker.progress.get(self.id)
        self.is_learner = progress is not None and progress.is_learner
        if self.role is not Role.LEADER:
            return
        if progress is None or self.is_learner:
            if self.config.step_down_on_removal:
                self.become_follower(self.term, NONE)
            return
        if self.maybe_commit():
            replication.broadcast_append(self)
        else:
            # New members are probed at once, not with the next heartbeat.
            for member in self.tracker.progress:
                if member != self.id:
                    replication.send_append(self, member, even_empty=False)
        if self.lead_transferee not in configuration.all_voters():
            self.lead_transferee = NONE
