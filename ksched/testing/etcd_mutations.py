"""Are mistakes noticed? Each mutation is one, made on purpose; the table says what found it, the swarm or a scenario.

python -m ksched.testing.etcd_mutations
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any, NamedTuple
from unittest.mock import patch

import typer

from ksched.cluster.etcd.leases import Lessor
from ksched.cluster.etcd.member import Member
from ksched.cluster.etcd.ops import WatchBatch
from ksched.cluster.etcd.raft import Entry, HardState, Message, Snapshot, election, read_requests
from ksched.cluster.etcd.raft.log import RaftLog
from ksched.cluster.etcd.raft.raft import Raft
from ksched.cluster.etcd.server import Etcd
from ksched.cluster.etcd.wal import Recovered, Wal
from ksched.cluster.etcd.watch_handle import WatchHandle
from ksched.sim.disk import Disk
from ksched.testing.etcd_invariants import Violation
from ksched.testing.etcd_scenarios import SCENARIOS
from ksched.testing.etcd_swarm import run, violation_of

_recover, _restore, _apply, _sync = Wal.recover, Member._restore, Member._apply, Disk.sync
_maybe_append, _handle_vote, _receive = RaftLog.maybe_append, election.handle_vote_request, WatchHandle._receive


class Mutation(NamedTuple):
    """``mistake`` in words; ``replace(owner, name, by)`` makes it."""

    mistake: str
    owner: Any
    name: str
    by: Callable[..., Any]

    def made(self) -> AbstractContextManager[Any]:
        """The mistake is there inside this context."""
        return patch.object(self.owner, self.name, self.by)


# -- elections ------------------------------------------------------------------------------------------------


def forget_vote(self: Wal) -> Recovered:
    found = _recover(self)
    return found._replace(hard_state=HardState(found.hard_state.term, 0, found.hard_state.commit))


def vote_again(raft: Raft, m: Message) -> None:
    raft.vote = raft.lead = 0
    _handle_vote(raft, m)


def any_log_is_up_to_date(self: RaftLog, index: int, term: int) -> bool:
    return True


# -- the log --------------------------------------------------------------------------------------------------


def commit_by_counting(self: RaftLog, index: int, term: int) -> bool:
    if index <= self.committed:
        return False
    self.commit_to(index)
    return True


def ignore_previous_term(self: RaftLog, index: int, term: int, entries: Sequence[Entry], committed: int) -> int | None:
    return _maybe_append(self, index, self.term_or_zero(index), entries, committed)


def commit_what_is_not_vouched_for(
    self: RaftLog, index: int, term: int, entries: Sequence[Entry], committed: int
) -> int | None:
    taken = _maybe_append(self, index, term, entries, committed)
    if taken is not None:
        self.commit_to(min(committed, self.last_index()))
    return taken


def always_truncate(self: RaftLog, entries: Sequence[Entry]) -> int | None:
    return next((entry.index for entry in entries if entry.index > self.committed), None)


def answer_before_sync(self: Disk, then: Callable[..., object], *args: Any) -> None:
    if then.__name__ == Member._synced.__name__:
        _sync(self, lambda: None)
        then(*args)
    else:
        _sync(self, then, *args)


# -- reads ----------------------------------------------------------------------------------------------------


def read_without_quorum(raft: Raft, m: Message) -> None:
    read_requests._answer(raft, m, raft.log.committed)


# -- state ----------------------------------------------------------------------------------------------------


def apply_twice(self: Member, entry: Entry) -> None:
    """The first entry after a snapshot, again."""
    _apply(self, entry)
    if entry.data is not None and entry.index == self._snapshot_index + 1:
        _apply(self, entry)


def keep_old_state(self: Member, snapshot: Snapshot) -> None:
    state = self.store
    _restore(self, snapshot)
    self.store = state


def promote_without_time(self: Lessor, ttls: dict[int, int], extend: int) -> None:
    for lease_id in ttls:
        self.start(lease_id, 0)


# -- watches --------------------------------------------------------------------------------------------------


def resume_late(self: WatchHandle, batch: WatchBatch) -> None:
    _receive(self, batch)
    self._received += 1


def resume_early(self: WatchHandle, batch: WatchBatch) -> None:
    _receive(self, batch)
    self._received -= 1


def stay_in_old_state(self: Etcd, member: Member) -> None:
    pass


MUTATIONS = (
    Mutation("the vote is not found again after a crash", Wal, "recover", forget_vote),
    Mutation("a member votes for everybody in one term", election, "handle_vote_request", vote_again),
    Mutation("a member votes for a candidate with a shorter log", RaftLog, "is_up_to_date", any_log_is_up_to_date),
    Mutation("entries of earlier terms are committed by counting", RaftLog, "maybe_commit", commit_by_counting),
    Mutation("the term of the entry before is not compared", RaftLog, "maybe_append", ignore_previous_term),
    Mutation(
        "a follower commits what the leader did not vouch for", RaftLog, "maybe_append", commit_what_is_not_vouched_for
    ),
    Mutation("an append cuts off what is there already", RaftLog, "_find_conflict", always_truncate),
    Mutation("members answer before the disk has synced", Disk, "sync", answer_before_sync),
    Mutation("read index does not ask a quorum", read_requests, "_start", read_without_quorum),
    Mutation("linearizable reads are served locally", Member, "read", Member.read_local),
    Mutation("an entry is applied twice", Member, "_apply", apply_twice),
    Mutation("a snapshot moves the log and not the state", Member, "_restore", keep_old_state),
    Mutation("a new leader gives leases no time", Lessor, "promote", promote_without_time),
    Mutation("a watch resumes one revision late", WatchHandle, "_receive", resume_late),
    Mutation("a watch resumes one revision early", WatchHandle, "_receive", resume_early),
    Mutation("a watch stays in the state a snapshot replaced", Etcd, "_restored", stay_in_old_state),
)


class Caught(NamedTuple):
    """What found a mistake (the swarm, or a scenario by its claim), and the check that failed; None: nothing did."""

    by: str | None
    check: str | None


def hunt(mutation: Mutation, seeds: range) -> Caught:
    """Run seeds with the mistake until one finds it; then the scenarios, if none did."""
    with mutation.made():
        for number, seed in enumerate(seeds, 1):
            violation = _broken(_swarm, seed)
            if violation is not None:
                return Caught(f"swarm after {number} seeds", violation.check)
        for scenario in SCENARIOS:
            violation = _broken(violation_of, scenario.play)
            if violation is not None:
                return Caught(scenario.claim, violation.check)
    return Caught(None, None)


def _swarm(seed: int) -> Violation | None:
    return run(seed).violation


def _broken(find: Callable[..., Violation | None], history: Any) -> Violation | None:
    """What ``find`` finds in a history; a mistake may also make the members fall over."""
    try:
        return find(history)
    except Exception as error:
        return Violation(type(error).__name__, str(error))


def main(seeds: Annotated[int, typer.Option(help="Seeds to try for each mistake before the scenarios.")] = 120) -> None:
    """Make each mistake in turn and print the table."""
    missed = 0
    typer.echo("| mistake | found by | check | seconds |\n|---|---|---|---|")
    for mutation in MUTATIONS:
        begun = time.perf_counter()
        caught = hunt(mutation, range(seeds))
        missed += caught.by is None
        found = caught.by or "NOT FOUND"
        typer.echo(f"| {mutation.mistake} | {found} | {caught.check} | {time.perf_counter() - begun:.1f} |")
    if missed:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
