"""Checks a request must pass before it is executed at all (etcd: server/etcdserver/api/v3rpc/key.go)."""

from __future__ import annotations

from collections.abc import Sequence

from ksched.cluster.etcd import errors
from ksched.cluster.etcd.ops import DeleteRange, Operation, Put, Txn

MAX_TXN_OPS = 128


def check_put(op: Put) -> None:
    """Raise EtcdError when the put contradicts itself."""
    if not op.key:
        raise errors.empty_key()
    if op.ignore_value and op.value not in (None, b""):
        raise errors.value_provided()
    if op.ignore_lease and op.lease:
        raise errors.lease_provided()


def check_txn(txn: Txn, allowed: int = MAX_TXN_OPS) -> None:
    """Raise EtcdError when the txn is too long, names an empty key or writes one key twice."""
    _check_operations(txn, allowed)
    _check_writes(txn.success)
    _check_writes(txn.failure)


def _check_operations(txn: Txn, allowed: int) -> None:
    longest = max(len(txn.compare), len(txn.success), len(txn.failure))
    if longest > allowed:
        raise errors.too_many_operations()
    for compare in txn.compare:
        if not compare.key:
            raise errors.empty_key()
    for branch in (txn.success, txn.failure):
        for op in branch:
            if isinstance(op, Txn):
                _check_operations(op, allowed - longest)
            elif isinstance(op, Put):
                check_put(op)
            elif not op.key:
                raise errors.empty_key()


class _Intervals:
    """Deleted key ranges of one branch."""

    def __init__(self) -> None:
        self.ranges: list[tuple[bytes, bytes | None]] = []

    def cover(self, key: bytes) -> bool:
        # As etcd: a delete "from key on" (range_end 0x00) is taken for an empty interval and collides with nothing.
        return any(key == low if high is None else low <= key < high for low, high in self.ranges)


def _check_writes(branch: Sequence[Operation]) -> tuple[set[bytes], _Intervals]:
    if len(branch) == 1 and type(branch[0]) is Put:  # nearly every txn: nothing to collide with
        return {branch[0].key}, _Intervals()
    puts: set[bytes] = set()
    deletes = _Intervals()
    deletes.ranges = [(op.key, op.range_end) for op in branch if type(op) is DeleteRange]
    for op in branch:
        if type(op) is Txn:
            then_puts, then_deletes = _check_writes(op.success)
            else_puts, else_deletes = _check_writes(op.failure)
            # The two branches exclude each other, so they may write the same key.
            inner = then_puts | else_puts
            if inner & puts or any(deletes.cover(key) for key in inner):
                raise errors.duplicate_key()
            puts |= inner
            deletes.ranges += then_deletes.ranges + else_deletes.ranges
    for op in branch:
        if type(op) is Put:
            if op.key in puts or deletes.cover(op.key):
                raise errors.duplicate_key()
            puts.add(op.key)
    return puts, deletes
