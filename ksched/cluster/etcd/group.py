"""The members of one etcd cluster, the network between them, and what can befall them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from ksched.cluster.etcd import errors
from ksched.cluster.etcd.clock import RaftClock
from ksched.cluster.etcd.config import EtcdConfig
from ksched.cluster.etcd.errors import EtcdError
from ksched.cluster.etcd.member import Member, Observer, Surroundings, Then, endpoint
from ksched.cluster.etcd.raft import (
    ConfChange,
    ConfChangeSingle,
    ConfChangeType,
    Configuration,
    HardState,
    Message,
    Snapshot,
)
from ksched.cluster.etcd.store import Store
from ksched.cluster.priorities import DELIVERY
from ksched.errors import InputError
from ksched.sim.kernel import Kernel
from ksched.sim.network import LinkQuality, Network
from ksched.sim.streams import Streams


class Group:
    """A cluster that begins in agreement: everybody up, one leader, the given state applied everywhere.

    ``applied`` is how many entries the log would have had if it had been written from ``since`` (ns) on: one of the
    first leader, and one per request. ``state_changed(member)`` is called when a member sees another leader, role or
    membership.
    """

    def __init__(
        self,
        kernel: Kernel,
        streams: Streams,
        config: EtcdConfig,
        store: Store,
        *,
        applied: int,
        since: int,
        state_changed: Callable[[Member], object],
    ) -> None:
        self.observers: list[Observer] = []
        self.network = Network(kernel, streams, "etcd/peers", config.peers, priority=DELIVERY)
        self.members: dict[int, Member] = {}
        self._state_changed = state_changed
        ids = range(1, config.members + 1)
        self._around = Surroundings(
            kernel,
            streams,
            self.network,
            config,
            Configuration(frozenset(ids)),
            count(1),
            self._changed,
            self.observers,
        )
        for member in ids:
            self.members[member] = Member(self._around, member)
        self._clock = RaftClock(kernel, streams, self.network, config, self.members)
        leader = int(streams.generator("etcd/first-leader").integers(config.members)) + 1
        self._begin(store, applied, since, leader)

    def _begin(self, store: Store, applied: int, since: int, leader: int) -> None:
        """Bring everybody to where an undisturbed election at ``since`` and the requests after it have led."""
        # The empty entry of the new leader stands in for the last request's: then terms and indexes come out right.
        snapshot = Snapshot(applied - 1, 1, self._around.initial, store)
        for member in self.members.values():
            if snapshot.index:
                member.wal.save_snapshot(snapshot, HardState())
            member.disk.settle()
            member.start()
            member.last_contact = since
        self.members[leader].node.campaign()
        messages: deque[Message] = deque()
        while True:
            for member in self.members.values():
                messages += member.settle()
            if not messages:
                break
            while messages:
                message = messages.popleft()
                self.members[message.to].node.step(message)
        self._clock.begin(leader, since)

    # -- who is who -------------------------------------------------------------------------------------------

    def leader(self) -> Member | None:
        """The member that leads in the highest term, if any leads."""
        leaders = [member for member in self.members.values() if member.leads]
        return max(leaders, key=lambda member: member.node.raft.term, default=None)

    def member(self, member: int) -> Member:
        """InputError for an id that is no member's."""
        if member not in self.members:
            known = ", ".join(str(other) for other in self.members)
            raise InputError(f"no member {member}", where="etcd", hint=f"There are {known}.")
        return self.members[member]

    def _changed(self, member: Member) -> None:
        self._clock.wake()
        if not member.up:
            self._clock.stop(member.id)
        self._state_changed(member)

    # -- faults -----------------------------------------------------------------------------------------------

    def crash(self, member: int, *, power_loss: bool = True) -> None:
        """A member dies, and with ``power_loss`` loses what its disk had not synced."""
        self._clock.wake()
        self._clock.stop(member)
        self.member(member).crash(power_loss=power_loss)

    def restart(self, member: int) -> None:
        """A member that is down starts again from its disk."""
        starting = self.member(member)
        if not starting.up:
            self._clock.wake()
            starting.start()
            self._clock.start(member)

    def pause(self, member: int) -> None:
        self._clock.wake()
        self.member(member).pause()

    def resume(self, member: int) -> None:
        self.member(member).resume()

    def partition(self, *groups: Sequence[int]) -> None:
        """Cut every link between the groups."""
        self._clock.wake()
        self.network.partition(*[[endpoint(self.member(member).id) for member in group] for group in groups])

    def isolate(self, member: int) -> None:
        """Cut one member off from all others."""
        self.partition([member], [other for other in self.members if other != member])

    def cut(self, source: int, target: int) -> None:
        """Cut one direction of a link."""
        self._clock.wake()
        self.network.cut(endpoint(self.member(source).id), endpoint(self.member(target).id))

    def disturb(self, quality: LinkQuality) -> None:
        """Make every link between members of this quality."""
        self._clock.wake()
        for source in self.members:
            for target in self.members:
                if source != target:
                    self.network.set_quality(endpoint(source), endpoint(target), quality)

    def heal(self) -> None:
        """Make the network whole again; members that are down or stand still stay so."""
        self._clock.wake()
        self.network.heal()

    # -- membership -------------------------------------------------------------------------------------------

    def add_member(self, through: Member, then: Then) -> int:
        """Start a new member and ask ``through`` to have it join; its id."""
        self._clock.wake()
        new = max(self.members) + 1

        def joined(response: Any, error: EtcdError | None) -> None:
            if error is None and not self.members[new].up:
                self.members[new].start()
                self._clock.start(new)
            then(response, error)

        self.members[new] = Member(self._around, new)
        change = ConfChange((ConfChangeSingle(ConfChangeType.ADD_NODE, new),))
        through.change_membership(change, joined)
        return new

    def remove_member(self, member: int, through: Member, then: Then) -> None:
        """Ask ``through`` to have a member removed, which stops when it learns of it."""
        self._clock.wake()
        if member not in self.members:
            then(None, errors.member_not_found())
            return
        change = ConfChange((ConfChangeSingle(ConfChangeType.REMOVE_NODE, member),))
        through.change_membership(change, then)
