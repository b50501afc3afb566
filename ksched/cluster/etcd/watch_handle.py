"""A watch as its client holds it, which outlives the member that serves it (etcd: client/v3/watch.go)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ksched.cluster.etcd.ops import WatchBatch
from ksched.cluster.etcd.store import Store
from ksched.cluster.etcd.watches import Sink, Watch
from ksched.sim.channels import OrderedChannel

if TYPE_CHECKING:
    from ksched.cluster.etcd.member import Member


class WatchHandle:
    """Batches arrive at ``sink`` in order, each once. ``cancel()`` ends it; what is still on its way is dropped.

    ``member`` serves it, None while all members are one or none does. ``pinned`` is the only one that may, None: any.
    """

    __slots__ = (
        "_args",
        "_connect",
        "_connection",
        "_received",
        "_sent",
        "_sink",
        "_store",
        "_watch",
        "member",
        "open",
        "pinned",
    )

    def __init__(
        self,
        connect: Callable[[], OrderedChannel],
        sink: Sink,
        key: bytes,
        range_end: bytes | None,
        start_revision: int,
        prev_kv: bool,
        pinned: int | None,
    ) -> None:
        self.open = True
        self.member: Member | None = None
        self.pinned = pinned
        self._connect = connect
        self._sink = sink
        self._args = (key, range_end, prev_kv)
        # The revision to begin from: next to be sent by the member, next to be received by the client. 0: from now on.
        self._sent = self._received = start_revision
        self._connection: OrderedChannel | None = None
        self._watch: Watch | None = None
        self._store: Store | None = None

    def cancel(self) -> None:
        self.open = False
        self.leave()

    def leave(self) -> None:
        """Leave the member; what it has sent and the client has not received will be asked for again."""
        if self._watch is not None and self._store is not None:
            self._store.cancel_watch(self._watch)
        self._note_received()
        self._watch = self._connection = self.member = self._store = None

    def connect(self, store: Store, member: Member | None) -> None:
        """Be served from ``store`` over a new connection, from where the client stands."""
        self.leave()
        self._connection = self._connect()
        self._sent = self._received
        self.member = member
        self.serve(store)

    def serve(self, store: Store) -> None:
        """Be served from ``store`` from now on, over the same connection: the member has taken over a snapshot."""
        self._note_received()
        self._store = store
        # Over a connection that takes no time whatever is sent has been received.
        at_once = self._connection is not None and self._connection.is_instant
        if at_once:
            self._sent = self._received
        if not self._sent:
            self._sent = self._received = store.revision + 1
        key, range_end, prev_kv = self._args
        sink = self._receive if at_once else self._send
        self._watch = store.watch(sink, key, range_end, start_revision=self._sent, prev_kv=prev_kv)
        if at_once and self.open:
            # What there was to catch up with has been received. From here on the watch itself knows where it stands.
            self._watch.sink = self._sink

    def _note_received(self) -> None:
        """Over a connection that takes no time it is the watch that knows; and it is not to be told any more."""
        watch = self._watch
        if watch is not None and watch.sink is self._sink:
            self._received = watch.from_revision
            watch.sink = _nobody

    def _send(self, batch: WatchBatch) -> None:
        connection = self._connection
        if connection is not None:
            self._sent = batch.revision + 1
            connection.send(self._arrive, batch, connection)

    def _arrive(self, batch: WatchBatch, connection: OrderedChannel) -> None:
        if connection is self._connection:
            self._receive(batch)

    def _receive(self, batch: WatchBatch) -> None:
        if self.open:
            self._received = batch.revision + 1
            if batch.canceled:
                self.cancel()
            self._sink(batch)


def _nobody(batch: WatchBatch) -> None:
    """Stands in for the client of a watch that is over."""
