"""One member of an etcd cluster: consensus, disk, store and clients' requests brought together
(etcd: server/etcdserver).

The loop of a member takes what Raft has to say, writes it to disk, sends, applies, and begins again. While the disk is
busy proposals gather, and go as one append afterwards; so do proposals of the same instant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from ksched.cluster.etcd import errors
from ksched.cluster.etcd.config import EtcdConfig
from ksched.cluster.etcd.errors import EtcdError
from ksched.cluster.etcd.leases import Lessor
from ksched.cluster.etcd.ops import LeaseGrant, LeaseRevoke, Range, Request, encoded_size
from ksched.cluster.etcd.raft import (
    ConfChange,
    Configuration,
    Entry,
    EntryType,
    MemoryStorage,
    Message,
    MessageType,
    ProposalDropped,
    RaftConfig,
    RaftError,
    RawNode,
    ReadState,
    Ready,
    Role,
    Snapshot,
    SoftState,
)
from ksched.cluster.etcd.store import Store
from ksched.cluster.etcd.wal import Wal
from ksched.cluster.priorities import DELIVERY
from ksched.sim.disk import Disk
from ksched.sim.kernel import MILLISECOND, SECOND, Kernel, Timer
from ksched.sim.network import Network
from ksched.sim.streams import Streams

Then = Callable[[Any, EtcdError | None], object]
"""Called with (response, None) or (None, error)."""

HEARTBEATS = "heartbeat"
"""Heartbeats have a connection of their own, so that they neither wait for appends nor hold them up."""
APPENDS = "append"

FROM_LEADER = frozenset({MessageType.APP, MessageType.HEARTBEAT, MessageType.SNAP})
_READ_RETRY = 500 * MILLISECOND
_SNAPSHOT_TIMEOUT = 5 * SECOND
_STOP_AFTER_REMOVAL = SECOND


class Proposal(NamedTuple):
    """What an entry of the log holds: a request, and the number under which somebody waits for its outcome."""

    number: int
    op: Request


class Observer(Protocol):
    """Is told what members do; for those who check them."""

    def applied(self, member: Member, entry: Entry) -> None: ...

    def restored(self, member: Member, snapshot: Snapshot) -> None: ...

    def role_changed(self, member: Member, state: SoftState) -> None: ...


class Surroundings(NamedTuple):
    """What the members of a cluster share. ``initial`` is the membership it began with."""

    kernel: Kernel
    streams: Streams
    network: Network
    config: EtcdConfig
    initial: Configuration
    numbers: Iterator[int]
    state_changed: Callable[[Member], object]
    observers: list[Observer]


def _number(entry: Entry) -> int:
    """The number under which the outcome of a proposed entry is waited for."""
    return int(entry.data.number if entry.type is EntryType.NORMAL else entry.data.context)


def endpoint(member: int) -> str:
    """A member's name on the network."""
    return f"etcd-{member}"


class _Storage(MemoryStorage):
    """The log as Raft reads it. A follower too far behind gets the state of now, as etcd sends it, not that of the
    last snapshot saved: the membership in an old one may not know the follower yet."""

    __slots__ = ("_state",)

    def __init__(self, initial: Configuration, state: Callable[[], Snapshot]) -> None:
        super().__init__(initial)
        self._state = state

    def snapshot(self) -> Snapshot:
        return self._state()


class Member:
    """A member is up between ``start`` and ``crash``. All requests answer through ``then(response, error)``."""

    def __init__(self, around: Surroundings, member_id: int) -> None:
        self.id = member_id
        self.up = False
        self.store = Store()
        self.applied = 0
        self.last_contact = 0
        self.lessor = Lessor(around.kernel, around.config.lease_check, self._revoke)
        self._around = around
        self._kernel = around.kernel
        self._config = around.config
        name = endpoint(member_id)
        self.disk = Disk(around.kernel, around.streams, f"{name}/disk", around.config.disk, priority=DELIVERY)
        self.wal = Wal(self.disk)
        self._chance = around.streams.generator(f"{name}/election")
        self._life = 0
        self._held: list[tuple[Callable[..., object], tuple[Any, ...]]] | None = None

    @property
    def paused(self) -> bool:
        return self._held is not None

    @property
    def leads(self) -> bool:
        return self.up and self.node.raft.role is Role.LEADER

    @property
    def leader(self) -> int:
        """The id of the leader as far as this member knows, 0 for none."""
        return self.node.raft.lead if self.up else 0

    # -- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin from what is on the disk: the last snapshot, and the log behind it."""
        recovered = self.wal.recover()
        snapshot = recovered.snapshot
        self._storage = _Storage(self._around.initial, self._snapshot_of_now)
        if snapshot.index:
            self._storage.apply_snapshot(snapshot)
        self._storage.append(recovered.entries)
        self._storage.set_hard_state(recovered.hard_state)
        self._hard_state = recovered.hard_state
        self.store = snapshot.data.fork() if snapshot.data is not None else Store()
        self.applied = self._snapshot_index = snapshot.index
        self.node = RawNode(self._raft_config(snapshot.index), self._storage, self._randrange)
        self.up = True
        self._held = None
        self._busy = self._scheduled = False
        self._proposals: list[Entry] = []
        self._waiting: dict[int, tuple[Then, int]] = {}
        self._deadlines: deque[tuple[int, int]] = deque()
        self._sweep_timer: Timer | None = None
        self._new_reads: list[tuple[int, Range]] = []
        self._asked_reads: list[tuple[int, Range]] = []
        self._confirmed_reads: deque[tuple[int, list[tuple[int, Range]]]] = deque()
        self._round = 0
        self._snapshot: Snapshot | None = None
        self._leader_since = self._kernel.now
        self.leaderless_since: int | None = self._kernel.now
        self._around.network.attach(endpoint(self.id), self._receive)
        self._work()

    def crash(self, *, power_loss: bool = True) -> None:
        """Die. Clients lose their connection; whether their requests take effect is open."""
        self.up = False
        self._life += 1
        self._held = None
        self._around.network.detach(endpoint(self.id))
        self.disk.crash(power_loss=power_loss)
        self.lessor.demote()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        waiting, self._waiting = self._waiting, {}
        for then, _ in waiting.values():
            then(None, errors.server_stopped())

    def pause(self) -> None:
        """Stand still, as a stopped process or a stalled virtual machine does; what arrives waits."""
        if self._held is None:
            self._held = []

    def resume(self) -> None:
        held, self._held = self._held or [], None
        for fn, args in held:
            fn(*args)

    def tick(self) -> None:
        """A tick of the member's clock. One that stands still misses it."""
        if self._held is None:
            self.node.tick()
            self._work()

    def settle(self) -> list[Message]:
        """Do all there is to do at once and give the messages to be sent; for a cluster that begins in agreement."""
        messages: list[Message] = []
        while self.node.has_ready():
            ready = self.node.ready()
            self._write(ready)
            self._note_state(ready)
            messages += ready.messages
            messages += ready.messages_after_sync
            self._carry_out(ready)
        self.disk.settle()
        return messages

    def _raft_config(self, applied: int) -> RaftConfig:
        return RaftConfig(
            id=self.id,
            election_tick=self._config.election_ticks,
            heartbeat_tick=1,
            applied=applied,
            max_size_per_message=self._config.max_append_bytes,
        )

    def _randrange(self, n: int) -> int:
        return int(self._chance.integers(n))

    def _hold(self, fn: Callable[..., object], *args: Any) -> bool:
        """Keep a call for later if the member stands still."""
        if self._held is None:
            return False
        self._held.append((fn, args))
        return True

    # -- requests ---------------------------------------------------------------------------------------------

    def write(self, op: Request, then: Then) -> None:
        """Have ``op`` committed and applied."""
        if not self._hold(self.write, op, then):
            number = self._expect(then)
            self._propose(Entry(data=Proposal(number, op), size=encoded_size(op)))

    def change_membership(self, change: ConfChange, then: Then) -> None:
        """Have the membership changed; the response is the new Configuration."""
        if not self._hold(self.change_membership, change, then):
            number = self._expect(then)
            numbered = ConfChange(change.changes, change.transition, number)
            self._propose(Entry(type=EntryType.CONF_CHANGE_V2, data=numbered, size=numbered.size))

    def read(self, op: Range, then: Then) -> None:
        """Serve ``op`` from a state at least as new as any that was acknowledged before (linearizable)."""
        if not self._hold(self.read, op, then):
            self._new_reads.append((self._expect(then), op))
            self._work()

    def read_local(self, op: Range, then: Then) -> None:
        """Serve ``op`` from what this member has (serializable)."""
        if not self._hold(self.read_local, op, then):
            self._answer(then, op)

    def renew(self, lease_id: int) -> int:
        """Start a lease's time anew, on the leader; its ttl in seconds, 0 when it is unknown or its time is up."""
        lease = self.store.leases.get(lease_id)
        if lease is None or self.lessor.expired(lease_id):
            return 0
        self.lessor.start(lease_id, lease.ttl)
        return lease.ttl

    def _propose(self, entry: Entry) -> None:
        self._proposals.append(entry)
        self._work()

    def _revoke(self, lease_id: int) -> None:
        self.write(LeaseRevoke(lease_id), lambda response, error: None)

    def _answer(self, then: Then, op: Request) -> None:
        try:
            response = self.store.apply(op)
        except EtcdError as refused:
            then(None, refused)
            return
        then(response, None)

    def _expect(self, then: Then) -> int:
        number = next(self._around.numbers)
        now = self._kernel.now
        self._waiting[number] = (then, now)
        self._deadlines.append((now + self._config.request_timeout, number))
        if self._sweep_timer is None:
            self._sweep_timer = self._kernel.call_at(self._deadlines[0][0], self._sweep)
        return number

    def _sweep(self) -> None:
        """Give up requests whose time has run out."""
        self._sweep_timer = None
        if self._hold(self._sweep):
            return
        deadlines, waiting = self._deadlines, self._waiting
        expired: dict[int, tuple[Then, int]] = {}
        while deadlines and (deadlines[0][0] <= self._kernel.now or deadlines[0][1] not in waiting):
            number = deadlines.popleft()[1]
            if number in waiting:
                expired[number] = waiting.pop(number)
        if deadlines:
            self._sweep_timer = self._kernel.call_at(deadlines[0][0], self._sweep)
        # What no leader was there to take is not handed in any more.
        self._proposals = [entry for entry in self._proposals if _number(entry) not in expired]
        for then, asked in expired.values():
            then(None, self._timeout_error(asked))

    def _timeout_error(self, asked: int) -> EtcdError:
        """Names a change of leader that came between asking and giving up (etcdserver: parseProposeCtxErr)."""
        if self._leader_since - 2 * self._config.election < asked < self._leader_since:
            return errors.timed_out_after_leader_failure()
        return errors.timed_out()

    # -- the loop ---------------------------------------------------------------------------------------------

    def _receive(self, sender: str, message: Message) -> None:
        if self._hold(self._receive, sender, message):
            return
        if message.type in FROM_LEADER:
            self.last_contact = self._kernel.now
        if message.type is MessageType.PROP and self.leads:
            self._proposals += message.entries
        else:
            try:
                self.node.step(message)
            except RaftError:
                return
        self._work()

    def _work(self) -> None:
        """See to it that the loop runs once everything that happens just now is known."""
        if not self._scheduled and not self._busy:
            self._scheduled = True
            self._kernel.post(self._drive, self._life)

    def _drive(self, life: int) -> None:
        if life != self._life or self._hold(self._drive, life):
            return
        self._scheduled = False
        while not self._busy:
            self._hand_in()
            if not self.node.has_ready():
                return
            ready = self.node.ready()
            self._note_state(ready)
            self._send(ready.messages)
            self._write(ready)
            self._busy = True
            if ready.must_sync or ready.snapshot is not None:
                self.disk.sync(self._synced, ready, self._life)
            else:
                self._finish(ready)

    def _synced(self, ready: Ready, life: int) -> None:
        if life != self._life or self._hold(self._synced, ready, life):
            return
        self._finish(ready)
        self._work()

    def _finish(self, ready: Ready) -> None:
        self._send(ready.messages_after_sync)
        self._carry_out(ready)
        self._busy = False

    def _hand_in(self) -> None:
        """Pass on to Raft what clients want. Without a leader that has to wait."""
        if not self.node.raft.lead:
            return
        if self._proposals:
            entries, self._proposals = self._proposals, []
            try:
                self.node.propose_all(entries)
            except ProposalDropped:
                self._proposals = entries + self._proposals
        if self._new_reads and not self._asked_reads:
            self._asked_reads, self._new_reads = self._new_reads, []
            self._ask_read_index()

    def _write(self, ready: Ready) -> None:
        if ready.snapshot is not None:
            self._storage.apply_snapshot(ready.snapshot)
            self.wal.install_snapshot(ready.snapshot, ready.hard_state or self._hard_state)
        if ready.hard_state is not None:
            self._hard_state = ready.hard_state
            self._storage.set_hard_state(ready.hard_state)
        if ready.entries:
            self._storage.append(ready.entries)
        self.wal.save(ready.hard_state, ready.entries)

    def _carry_out(self, ready: Ready) -> None:
        if ready.snapshot is not None:
            self._restore(ready.snapshot)
        for entry in ready.committed_entries:
            self._apply(entry)
        self.node.advance()
        self._confirm_reads(ready.read_states)
        if self.applied - self._snapshot_index >= self._config.snapshot_count:
            self._take_snapshot()

    def _send(self, messages: Sequence[Message]) -> None:
        send, own = self._around.network.send, endpoint(self.id)
        for message in messages:
            kind = message.type
            beat = kind is MessageType.HEARTBEAT or kind is MessageType.HEARTBEAT_RESP
            # Members talk over TCP, which is why a proposal is never forwarded twice; the rest would not mind.
            once = kind is MessageType.PROP
            send(own, endpoint(message.to), message, lane=HEARTBEATS if beat else APPENDS, once=once)
            if kind is MessageType.SNAP:
                timeout = self._kernel.now + _SNAPSHOT_TIMEOUT
                self._kernel.call_background(timeout, self._snapshot_lost, message.to, self._life)

    def _snapshot_lost(self, member: int, life: int) -> None:
        """Tell Raft, which sends a member nothing while a snapshot is on its way. If it did arrive, Raft knows."""
        if life == self._life:
            self.node.report_snapshot(member, arrived=False)
            self._work()

    def _note_state(self, ready: Ready) -> None:
        state = ready.soft_state
        if state is None:
            return
        self.leaderless_since = None if state.lead else self._kernel.now
        if state.lead:
            self._leader_since = self._kernel.now
            self._fail_asked_reads()
        if state.role is Role.LEADER:
            ttls = {lease.id: lease.ttl for lease in self.store.leases.values()}
            self.lessor.promote(ttls, self._config.election)
        else:
            self.lessor.demote()
        for observer in self._around.observers:
            observer.role_changed(self, state)
        self._around.state_changed(self)

    # -- reads ------------------------------------------------------------------------------------------------

    def _ask_read_index(self) -> None:
        """One round serves all reads that have gathered; it is asked for again while no answer comes."""
        self._round += 1
        self.node.read_index((self.id, self._round))
        at = self._kernel.now + _READ_RETRY
        self._kernel.call_background(at, self._retry_read_index, self._life, self._round)

    def _retry_read_index(self, life: int, asked: int) -> None:
        if life != self._life or asked != self._round or not self._asked_reads:
            return
        if not self._hold(self._retry_read_index, life, asked):
            self._asked_reads = [read for read in self._asked_reads if read[0] in self._waiting]
            if self._asked_reads:
                self._ask_read_index()
            self._work()

    def _fail_asked_reads(self) -> None:
        """A new leader leads: what the old one was asked is not going to be answered."""
        reads, self._asked_reads = self._asked_reads, []
        self._round += 1
        for number, _ in reads:
            self._resolve(number, None, errors.leader_changed())

    def _confirm_reads(self, states: Sequence[ReadState]) -> None:
        for state in states:
            if state.context == (self.id, self._round) and self._asked_reads:
                self._confirmed_reads.append((state.index, self._asked_reads))
                self._asked_reads = []
        # Confirmed in this order, so their indexes rise.
        while self._confirmed_reads and self._confirmed_reads[0][0] <= self.applied:
            for number, op in self._confirmed_reads.popleft()[1]:
                if number in self._waiting:
                    self._answer(self._waiting.pop(number)[0], op)

    # -- state ------------------------------------------------------------------------------------------------

    def _apply(self, entry: Entry) -> None:
        self.applied = entry.index
        if entry.type is not EntryType.NORMAL:
            self._apply_change(entry.data)
        elif entry.data is not None:
            self._apply_proposal(entry.data)
        for observer in self._around.observers:
            observer.applied(self, entry)

    def _apply_proposal(self, proposal: Proposal) -> None:
        number, op = proposal
        response, refused = None, None
        try:
            response = self.store.apply(op)
        except EtcdError as error:
            refused = error
        else:
            if self.node.raft.role is Role.LEADER:
                self._time_lease(op)
        self._resolve(number, response, refused)

    def _time_lease(self, op: Request) -> None:
        if isinstance(op, LeaseGrant):
            self.lessor.start(op.id, op.ttl)
        elif isinstance(op, LeaseRevoke):
            self.lessor.forget(op.id)

    def _apply_change(self, change: ConfChange) -> None:
        configuration = self.node.apply_conf_change(change)
        self._around.state_changed(self)
        self._resolve(change.context, configuration, None)
        if self.id not in configuration.members() and any(single.member == self.id for single in change.changes):
            self._kernel.call_later(_STOP_AFTER_REMOVAL, self._stop, self._life)

    def _stop(self, life: int) -> None:
        if life == self._life:
            self.crash(power_loss=False)
            self._around.state_changed(self)

    def _resolve(self, number: int, response: Any, error: EtcdError | None) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            waiting[0](response, error)

    def _restore(self, snapshot: Snapshot) -> None:
        """Take over the state of a snapshot from the leader."""
        self.store = snapshot.data.fork()
        self.applied = self._snapshot_index = snapshot.index
        for observer in self._around.observers:
            observer.restored(self, snapshot)

    def _snapshot_of_now(self) -> Snapshot:
        index = self.applied
        if self._snapshot is None or self._snapshot.index != index:
            configuration = self.node.raft.tracker.configuration
            term, store = self._storage.term(index), self.store
            self._snapshot = Snapshot(index, term, configuration, store.fork(), store.size_in_use)
        return self._snapshot

    def _take_snapshot(self) -> None:
        snapshot = self._snapshot_of_now()
        self._snapshot_index = snapshot.index
        self.wal.save_snapshot(snapshot, self._hard_state)
        self.disk.sync(self._snapshot_saved, snapshot, self._life)

    def _snapshot_saved(self, snapshot: Snapshot, life: int) -> None:
        if life != self._life or self._hold(self._snapshot_saved, snapshot, life):
            return
        self.wal.release(snapshot)
        keep_from = snapshot.index - self._config.catch_up
        if keep_from >= self._storage.first_index():
            self._storage.compact(keep_from)
