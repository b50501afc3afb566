"""The multi-version key-value store of one etcd member (etcd: server/mvcc).

A pure state machine: ``apply(operation)`` depends on the operations before it and on nothing else; there is no clock
and no I/O, so the members of a cluster that apply the same log hold the same state. Rules, all probed on etcd 3.5:
the empty store is at revision 1 and every write txn takes the next one, all its changes sharing it; what changes
nothing takes none; a deleted key leaves a tombstone and starts again at version 1; the past can be read and watched
back to the last compaction.

Values are kept as references, never encoded; their encoded size travels along as a number.
"""

from __future__ import annotations

import builtins
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from typing import Any

from ksched.cluster.etcd import errors
from ksched.cluster.etcd.ops import (
    FROM_KEY,
    Compact,
    CompactResponse,
    Compare,
    CompareResult,
    CompareTarget,
    DeleteIf,
    DeleteRange,
    DeleteRangeResponse,
    IfResponse,
    KeyValue,
    LeaseGrant,
    LeaseResponse,
    LeaseRevoke,
    Operation,
    Put,
    PutIf,
    PutResponse,
    Range,
    RangeResponse,
    Request,
    Response,
    SortOrder,
    SortTarget,
    Txn,
    TxnResponse,
    WatchBatch,
    if_response,
    key_value,
)
from ksched.cluster.etcd.validation import check_put, check_txn
from ksched.cluster.etcd.watches import Sink, Watch, WatchIndex

MAX_LEASE_TTL = 9_000_000_000
# New keys are inserted one by one into the sorted index up to this many; beyond it sorting again is cheaper.
_INSERT_ONE_BY_ONE = 64


class Lease:
    """A lease and the keys that go when it goes; when it expires is the server's business, which has a clock."""

    __slots__ = ("id", "keys", "ttl")

    def __init__(self, lease_id: int, ttl: int) -> None:
        self.id = lease_id
        self.ttl = ttl
        self.keys: dict[bytes, None] = {}

    def copy(self) -> Lease:
        """The same lease, to be changed apart from this one."""
        other = Lease(self.id, self.ttl)
        other.keys = dict(self.keys)
        return other


class Store:
    """See the module's text. ``revision`` is the last one written, ``compact_revision`` the last compacted."""

    def __init__(self) -> None:
        self.revision = 1
        self.compact_revision = -1
        self.size_in_use = 0
        self.leases: dict[int, Lease] = {}
        self._history: dict[bytes, list[KeyValue]] = {}
        self._sorted: list[bytes] = []
        self._unsorted: list[bytes] = []
        self._gone: set[bytes] = set()  # keys that stand in the two lists above and have no history any more
        # The changes of each revision from _log_first on.
        self._log: list[tuple[KeyValue, ...]] = []
        self._log_first = 2
        self._watches = WatchIndex()
        self._next_watch_id = 0
        self._changes: list[KeyValue] = []  # of the write txn under way

    def fork(self) -> Store:
        """A store of the same state and without watches, to be changed apart from this one; versions are shared."""
        other = Store()
        other.revision = self.revision
        other.compact_revision = self.compact_revision
        other.size_in_use = self.size_in_use
        other.leases = {lease.id: lease.copy() for lease in self.leases.values()}
        other._history = {key: history.copy() for key, history in self._history.items()}
        other._sorted = self._sorted.copy()
        other._unsorted = self._unsorted.copy()
        other._gone = self._gone.copy()
        other._log = self._log.copy()
        other._log_first = self._log_first
        return other

    # -- requests ---------------------------------------------------------------------------------------------

    def apply(self, op: Request) -> Response:
        """Execute one request as a whole. Raises EtcdError, and then nothing has changed."""
        return VERBS[type(op)](self, op)

    def put(self, op: Put) -> PutResponse:
        check_put(op)
        self._check_lease(op)
        self._check_has_previous(op)
        prev = self._put_op(op)
        self._commit()
        return PutResponse(self.revision, prev if op.prev_kv else None)

    def range(self, op: Range) -> RangeResponse:
        if not op.key:
            raise errors.empty_key()
        self._check_revision(op.revision)
        return self._range(op)

    def delete_range(self, op: DeleteRange) -> DeleteRangeResponse:
        if not op.key:
            raise errors.empty_key()
        gone = self._delete_range(op)
        self._commit()
        return DeleteRangeResponse(self.revision, len(gone), gone if op.prev_kv else [])

    def txn(self, op: Txn) -> TxnResponse:
        check_txn(op)
        # All compares, nested ones too, look at the state before the txn, and everything that can fail is found
        # before anything is written.
        plan = self._plan(op)
        self._check_plan(plan)
        responses = self._execute(plan)
        self._commit()
        return TxnResponse(self.revision, plan[0], responses)

    def put_if(self, op: PutIf) -> IfResponse:
        key, value, expected, size = op
        if not key:
            raise errors.empty_key()
        history = self._history.get(key)
        current = history[-1] if history is not None and history[-1].version else None
        if (current.mod_revision if current is not None else 0) != expected:
            return IfResponse(self.revision, False, current)
        kvs = (self._put(key, value, 0, size, current, history),)
        self.revision = revision = self.revision + 1
        self._log.append(kvs)
        self._watches.tell(key, revision, kvs, self._before)
        return if_response((revision, True, None))

    def delete_if(self, op: DeleteIf) -> IfResponse:
        if not op.key:
            raise errors.empty_key()
        current = self._live(op.key)
        if current is None or current.mod_revision != op.expected_revision:
            return IfResponse(self.revision, False, current)
        self._delete(op.key)
        self._commit()
        return if_response((self.revision, True, None))

    def compact(self, op: Compact) -> CompactResponse:
        """Forget what was overwritten or deleted before ``op.revision``, which stays readable itself."""
        target = op.revision
        if target <= self.compact_revision:
            raise errors.compacted()
        if target > self.revision:
            raise errors.future_revision()
        # Only keys changed since the last compaction can have anything to forget. The log keeps the compacted
        # revision's own entry: a watch may still start there.
        dropped = self._log[: max(target - self._log_first + 1, 0)]
        for key in dict.fromkeys([kv.key for kvs in dropped for kv in kvs]):
            self._compact_key(key, target)
        if len(self._gone) * 2 >= len(self._sorted) + len(self._unsorted):
            self._forget_gone_keys()
        keep_from = max(target, self._log_first)
        del self._log[: keep_from - self._log_first]
        self._log_first = keep_from
        self.compact_revision = target
        return CompactResponse(self.revision)

    def lease_grant(self, op: LeaseGrant) -> LeaseResponse:
        if op.ttl > MAX_LEASE_TTL:
            raise errors.lease_ttl_too_large()
        if op.id in self.leases:
            raise errors.lease_exists()
        self.leases[op.id] = Lease(op.id, op.ttl)
        return LeaseResponse(self.revision, op.id, op.ttl)

    def lease_revoke(self, op: LeaseRevoke) -> LeaseResponse:
        lease = self.leases.get(op.id)
        if lease is None:
            raise errors.lease_not_found()
        for key in sorted(lease.keys):
            self._delete(key)
        del self.leases[op.id]
        self._commit()
        return LeaseResponse(self.revision, op.id, lease.ttl)

    # -- watches ----------------------------------------------------------------------------------------------

    def watch(
        self,
        sink: Sink,
        key: bytes,
        range_end: bytes | None = None,
        *,
        start_revision: int = 0,
        prev_kv: bool = False,
        no_put: bool = False,
        no_delete: bool = False,
    ) -> Watch:
        """Tell ``sink`` of every change from ``start_revision`` on (0: from now on), one WatchBatch a revision.

        Changes that have happened already are delivered before this returns. When the start has been compacted
        the sink gets one canceled batch with the compact revision, and the watch is over.
        """
        self._next_watch_id += 1
        start = start_revision or self.revision + 1
        watch = Watch(self._next_watch_id, key, range_end, sink, start, prev_kv, no_put, no_delete)
        if start < self.compact_revision:
            sink(WatchBatch(0, (), canceled=True, compact_revision=self.compact_revision))
            return watch
        for revision in builtins.range(max(start, self._log_first), self.revision + 1):
            kvs = tuple([kv for kv in self._log[revision - self._log_first] if watch.covers(kv.key)])
            if kvs:
                watch.deliver(revision, kvs, self._before)
        self._watches.add(watch)
        return watch

    def cancel_watch(self, watch: Watch) -> bool:
        """End a watch; False when it had ended."""
        return self._watches.remove(watch)

    # -- writing ----------------------------------------------------------------------------------------------

    def _live(self, key: bytes) -> KeyValue | None:
        """What ``key`` holds now, None when there is no such key."""
        history = self._history.get(key)
        return history[-1] if history is not None and history[-1].version else None

    def _put_op(self, op: Put) -> KeyValue | None:
        prev = self._live(op.key)
        value, size, lease = op.value, op.size, op.lease
        if prev is not None and op.ignore_value:
            value, size = prev.value, prev.size
        if prev is not None and op.ignore_lease:
            lease = prev.lease
        self._changes.append(self._put(op.key, value, lease, size, prev, self._history.get(op.key)))
        return prev

    def _put(
        self, key: bytes, value: Any, lease: int, size: int, prev: KeyValue | None, history: list[KeyValue] | None
    ) -> KeyValue:
        """Give ``key``, which has this history and holds ``prev``, another version."""
        revision = self.revision + 1
        if history is None:
            self._history[key] = history = []
            if key in self._gone:
                self._gone.remove(key)
            else:
                self._unsorted.append(key)
        if prev is None:
            create, version = revision, 1
        else:
            create, version = prev.create_revision, prev.version + 1
            if prev.lease and prev.lease != lease:
                self.leases[prev.lease].keys.pop(key, None)
        if size < 0:
            size = 0 if value is None else len(value)
        if lease:
            self.leases[lease].keys[key] = None
        kv = key_value((key, value, create, revision, version, lease, size))
        history.append(kv)
        self.size_in_use += size
        return kv

    def _delete_range(self, op: DeleteRange) -> list[KeyValue]:
        gone = []
        for key in self._keys(op.key, op.range_end):
            prev = self._delete(key)
            if prev is not None:
                gone.append(prev)
        return gone

    def _delete(self, key: bytes) -> KeyValue | None:
        history = self._history.get(key)
        if history is None or history[-1].version == 0:
            return None
        prev = history[-1]
        if prev.lease:
            self.leases[prev.lease].keys.pop(key, None)
        tombstone = key_value((key, None, 0, self.revision + 1, 0, 0, 0))
        history.append(tombstone)
        self._changes.append(tombstone)
        return prev

    def _commit(self) -> None:
        """Make the changes under way a revision, and tell the watches."""
        if not self._changes:
            return
        changes, self._changes = tuple(self._changes), []
        self.revision += 1
        self._log.append(changes)
        if len(changes) == 1:
            self._watches.tell(changes[0].key, self.revision, changes, self._before)
            return
        interested: dict[int, tuple[Watch, list[KeyValue]]] = {}
        for kv in changes:
            for watch in self._watches.of(kv.key):
                interested.setdefault(watch.id, (watch, []))[1].append(kv)
        for watch_id in sorted(interested):
            watch, kvs = interested[watch_id]
            watch.deliver(self.revision, tuple(kvs), self._before)

    def _compact_key(self, key: bytes, target: int) -> None:
        history = self._history.get(key)
        if history is None:
            return
        # The version that is current at target; for most keys it is their last.
        kept = len(history) - 1
        if history[kept].mod_revision > target:
            kept = bisect_right(history, target, key=_mod_revision) - 1
        if kept >= 0 and history[kept].version == 0:
            kept += 1
        if kept <= 0:
            return
        for kv in history[:kept]:
            self.size_in_use -= kv.size
        del history[:kept]
        if not history:
            del self._history[key]
            self._gone.add(key)

    def _forget_gone_keys(self) -> None:
        # One pass over the index is cheaper than taking them out of it one by one.
        self._sorted = [key for key in self._sorted if key not in self._gone]
        self._unsorted = [key for key in self._unsorted if key not in self._gone]
        self._gone = set()

    # -- reading ----------------------------------------------------------------------------------------------

    def _range(self, op: Range) -> RangeResponse:
        revision = self._current_revision()
        kvs = self._at(op.key, op.range_end, op.revision or revision)
        count = len(kvs)
        if op.count_only:
            return RangeResponse(revision, [], False, count)
        filtered = op.min_mod_revision or op.max_mod_revision or op.min_create_revision or op.max_create_revision
        if op.sort_order is SortOrder.NONE and not filtered and op.limit > 0:
            # Without an explicit order etcd fetches limit + 1 keys first, and sorts only those by another target.
            kvs = kvs[: op.limit + 1]
        if filtered:
            kvs = [kv for kv in kvs if _within(kv, op)]
        if op.sort_target is not SortTarget.KEY or op.sort_order is SortOrder.DESCEND:
            field = op.sort_target.value
            kvs.sort(key=lambda kv: getattr(kv, field), reverse=op.sort_order is SortOrder.DESCEND)
        more = 0 < op.limit < len(kvs)
        if more:
            del kvs[op.limit :]
        if op.keys_only:
            kvs = [kv._replace(value=None, size=0) for kv in kvs]
        return RangeResponse(revision, kvs, more, count)

    def _at(self, key: bytes, range_end: bytes | None, revision: int) -> list[KeyValue]:
        """What the keys held at ``revision``, tombstones left out, in key order."""
        found = []
        for name in self._keys(key, range_end):
            history = self._history.get(name)
            if history is None:
                continue
            kv = history[-1]
            if kv.mod_revision > revision:
                at = bisect_right(history, revision, key=_mod_revision) - 1
                if at < 0:
                    continue
                kv = history[at]
            if kv.version:
                found.append(kv)
        return found

    def _before(self, kv: KeyValue) -> KeyValue | None:
        """The version ``kv`` replaced, unless there was none or it has been compacted."""
        history = self._history.get(kv.key, [])
        at = bisect_left(history, kv.mod_revision, key=_mod_revision) - 1
        return history[at] if at >= 0 and history[at].version else None

    def _keys(self, key: bytes, range_end: bytes | None) -> list[bytes]:
        if range_end is None:
            return [key]
        self._sort_keys()
        low = bisect_left(self._sorted, key)
        high = len(self._sorted) if range_end == FROM_KEY else bisect_left(self._sorted, range_end)
        return self._sorted[low:high]

    def _sort_keys(self) -> None:
        # Writes by key, which are nearly all, never need the order; it is brought up to date when a range asks.
        if not self._unsorted:
            return
        if len(self._unsorted) <= _INSERT_ONE_BY_ONE:
            for key in self._unsorted:
                insort(self._sorted, key)
        else:
            self._sorted += self._unsorted
            self._sorted.sort()
        self._unsorted = []

    # -- txn --------------------------------------------------------------------------------------------------

    def _plan(self, txn: Txn) -> tuple[bool, list[Any]]:
        """(succeeded, its operations), with a nested txn replaced by its own such pair."""
        succeeded = True
        for compare in txn.compare:
            if not self._holds(compare):
                succeeded = False
                break
        branch = txn.success if succeeded else txn.failure
        return succeeded, [self._plan(op) if type(op) is Txn else op for op in branch]

    def _check_plan(self, plan: tuple[bool, list[Any]]) -> None:
        """All puts of the plan, nested ones too, then all ranges: which error is told depends on the order."""
        operations = list(_operations_of(plan))
        for op in operations:
            if type(op) is Put:
                self._check_has_previous(op)
                self._check_lease(op)
        for op in operations:
            if type(op) is Range:
                self._check_revision(op.revision)

    def _execute(self, plan: tuple[bool, list[Any]]) -> tuple[Response, ...]:
        responses: list[Response] = []
        for op in plan[1]:
            if type(op) is Put:
                prev = self._put_op(op)
                responses.append(PutResponse(self.revision + 1, prev if op.prev_kv else None))
            elif type(op) is Range:
                responses.append(self._range(op))
            elif type(op) is DeleteRange:
                gone = self._delete_range(op)
                revision = self._current_revision()
                responses.append(DeleteRangeResponse(revision, len(gone), gone if op.prev_kv else []))
            else:
                # etcd leaves the header of a nested txn empty (server/etcdserver/apply.go, applyTxn).
                responses.append(TxnResponse(0, op[0], self._execute(op)))
        return tuple(responses)

    def _holds(self, compare: Compare) -> bool:
        if compare.range_end is None:
            history = self._history.get(compare.key)
            if history is not None and history[-1].version:
                return _compare(getattr(history[-1], compare.target.value), compare.result, compare.operand)
            kvs = []
        else:
            kvs = self._at(compare.key, compare.range_end, self.revision)
        if not kvs:
            # A missing key compares as zeros, but its value compares as false whatever the operator; so does a
            # range without keys.
            return compare.target is not CompareTarget.VALUE and _compare(0, compare.result, compare.operand)
        field = compare.target.value
        return all(_compare(getattr(kv, field), compare.result, compare.operand) for kv in kvs)

    # -- checks -----------------------------------------------------------------------------------------------

    def _check_lease(self, op: Put) -> None:
        if op.lease and op.lease not in self.leases:
            raise errors.lease_not_found()

    def _check_has_previous(self, op: Put) -> None:
        if (op.ignore_value or op.ignore_lease) and self._live(op.key) is None:
            raise errors.key_not_found()

    def _check_revision(self, revision: int) -> None:
        if revision > self.revision:
            raise errors.future_revision()
        if 0 < revision < self.compact_revision:
            raise errors.compacted()

    def _current_revision(self) -> int:
        """What a read sees as the current revision: inside a txn that has written, the one being made."""
        return self.revision + 1 if self._changes else self.revision


VERBS: dict[type, Callable[[Store, Any], Response]] = {
    Put: Store.put,
    PutIf: Store.put_if,
    DeleteIf: Store.delete_if,
    Range: Store.range,
    DeleteRange: Store.delete_range,
    Txn: Store.txn,
    Compact: Store.compact,
    LeaseGrant: Store.lease_grant,
    LeaseRevoke: Store.lease_revoke,
}
"""What :meth:`Store.apply` does with a request, by its type: for those who would rather not have a call in between."""


def _operations_of(plan: tuple[bool, list[Any]]) -> Iterator[Operation]:
    for op in plan[1]:
        if type(op) is tuple:
            yield from _operations_of(op)
        else:
            yield op


def _mod_revision(kv: KeyValue) -> int:
    return kv.mod_revision


def _within(kv: KeyValue, op: Range) -> bool:
    mod, create = kv.mod_revision, kv.create_revision
    return (
        (not op.min_mod_revision or mod >= op.min_mod_revision)
        and (not op.max_mod_revision or mod <= op.max_mod_revision)
        and (not op.min_create_revision or create >= op.min_create_revision)
        and (not op.max_create_revision or create <= op.max_create_revision)
    )


def _compare(left: Any, result: CompareResult, right: Any) -> bool:
    if result is CompareResult.EQUAL:
        return bool(left == right)
    if result is CompareResult.NOT_EQUAL:
        return bool(left != right)
    if result is CompareResult.GREATER:
        return bool(left > right)
    return bool(left < right)
