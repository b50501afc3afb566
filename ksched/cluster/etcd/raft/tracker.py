"""The leader's view of everybody, and the votes of an election (etcd: raft/tracker/tracker.go)."""

from __future__ import annotations

from ksched.cluster.etcd.raft.configuration import Configuration
from ksched.cluster.etcd.raft.inflights import Inflights
from ksched.cluster.etcd.raft.progress import Progress
from ksched.cluster.etcd.raft.quorum import NO_LIMIT, VoteResult


class ProgressTracker:
    """The configuration, a ``Progress`` per member of it (ascending by id), and who voted what."""

    __slots__ = ("configuration", "max_inflight_bytes", "max_inflight_messages", "progress", "votes")

    def __init__(self, max_inflight_messages: int, max_inflight_bytes: int = NO_LIMIT) -> None:
        self.configuration = Configuration()
        self.progress: dict[int, Progress] = {}
        self.votes: dict[int, bool] = {}
        self.max_inflight_messages = max_inflight_messages
        self.max_inflight_bytes = max_inflight_bytes

    def switch(self, configuration: Configuration, progress: dict[int, Progress]) -> None:
        self.configuration = configuration
        # Kept in order, because everything done for each member is done in the order of their ids.
        self.progress = dict(sorted(progress.items()))

    def new_progress(self, next_index: int, *, is_learner: bool) -> Progress:
        inflights = Inflights(self.max_inflight_messages, self.max_inflight_bytes)
        return Progress(next=next_index, inflights=inflights, is_learner=is_learner)

    def reset(self, own_id: int, last_index: int) -> None:
        """Forgets everything known of the others, as a member does whenever its role or term changes."""
        self.votes = {}
        for member, old in self.progress.items():
            progress = self.new_progress(last_index + 1, is_learner=old.is_learner)
            if member == own_id:
                progress.match = last_index
            self.progress[member] = progress

    def committed(self) -> int:
        """The highest index that a quorum has in its log."""
        return self.configuration.committed_index({member: p.match for member, p in self.progress.items()})

    def quorum_active(self) -> bool:
        """Whether a quorum was heard of since the flags were last cleared."""
        active = {member: p.recent_active for member, p in self.progress.items() if not p.is_learner}
        return self.configuration.vote_result(active) is VoteResult.WON

    def record_vote(self, member: int, granted: bool) -> None:
        """The first vote of a member counts."""
        self.votes.setdefault(member, granted)

    def tally(self) -> tuple[int, int, VoteResult]:
        """Votes granted, votes refused (of present voters), and what they come to."""
        cast = [self.votes[m] for m, p in self.progress.items() if not p.is_learner and m in self.votes]
        granted = sum(cast)
        return granted, len(cast) - granted, self.configuration.vote_result(self.votes)
