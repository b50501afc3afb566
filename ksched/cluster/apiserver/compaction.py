"""Periodic compaction of etcd by the api-server (storage/etcd3/compact.go).

Every interval it compacts to the revision that was current an interval ago, so clients always have at least that
long to catch up. Rounds in which nothing was written are not stepped: the timer runs only while there is something
to compact, on the same grid of times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ksched.cluster.apiserver.cacher import Cacher
from ksched.cluster.etcd.ops import Compact
from ksched.cluster.etcd.server import Etcd
from ksched.cluster.priorities import PERIODIC
from ksched.sim.kernel import Kernel


class Compactor:
    """Keeps history from growing for ever. An ``interval`` (ns) of 0 keeps all of it."""

    def __init__(self, kernel: Kernel, etcd: Etcd, cachers: Sequence[Cacher], interval: int) -> None:
        self._kernel = kernel
        self._etcd = etcd
        self._cachers = cachers
        self._interval = interval
        self._seen = 0  # the revision noted by the round before, 0 for none
        if interval:
            self._await_change()

    def _await_change(self) -> None:
        for cacher in self._cachers:
            cacher.on_change += (self._changed,)

    def _changed(self) -> None:
        # Writes are many and rounds are few: while the timer runs, nobody has to tell.
        for cacher in self._cachers:
            cacher.on_change = tuple(notify for notify in cacher.on_change if notify != self._changed)
        self._arm()

    def _arm(self) -> None:
        round_number = self._kernel.now // self._interval + 1
        self._kernel.call_background(round_number * self._interval, self._round, priority=PERIODIC)

    def _round(self) -> None:
        target, current = self._seen, self._etcd.store.revision
        self._seen = current
        if target > max(self._etcd.store.compact_revision, 1):
            self._etcd.submit(Compact(target), self._done(target))
        if current > target:
            self._arm()
        else:
            self._await_change()

    def _done(self, target: int) -> Callable[[Any, Exception | None], None]:
        def done(response: Any, error: Exception | None) -> None:
            if error is None:
                for cacher in self._cachers:
                    cacher.expire(target)

        return done
