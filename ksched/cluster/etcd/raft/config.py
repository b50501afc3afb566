"""The parameters of one member's consensus."""

from __future__ import annotations

from dataclasses import dataclass

from ksched.cluster.etcd.raft.messages import NONE, is_local_target
from ksched.cluster.etcd.raft.quorum import NO_LIMIT
from ksched.errors import InputError


@dataclass(slots=True, frozen=True, kw_only=True)
class RaftConfig:
    """Times are in ticks, sizes in bytes. Defaults are those of an etcd 3.5 server with its tick of 100 ms.

    An election starts after ``election_tick`` to ``2 * election_tick - 1`` ticks without a leader.
    ``applied`` is the last entry the state machine already holds at a restart. ``max_size_per_message`` bounds the
    entries of one append, ``max_committed_size_per_ready`` (None: the same) those handed out to be applied at once,
    ``max_uncommitted_size`` the payloads a leader takes without seeing them committed, ``max_inflight_messages`` and
    ``max_inflight_bytes`` what may be on its way to a follower. ``lease_based_reads`` answers read index requests
    without asking a quorum; it trusts clocks and needs ``check_quorum``.
    """

    id: int
    election_tick: int = 10
    heartbeat_tick: int = 1
    applied: int = 0
    async_storage_writes: bool = False
    max_size_per_message: int = 1024 * 1024
    max_committed_size_per_ready: int | None = None
    max_uncommitted_size: int = NO_LIMIT
    max_inflight_messages: int = 512
    max_inflight_bytes: int = NO_LIMIT
    check_quorum: bool = True
    pre_vote: bool = True
    lease_based_reads: bool = False
    disable_proposal_forwarding: bool = False
    disable_conf_change_validation: bool = False
    step_down_on_removal: bool = False

    def __post_init__(self) -> None:
        if self.id == NONE or is_local_target(self.id):
            raise InputError(f"{self.id} cannot be a member id", where="raft.id")
        if self.heartbeat_tick <= 0:
            raise InputError("must be greater than 0", where="raft.heartbeat_tick")
        if self.election_tick <= self.heartbeat_tick:
            raise InputError("must be greater than heartbeat_tick", where="raft.election_tick")
        if self.max_inflight_messages <= 0:
            raise InputError("must be greater than 0", where="raft.max_inflight_messages")
        if self.max_inflight_bytes < self.max_size_per_message:
            raise InputError("must be at least max_size_per_message", where="raft.max_inflight_bytes")
        if self.lease_based_reads and not self.check_quorum:
            raise InputError("needs check_quorum", where="raft.lease_based_reads")
