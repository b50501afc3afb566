"""What a member is at a moment."""

from __future__ import annotations

from dataclasses import dataclass

from ksched.cluster.etcd.raft.messages import NONE
from ksched.cluster.etcd.raft.names import Named


class Role(Named):
    FOLLOWER = 0
    CANDIDATE = 1
    LEADER = 2
    PRE_CANDIDATE = 3

    @property
    def prefix(self) -> str:
        return "State"


@dataclass(slots=True, frozen=True)
class SoftState:
    """Who leads, as far as this member knows, and what it is itself. Not kept over a restart."""

    lead: int = NONE
    role: Role = Role.FOLLOWER
