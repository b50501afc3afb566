"""A change of the membership, as it is written to the log (etcd: raftpb.ConfChangeV2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ksched.cluster.etcd.raft.names import Named

# Encoded bytes of one change: tags, length, type and the ten bytes of a random 64-bit member id.
_CHANGE_BYTES = 15


class ConfChangeType(Named):
    ADD_NODE = 0
    REMOVE_NODE = 1
    UPDATE_NODE = 2
    ADD_LEARNER_NODE = 3

    @property
    def prefix(self) -> str:
        return "ConfChange"


class Transition(Named):
    """How to change: AUTO does one change at once and several jointly; the others always go through a joint
    configuration, which the leader leaves by itself (IMPLICIT) or when an empty change is proposed (EXPLICIT)."""

    AUTO = 0
    JOINT_IMPLICIT = 1
    JOINT_EXPLICIT = 2

    @property
    def prefix(self) -> str:
        return "ConfChangeTransition"


@dataclass(slots=True, frozen=True)
class ConfChangeSingle:
    type: ConfChangeType
    member: int


@dataclass(slots=True, frozen=True)
class ConfChange:
    """Changes to be made together. Without changes it ends a joint configuration. ``context`` is the caller's."""

    changes: tuple[ConfChangeSingle, ...] = ()
    transition: Transition = Transition.AUTO
    context: Any = None
    context_size: int = 0

    @property
    def size(self) -> int:
        """Encoded bytes; 0 for the plain end of a joint configuration, which must never be refused for its size."""
        return _CHANGE_BYTES * len(self.changes) + self.context_size

    def leaves_joint(self) -> bool:
        return not self.changes and self.transition is Transition.AUTO

    def enters_joint(self) -> bool:
        return self.transition is not Transition.AUTO or len(self.changes) > 1

    def leaves_by_itself(self) -> bool:
        """Whether the joint configuration entered is to be left without being asked."""
        return self.transition is not Transition.JOINT_EXPLICIT

    def __str__(self) -> str:
        parts = [f"transition:{self.transition}"]
        parts += [f"changes:{{type:{change.type} node_id:{change.member}}}" for change in self.changes]
        return " ".join(parts)
