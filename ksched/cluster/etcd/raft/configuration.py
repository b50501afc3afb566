"""Who is a member: the voters of one or, in transition, two majorities, and the learners."""

from __future__ import annotations

from dataclasses import dataclass, field

from ksched.cluster.etcd.raft import quorum
from ksched.cluster.etcd.raft.names import id_list
from ksched.cluster.etcd.raft.quorum import VoteResult

_NOBODY: frozenset[int] = frozenset()


@dataclass(slots=True, frozen=True)
class Configuration:
    """The membership at one point of the log (etcd: raftpb.ConfState and tracker.Config in one).

    ``outgoing`` is empty unless the configuration is joint; then decisions need a majority of both. A learner is
    never a voter of either. A voter of ``outgoing`` that is to become a learner waits in ``learners_next``.
    ``auto_leave`` has the leader propose the end of the joint configuration by itself.
    """

    voters: frozenset[int] = field(default=_NOBODY)
    outgoing: frozenset[int] = field(default=_NOBODY)
    learners: frozenset[int] = field(default=_NOBODY)
    learners_next: frozenset[int] = field(default=_NOBODY)
    auto_leave: bool = False

    @property
    def joint(self) -> bool:
        return bool(self.outgoing)

    def all_voters(self) -> frozenset[int]:
        return self.voters | self.outgoing if self.outgoing else self.voters

    def members(self) -> frozenset[int]:
        """Everybody who takes part; those in ``learners_next`` are still voters of ``outgoing``."""
        return self.voters | self.outgoing | self.learners

    def is_single_voter(self) -> bool:
        return len(self.voters) == 1 and not self.outgoing

    def committed_index(self, acked: dict[int, int]) -> int:
        """The highest index acknowledged by a quorum; ``acked`` is by member, a missing one counts as 0."""
        index = quorum.committed_index(self.voters, acked)
        if self.outgoing:
            return min(index, quorum.committed_index(self.outgoing, acked))
        return index

    def vote_result(self, votes: dict[int, bool]) -> VoteResult:
        return quorum.joint_result(
            quorum.vote_result(self.voters, votes),
            quorum.vote_result(self.outgoing, votes),
        )

    def __str__(self) -> str:
        text = "voters=" + id_list(self.voters)
        if self.outgoing:
            text += "&&" + id_list(self.outgoing)
        if self.learners:
            text += " learners=" + id_list(self.learners)
        if self.learners_next:
            text += " learners_next=" + id_list(self.learners_next)
        if self.auto_leave:
            text += " autoleave"
        return text
