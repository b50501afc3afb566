"""Random requests that collide often: few keys, few leases, revisions near the present, all options."""

from __future__ import annotations

import random
from typing import Any

from ksched.cluster.etcd.ops import (
    FROM_KEY,
    Compact,
    Compare,
    CompareResult,
    CompareTarget,
    DeleteRange,
    LeaseGrant,
    LeaseRevoke,
    Put,
    Range,
    Request,
    SortOrder,
    SortTarget,
    Txn,
)
from ksched.cluster.etcd.store import Store

KEYS = (b"a", b"aa", b"ab", b"b", b"b\x00", b"c", b"d/1", b"d/2", b"d/30", b"\xff")
VALUES = (b"", b"1", b"2", b"10", b"long value " * 5)
LEASES = (7, 8, 9)
_LONG_S = 100_000


class Requests:
    """Draws requests; ``store`` tells which revisions exist."""

    def __init__(self, seed: int, store: Store) -> None:
        self._random = random.Random(seed)
        self._store = store
        # Whether puts may keep the old value or lease, which a delete before them in the same txn must not take away:
        # a real etcd overlooks that for deletes "from key on", and dies of it.
        self._keeps = True

    def draw(self) -> Request:
        """The next request, sometimes one that etcd must refuse."""
        draw = self._random.random()
        if draw < 0.35:
            return self._put()
        if draw < 0.55:
            return self._range()
        if draw < 0.65:
            self._keeps = False
            delete = self._delete()
            self._keeps = True
            return delete
        if draw < 0.90:
            self._keeps = self._flag()
            txn = self._txn(depth=0)
            self._keeps = True
            return txn
        if draw < 0.95:
            return LeaseGrant(self._random.choice(LEASES), self._random.choice((_LONG_S, _LONG_S + 1, 9_000_000_001)))
        if draw < 0.98:
            return LeaseRevoke(self._random.choice(LEASES))
        return Compact(self._near_revision())

    def watch(self) -> dict[str, Any]:
        """Arguments of a watch from some revision that has been."""
        key, range_end = self._keys()
        start = self._random.randint(max(1, self._store.compact_revision - 2), self._store.revision)
        return {
            "key": key or b"a",
            "range_end": range_end,
            "start_revision": start,
            "prev_kv": self._flag(),
            "no_put": self._flag(0.2),
            "no_delete": self._flag(0.2),
        }

    def _flag(self, chance: float = 0.5) -> bool:
        return self._random.random() < chance

    def _key(self) -> bytes:
        return b"" if self._flag(0.01) else self._random.choice(KEYS)

    def _keys(self) -> tuple[bytes, bytes | None]:
        ends = (None, None, FROM_KEY, b"b", b"d0", b"z", self._random.choice(KEYS))
        return self._key(), self._random.choice(ends)

    def _near_revision(self) -> int:
        newest = self._store.revision
        return self._random.choice((newest, newest - 1, newest + 1, max(1, newest - self._random.randint(2, 40))))

    def _bound(self) -> int:
        return self._near_revision() if self._flag(0.15) else 0

    def _lease(self) -> int:
        return self._random.choice(LEASES) if self._flag(0.2) else 0

    def _put(self) -> Put:
        ignore_value, ignore_lease = self._keeps and self._flag(0.1), self._keeps and self._flag(0.1)
        value = b"" if ignore_value and self._flag(0.9) else self._random.choice(VALUES)
        lease = 0 if ignore_lease and self._flag(0.9) else self._lease()
        return Put(self._key(), value, lease, self._flag(), ignore_value, ignore_lease)

    def _delete(self) -> DeleteRange:
        key, range_end = self._keys()
        if self._flag() or (range_end == FROM_KEY and self._keeps):
            range_end = None
        return DeleteRange(key, range_end, self._flag())

    def _range(self) -> Range:
        key, range_end = self._keys()
        return Range(
            key,
            range_end,
            limit=self._random.choice((0, 0, 1, 2, 5)),
            revision=self._near_revision() if self._flag(0.3) else 0,
            sort_order=self._random.choice(list(SortOrder)),
            sort_target=self._random.choice(list(SortTarget)),
            keys_only=self._flag(0.1),
            count_only=self._flag(0.1),
            min_mod_revision=self._bound(),
            max_mod_revision=self._bound(),
            min_create_revision=self._bound(),
            max_create_revision=self._bound(),
        )

    def _compare(self) -> Compare:
        target = self._random.choice(list(CompareTarget))
        operand: Any
        if target is CompareTarget.VALUE:
            operand = self._random.choice(VALUES)
        elif target is CompareTarget.LEASE:
            operand = self._random.choice((0, *LEASES))
        elif target is CompareTarget.VERSION:
            operand = self._random.randint(0, 3)
        else:
            operand = self._random.choice((0, self._near_revision()))
        key, range_end = self._keys()
        result = self._random.choice(list(CompareResult))
        return Compare(key, target, result, operand, range_end if self._flag(0.3) else None)

    def _txn(self, depth: int) -> Txn:
        compares = tuple(self._compare() for _ in range(self._random.choice((0, 1, 1, 2))))
        return Txn(compares, self._branch(depth), self._branch(depth))

    def _branch(self, depth: int) -> tuple[Any, ...]:
        drawn: list[Any] = []
        for _ in range(self._random.randint(0, 3)):
            draw = self._random.random()
            if draw < 0.4:
                drawn.append(self._put())
            elif draw < 0.7:
                drawn.append(self._range())
            elif draw < 0.9 or depth == 2:
                drawn.append(self._delete())
            else:
                drawn.append(self._txn(depth + 1))
        return tuple(drawn)
