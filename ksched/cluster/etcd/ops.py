"""What can be asked of the store, and its answers: etcd's rpc.proto and kv.proto as plain tuples.

``range_end`` follows etcd: ``None`` means the one key, ``b"\\0"`` everything from the key on, anything else the
half-open interval ``[key, range_end)``. A value may be any object; ``size`` is then its encoded length in bytes,
which etcd's limits count (-1: take ``len`` of the value).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Any, NamedTuple, TypeVar

FROM_KEY = b"\0"

_T = TypeVar("_T", bound=tuple[Any, ...])


def maker(cls: type[_T]) -> Callable[[tuple[Any, ...]], _T]:
    """Makes a ``cls`` of all its values at a fraction of what it costs to call ``cls``, a function in Python.

    For the tuples of which every write makes one.
    """
    return partial(tuple.__new__, cls)


def prefix_end(prefix: bytes) -> bytes:
    """The ``range_end`` that makes a range of every key starting with ``prefix``."""
    for i in range(len(prefix) - 1, -1, -1):
        if prefix[i] < 0xFF:
            return prefix[:i] + bytes([prefix[i] + 1])
    return FROM_KEY


class KeyValue(NamedTuple):
    """One version of a key. A tombstone has version 0 and nothing but ``key`` and ``mod_revision``."""

    key: bytes
    value: Any
    create_revision: int
    mod_revision: int
    version: int
    lease: int
    size: int


key_value = maker(KeyValue)


class Event(NamedTuple):
    """A change a watcher is told of; ``prev_kv`` only where the watch asked for it."""

    kv: KeyValue
    prev_kv: KeyValue | None = None

    @property
    def is_delete(self) -> bool:
        return self.kv.version == 0


class SortTarget(Enum):
    """By what a range is sorted."""

    KEY = "key"
    VERSION = "version"
    CREATE = "create_revision"
    MOD = "mod_revision"
    VALUE = "value"


class SortOrder(Enum):
    """NONE leaves key order for KEY and means ASCEND for every other target."""

    NONE = "none"
    ASCEND = "ascend"
    DESCEND = "descend"


class Put(NamedTuple):
    key: bytes
    value: Any = None
    lease: int = 0
    prev_kv: bool = False
    ignore_value: bool = False
    ignore_lease: bool = False
    size: int = -1


class PutIf(NamedTuple):
    """Put ``key`` if its mod_revision still is ``expected_revision`` (0: if there is no such key).

    Short for the txn that etcd's own client package for Kubernetes (client/v3/kubernetes, OptimisticPut) sends:
    compare the mod_revision, then put, else get. Nearly all of an api-server's writes are of this form.
    """

    key: bytes
    value: Any
    expected_revision: int
    size: int = -1


put_if = maker(PutIf)


class DeleteIf(NamedTuple):
    """Delete ``key`` if its mod_revision still is ``expected_revision`` (OptimisticDelete)."""

    key: bytes
    expected_revision: int


delete_if = maker(DeleteIf)


class Range(NamedTuple):
    key: bytes
    range_end: bytes | None = None
    limit: int = 0
    revision: int = 0
    sort_order: SortOrder = SortOrder.NONE
    sort_target: SortTarget = SortTarget.KEY
    keys_only: bool = False
    count_only: bool = False
    min_mod_revision: int = 0
    max_mod_revision: int = 0
    min_create_revision: int = 0
    max_create_revision: int = 0


class DeleteRange(NamedTuple):
    key: bytes
    range_end: bytes | None = None
    prev_kv: bool = False


class CompareTarget(Enum):
    """What a txn compare looks at."""

    VERSION = "version"
    CREATE = "create_revision"
    MOD = "mod_revision"
    VALUE = "value"
    LEASE = "lease"


class CompareResult(Enum):
    """How it must relate to the given operand."""

    EQUAL = "="
    GREATER = ">"
    LESS = "<"
    NOT_EQUAL = "!="


class Compare(NamedTuple):
    key: bytes
    target: CompareTarget
    result: CompareResult
    operand: Any
    range_end: bytes | None = None


class Txn(NamedTuple):
    """If all compares hold then ``success`` else ``failure``; as a whole or not at all, in one revision."""

    compare: tuple[Compare, ...] = ()
    success: tuple[Operation, ...] = ()
    failure: tuple[Operation, ...] = ()


class Compact(NamedTuple):
    revision: int


class LeaseGrant(NamedTuple):
    id: int
    ttl: int


class LeaseRevoke(NamedTuple):
    id: int


Operation = Put | Range | DeleteRange | Txn


class PutResponse(NamedTuple):
    revision: int
    prev_kv: KeyValue | None = None


class RangeResponse(NamedTuple):
    revision: int
    kvs: list[KeyValue]
    more: bool
    count: int  # type: ignore[assignment]  # etcd's name; hides tuple.count


class DeleteRangeResponse(NamedTuple):
    revision: int
    deleted: int
    prev_kvs: list[KeyValue]


class TxnResponse(NamedTuple):
    revision: int
    succeeded: bool
    responses: tuple[Response, ...]


class IfResponse(NamedTuple):
    """Answer to PutIf and DeleteIf; ``current`` is what stood in the way, None also when the key is gone."""

    revision: int
    succeeded: bool
    current: KeyValue | None


if_response = maker(IfResponse)


class CompactResponse(NamedTuple):
    revision: int


class LeaseResponse(NamedTuple):
    revision: int
    id: int
    ttl: int


Request = Operation | PutIf | DeleteIf | Compact | LeaseGrant | LeaseRevoke

Response = (
    IfResponse | PutResponse | RangeResponse | DeleteRangeResponse | TxnResponse | CompactResponse | LeaseResponse
)


class WatchBatch(NamedTuple):
    """What a watch delivers at once: all it is told of one revision, or its end.

    ``previous``: per change what it replaced, where the watch asked for that. ``canceled`` with ``compact_revision``
    > 0: the watch asked for history that compaction has removed.
    """

    revision: int
    kvs: tuple[KeyValue, ...]
    previous: tuple[KeyValue | None, ...] = ()
    canceled: bool = False
    compact_revision: int = 0

    @property
    def events(self) -> tuple[Event, ...]:
        """The changes with what they replaced."""
        return tuple(map(Event, self.kvs, self.previous)) if self.previous else tuple(map(Event, self.kvs))


watch_batch = maker(WatchBatch)


def encoded_size(op: Request) -> int:
    """Bytes of a request, as far as limits are concerned: the keys and values it writes."""
    if type(op) is PutIf or type(op) is Put:
        return len(op.key) + (op.size if op.size >= 0 else len(op.value or b""))
    if type(op) is Txn:
        size = 0
        for branch in (op.success, op.failure):
            for inner in branch:
                if not isinstance(inner, Range):
                    size += encoded_size(inner)
        return size
    return 0
