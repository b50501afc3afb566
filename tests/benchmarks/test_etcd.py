"""What etcd costs: CPU time of a put, and memory of a revision.

    pytest tests/benchmarks/test_etcd.py -s

Targets: 10 us for a put with one member and no latency; 60 us with three members, real latencies and enough writes at
a time for batches.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from statistics import median

from ksched.cluster.etcd.ops import Compact, Put, PutIf
from ksched.cluster.etcd.server import Etcd, EtcdConfig
from ksched.sim.kernel import MICROSECOND, SECOND, Kernel
from ksched.sim.streams import Streams

ROUNDS = 7


def _nothing(response: object, error: object) -> None:
    pass


def _median_us(work: object, count: int) -> float:
    assert callable(work)
    work()
    taken = []
    for _ in range(ROUNDS):
        gc.collect()
        begun = time.process_time()
        work()
        taken.append((time.process_time() - begun) * 1e6 / count)
    return median(taken)


def test_a_put_with_one_member_and_no_latency() -> None:
    etcd = Etcd(Kernel(), Streams(1))
    puts = [Put(b"key/%d" % (number % 1000), None, size=500) for number in range(10_000)]

    def work() -> None:
        for put in puts:
            etcd.submit(put, _nothing)

    print(f"\nput, one member, no latency: {_median_us(work, len(puts)):.1f} us")


def test_a_conditional_put_with_one_member_and_no_latency() -> None:
    etcd = Etcd(Kernel(), Streams(1))
    revisions = dict.fromkeys([b"key/%d" % number for number in range(1000)], 0)

    def work() -> None:
        for _ in range(10):
            for key, revision in revisions.items():
                etcd.submit(PutIf(key, None, revision, 500), _nothing)
                revisions[key] = etcd.store.revision

    print(f"\nput if unchanged, one member, no latency: {_median_us(work, 10_000):.1f} us")


def _three_members(at_once: int) -> float:
    kernel = Kernel()
    etcd = Etcd(kernel, Streams(1), EtcdConfig.measured(3))
    left = 0

    def again(response: object, error: object) -> None:
        nonlocal left
        if left:
            left -= 1
            etcd.submit(Put(b"key/%d" % (left % 1000), None, size=256), again)

    def work() -> None:
        nonlocal left
        left = 4000
        for _ in range(at_once):
            again(None, None)
        kernel.run(kernel.now + 10 * SECOND)

    return _median_us(work, 4000)


def test_a_put_with_three_members_and_real_latencies() -> None:
    print()
    for at_once in (1, 4, 16, 64):
        print(f"put, three members, measured latencies, {at_once:2} at a time: {_three_members(at_once):.0f} us")


def test_time_that_passes_without_anything_happening() -> None:
    kernel = Kernel()
    etcd = Etcd(kernel, Streams(1), EtcdConfig.measured(3))
    etcd.submit(Put(b"k"), _nothing)
    begun = time.process_time()
    kernel.run(365 * 24 * 3600 * SECOND)
    print(f"\na quiet year with three members: {(time.process_time() - begun) * 1000:.1f} ms")
    assert kernel.now > MICROSECOND


def test_memory_per_revision_and_after_compaction() -> None:
    tracemalloc.start()
    etcd = Etcd(Kernel(), Streams(1))
    empty = tracemalloc.get_traced_memory()[0]
    for number in range(100_000):
        etcd.submit(Put(b"key/%d" % (number % 1000), None, size=500), _nothing)
    full = tracemalloc.get_traced_memory()[0] - empty
    etcd.submit(Compact(etcd.store.revision), _nothing)
    gc.collect()
    compacted = tracemalloc.get_traced_memory()[0] - empty
    tracemalloc.stop()
    print(f"\n{full / 100_000:.0f} bytes a revision; {compacted / 1000:.0f} bytes a key after compaction")
    assert compacted < full / 20
