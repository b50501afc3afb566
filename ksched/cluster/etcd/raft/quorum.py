"""What a majority has acknowledged or voted (etcd: raft/quorum)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

# An index or size no log reaches.
NO_LIMIT = (1 << 64) - 1


class VoteResult(Enum):
    PENDING = "VotePending"
    LOST = "VoteLost"
    WON = "VoteWon"


def committed_index(voters: frozenset[int], acked: Mapping[int, int]) -> int:
    """The highest index that a majority of ``voters`` has acknowledged; a voter not in ``acked`` counts as 0.

    Without voters there is no bound: half of a joint quorum that is empty leaves the decision to the other half.
    """
    if not voters:
        return NO_LIMIT
    indexes = sorted([acked.get(voter, 0) for voter in voters])
    return indexes[(len(indexes) - 1) // 2]


def vote_result(voters: frozenset[int], votes: Mapping[int, bool]) -> VoteResult:
    """Whether a majority of ``voters`` said yes, still may, or cannot any more. Nobody's vote is won."""
    if not voters:
        return VoteResult.WON
    granted = sum(1 for voter in voters if votes.get(voter))
    missing = sum(1 for voter in voters if voter not in votes)
    majority = len(voters) // 2 + 1
    if granted >= majority:
        return VoteResult.WON
    if granted + missing >= majority:
        return VoteResult.PENDING
    return VoteResult.LOST


def joint_result(first: VoteResult, second: VoteResult) -> VoteResult:
    """A joint vote is won when both halves are, and lost when either is."""
    if first is second:
        return first
    if VoteResult.LOST in (first, second):
        return VoteResult.LOST
    return VoteResult.PENDING
