"""Random trouble for the members of an etcd cluster."""

from __future__ import annotations

import numpy as np

from ksched.cluster.etcd.member import Member
from ksched.cluster.etcd.raft import Entry, Role, Snapshot, SoftState
from ksched.cluster.etcd.server import Etcd
from ksched.sim.delays import Uniform
from ksched.sim.kernel import MILLISECOND, SECOND, Kernel
from ksched.sim.network import LinkQuality

_MOST_MEMBERS = 7


class Trouble:
    """Does something to some member or link every now and then, until ``end``. What went wrong can go wrong again.

    Also an observer: members die with preference while they elect, which is when mistakes show.
    """

    def __init__(self, kernel: Kernel, etcd: Etcd, chance: np.random.Generator, mean_pause: int) -> None:
        self.events = 0
        self._kernel = kernel
        self._etcd = etcd
        self._chance = chance
        self._mean_pause = mean_pause
        # Members come and go in some histories only: the more there are, the rarer the worst coincidences.
        self._kinds = self._KINDS + ((Trouble._add, Trouble._remove) if chance.random() < 0.25 else ())
        self._active = True
        etcd.group.observers.append(self)
        self._later()

    def end(self) -> None:
        """Mend everything that is broken."""
        self._active = False
        etcd = self._etcd
        etcd.heal()
        for member in list(etcd.group.members):
            etcd.resume(member)
            etcd.restart(member)

    def role_changed(self, member: Member, state: SoftState) -> None:
        if not self._active or state.role is Role.PRE_CANDIDATE:
            return
        if state.role is Role.LEADER and self._chance.random() < 0.3:
            # In the middle of passing on what it has, which is what makes a new leader's first moments delicate.
            self._kernel.call_later(self._within(20 * MILLISECOND), self._crash_and_restart, member.id)
        elif self._chance.random() < 0.2:
            self._kernel.call_later(self._within(4 * MILLISECOND), self._crash_briefly)

    def applied(self, member: Member, entry: Entry) -> None: ...

    def restored(self, member: Member, snapshot: Snapshot) -> None: ...

    def _later(self) -> None:
        self._kernel.call_later(int(self._chance.exponential(self._mean_pause)), self._happen)

    def _happen(self) -> None:
        if not self._active:
            return
        self.events += 1
        kinds = self._kinds
        kinds[int(self._chance.integers(len(kinds)))](self)
        self._later()

    def _some(self) -> int:
        members = list(self._etcd.group.members)
        leader = self._etcd.group.leader()
        if leader is not None and self._chance.random() < 0.4:
            return leader.id
        return members[int(self._chance.integers(len(members)))]

    def _within(self, longest: int) -> int:
        return int(self._chance.integers(longest))

    def _crash(self) -> None:
        member = self._some()
        if self._etcd.group.members[member].up:
            self._etcd.crash(member, power_loss=bool(self._chance.random() < 0.7))

    def _crash_briefly(self) -> None:
        """Long enough to forget, short enough to be asked for a vote again."""
        self._crash_and_restart(self._some(), 15 * MILLISECOND)

    def _crash_and_restart(self, member: int, longest: int = 60 * MILLISECOND) -> None:
        if self._active and self._etcd.group.members[member].up:
            self._etcd.crash(member)
            self._kernel.call_later(self._within(longest), self._etcd.restart, member)

    def _black_out(self) -> None:
        """Everybody loses power."""
        for member in list(self._etcd.group.members):
            if self._etcd.group.members[member].up:
                self._etcd.crash(member)
                self._kernel.call_later(self._within(100 * MILLISECOND), self._etcd.restart, member)

    def _restart(self) -> None:
        for member in list(self._etcd.group.members):
            self._etcd.restart(member)

    def _pause(self) -> None:
        member = self._some()
        self._etcd.pause(member)
        self._kernel.call_later(self._within(1500 * MILLISECOND), self._etcd.resume, member)

    def _isolate(self) -> None:
        self._etcd.isolate(self._some())

    def _strand(self) -> None:
        """A leader misses its successor's election, and for a while goes on believing."""
        leader = self._etcd.group.leader()
        if leader is not None:
            self._etcd.isolate(leader.id)
            self._etcd.pause(leader.id)
            self._kernel.call_later(300 * MILLISECOND + self._within(SECOND), self._etcd.resume, leader.id)

    def _cut(self) -> None:
        source, target = self._some(), self._some()
        if source != target:
            self._etcd.cut(source, target)

    def _split(self) -> None:
        members = [int(member) for member in self._chance.permutation(list(self._etcd.group.members))]
        at = int(self._chance.integers(len(members)))
        self._etcd.partition(members[:at], members[at:])

    def _disturb(self) -> None:
        quality = LinkQuality(
            delay=Uniform(low=0, high=self._within(60 * MILLISECOND)),
            loss=float(self._chance.random() * 0.3),
            duplicate=float(self._chance.random() * 0.3),
            reorder=float(self._chance.random() * 0.3),
            detour=Uniform(low=0, high=300 * MILLISECOND),
        )
        self._etcd.disturb(quality)

    def _heal(self) -> None:
        self._etcd.heal()

    def _add(self) -> None:
        """A new member joins, unless there have been several."""
        if len(self._etcd.group.members) < _MOST_MEMBERS:
            self._etcd.add_member(lambda response, error: None)

    def _remove(self) -> None:
        leader = self._etcd.group.leader()
        if leader is not None and len(leader.node.raft.tracker.configuration.voters) > 2:
            self._etcd.remove_member(self._some(), lambda response, error: None)

    _KINDS = (
        _crash,
        _crash,
        _crash_briefly,
        _crash_briefly,
        _black_out,
        _restart,
        _restart,
        _restart,
        _pause,
        _isolate,
        _strand,
        _cut,
        _split,
        _disturb,
        _heal,
        _heal,
    )
