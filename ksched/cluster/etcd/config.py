"""The parameters of an etcd cluster: its size, its clocks, how long things take, its limits."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ksched.sim.delays import Constant, Delay, Duration, LogNormal
from ksched.sim.disk import DiskConfig
from ksched.sim.kernel import MICROSECOND, MILLISECOND, SECOND
from ksched.sim.network import LinkQuality


class EtcdConfig(BaseModel):
    """Sizes, latencies and limits of etcd; times default to zero and limits to etcd's.

    ``members``: how many vote. ``network``: one way between a client (the api-server) and a member. ``commit`` and
    ``read``: a member's own work on a write and on a read. On top of them a write waits for the disks (``disk``) and
    the links between members (``peers``) of a majority, and a linearizable read for a round to a majority.

    ``heartbeat`` is also the members' tick; an election starts one to two ``election`` after the last sign of the
    leader. ``snapshot_count``: entries applied between two snapshots (etcd 3.6; before, 100000), ``catch_up``:
    entries kept behind one for slow followers. ``lease_check``: how often expired leases are looked for.
    ``max_request_bytes``, ``max_append_bytes`` (of entries in one message between members; a single entry may be
    larger), ``min_lease_ttl`` (seconds).

    ``stepped`` runs every heartbeat and the whole of Raft even where nothing can come of it. Results are the same;
    it is for tests of just that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    members: Literal[1, 3, 5] = 1
    network: Delay = Constant()
    commit: Delay = Constant()
    read: Delay = Constant()
    peers: LinkQuality = LinkQuality()
    disk: DiskConfig = DiskConfig()
    heartbeat: Duration = Field(default=100 * MILLISECOND, gt=0)
    election: Duration = Field(default=SECOND, gt=0)
    snapshot_count: int = Field(default=10_000, gt=0)
    catch_up: int = Field(default=5_000, ge=0)
    lease_check: Duration = 500 * MILLISECOND
    max_request_bytes: int = 3 * 512 * 1024
    max_append_bytes: int = Field(default=1024 * 1024, gt=0)
    min_lease_ttl: int = 2
    stepped: bool = False

    @model_validator(mode="after")
    def _election_is_longer(self) -> EtcdConfig:
        if self.election < 5 * self.heartbeat:
            raise ValueError("election must be at least five heartbeats, as etcd demands")
        return self

    @property
    def election_ticks(self) -> int:
        return self.election // self.heartbeat

    @property
    def request_timeout(self) -> int:
        """How long a member tries to serve a request, in ns (etcd: ServerConfig.ReqTimeout)."""
        return 5 * SECOND + 2 * self.election

    @property
    def raft_is_observable(self) -> bool:
        """False when agreement among healthy members takes no time, so that one store can stand for all."""
        peers = self.peers
        instant = peers.delay.is_zero and not peers.has_accidents and self.disk.sync.is_zero
        return self.stepped or not instant

    @classmethod
    def measured(cls, members: Literal[1, 3, 5] = 1) -> EtcdConfig:
        """Delays fitted to etcd 3.5.1, all members on one machine with a fast virtual disk, one client, values of 256
        bytes over the JSON gateway.

        Measured (median and 99th percentile): puts 0.62 and 1.8 ms with one member; with three 1.26 and 2.95 ms
        through the leader, 1.31 and 2.6 ms through a follower. Several members share the disk and the processors,
        which is why their syncs take so much longer than a lone member's.
        """
        sync = (90, 0.2) if members == 1 else (540, 0.5)
        return cls(
            members=members,
            network=_micros(206, 0.32, offset=10),
            commit=_micros(45, 1.35),
            read=_micros(20, 0),
            peers=LinkQuality(delay=_micros(30, 0.6, offset=10)),
            disk=DiskConfig(sync=_micros(*sync)),
        )


def _micros(median: int, sigma: float, offset: int = 0) -> LogNormal:
    return LogNormal(median=median * MICROSECOND, sigma=sigma, offset=offset * MICROSECOND)
