"""Who is interested in which key: watch registrations and the index that finds them.

The key space is cut at every watch's bounds; each piece knows its watchers, so that a write costs one bisection plus
the watchers that are really concerned. etcd uses an interval tree (server/mvcc/watcher_group.go) to the same end.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from ksched.cluster.etcd.ops import FROM_KEY, KeyValue, WatchBatch, watch_batch

Sink = Callable[[WatchBatch], object]


class Watch:
    """One registered watch; ``Store.watch`` makes it, ``Store.cancel_watch`` ends it.

    ``from_revision`` is where it stands: the first revision of which it has not been told.
    """

    __slots__ = ("from_revision", "id", "is_plain", "key", "no_delete", "no_put", "prev_kv", "range_end", "sink")

    def __init__(
        self,
        watch_id: int,
        key: bytes,
        range_end: bytes | None,
        sink: Sink,
        from_revision: int,
        prev_kv: bool,
        no_put: bool,
        no_delete: bool,
    ) -> None:
        self.id = watch_id
        self.key = key
        self.range_end = range_end
        self.sink = sink
        self.from_revision = from_revision
        self.prev_kv = prev_kv
        self.no_put = no_put
        self.no_delete = no_delete
        # Told of every change, and of nothing but the change.
        self.is_plain = not (prev_kv or no_put or no_delete)

    def covers(self, key: bytes) -> bool:
        """True when ``key`` is one the watch asked for."""
        if self.range_end is None:
            return key == self.key
        return self.key <= key and (self.range_end == FROM_KEY or key < self.range_end)

    def deliver(self, revision: int, kvs: tuple[KeyValue, ...], before: Callable[[KeyValue], KeyValue | None]) -> None:
        """Pass on what the watch's filters leave of one revision's changes; ``before`` tells what one replaced."""
        if revision < self.from_revision:
            return
        self.from_revision = revision + 1
        if self.no_put or self.no_delete:
            kvs = tuple([kv for kv in kvs if not (self.no_put if kv.version else self.no_delete)])
            if not kvs:
                return
        previous = tuple(map(before, kvs)) if self.prev_kv else ()
        self.sink(watch_batch((revision, kvs, previous, False, 0)))


class WatchIndex:
    """Finds the watches of a key; ordered by registration."""

    def __init__(self) -> None:
        self._watches: dict[int, Watch] = {}
        self._bounds: list[bytes] = []
        self._pieces: list[tuple[Watch, ...]] = [()]
        self._stale = False

    def __len__(self) -> int:
        return len(self._watches)

    def add(self, watch: Watch) -> None:
        """Start telling ``watch``."""
        self._watches[watch.id] = watch
        self._stale = True

    def remove(self, watch: Watch) -> bool:
        """Stop telling ``watch``; False when it was not registered."""
        self._stale = True
        return self._watches.pop(watch.id, None) is not None

    def of(self, key: bytes) -> tuple[Watch, ...]:
        """The watches that cover ``key``."""
        if self._stale:
            self._rebuild()
        return self._pieces[bisect_right(self._bounds, key)]

    def tell(
        self, key: bytes, revision: int, kvs: tuple[KeyValue], before: Callable[[KeyValue], KeyValue | None]
    ) -> None:
        """Tell the watches that cover ``key`` of a change to it that is all its revision did."""
        if self._stale:
            self._rebuild()
        batch = watch_batch((revision, kvs, (), False, 0))
        for watch in self._pieces[bisect_right(self._bounds, key)]:
            if watch.is_plain and revision >= watch.from_revision:
                watch.from_revision = revision + 1
                watch.sink(batch)
            else:
                watch.deliver(revision, kvs, before)

    def _rebuild(self) -> None:
        # Registrations are rare (one per resource kind of an api-server), so starting over is fine.
        bounds = set()
        for watch in self._watches.values():
            bounds.add(watch.key)
            if watch.range_end is None:
                bounds.add(watch.key + b"\0")
            elif watch.range_end != FROM_KEY:
                bounds.add(watch.range_end)
        self._bounds = sorted(bounds)
        watches = tuple(self._watches.values())
        self._pieces = [()]
        self._pieces.extend(tuple(w for w in watches if w.covers(bound)) for bound in self._bounds)
        self._stale = False
