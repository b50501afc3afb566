"""A look at a member from outside (etcd: raft/status.go)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ksched.cluster.etcd.raft.configuration import Configuration
from ksched.cluster.etcd.raft.messages import HardState
from ksched.cluster.etcd.raft.progress import Progress
from ksched.cluster.etcd.raft.role import SoftState


@dataclass(slots=True, frozen=True)
class Status:
    """``progress`` is the live view of a leader, by member, to be read only; empty on others."""

    id: int
    hard_state: HardState
    soft_state: SoftState
    applied: int
    lead_transferee: int
    configuration: Configuration
    progress: Mapping[int, Progress]
