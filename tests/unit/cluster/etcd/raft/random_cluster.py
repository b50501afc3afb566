"""Members under a random scheduler: messages are lost, doubled and reordered, members crash between write and sync.

After every step the safety properties of the Raft paper (figure 3) are checked from outside, on the logs.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, field, replace
from typing import Any

from ksched.cluster.etcd.raft import (
    ConfChange,
    ConfChangeSingle,
    ConfChangeType,
    Configuration,
    Entry,
    EntryType,
    HardState,
    MemoryStorage,
    Message,
    MessageType,
    PeerNotFound,
    ProposalDropped,
    RaftConfig,
    RawNode,
    Ready,
    Role,
    Snapshot,
    SnapshotOutOfDate,
)


class Violation(AssertionError):
    """A safety property does not hold."""


@dataclass
class Disk:
    """What a member wrote, and of the hard state what it is sure to find again."""

    storage: MemoryStorage
    written: HardState = field(default_factory=HardState)
    synced: HardState = field(default_factory=HardState)

    def write(self, ready: Ready) -> None:
        if ready.hard_state is not None:
            self.written = ready.hard_state
        if ready.snapshot is not None:
            self.storage.apply_snapshot(ready.snapshot)
        self.storage.append(ready.entries)
        if ready.must_sync or ready.snapshot is not None:
            self.synced = self.written
        self.storage.set_hard_state(self.written)

    def lose_unsynced(self) -> None:
        snapshot = self.storage.snapshot()
        commit = max(self.synced.commit, snapshot.index)
        self.written = self.synced = HardState(self.synced.term, self.synced.vote, commit)
        self.storage.set_hard_state(self.synced)


@dataclass
class Member:
    node: RawNode
    disk: Disk
    # The state machine: everything applied, in order, and where that is.
    state: tuple[Any, ...] = ()
    applied: int = 0
    configuration: Configuration = field(default_factory=Configuration)
    # A Ready whose writes are under way.
    working_on: Ready | None = None

    def log(self) -> list[Entry]:
        log = self.node.raft.log
        return list(log.slice(log.first_index(), log.last_index() + 1)) if log.first_index() <= log.last_index() else []


class RandomCluster:
    """A run is a function of the seed and the arguments."""

    def __init__(self, seed: int, *, size: int = 3, change_members: bool = False) -> None:
        self.random = random.Random(seed)
        self.configuration = Configuration(voters=frozenset(range(1, size + 1)))
        self.change_members = change_members
        # How bad the run is: the share of messages lost, that of those doubled, and how fast time passes.
        self.lost = self.random.choice([0.0, 0.1, 0.3])
        self.doubled = self.random.choice([0.0, 0.1, 0.3])
        self.ticks = self.random.choice([1, 2, 4, 8])
        # The same for all: one that holds no lease would campaign for ever against those who do.
        self.pre_vote = self.random.random() < 0.5
        self.check_quorum = self.random.random() < 0.5
        # Nothing gets to those who are cut off, nor from them.
        self.cut_off: set[int] = set()
        self.network: list[Message] = []
        self.members: dict[int, Member] = {}
        self.proposed = 0
        self.leader_of_term: dict[int, int] = {}
        # Every entry any member has applied.
        self.committed: dict[int, Entry] = {}
        for member in range(1, size + 1):
            self._start(member, Disk(MemoryStorage(self.configuration)))

    # Actions

    def run(self, steps: int) -> None:
        actions = [self._deliver] * 40 + [self._work] * 40 + [self._tick] * self.ticks + [self._propose] * 8
        actions += [self._crash, self._crash, self._crash, self._compact, self._read, self._cut_off]
        if self.change_members:
            actions += [self._change_members] * 3
        for _ in range(steps):
            self.random.choice(actions)()
            self._check_leaders()
        self._check_logs()

    def heal(self, rounds: int = 400) -> None:
        """A kind network again: everybody must come to the same state in the end."""
        self.cut_off = set()
        for _ in range(rounds):
            for member in sorted(self.members):
                self.members[member].node.tick()
            for _ in range(6):
                for member in sorted(self.members):
                    while self.members[member].working_on is not None or self.members[member].node.has_ready():
                        self._work_on(member)
                messages, self.network = self.network, []
                for m in messages:
                    self._step(m)
            self._check_leaders()
            if self._settled():
                break
        else:
            raise Violation("the members do not come to agree although nothing fails any more")
        self._check_logs()

    def _any_member(self) -> int:
        return self.random.choice(sorted(self.members))

    def _start(self, id: int, disk: Disk) -> None:
        snapshot = disk.storage.snapshot()
        config = RaftConfig(
            id=id,
            election_tick=5,
            applied=snapshot.index,
            max_size_per_message=self.random.choice([1, 40, 100, 1 << 20]),
            max_inflight_messages=self.random.choice([1, 2, 100]),
            pre_vote=self.pre_vote,
            check_quorum=self.check_quorum,
        )
        node = RawNode(config, disk.storage, self.random.randrange)
        self.members[id] = Member(node, disk, snapshot.data or (), snapshot.index, snapshot.configuration)

    def _deliver(self) -> None:
        if not self.network:
            self._tick()
            return
        position = self.random.randrange(len(self.network))
        m = self.network[position]
        if self.random.random() >= self.doubled:
            self.network.pop(position)
        if self.random.random() >= self.lost and not {m.sender, m.to} & self.cut_off:
            self._step(m)

    def _step(self, m: Message) -> None:
        member = self.members.get(m.to)
        if member is None:
            return
        with contextlib.suppress(ProposalDropped, PeerNotFound):
            member.node.step(m)

    def _tick(self) -> None:
        node = self.members[self._any_member()].node
        for _ in range(self.random.randint(1, 3)):
            node.tick()

    def _cut_off(self) -> None:
        few = self.random.randrange((len(self.members) + 1) // 2)
        self.cut_off = set(self.random.sample(sorted(self.members), few))

    def _propose(self) -> None:
        self.proposed += 1
        with contextlib.suppress(ProposalDropped):
            self.members[self._any_member()].node.propose(self.proposed, size=20)

    def _read(self) -> None:
        self.members[self._any_member()].node.read_index(self.proposed)

    def _crash(self) -> None:
        id = self._any_member()
        member = self.members[id]
        # Whatever was not yet written is lost; half the time what was written without sync is, too.
        if self.random.random() < 0.5:
            member.disk.lose_unsynced()
        self._start(id, member.disk)

    def _compact(self) -> None:
        member = self.members[self._any_member()]
        storage = member.disk.storage
        if member.applied <= storage.first_index():
            return
        try:
            storage.save_snapshot(self._snapshot(member))
        except SnapshotOutOfDate:
            return
        member.disk.synced = member.disk.written
        storage.compact(self.random.randrange(storage.first_index(), member.applied))

    def _change_members(self) -> None:
        id = self.random.randrange(1, 6)
        kind = self.random.choice(
            [ConfChangeType.ADD_NODE, ConfChangeType.REMOVE_NODE, ConfChangeType.ADD_LEARNER_NODE]
        )
        changes = [ConfChangeSingle(kind, id)]
        if self.random.random() < 0.3:
            changes.append(ConfChangeSingle(ConfChangeType.ADD_NODE, self.random.randrange(1, 6)))
        leaders = [m for m in self.members.values() if m.node.raft.role is Role.LEADER]
        if not leaders:
            return
        voters = self.random.choice(leaders).configuration.voters
        # Never the last two: the rest of the test wants a cluster.
        if kind is not ConfChangeType.ADD_NODE and len(voters - {id}) < 2:
            return
        for change in changes:
            if change.member not in self.members:
                self._start(change.member, Disk(MemoryStorage(self.configuration)))
        with contextlib.suppress(ProposalDropped):
            self.random.choice(leaders).node.propose_conf_change(ConfChange(tuple(changes)))

    def _work(self) -> None:
        id = self._any_member()
        for _ in range(self.random.randint(1, 3)):
            self._work_on(id)

    def _work_on(self, id: int) -> None:
        """Takes a Ready and sends what may go at once; the next time, writes, promises and applies."""
        member = self.members[id]
        ready = member.working_on
        if ready is None:
            if member.node.has_ready():
                member.working_on = member.node.ready()
                self.network.extend(self._to_send(member, m) for m in member.working_on.messages)
            return
        member.working_on = None
        member.disk.write(ready)
        self.network.extend(ready.messages_after_sync)
        for m in ready.messages:
            if m.type is MessageType.SNAP:
                member.node.report_snapshot(m.to, arrived=self.random.random() < 0.5)
        if ready.snapshot is not None:
            member.state, member.applied = ready.snapshot.data, ready.snapshot.index
            member.configuration = ready.snapshot.configuration
        for entry in ready.committed_entries:
            self._apply(member, entry)
        member.node.advance()

    def _to_send(self, member: Member, m: Message) -> Message:
        if m.type is not MessageType.SNAP:
            return m
        # As etcd does, the newest state: an older one may not have the receiver in its configuration.
        return replace(m, snapshot=self._snapshot(member))

    def _snapshot(self, member: Member) -> Snapshot:
        term = self.committed[member.applied].term
        return Snapshot(member.applied, term, member.configuration, member.state)

    def _apply(self, member: Member, entry: Entry) -> None:
        if entry.index != member.applied + 1:
            raise Violation(f"entry {entry.index} applied after {member.applied}")
        if self.committed.setdefault(entry.index, entry) != entry:
            raise Violation(f"state machine safety: {entry} applied, elsewhere {self.committed[entry.index]}")
        member.applied = entry.index
        member.state = (*member.state, entry.data)
        if entry.type is not EntryType.NORMAL:
            member.configuration = member.node.apply_conf_change(entry.data)

    # Properties

    def _check_leaders(self) -> None:
        for id, member in self.members.items():
            raft = member.node.raft
            if raft.role is not Role.LEADER or raft.term in self.leader_of_term:
                if raft.role is Role.LEADER and self.leader_of_term[raft.term] != id:
                    raise Violation(f"election safety: {id} and {self.leader_of_term[raft.term]} lead {raft.term}")
                continue
            self.leader_of_term[raft.term] = id
            for index in range(raft.log.first_index(), max(self.committed, default=0) + 1):
                committed = self.committed[index]
                if committed.term < raft.term and not raft.log.matches(index, committed.term):
                    raise Violation(f"leader completeness: {id} leads {raft.term} without {committed}")

    def _check_logs(self) -> None:
        logs = [{entry.index: entry for entry in member.log()} for member in self.members.values()]
        for position, first in enumerate(logs):
            for second in logs[position + 1 :]:
                common = sorted(first.keys() & second.keys())
                agreed = [index for index in common if first[index].term == second[index].term]
                for index in common:
                    if agreed and index <= agreed[-1] and first[index] != second[index]:
                        raise Violation(f"log matching: {first[index]} and {second[index]} before {agreed[-1]}")

    def _settled(self) -> bool:
        leaders = [m for m in self.members.values() if m.node.raft.role is Role.LEADER]
        if not leaders:
            return False
        newest = max(leaders, key=lambda m: m.node.raft.term)
        if newest.configuration.joint:
            return False
        # Members the newest leader does not know are not told anything any more.
        taking_part = [self.members[id] for id in sorted(newest.configuration.members())]
        last = newest.node.raft.log.last_index()
        return all(m.applied == last and m.state == newest.state for m in taking_part)
