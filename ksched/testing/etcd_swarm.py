"""Random requests to an etcd cluster under random faults, and a check of all it promises.

    python -m ksched.testing.etcd_swarm --seeds 0:10000 --jobs 2
    python -m ksched.testing.etcd_swarm --seeds 17           one seed, the same again

A seed determines the cluster (size, delays, how often it takes snapshots), what its clients ask, and what goes wrong.
Checked inside: election safety, leader completeness, log matching, state-machine safety, leases. Checked from outside:
linearizability of each key, no acknowledged write lost, old reads true to their revision, and of watches that they
tell all events, once, in order, across failures. And that a cluster whose faults have ended serves again.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

import numpy as np
import typer

from ksched.cluster.etcd.errors import EtcdError
from ksched.cluster.etcd.member import Proposal
from ksched.cluster.etcd.ops import FROM_KEY, Event, WatchBatch
from ksched.cluster.etcd.raft import InvariantViolated
from ksched.cluster.etcd.server import Etcd, EtcdConfig
from ksched.cluster.etcd.store import Store
from ksched.sim.delays import Uniform
from ksched.sim.disk import DiskConfig
from ksched.sim.kernel import MILLISECOND, SECOND, Kernel
from ksched.sim.network import LinkQuality
from ksched.sim.streams import Streams
from ksched.testing.etcd_clients import KEYS, Asked, Clients, Watched
from ksched.testing.etcd_faults import Trouble
from ksched.testing.etcd_invariants import Invariants, Violation
from ksched.testing.linearizability import Register, is_linearizable

_TROUBLE = 3 * SECOND
_RECOVERY = 6 * SECOND
_CLIENTS = 4


@dataclass
class Outcome:
    """What one seed came to: ``violation`` is None if all held, ``counts`` says how much there was to check, and
    ``digest`` stands for all that clients asked and saw."""

    seed: int
    violation: Violation | None = None
    counts: Counter[str] = field(default_factory=Counter)
    digest: str = ""


def run(seed: int) -> Outcome:
    """One history under faults, checked."""
    outcome = Outcome(seed)

    def history() -> None:
        played = _History(seed, outcome.counts)
        played.play()
        outcome.digest = played.digest()

    outcome.violation = violation_of(history)
    return outcome


def violation_of(history: Callable[[], object]) -> Violation | None:
    """What breaks while ``history`` runs, None if nothing does."""
    try:
        history()
    except Violation as violation:
        return violation
    except InvariantViolated as violated:
        return Violation("own assertions", str(violated))
    return None


def draw_config(chance: np.random.Generator) -> EtcdConfig:
    """A cluster with short clocks, so that much happens in little time."""
    return EtcdConfig(
        members=(1, 3, 3, 3, 3, 5)[int(chance.integers(6))],
        network=Uniform(low=0, high=int(chance.integers(2 * MILLISECOND))),
        peers=LinkQuality(delay=Uniform(low=0, high=int(chance.integers(1, 10 * MILLISECOND)))),
        disk=DiskConfig(sync=Uniform(low=0, high=int(chance.integers(1, 10 * MILLISECOND)))),
        heartbeat=30 * MILLISECOND,
        election=150 * MILLISECOND,
        snapshot_count=int(chance.integers(4, 40)),
        catch_up=int(chance.integers(8)),
        lease_check=100 * MILLISECOND,
        min_lease_ttl=1,
        max_append_bytes=int(chance.choice([30, 1024 * 1024])),
    )


class _History:
    def __init__(self, seed: int, counts: Counter[str]) -> None:
        streams = Streams(seed)
        self.counts = counts
        self.kernel = Kernel()
        self.etcd = Etcd(self.kernel, streams, draw_config(streams.generator("swarm/config")))
        self.invariants = Invariants(self.kernel)
        self.etcd.group.observers.append(self.invariants)
        self.clients = Clients(self.kernel, self.etcd, streams.generator("swarm/clients"), _CLIENTS)
        self.trouble = Trouble(self.kernel, self.etcd, streams.generator("swarm/faults"), 120 * MILLISECOND)

    def play(self) -> None:
        """Trouble, recovery, and what there is to see afterwards."""
        kernel, etcd = self.kernel, self.etcd
        while kernel.now < _TROUBLE:
            kernel.run(kernel.now + 200 * MILLISECOND)
            self.invariants.check_logs(etcd.group.members.values())
            self.invariants.check_states(etcd.group.members.values())
        self.clients.active = False
        self.trouble.end()
        kernel.run(_TROUBLE + _RECOVERY)
        before = len(self.clients.asked)
        self.clients.read_all()
        kernel.run(_TROUBLE + _RECOVERY + SECOND)
        if any(asked.end is None for asked in self.clients.asked[before:]):
            raise Violation("recovery", "the cluster does not serve although nothing is wrong with it any more")
        self._count()
        check_end(etcd, self.invariants, self.clients.asked, self.clients.watched)

    def digest(self) -> str:
        seen = repr((self.clients.asked, self.clients.watched))
        return hashlib.blake2b(seen.encode(), digest_size=16).hexdigest()

    def _count(self) -> None:
        self.counts["faults"] = self.trouble.events
        self.counts["elections"] = self.invariants.elections
        self.counts["entries"] = len(self.invariants.entries)
        self.counts["requests"] = len(self.clients.asked)
        self.counts["unanswered"] = sum(asked.end is None for asked in self.clients.asked)
        self.counts["watch batches"] = sum(len(watched.batches) for watched in self.clients.watched)


def check_end(etcd: Etcd, invariants: Invariants, asked: list[Asked], watched: list[Watched]) -> None:
    """What must hold of members and clients once the trouble is over. Raises Violation."""
    invariants.check_logs(etcd.group.members.values())
    invariants.check_states(etcd.group.members.values())
    leader = etcd.group.leader()
    voters = leader.node.raft.tracker.configuration.voters if leader is not None else frozenset[int]()
    check_history(asked, watched, invariants.entries, voters)


def check_history(asked: list[Asked], watched: list[Watched], entries: list[object], voters: frozenset[int]) -> None:
    """What clients saw against each other, and against the log that was applied. Raises Violation.

    ``voters`` are the members at the end: nobody can expect to hear everything from one that was removed.
    """
    # The search grows with every request whose outcome is open. Those that were never applied can be left out: if
    # the answers made sense only with one of them, they would still be wrong.
    done = {id(entry.op) for entry in entries if isinstance(entry, Proposal)}
    for key in KEYS:
        own = [one for one in asked if one.request[0] == key and not one.local]
        said = [one.operation() for one in own if one.end is not None or id(one.op) in done]
        if not is_linearizable(said, Register()):
            raise Violation("linearizability", f"no order of the requests for {key!r} explains their answers")
    truth = _Truth(entries)
    for one in asked:
        if one.end is not None:
            truth.check_answer(one)
    for one_watch in watched:
        truth.check_watch(one_watch, cut_short=one_watch.member is not None and one_watch.member not in voters)


class _Truth:
    """What the applied log says that happened: it is applied once more, to a store of its own."""

    def __init__(self, entries: Iterable[object]) -> None:
        store = Store()
        self.batches: dict[int, WatchBatch] = {}
        self.values: dict[bytes, list[tuple[int, object]]] = {key: [(0, None)] for key in KEYS}
        store.watch(self._note, FROM_KEY, FROM_KEY, prev_kv=True)
        for entry in entries:
            if isinstance(entry, Proposal):
                try:
                    store.apply(entry.op)
                except EtcdError:
                    continue
        self.store = store

    def _note(self, batch: WatchBatch) -> None:
        self.batches[batch.revision] = batch
        for event in batch.events:
            if event.kv.key in self.values:
                value = None if event.is_delete else event.kv.value
                self.values[event.kv.key].append((batch.revision, value))

    def value_at(self, key: bytes, revision: int) -> object:
        """What ``key`` held at ``revision``."""
        return next(value for at, value in reversed(self.values[key]) if at <= revision)

    def check_answer(self, asked: Asked) -> None:
        """A read is true to its revision; what was said to be written was."""
        key, kind = asked.request[:2]
        if kind == "read":
            expected = asked.result
        elif kind == "write" or asked.result:
            expected = asked.request[-1]
        else:
            return
        found = self.value_at(key, asked.revision) if asked.revision <= self.store.revision else "nothing"
        if found != expected:
            check = "reads" if kind == "read" else "no acknowledged write lost"
            raise Violation(check, f"{asked.request} gave {expected!r} at revision {asked.revision}, not {found!r}")

    def check_watch(self, watched: Watched, *, cut_short: bool) -> None:
        """All events from the start on, once, in order, with what they replaced if that was asked for."""
        told = [batch for batch in watched.batches if not batch.canceled]
        ended = len(told) < len(watched.batches)
        first = watched.start or (told[0].revision if told else self.store.revision + 1)
        expected = [batch for revision, batch in sorted(self.batches.items()) if revision >= first]
        if ended and not watched.batches[-1].compact_revision > 0:
            raise Violation("watches", "a watch ended for no reason, or went on after its end")
        if ended or cut_short:
            expected = expected[: len(told)]
        if [batch.revision for batch in told] != [batch.revision for batch in expected]:
            raise Violation("watches", _difference(watched, [b.revision for b in told], [b.revision for b in expected]))
        for batch, truth in zip(told, expected, strict=True):
            if not all(map(partial(_same_event, watched.prev_kv), batch.events, truth.events)):
                raise Violation("watches", f"at revision {batch.revision} a watch was told {batch}, not {truth}")


def _same_event(with_previous: bool, told: Event, truth: Event) -> bool:
    if told.kv != truth.kv:
        return False
    # The version before may have been compacted by the time a watch that came late asks for it.
    return told.prev_kv is None or (with_previous and told.prev_kv == truth.prev_kv)


def _difference(watched: Watched, told: list[int], expected: list[int]) -> str:
    if sorted(set(told)) != told:
        return f"a watch was told revisions twice or out of order: {told}"
    missing = sorted(set(expected) - set(told))
    extra = sorted(set(told) - set(expected))
    return f"a watch from revision {watched.start} was not told {missing}, and was told {extra} for nothing"


# -- command --------------------------------------------------------------------------------------------------


def outcomes(seeds: range, jobs: int) -> Iterator[Outcome]:
    """The outcomes of all seeds, in their order whatever the number of processes."""
    if jobs == 1:
        yield from map(run, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run, seeds, chunksize=20)


def parse_seeds(text: str) -> range:
    """``A:B`` is A up to B - 1, ``A`` that seed alone."""
    first, colon, last = text.partition(":")
    try:
        return range(int(first), int(last) if colon else int(first) + 1)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a seed (17) nor a range of seeds (0:10000)") from None


def main(
    seeds: Annotated[str, typer.Option(help="A range A:B of seeds, or one seed.")] = "0:300",
    jobs: Annotated[int, typer.Option(min=1, help="Processes to use.")] = 1,
) -> None:
    """Run histories under faults and say what was checked."""
    begun, total, failed, ran = time.perf_counter(), Counter[str](), 0, 0
    for outcome in outcomes(parse_seeds(seeds), jobs):
        ran += 1
        total += outcome.counts
        if outcome.violation is not None:
            failed += 1
            typer.echo(f"seed {outcome.seed}: {outcome.violation.check}: {outcome.violation.text}")
            typer.echo(f"  python -m ksched.testing.etcd_swarm --seeds {outcome.seed}")
    typer.echo(f"{ran} seeds in {time.perf_counter() - begun:.0f} s, {failed} with a violation")
    typer.echo("checked: " + ", ".join(f"{number} {what}" for what, number in total.items()))
    if failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
