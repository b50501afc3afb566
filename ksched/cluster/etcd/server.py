"""An etcd cluster as its clients meet it: requests that take time, watches over a connection, leases that expire.

The state is a :class:`Store`; this module adds the clock. One member commits alone: a write is durable after one
``commit`` delay and writes commit in the order they arrived. All delays are zero by default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict

from ksched.cluster.etcd import errors
from ksched.cluster.etcd.errors import EtcdError
from ksched.cluster.etcd.ops import (
    LeaseGrant,
    LeaseResponse,
    LeaseRevoke,
    Put,
    PutIf,
    Range,
    Request,
    Response,
    Txn,
    WatchBatch,
)
from ksched.cluster.etcd.store import Store
from ksched.cluster.etcd.watches import Sink, Watch
from ksched.cluster.priorities import DELIVERY
from ksched.sim.channels import Channel, OrderedChannel
from ksched.sim.delays import Constant, Delay, Sampler
from ksched.sim.kernel import SECOND, Kernel, Timer
from ksched.sim.streams import Streams

Then = Callable[[Any, EtcdError | None], object]
"""Called with (response, None) or (None, error)."""


class EtcdConfig(BaseModel):
    """Latencies and limits of etcd.

    ``network``: one way between a client (the api-server) and etcd. ``commit``: making a write durable (fsync, and
    replication where there are several members). ``read``: a linearizable read's confirmation (read index).
    ``max_request_bytes``: a larger request is refused. ``min_lease_ttl``: a shorter lease lasts so many seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: Delay = Constant()
    commit: Delay = Constant()
    read: Delay = Constant()
    max_request_bytes: int = 3 * 512 * 1024
    min_lease_ttl: int = 2


class WatchHandle:
    """A watch as its client holds it; ``cancel()`` ends it, and what is still on its way is dropped."""

    __slots__ = ("_etcd", "_watch", "open")

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd
        self._watch: Watch | None = None
        self.open = True

    def cancel(self) -> None:
        self.open = False
        if self._watch is not None:
            self._etcd.store.cancel_watch(self._watch)


class Etcd:
    """One etcd cluster. All calls return at once and answer through ``then(response, error)``."""

    def __init__(self, kernel: Kernel, streams: Streams, config: EtcdConfig | None = None) -> None:
        self.config = config or EtcdConfig()
        self.store = Store()
        self._kernel = kernel
        self._network = Sampler(self.config.network, streams, "etcd/network")
        self._requests = Channel(kernel, self._network, priority=DELIVERY, inline=True)
        self._commits = OrderedChannel(
            kernel, Sampler(self.config.commit, streams, "etcd/commit"), priority=DELIVERY, inline=True
        )
        self._reads = Channel(kernel, Sampler(self.config.read, streams, "etcd/read"), priority=DELIVERY, inline=True)
        self._expiries: dict[int, Timer] = {}
        self._next_lease_id = 1

    def submit(self, op: Request, then: Then) -> None:
        """Execute ``op``: a read after the ``read`` delay, anything else after its commit."""
        if _encoded_size(op) > self.config.max_request_bytes:
            self._requests.send(then, None, errors.request_too_large())
            return
        through = self._reads if type(op) is Range else self._commits
        self._requests.send(through.send, self._apply, op, then)

    def watch(
        self,
        sink: Sink,
        key: bytes,
        range_end: bytes | None = None,
        *,
        start_revision: int = 0,
        prev_kv: bool = False,
    ) -> WatchHandle:
        """Watch keys; batches arrive at ``sink`` in order, each ``network`` after its commit."""
        handle = WatchHandle(self)
        connection = OrderedChannel(self._kernel, self._network, priority=DELIVERY, inline=True)

        def receive(batch: WatchBatch) -> None:
            if handle.open:
                sink(batch)

        def register() -> None:
            if handle.open:
                handle._watch = self.store.watch(
                    lambda batch: connection.send(receive, batch),
                    key,
                    range_end,
                    start_revision=start_revision,
                    prev_kv=prev_kv,
                )

        self._requests.send(register)
        return handle

    def lease_grant(self, ttl: int, then: Then, lease_id: int = 0) -> None:
        """Grant a lease of at least ``min_lease_ttl`` seconds; id 0 lets the server choose."""
        if lease_id == 0:
            lease_id = self._next_lease_id
            while lease_id in self.store.leases:
                lease_id += 1
            self._next_lease_id = lease_id + 1

        def granted(response: LeaseResponse | None, error: EtcdError | None) -> None:
            if response is not None:
                self._arm(response.id, response.ttl)
            then(response, error)

        self.submit(LeaseGrant(lease_id, max(ttl, self.config.min_lease_ttl)), granted)

    def lease_keep_alive(self, lease_id: int, then: Then) -> None:
        """Start the lease's time anew; a lease unknown answers with a ttl of 0."""

        def renew() -> None:
            lease = self.store.leases.get(lease_id)
            if lease is not None:
                self._arm(lease_id, lease.ttl)
            ttl = lease.ttl if lease is not None else 0
            self._requests.send(then, LeaseResponse(self.store.revision, lease_id, ttl), None)

        self._requests.send(renew)

    def lease_revoke(self, lease_id: int, then: Then) -> None:
        """End a lease now; the keys attached to it go in one revision."""
        timer = self._expiries.pop(lease_id, None)
        if timer is not None:
            timer.cancel()
        self.submit(LeaseRevoke(lease_id), then)

    def lease_remaining(self, lease_id: int) -> int:
        """Whole seconds a lease has left; -1 when there is no such lease."""
        timer = self._expiries.get(lease_id)
        return -1 if timer is None else (timer.time - self._kernel.now) // SECOND

    def _arm(self, lease_id: int, ttl: int) -> None:
        timer = self._expiries.get(lease_id)
        if timer is not None:
            timer.cancel()
        self._expiries[lease_id] = self._kernel.call_later(ttl * SECOND, self._expire, lease_id, priority=DELIVERY)

    def _expire(self, lease_id: int) -> None:
        self.lease_revoke(lease_id, lambda response, error: None)

    def _apply(self, op: Request, then: Then) -> None:
        response: Response | None = None
        error: EtcdError | None = None
        try:
            response = self.store.apply(op)
        except EtcdError as refused:
            error = refused
        self._requests.send(then, response, error)


def _encoded_size(op: Request) -> int:
    """Bytes of a request, as far as the size limit is concerned: its keys and values."""
    if isinstance(op, Put | PutIf):
        return len(op.key) + (op.size if op.size >= 0 else len(op.value or b""))
    if isinstance(op, Txn):
        size = 0
        for branch in (op.success, op.failure):
            for inner in branch:
                if not isinstance(inner, Range):
                    size += _encoded_size(inner)
        return size
    return 0
