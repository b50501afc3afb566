"""Clients of an etcd cluster under test: they ask for random things, and note what they asked, when, and what came.

Every value is written once, so that a read tells which write it saw.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from ksched.cluster.etcd.errors import EtcdError
from ksched.cluster.etcd.ops import (
    FROM_KEY,
    Compact,
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRange,
    Put,
    Range,
    Txn,
    WatchBatch,
)
from ksched.cluster.etcd.server import Etcd
from ksched.sim.kernel import MILLISECOND, Kernel
from ksched.testing.linearizability import Operation

KEYS = (b"a", b"b", b"c")
_PATIENCE = 1_200 * MILLISECOND
_THINKING_TIME = 25 * MILLISECOND


@dataclass(slots=True)
class Asked:
    """One request. ``call`` and ``end`` count moments; ``end`` None: the outcome is not known.

    ``request`` is in the terms of ``linearizability.Register``, with the key first; ``op`` is what etcd was sent.
    """

    call: int
    request: tuple[Any, ...]
    op: Any
    local: bool = False
    end: int | None = None
    result: Any = None
    revision: int = 0

    def answered(self, moment: int, response: Any) -> None:
        """Note what came, and when."""
        self.end = moment
        self.revision = response.revision
        self.result = _result(self.request, response)

    def operation(self) -> Operation:
        return Operation(self.call, self.end, self.request[1:], self.result)


@dataclass(slots=True)
class Watched:
    """One watch and what it was told. ``start`` 0: from the moment it was made; ``member`` None: any member's."""

    start: int
    prev_kv: bool
    member: int | None
    batches: list[WatchBatch]


class Clients:
    """``number`` clients of ``etcd``, each with one request at a time, and some watches."""

    def __init__(self, kernel: Kernel, etcd: Etcd, chance: np.random.Generator, number: int) -> None:
        self.asked: list[Asked] = []
        self.watched: list[Watched] = []
        self.active = True
        self._kernel = kernel
        self._etcd = etcd
        self._chance = chance
        self._moments = count()
        self._values = count(1)
        self._leases = count(1000)
        # What each client last saw in a key, for compare-and-set.
        self._seen: list[dict[bytes, Any]] = [{} for _ in range(number)]
        for client in range(number):
            self._think(client)
        for _ in range(2):
            self.watch()

    def watch(self) -> None:
        """Watch everything, from some revision that has been or from now on, at a member or at any."""
        chance = self._chance
        revision = self._etcd.store.revision
        start = int(chance.integers(revision + 2))
        watched = Watched(start, bool(chance.integers(2)), self._member(), [])
        self.watched.append(watched)
        self._etcd.watch(
            watched.batches.append,
            FROM_KEY,
            FROM_KEY,
            start_revision=start,
            prev_kv=watched.prev_kv,
            member=watched.member,
        )

    def read_all(self) -> None:
        """Read every key once more, through the leader; without one the reads stay unanswered."""
        for key in KEYS:
            self._ask(len(self._seen) - 1, (key, "read"), Range(key), self._etcd.leader(), False)

    # -- one client -------------------------------------------------------------------------------------------

    def _member(self) -> int | None:
        """Half of the time any member, else a certain one."""
        members = list(self._etcd.group.members)
        return members[int(self._chance.integers(len(members)))] if self._chance.random() < 0.5 else None

    def _think(self, client: int) -> None:
        pause = int(self._chance.exponential(_THINKING_TIME))
        self._kernel.call_later(pause, self._next, client)

    def _next(self, client: int) -> None:
        if not self.active:
            return
        chance = self._chance
        key = KEYS[int(chance.integers(len(KEYS)))]
        value = b"%d" % next(self._values)
        kind, member = chance.random(), self._member()
        if kind < 0.35:
            self._ask(client, (key, "write", value), Put(key, value), member, False)
        elif kind < 0.6:
            self._ask(client, (key, "read"), Range(key), member, chance.random() < 0.25)
        elif kind < 0.8:
            old = self._seen[client].get(key)
            self._ask(client, (key, "cas", old, value), _compare_and_set(key, old, value), member, False)
        elif kind < 0.9:
            self._ask(client, (key, "write", None), DeleteRange(key), member, False)
        elif kind < 0.95:
            self._lease_something(client, value)
        elif kind < 0.98:
            self._etcd.submit(Compact(max(self._etcd.store.revision - 5, 1)), lambda response, error: None)
            self._think(client)
        else:
            self.watch()
            self._think(client)

    def _lease_something(self, client: int, value: bytes) -> None:
        """Put a key, that nobody else uses, on a lease nobody keeps alive."""
        lease = next(self._leases)

        def granted(response: Any, error: EtcdError | None) -> None:
            if error is None:
                self._etcd.submit(Put(b"lease/%d" % lease, value, lease=lease), lambda response, error: None)

        self._etcd.lease_grant(1, granted, lease)
        self._think(client)

    def _ask(self, client: int, request: tuple[Any, ...], op: Any, member: int | None, local: bool) -> None:
        asked = Asked(next(self._moments), request, op, local)
        self.asked.append(asked)
        waiting = True

        def answer(response: Any, error: EtcdError | None) -> None:
            nonlocal waiting
            if not waiting:
                return
            waiting = False
            impatience.cancel()
            if error is None:
                asked.answered(next(self._moments), response)
                if request[1] == "read":
                    self._seen[client][request[0]] = asked.result
            self._think(client)

        def give_up() -> None:
            nonlocal waiting
            waiting = False
            self._think(client)

        impatience = self._kernel.call_later(_PATIENCE, give_up)
        self._etcd.submit(op, answer, member=member, serializable=local)


def _compare_and_set(key: bytes, old: bytes | None, new: bytes) -> Txn:
    if old is None:
        compare = Compare(key, CompareTarget.CREATE, CompareResult.EQUAL, 0)
    else:
        compare = Compare(key, CompareTarget.VALUE, CompareResult.EQUAL, old)
    return Txn((compare,), (Put(key, new),))


def _result(request: tuple[Any, ...], response: Any) -> Any:
    if request[1] == "read":
        return response.kvs[0].value if response.kvs else None
    return response.succeeded if request[1] == "cas" else None
