"""The way in and out of the consensus core (etcd: raft/rawnode.go)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ksched.cluster.etcd.raft import follower, leader, replication
from ksched.cluster.etcd.raft.conf_change import ConfChange
from ksched.cluster.etcd.raft.config import RaftConfig
from ksched.cluster.etcd.raft.configuration import Configuration
from ksched.cluster.etcd.raft.errors import InvariantViolated, LocalMessage, PeerNotFound
from ksched.cluster.etcd.raft.logger import Logger, Silent
from ksched.cluster.etcd.raft.messages import (
    LOCAL_APPEND_THREAD,
    LOCAL_APPLY_THREAD,
    LOCAL_TYPES,
    RESPONSE_TYPES,
    Entry,
    EntryType,
    HardState,
    Message,
    MessageType,
    Snapshot,
    encoded_size,
    is_local_target,
)
from ksched.cluster.etcd.raft.raft import Raft
from ksched.cluster.etcd.raft.ready import Ready
from ksched.cluster.etcd.raft.role import Role, SoftState
from ksched.cluster.etcd.raft.status import Status
from ksched.cluster.etcd.raft.storage import Storage

# Arguments of Raft.written.
_Written = tuple[int, int, int, Snapshot | None]


class RawNode:
    """One member's consensus. Feed it messages, proposals and ticks; while ``has_ready()``, take a ``ready()``, do
    what it says (see ``Ready``) and call ``advance()``.

    ``randrange(n)`` draws an int of 0 to n - 1. Between ``ready()`` and ``advance()`` messages and proposals may come
    in: what they cause is in the next ``Ready``.
    """

    __slots__ = (
        "_applied_on_advance",
        "_async",
        "_hard_state",
        "_lead",
        "_role",
        "_steps_on_advance",
        "_written_on_advance",
        "raft",
    )

    def __init__(
        self,
        config: RaftConfig,
        storage: Storage,
        randrange: Callable[[int], int],
        logger: Logger | None = None,
    ) -> None:
        self.raft = Raft(config, storage, randrange, logger or Silent())
        self._async = config.async_storage_writes
        # What the last Ready said.
        self._lead = self.raft.lead
        self._role = self.raft.role
        self._hard_state = self.raft.hard_state()
        # What the member has to be told once it has done what the last Ready said.
        self._steps_on_advance: list[Message] = []
        self._written_on_advance: _Written | None = None
        self._applied_on_advance: Sequence[Entry] = ()

    # Time

    def tick(self) -> None:
        self.raft.tick()

    def ticks_to_timeout(self) -> int | None:
        """After how many ticks the next timer fires if no message comes; None if none will."""
        raft, config = self.raft, self.raft.config
        if raft.role is Role.LEADER:
            to_heartbeat = config.heartbeat_tick - raft.heartbeat_elapsed
            return max(1, min(to_heartbeat, config.election_tick - raft.election_elapsed))
        if not raft.promotable():
            return None
        return max(1, raft.randomized_election_timeout - raft.election_elapsed)

    def skip_ticks(self, count: int) -> None:
        """The same as ``count`` ticks of which none lets a timer fire."""
        to_timeout = self.ticks_to_timeout()
        if count < 0 or (to_timeout is not None and count >= to_timeout):
            raise InvariantViolated(f"cannot skip {count} ticks: a timer fires after {to_timeout}")
        self.raft.election_elapsed += count
        if self.raft.role is Role.LEADER:
            self.raft.heartbeat_elapsed += count

    # Requests

    def campaign(self) -> None:
        self.raft.campaign()

    def propose(self, data: Any, size: int = 0) -> None:
        """Asks for ``data``, of ``size`` encoded bytes, to be written to the log; raises ``ProposalDropped``.

        Silence is no promise: the entry exists when it comes out as committed, which it may never do.
        """
        self.propose_all([Entry(data=data, size=size)])

    def propose_all(self, entries: Sequence[Entry]) -> None:
        """Proposes several entries (term and index left open) in one message, all or none."""
        raft = self.raft
        if raft.role is Role.LEADER:
            leader.propose(raft, entries)
        else:
            raft.step(Message(MessageType.PROP, sender=raft.id, entries=entries))

    def propose_conf_change(self, change: ConfChange, *, v1: bool = False) -> None:
        """Proposes a change of the membership. Of several under way a leader takes one and drops the others: an
        empty entry is committed in their place. ``v1`` marks the entry as of the older format, for one change."""
        kind = EntryType.CONF_CHANGE if v1 else EntryType.CONF_CHANGE_V2
        self.raft.step(Message(MessageType.PROP, entries=[Entry(type=kind, data=change, size=change.size)]))

    def apply_conf_change(self, change: ConfChange) -> Configuration:
        """To be called when a conf change comes out as committed; gives the configuration it leads to."""
        return self.raft.apply_conf_change(change)

    def read_index(self, context: Any) -> None:
        """Asks from which index on a read is linearizable; the answer comes as a ``ReadState`` with ``context``, or
        never: without a leader, or when messages are lost."""
        self.raft.step(Message(MessageType.READ_INDEX, context=context))

    def transfer_leader(self, transferee: int) -> None:
        """Asks the leader to hand over to ``transferee``."""
        self.raft.step(Message(MessageType.TRANSFER_LEADER, sender=transferee))

    def forget_leader(self) -> None:
        """A follower acts as if it had no leader, so that it grants votes at once."""
        if self.raft.role is Role.FOLLOWER:
            follower.forget_leader(self.raft)

    def report_unreachable(self, member: int) -> None:
        """The last message to ``member`` was not delivered."""
        if self.raft.role is Role.LEADER:
            replication.report_unreachable(self.raft, member)

    def report_snapshot(self, member: int, *, arrived: bool) -> None:
        """Whether the snapshot sent to ``member`` arrived. A leader that is not told sends it nothing more until
        the member answers."""
        if self.raft.role is Role.LEADER:
            replication.report_snapshot(self.raft, member, arrived=arrived)

    def step(self, m: Message) -> None:
        """Takes a message from another member, or a response of a local worker. The message is not changed.

        Raises ``ProposalDropped``, ``LocalMessage``, ``PeerNotFound``; a network may drop the message then.
        """
        if m.type in LOCAL_TYPES and not is_local_target(m.sender):
            raise LocalMessage
        if m.type in RESPONSE_TYPES and m.sender not in self.raft.tracker.progress and not is_local_target(m.sender):
            raise PeerNotFound
        self.raft.step(m)

    # Work

    def has_ready(self) -> bool:
        raft = self.raft
        log = raft.log
        return bool(
            raft.messages
            or raft.messages_after_sync
            or raft.read_states
            or log.unstable.has_next_entries()
            or log.has_next_committed(allow_unstable=not self._async)
            or raft.lead != self._lead
            or raft.role is not self._role
            or self._hard_state_changed()
            or log.unstable.next_snapshot() is not None
        )

    def ready(self) -> Ready:
        """The outstanding work. It must be done, and ``advance()`` called, before the next ``ready()``."""
        if self._written_on_advance is not None or self._steps_on_advance or self._applied_on_advance:
            raise InvariantViolated("two accepted Ready structs without call to Advance")
        raft = self.raft
        unstable = raft.log.unstable
        entries = unstable.next_entries()
        allow_unstable = not self._async
        committed = raft.log.next_committed(allow_unstable=allow_unstable)
        old = self._hard_state
        ready = Ready(
            soft_state=self._take_soft_state(),
            hard_state=self._take_hard_state(),
            read_states=raft.read_states,
            entries=entries,
            snapshot=unstable.next_snapshot(),
            committed_entries=committed,
            messages=raft.messages,
            messages_after_sync=raft.messages_after_sync,
            must_sync=bool(entries) or raft.term != old.term or raft.vote != old.vote,
        )
        written = self._written(ready)
        if self._async:
            self._address_workers(ready, written)
        else:
            self._keep_steps(ready, written)
        raft.read_states = []
        raft.messages = []
        raft.messages_after_sync = []
        unstable.accept()
        if committed:
            raft.log.accept_applying(committed[-1].index, encoded_size(committed), allow_unstable=allow_unstable)
        return ready

    def advance(self) -> None:
        """The work of the last ``Ready`` is done. Not used with asynchronous storage writes."""
        if self._async:
            raise InvariantViolated("Advance must not be called when using AsyncStorageWrites")
        steps, self._steps_on_advance = self._steps_on_advance, []
        for m in steps:
            self.raft.step(m)
        written, self._written_on_advance = self._written_on_advance, None
        if written is not None:
            self.raft.written(*written)
        applied, self._applied_on_advance = self._applied_on_advance, ()
        if applied:
            self.raft.entries_applied(applied)

    def _hard_state_changed(self) -> bool:
        raft, old = self.raft, self._hard_state
        return raft.log.committed != old.commit or raft.term != old.term or raft.vote != old.vote

    def _take_hard_state(self) -> HardState | None:
        if not self._hard_state_changed():
            return None
        self._hard_state = self.raft.hard_state()
        return self._hard_state

    def _take_soft_state(self) -> SoftState | None:
        raft = self.raft
        if raft.lead == self._lead and raft.role is self._role:
            return None
        self._lead, self._role = raft.lead, raft.role
        return raft.soft_state()

    def _written(self, ready: Ready) -> _Written | None:
        """What the member is told (by ``Raft.written``) when the writes of ``ready`` are durable.

        It names the end of the log whenever something there is not known to be durable, not only when ``ready`` has
        entries: an earlier such report may have been ignored because of a change of term.
        """
        raft = self.raft
        if not raft.log.unstable.entries and ready.snapshot is None:
            return None
        index, log_term = raft.log.last_entry() if raft.log.unstable.entries else (0, 0)
        return raft.term, index, log_term, ready.snapshot

    def _keep_steps(self, ready: Ready, written: _Written | None) -> None:
        own = self.raft.id
        steps = [m for m in ready.messages_after_sync if m.to == own]
        if steps:
            ready.messages_after_sync = [m for m in ready.messages_after_sync if m.to != own]
        self._steps_on_advance = steps
        self._written_on_advance = written
        self._applied_on_advance = ready.committed_entries

    def _address_workers(self, ready: Ready, written: _Written | None) -> None:
        """Turns writes and applies into messages to the workers that do them, with what to send when done."""
        own = self.raft.id
        responses = ready.messages_after_sync
        ready.messages_after_sync = []
        state = ready.hard_state
        if responses or ready.entries or state is not None or ready.snapshot is not None:
            # Behind the leader's acknowledgement to itself, which looks at the entries while they are still at hand.
            if written is not None:
                term, index, log_term, snapshot = written
                durable = Message(MessageType.STORAGE_APPEND_RESP, own, LOCAL_APPEND_THREAD, term, log_term, index)
                durable.snapshot = snapshot
                responses.append(durable)
            append = Message(
                MessageType.STORAGE_APPEND,
                LOCAL_APPEND_THREAD,
                own,
                entries=ready.entries,
                snapshot=ready.snapshot,
                responses=responses,
            )
            if state is not None:
                append.term, append.vote, append.commit = state.term, state.vote, state.commit
            ready.messages.append(append)
        entries = ready.committed_entries
        if entries:
            applied = Message(MessageType.STORAGE_APPLY_RESP, own, LOCAL_APPLY_THREAD, entries=entries)
            ready.messages.append(
                Message(MessageType.STORAGE_APPLY, LOCAL_APPLY_THREAD, own, entries=entries, responses=[applied])
            )

    def status(self) -> Status:
        raft = self.raft
        return Status(
            id=raft.id,
            hard_state=raft.hard_state(),
            soft_state=raft.soft_state(),
            applied=raft.log.applied,
            lead_transferee=raft.lead_transferee,
            configuration=raft.tracker.configuration,
            progress=raft.tracker.progress if raft.role is Role.LEADER else {},
        )
