"""The members' clocks, which stand still while nothing can come of their ticks.

In a healthy cluster a tick makes the leader send heartbeats, and all that these do is to keep everybody else's
election from starting. While that is certain no tick is run. Before anything can go wrong, :meth:`RaftClock.wake`
brings every member to where it would be by now: how long ago it heard of the leader, whom the leader has heard of,
which heartbeat is on its way. With constant delays the outcome is the same to the nanosecond; random ones are
replaced by their median here, for the one heartbeat that may be on its way.
"""

from __future__ import annotations

from collections.abc import Mapping

from ksched.cluster.etcd.config import EtcdConfig
from ksched.cluster.etcd.member import HEARTBEATS, Member, endpoint
from ksched.cluster.etcd.raft import Message, MessageType
from ksched.cluster.etcd.raft.progress import ProgressState
from ksched.cluster.priorities import DELIVERY
from ksched.sim.kernel import Kernel, Timer
from ksched.sim.network import Network
from ksched.sim.streams import Streams


class RaftClock:
    """Ticks the members that were started, each at instants of its own, one ``heartbeat`` apart."""

    def __init__(
        self, kernel: Kernel, streams: Streams, network: Network, config: EtcdConfig, members: Mapping[int, Member]
    ) -> None:
        self._kernel = kernel
        self._streams = streams
        self._network = network
        self._members = members
        self._tick = config.heartbeat
        self._election_ticks = config.election_ticks
        # Heartbeats must surely come, and be answered, within a tick for their effect to be foreseen.
        self._may_rest = not config.stepped and 2 * config.peers.delay.ceiling < config.heartbeat
        self._phases: dict[int, int] = {}
        self._timers: dict[int, Timer] = {}
        self._resting_since: int | None = None
        self._leader = 0

    @property
    def resting(self) -> bool:
        """True while no ticks are run."""
        return self._resting_since is not None

    def begin(self, leader: int, since: int) -> None:
        """Start the clocks of a cluster that has been agreed on ``leader`` since that time (ns)."""
        for member in self._members:
            generator = self._streams.generator(f"{endpoint(member)}/phase")
            self._phases[member] = int(generator.integers(self._tick))
            self._schedule(member)
        if self._may_rest:
            self._rest(leader, since)

    def start(self, member: int) -> None:
        """A member's process starts now, and its clock with it."""
        self._phases[member] = self._kernel.now % self._tick
        self._schedule(member)

    def stop(self, member: int) -> None:
        timer = self._timers.pop(member, None)
        if timer is not None:
            timer.cancel()
        self._phases.pop(member, None)

    # -- ticking ----------------------------------------------------------------------------------------------

    def _schedule(self, member: int) -> None:
        at = self._time_of_tick(member, self._kernel.now, 1)
        self._timers[member] = self._kernel.call_background(at, self._ring, member, priority=DELIVERY)

    def _ring(self, member: int) -> None:
        self._schedule(member)
        ticked = self._members[member]
        ticked.tick()
        if self._may_rest and ticked.leads and self._is_calm(ticked):
            self._rest(member, self._kernel.now)

    def _is_calm(self, leader: Member) -> bool:
        """True when nothing but heartbeats and requests can happen until somebody interferes."""
        raft = leader.node.raft
        configuration = raft.tracker.configuration
        if not self._network.faultless or configuration.joint or configuration.voters != frozenset(self._phases):
            return False
        for member in configuration.voters:
            other, progress = self._members[member], raft.tracker.progress[member]
            if other.paused or other.leader != leader.id or other.node.raft.term != raft.term:
                return False
            if progress.state is not ProgressState.REPLICATE:
                return False
        return True

    # -- resting ----------------------------------------------------------------------------------------------

    def _rest(self, leader: int, since: int) -> None:
        self._resting_since = since
        self._leader = leader
        for timer in self._timers.values():
            timer.cancel()
        self._timers = {}

    def wake(self) -> None:
        """Run ticks again, because something may come of them from now on. Nothing to do if they are running."""
        since = self._resting_since
        if since is None:
            return
        self._resting_since = None
        leader = self._members[self._leader]
        raft = leader.node.raft
        elapsed = raft.election_elapsed
        ticks = self._ticks_between(leader.id, since, self._kernel.now)
        if ticks:
            raft.election_elapsed = (elapsed + ticks) % self._election_ticks
            raft.heartbeat_elapsed = 0
        sent = self._time_of_tick(leader.id, since, ticks) if ticks else None
        checked = None
        if elapsed + ticks >= self._election_ticks:
            checked = self._time_of_tick(leader.id, since, ticks - raft.election_elapsed)
        for member in self._phases:
            if member != leader.id:
                self._catch_up(leader, self._members[member], sent, checked)
        for member in self._phases:
            self._schedule(member)

    def _catch_up(self, leader: Member, follower: Member, sent: int | None, checked: int | None) -> None:
        """Put a follower, and what the leader knows of it, where the heartbeats that were not sent would have.

        ``sent``: when the last of them would have been; ``checked``: when the leader last counted who answers.
        """
        there, back = self._delay(leader.id, follower.id), self._delay(follower.id, leader.id)
        now, contact = self._kernel.now, follower.last_contact
        if sent is not None:
            arrived = sent + there
            # The one before arrived and was answered in any case: both take less than a tick.
            contact = max(contact, arrived if arrived <= now else arrived - self._tick)
            if arrived > now:
                self._resend(MessageType.HEARTBEAT, leader, follower, arrived - now)
            elif arrived + back > now:
                self._resend(MessageType.HEARTBEAT_RESP, follower, leader, arrived + back - now)
            if checked is not None:
                answered = arrived + back if arrived + back <= now else arrived + back - self._tick
                leader.node.raft.tracker.progress[follower.id].recent_active = answered > checked
        follower.last_contact = contact
        follower.node.raft.election_elapsed = self._ticks_between(follower.id, contact, now)

    def _resend(self, kind: MessageType, source: Member, target: Member, delay: int) -> None:
        raft = source.node.raft
        message = Message(kind, target.id, source.id, raft.term)
        if kind is MessageType.HEARTBEAT:
            message.commit = min(raft.tracker.progress[target.id].match, raft.log.committed)
            message.context = 0
        self._network.send(endpoint(source.id), endpoint(target.id), message, lane=HEARTBEATS, delay=delay)

    def _delay(self, source: int, target: int) -> int:
        return self._network.typical_delay(endpoint(source), endpoint(target))

    # -- arithmetic -------------------------------------------------------------------------------------------

    def _ticks_between(self, member: int, after: int, until: int) -> int:
        """How many ticks of a member fall into ``(after, until]``."""
        phase = self._phases[member]
        return (until - phase) // self._tick - (after - phase) // self._tick

    def _time_of_tick(self, member: int, after: int, number: int) -> int:
        """When the ``number``-th tick after ``after`` is; number 0 is the last one up to then."""
        phase = self._phases[member]
        return ((after - phase) // self._tick + number) * self._tick + phase
