"""Schedules of crashes, partitions and elections that bring an etcd cluster to where one rule of Raft matters.

Random trouble comes to these places too rarely. A scenario is one history without chance, which a correct cluster gets
through; what is checked is what the swarm checks.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Literal, NamedTuple

from ksched.cluster.etcd.errors import EtcdError
from ksched.cluster.etcd.member import Member, endpoint
from ksched.cluster.etcd.ops import Put, Range, Request, Response
from ksched.cluster.etcd.raft import Message, MessageType
from ksched.cluster.etcd.raft.progress import Progress
from ksched.cluster.etcd.server import Etcd, EtcdConfig
from ksched.sim.delays import Constant
from ksched.sim.disk import DiskConfig
from ksched.sim.kernel import MILLISECOND, MINUTE, SECOND, Kernel
from ksched.sim.network import LinkQuality
from ksched.sim.streams import Streams
from ksched.testing.etcd_clients import KEYS, Asked
from ksched.testing.etcd_invariants import Invariants, Violation
from ksched.testing.etcd_swarm import check_end

_KEY = KEYS[0]
_A_WHILE = 50 * MILLISECOND
_UNTIL_ALL_IS_WELL = 30 * MINUTE


class _Scene:
    """A cluster whose clocks are so slow that members do only what a scenario tells them.

    ``members`` are their ids, that of the first leader first. A message takes a millisecond, and so does a sync.
    """

    def __init__(self, size: Literal[3, 5], max_append_bytes: int = 1024 * 1024) -> None:
        self.kernel = Kernel()
        config = EtcdConfig(
            members=size,
            peers=LinkQuality(delay=Constant(value=MILLISECOND)),
            disk=DiskConfig(sync=Constant(value=MILLISECOND)),
            heartbeat=MINUTE,
            election=5 * MINUTE,
            max_append_bytes=max_append_bytes,
            stepped=True,
        )
        self.etcd = Etcd(self.kernel, Streams(0), config)
        self.invariants = Invariants(self.kernel)
        self.etcd.group.observers.append(self.invariants)
        leader = self.etcd.leader()
        self.members = [leader, *(member for member in self.etcd.group.members if member != leader)]
        self._asked: list[Asked] = []
        self._moments = count()

    # -- what members and the network do ----------------------------------------------------------------------

    def wait(self) -> None:
        """Until all that is on its way has arrived, or was lost."""
        self.kernel.run(self.kernel.now + _A_WHILE)

    def wait_until(self, holds: Callable[[], bool]) -> bool:
        """Stop in the very moment something ``holds``; False if it does not happen in a while."""
        end = self.kernel.now + _A_WHILE
        while not holds():
            at = self.kernel.next_time()
            if at is None or at > end:
                return False
            self.kernel.step()
        return True

    def split(self, *groups: list[int]) -> None:
        """Members reach those of their own group, and nobody else."""
        self.etcd.heal()
        self.etcd.partition(*groups)

    def begin_anew(self, member: int) -> None:
        """Crash a member if it is up, and start it again."""
        if self._member(member).up:
            self.etcd.crash(member)
        self.etcd.restart(member)

    def elect(self, member: int) -> None:
        """Have a member campaign, as one does that is told to take over, until it leads."""
        for _ in range(3):
            take_over = Message(MessageType.TIMEOUT_NOW, member)
            self.etcd.group.network.send("scenario", endpoint(member), take_over)
            if self.wait_until(lambda: self._member(member).leads):
                return
            # A candidate without success would wait for its slow clock.
            self.begin_anew(member)
        raise Violation("schedule", f"member {member} cannot be elected")

    def last_index(self, member: int) -> int:
        """Where a member's log ends."""
        return self._member(member).node.raft.log.last_index()

    def progress(self, leader: int, follower: int) -> Progress:
        """What a leader knows of a follower."""
        return self._member(leader).node.raft.tracker.progress[follower]

    def _member(self, member: int) -> Member:
        return self.etcd.group.members[member]

    # -- what clients do --------------------------------------------------------------------------------------

    def write(self, member: int) -> None:
        """Ask a member to write something new."""
        value = b"%d" % len(self._asked)
        self._ask(("write", value), Put(_KEY, value), member)

    def read(self, member: int) -> Asked:
        """Ask a member for a linearizable read."""
        return self._ask(("read",), Range(_KEY), member)

    def _ask(self, request: tuple[object, ...], op: Request, member: int) -> Asked:
        asked = Asked(next(self._moments), (_KEY, *request), op)
        self._asked.append(asked)

        def note(response: Response, error: EtcdError | None) -> None:
            if error is None:
                asked.answered(next(self._moments), response)

        self.etcd.submit(op, note, member=member)
        return asked

    # -- the end ----------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Mend everything, and check what etcd promises."""
        self.etcd.heal()
        for member in self.members:
            self.etcd.restart(member)
        self.kernel.run(self.kernel.now + _UNTIL_ALL_IS_WELL)
        last = self.read(self.etcd.leader() or self.members[0])
        self.kernel.run(self.kernel.now + SECOND)
        if last.end is None:
            raise Violation("recovery", "the cluster does not serve although nothing is wrong with it any more")
        check_end(self.etcd, self.invariants, self._asked, [])


def _asked_for_its_vote_again() -> None:
    """The member dies before it hears of the leader it made: nothing but its disk can know of its vote."""
    scene = _Scene(3)
    late, early, voter = scene.members
    scene.begin_anew(late)
    scene.split([early, voter], [late])
    scene.elect(early)
    scene.begin_anew(voter)
    scene.split([early], [voter, late])
    scene.elect(late)
    scene.end()


def _on_a_majority_and_not_committed() -> None:
    """Figure 8 of the Raft paper, (a) to (d); appends carry one entry each, to stop between two."""
    scene = _Scene(5, max_append_bytes=1)
    s1, s2, s3, s4, s5 = scene.members
    scene.split([s1, s2], [s3, s4, s5])
    scene.write(s1)
    scene.wait()
    old = scene.last_index(s1)

    scene.elect(s5)
    # Before it has told anybody of its entry, which it keeps.
    scene.etcd.isolate(s5)
    scene.wait()
    scene.etcd.crash(s5)

    scene.begin_anew(s1)
    scene.split([s1, s2, s3], [s4, s5])
    scene.elect(s1)
    if not scene.wait_until(lambda: scene.progress(s1, s3).match == old):
        raise Violation("schedule", "the old entry does not come to a majority")
    scene.etcd.isolate(s1)
    scene.wait()

    scene.etcd.crash(s1)
    scene.etcd.restart(s5)
    scene.split([s1], [s2], [s3, s4, s5])
    scene.elect(s5)
    scene.write(s5)
    scene.wait()
    scene.end()


def _a_long_tail_of_its_own() -> None:
    """A stranded leader has entries in common with the next one that it does not know to be committed, and behind
    them entries that nobody else has. An append from before the tail, with a commit index behind its start, says
    nothing about it. A leader may send that: where a log ends it can only guess. Ours guesses well, so it is made to
    begin with what the follower has acknowledged."""
    scene = _Scene(3, max_append_bytes=1)
    stranded, leader, third = scene.members
    scene.etcd.cut(leader, stranded)
    scene.etcd.cut(third, stranded)
    scene.write(stranded)
    scene.write(stranded)
    scene.wait()
    scene.split([stranded], [leader, third])
    for _ in range(3):
        scene.write(stranded)
    scene.elect(leader)
    for _ in range(3):
        scene.write(leader)
    scene.wait()
    scene.etcd.heal()
    scene.progress(leader, stranded).become_probe()
    scene.write(leader)
    scene.wait()
    scene.end()


def _a_read_from_a_stranded_leader() -> None:
    """It believes that it leads, and has not heard of what its successor wrote."""
    scene = _Scene(3)
    stranded, leader, third = scene.members
    scene.write(stranded)
    scene.wait()
    scene.split([stranded], [leader, third])
    scene.elect(leader)
    scene.write(leader)
    scene.wait()
    scene.read(stranded)
    scene.wait()
    scene.end()


class Scenario(NamedTuple):
    """``play`` raises Violation, or InvariantViolated, if something that ``claim`` says, or etcd promises, breaks."""

    claim: str
    play: Callable[[], None]


SCENARIOS = (
    Scenario("a member that voted, died and is asked again in the same term has one vote", _asked_for_its_vote_again),
    Scenario("an old entry that a majority has can still be replaced", _on_a_majority_and_not_committed),
    Scenario("a long tail that only one member has is never applied", _a_long_tail_of_its_own),
    Scenario("a leader that missed its successor's election serves no reads", _a_read_from_a_stranded_leader),
)
