"""The store answers as etcd 3.5 does; each row was probed on a real one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksched.cluster.etcd.errors import EtcdError
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
    SortOrder,
    SortTarget,
    Txn,
    WatchBatch,
    prefix_end,
)
from ksched.cluster.etcd.server import Etcd, EtcdConfig
from ksched.cluster.etcd.store import Store
from ksched.sim import SECOND, Kernel, Streams


def store(*keys: str) -> Store:
    made = Store()
    for key in keys:
        made.put(Put(key.encode(), f"value of {key}".encode()))
    return made


def keys(made: Store, **options: Any) -> list[str]:
    return [kv.key.decode() for kv in made.range(Range(b"a", FROM_KEY, **options)).kvs]


def refused(made: Store, op: Any) -> str:
    before = made.revision
    with pytest.raises(EtcdError) as error:
        made.apply(op)
    assert made.revision == before
    return error.value.message.removeprefix("etcdserver: ")


def test_the_empty_store_is_at_revision_1_and_the_first_write_at_2() -> None:
    made = Store()
    assert made.revision == 1
    assert made.put(Put(b"a", b"1")).revision == 2


def test_a_put_of_the_same_value_still_takes_a_revision() -> None:
    made = store("a", "a")
    (kv,) = made.range(Range(b"a")).kvs
    assert (kv.create_revision, kv.mod_revision, kv.version) == (2, 3, 2)


def test_what_changes_nothing_takes_no_revision() -> None:
    made = store("a")
    assert made.delete_range(DeleteRange(b"nothing")).deleted == 0
    assert made.txn(Txn((), (Range(b"a"),), ())).succeeded
    assert made.revision == 2


def test_a_key_made_anew_starts_at_version_1() -> None:
    made = store("a", "a")
    made.delete_range(DeleteRange(b"a"))
    made.put(Put(b"a", b"again"))
    (kv,) = made.range(Range(b"a")).kvs
    assert (kv.create_revision, kv.mod_revision, kv.version) == (5, 5, 1)
    assert made.range(Range(b"a", revision=4)).kvs == []
    assert made.range(Range(b"a", revision=3)).kvs[0].version == 2


def test_future_and_compacted_revisions_are_refused_with_etcds_words() -> None:
    made = store("a", "b", "c")
    assert refused(made, Range(b"a", revision=5)) == "mvcc: required revision is a future revision"
    made.compact(Compact(3))
    assert refused(made, Range(b"a", revision=2)) == "mvcc: required revision has been compacted"
    assert made.range(Range(b"a", revision=3)).count == 1
    assert refused(made, Compact(3)) == "mvcc: required revision has been compacted"
    assert refused(made, Compact(9)) == "mvcc: required revision is a future revision"


RANGE_OPTIONS: list[tuple[str, dict[str, Any], list[str], int]] = [
    ("count is the total before the limit", {"limit": 2}, ["a", "b"], 4),
    ("the limit is applied after an explicit sort", {"limit": 1, "sort_order": SortOrder.DESCEND}, ["d"], 4),
    ("filters do not change the count", {"min_mod_revision": 4}, ["b", "c", "d"], 4),
    ("max create revision", {"max_create_revision": 3}, ["a", "b"], 4),
    ("max mod revision", {"max_mod_revision": 3}, ["a"], 4),
    ("a sort target alone ascends", {"sort_target": SortTarget.VERSION}, ["a", "c", "d", "b"], 4),
    (
        "descending by version",
        {"sort_target": SortTarget.VERSION, "sort_order": SortOrder.DESCEND, "limit": 1},
        ["b"],
        4,
    ),
    ("count only ignores the limit", {"count_only": True, "limit": 1}, [], 4),
]


@pytest.mark.parametrize(("sentence", "options", "expected", "count"), RANGE_OPTIONS, ids=lambda v: str(v)[:40])
def test_range_options(sentence: str, options: dict[str, Any], expected: list[str], count: int) -> None:
    made = store("a", "b", "c", "d", "b")
    answer = made.range(Range(b"a", FROM_KEY, **options))
    assert [kv.key.decode() for kv in answer.kvs] == expected, sentence
    assert answer.count == count, sentence


def test_more_is_said_when_the_limit_cut_something_off() -> None:
    made = store("a", "b")
    assert made.range(Range(b"a", FROM_KEY, limit=1)).more
    assert not made.range(Range(b"a", FROM_KEY, limit=2)).more


def test_keys_only_keeps_the_metadata() -> None:
    (kv,) = store("a").range(Range(b"a", keys_only=True)).kvs
    assert (kv.value, kv.mod_revision, kv.version) == (None, 2, 1)


def test_an_interval_that_ends_before_it_starts_is_empty() -> None:
    made = store("a", "b")
    assert made.range(Range(b"b", b"a")).count == 0
    assert made.range(Range(b"a", b"a")).count == 0


FORM_ERRORS: list[tuple[Any, str]] = [
    (Put(b"", b"1"), "key is not provided"),
    (Range(b""), "key is not provided"),
    (DeleteRange(b""), "key is not provided"),
    (Put(b"missing", ignore_value=True), "key not found"),
    (Put(b"a", b"1", ignore_value=True), "value is provided"),
    (Put(b"a", b"1", lease=77), "requested lease not found"),
    (Txn((), (Put(b"a", b"1"), Put(b"a", b"2"))), "duplicate key given in txn request"),
    (Txn((), (Put(b"b", b"1"), DeleteRange(b"a", b"c"))), "duplicate key given in txn request"),
    (Txn((), (Txn((), (Put(b"a", b"1"),)), Put(b"a", b"2"))), "duplicate key given in txn request"),
    (Txn((), (Txn((), (DeleteRange(b"a"),)), Put(b"a", b"2"))), "duplicate key given in txn request"),
    (Txn((), tuple(Put(b"%d" % i, b"") for i in range(129))), "too many operations in txn request"),
    (
        Txn((), (Put(b"new", b"1"), Range(b"a", revision=99))),
        "mvcc: required revision is a future revision",
    ),
]


@pytest.mark.parametrize(("op", "message"), FORM_ERRORS, ids=[message for _, message in FORM_ERRORS])
def test_a_refused_request_says_why_and_changes_nothing(op: Any, message: str) -> None:
    made = store("a")
    assert refused(made, op) == message
    assert keys(made) == ["a"]


def test_both_branches_of_a_nested_txn_may_write_the_same_key() -> None:
    nested = Txn((), (Put(b"x", b"then"),), (Put(b"x", b"else"),))
    made = store("a")
    made.txn(Txn((), (nested, DeleteRange(b"a"), DeleteRange(b"a"))))
    assert keys(made) == ["x"]


COMPARES: list[tuple[str, Compare, bool]] = [
    ("a missing key has version 0", Compare(b"m", CompareTarget.VERSION, CompareResult.EQUAL, 0), True),
    ("a missing key has create revision 0", Compare(b"m", CompareTarget.CREATE, CompareResult.LESS, 1), True),
    ("the value of a missing key equals nothing", Compare(b"m", CompareTarget.VALUE, CompareResult.EQUAL, b""), False),
    ("nor differs from it", Compare(b"m", CompareTarget.VALUE, CompareResult.NOT_EQUAL, b"x"), False),
    ("a value compares by bytes", Compare(b"a", CompareTarget.VALUE, CompareResult.GREATER, b"value"), True),
    ("every key of a range must hold", Compare(b"a", CompareTarget.MOD, CompareResult.LESS, 3, b"z"), False),
    ("and may", Compare(b"a", CompareTarget.MOD, CompareResult.LESS, 4, b"z"), True),
    ("an empty range compares as zeros", Compare(b"x", CompareTarget.CREATE, CompareResult.GREATER, 0, b"z"), False),
]


@pytest.mark.parametrize(("sentence", "compare", "holds"), COMPARES, ids=[row[0] for row in COMPARES])
def test_compares(sentence: str, compare: Compare, holds: bool) -> None:
    answer = store("a", "b").txn(Txn((compare,), (Range(b"a"),), (Range(b"a"), Range(b"b"))))
    assert answer.succeeded is holds
    assert len(answer.responses) == (1 if holds else 2)


def test_reads_in_a_txn_see_the_writes_before_them() -> None:
    made = store("a")
    put = Put(b"a", b"new")
    before, _, after = made.txn(Txn((), (Range(b"a"), put, Range(b"a")))).responses
    assert (before.kvs[0].value, before.revision) == (b"value of a", 2)  # type: ignore[union-attr]
    assert (after.kvs[0].value, after.revision) == (b"new", 3)  # type: ignore[union-attr]


def test_all_changes_of_a_txn_share_a_revision_and_come_in_one_batch() -> None:
    made, seen = store("a"), []
    made.watch(seen.append, b"a", FROM_KEY, prev_kv=True)
    made.txn(Txn((), (Put(b"b", b"1"), DeleteRange(b"a"), Put(b"c", b"2"))))
    (batch,) = seen
    assert batch.revision == made.revision == 3
    assert [(e.kv.key, e.is_delete, e.kv.mod_revision) for e in batch.events] == [
        (b"b", False, 3),
        (b"a", True, 3),
        (b"c", False, 3),
    ]
    assert batch.events[1].prev_kv is not None
    assert batch.events[1].kv.value is None


def test_a_lease_takes_its_keys_along_in_one_revision() -> None:
    made = Store()
    made.apply(LeaseGrant(7, 60))
    assert refused(made, LeaseGrant(7, 60)) == "lease already exists"
    assert refused(made, LeaseGrant(8, 9_000_000_001)) == "too large lease TTL"
    for key in (b"c", b"a", b"b"):
        made.put(Put(key, b"", lease=7))
    made.put(Put(b"b", b"detached"))
    assert made.revision == 5
    made.apply(LeaseRevoke(7))
    assert (keys(made), made.revision) == (["b"], 6)
    assert refused(made, LeaseRevoke(7)) == "requested lease not found"


def watched(made: Store, **options: Any) -> list[WatchBatch]:
    seen: list[WatchBatch] = []
    made.watch(seen.append, b"a", FROM_KEY, **options)
    return seen


def test_a_watch_from_the_past_replays_it_in_order_then_goes_on() -> None:
    made = store("a", "b", "a")
    seen = watched(made, start_revision=3)
    made.delete_range(DeleteRange(b"a"))
    assert [(batch.revision, batch.events[0].kv.key) for batch in seen] == [(3, b"b"), (4, b"a"), (5, b"a")]


def test_a_watch_from_the_future_waits_for_it() -> None:
    made = store("a")
    seen = watched(made, start_revision=4)
    made.put(Put(b"a", b"3"))
    made.put(Put(b"a", b"4"))
    assert [batch.revision for batch in seen] == [4]


def test_filters_leave_out_puts_or_deletes() -> None:
    made = store("a")
    no_puts, no_deletes = watched(made, no_put=True), watched(made, no_delete=True)
    made.put(Put(b"b", b""))
    made.delete_range(DeleteRange(b"a"))
    assert [batch.revision for batch in no_puts] == [4]
    assert [batch.revision for batch in no_deletes] == [3]


def test_a_watch_that_starts_before_the_compaction_is_cancelled_with_its_revision() -> None:
    made = store("a", "b", "c")
    made.compact(Compact(3))
    (batch,) = watched(made, start_revision=2)
    assert (batch.canceled, batch.compact_revision) == (True, 3)
    assert [b.revision for b in watched(made, start_revision=3)] == [3, 4]


def test_a_cancelled_watch_hears_nothing_more() -> None:
    made, seen = store("a"), []
    watch = made.watch(seen.append, b"a")
    assert made.cancel_watch(watch)
    made.put(Put(b"a", b""))
    assert seen == []


def test_compaction_gives_back_what_was_overwritten_or_deleted() -> None:
    made = store(*["a"] * 10, "b", "b")
    made.delete_range(DeleteRange(b"b"))
    size = len(b"value of a")
    assert made.size_in_use == 12 * size
    made.compact(Compact(made.revision))
    assert made.size_in_use == size
    assert list(made._history) == [b"a"]
    assert made._sorted == [b"a"] or made._unsorted == [b"a"]


def test_a_key_that_was_compacted_away_and_comes_back_is_listed_once() -> None:
    made = store("a", "b", "c")
    assert keys(made) == ["a", "b", "c"]
    made.delete_range(DeleteRange(b"b"))
    made.compact(Compact(made.revision))
    assert keys(made) == ["a", "c"]
    made.put(Put(b"b", b""))
    assert keys(made) == ["a", "b", "c"]
    assert keys(made.fork()) == ["a", "b", "c"]


KEY = st.sampled_from([b"a", b"b", b"c", b"d"])
OPS = st.one_of(
    st.builds(lambda key, value: Put(key, value), KEY, st.binary(max_size=2)),
    st.builds(lambda key, end: DeleteRange(key, end), KEY, st.sampled_from([None, b"c", FROM_KEY])),
    st.builds(lambda a, b: Txn((), (Put(a, b"t"),) + ((Put(b, b"u"),) if a != b else ())), KEY, KEY),
    st.just("compact"),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(OPS, max_size=30))
def test_every_revision_reads_as_the_states_did_when_they_were_current(ops: list[Any]) -> None:
    made = Store()
    seen: list[WatchBatch] = []
    made.watch(seen.append, b"a", FROM_KEY, start_revision=1)
    states = {1: {}}
    oldest = 1
    for op in ops:
        if op == "compact":
            if made.revision > max(made.compact_revision, 1):
                made.compact(Compact(made.revision))
                oldest = made.revision
            continue
        made.apply(op)
        states[made.revision] = {kv.key: (kv.value, kv.version) for kv in made.range(Range(b"a", FROM_KEY)).kvs}
    for revision in range(oldest, made.revision + 1):
        read = made.range(Range(b"a", FROM_KEY, revision=revision)).kvs
        assert {kv.key: (kv.value, kv.version) for kv in read} == states[revision]
        assert [kv.key for kv in read] == sorted(states[revision])
    replayed: dict[bytes, tuple[bytes, int]] = {}
    for batch in seen:
        for event in batch.events:
            if event.is_delete:
                del replayed[event.kv.key]
            else:
                replayed[event.kv.key] = (event.kv.value, event.kv.version)
        assert replayed == states[batch.revision]
    assert [batch.revision for batch in seen] == list(range(2, made.revision + 1))


def test_prefix_end_covers_exactly_the_keys_with_the_prefix() -> None:
    assert prefix_end(b"/registry/pods/") == b"/registry/pods0"
    assert prefix_end(b"a\xff") == b"b"
    assert prefix_end(b"\xff") == FROM_KEY


def test_writes_take_their_commit_time_and_commit_in_order() -> None:
    kernel = Kernel()
    config = EtcdConfig.model_validate(
        {"network": "1ms", "commit": {"kind": "uniform", "low": "1ms", "high": "9ms"}, "read": "0"}
    )
    etcd, seen = Etcd(kernel, Streams(1), config), []
    for i in range(20):
        etcd.submit(Put(b"k", b"%d" % i), lambda response, error, i=i: seen.append((i, response.revision)))
    etcd.submit(Range(b"k"), lambda response, error: seen.append(("read", response.count)))
    kernel.run()
    assert seen == [("read", 0), *((i, i + 2) for i in range(20))]
    assert kernel.now >= 3_000_000


def test_a_request_beyond_the_size_limit_is_refused() -> None:
    kernel = Kernel()
    etcd, seen = Etcd(kernel, Streams(1)), []
    etcd.submit(Put(b"k", None, size=1_600_000), lambda response, error: seen.append(error.message))
    assert seen == ["etcdserver: request is too large"]


def test_a_lease_expires_unless_it_is_kept_alive() -> None:
    kernel = Kernel()
    etcd, grants = Etcd(kernel, Streams(1)), []
    etcd.lease_grant(0, lambda response, error: grants.append(response))
    (grant,) = grants
    assert grant.ttl == 2  # etcd's minimum
    etcd.submit(Put(b"k", b"", lease=grant.id), lambda response, error: None)
    kernel.run(SECOND)
    etcd.lease_keep_alive(grant.id, lambda response, error: None)
    kernel.run(2 * SECOND)
    assert etcd.lease_remaining(grant.id) == 1
    kernel.run(3 * SECOND)
    assert etcd.lease_remaining(grant.id) == -1
    assert etcd.store.range(Range(b"k")).count == 0
