"""The safety properties of Raft under random schedules, and that the checks see it when a rule is broken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from ksched.cluster.etcd.raft import Entry, HardState, InvariantViolated, Message, RawNode, Ready, election, quorum
from ksched.cluster.etcd.raft.log import RaftLog
from ksched.cluster.etcd.raft.raft import Raft

from .random_cluster import RandomCluster, Violation


@pytest.mark.parametrize("seeds", [range(start, start + 10) for start in range(0, 100, 10)], ids=str)
@pytest.mark.parametrize("size", [3, 5])
def test_safety_holds_and_the_members_agree_in_the_end_whatever_is_lost_doubled_or_crashes(
    size: int, seeds: range
) -> None:
    for seed in seeds:
        cluster = RandomCluster(seed, size=size)
        cluster.run(3000)
        cluster.heal()


@pytest.mark.parametrize("seeds", [range(start, start + 10) for start in range(0, 100, 10)], ids=str)
def test_safety_holds_while_members_come_and_go(seeds: range) -> None:
    for seed in seeds:
        cluster = RandomCluster(seed, size=3, change_members=True)
        cluster.run(3000)
        cluster.heal()


def test_a_schedule_repeats_exactly() -> None:
    first, second = RandomCluster(1), RandomCluster(1)
    for cluster in (first, second):
        cluster.run(3000)
    assert len(first.committed) > 10
    assert first.committed == second.committed
    assert first.leader_of_term == second.leader_of_term
    assert first.network == second.network


# Rules broken on purpose. Each must be noticed, or the checks above are worth nothing.


def _forget_the_vote(patch: pytest.MonkeyPatch) -> None:
    hard_state = Raft.hard_state
    patch.setattr(Raft, "hard_state", lambda raft: replace(hard_state(raft), vote=0))


def _forget_the_term(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Raft, "hard_state", lambda raft: HardState(0, 0, raft.log.committed))


def _vote_twice(patch: pytest.MonkeyPatch) -> None:
    handle = election.handle_vote_request

    def forgetful(raft: Raft, m: Message) -> None:
        raft.vote = raft.lead = 0
        handle(raft, m)

    patch.setattr(election, "handle_vote_request", forgetful)


def _vote_for_whoever_asks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RaftLog, "is_up_to_date", lambda log, index, term: True)


def _promise_before_sync(patch: pytest.MonkeyPatch) -> None:
    ready = RawNode.ready

    def hasty(node: RawNode) -> Ready:
        work = ready(node)
        work.messages = [*work.messages, *work.messages_after_sync]
        work.messages_after_sync = []
        return work

    patch.setattr(RawNode, "ready", hasty)


def _do_not_ask_for_sync(patch: pytest.MonkeyPatch) -> None:
    ready = RawNode.ready

    def careless(node: RawNode) -> Ready:
        work = ready(node)
        work.must_sync = False
        return work

    patch.setattr(RawNode, "ready", careless)


def _do_not_look_at_the_previous_entry(patch: pytest.MonkeyPatch) -> None:
    append = RaftLog.maybe_append

    def trusting(log: RaftLog, index: int, term: int, entries: Sequence[Entry], committed: int) -> int | None:
        return append(log, index, log.term_or_zero(index), entries, committed)

    patch.setattr(RaftLog, "maybe_append", trusting)


def _commit_what_one_member_has(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(quorum, "committed_index", lambda voters, acked: max(acked.get(voter, 0) for voter in voters))


@pytest.mark.parametrize(
    "break_rule",
    [
        _forget_the_vote,
        _forget_the_term,
        _vote_twice,
        _vote_for_whoever_asks,
        _promise_before_sync,
        _do_not_ask_for_sync,
        _do_not_look_at_the_previous_entry,
        _commit_what_one_member_has,
    ],
)
def test_a_broken_rule_is_noticed(
    break_rule: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_rule(monkeypatch)
    with pytest.raises((Violation, InvariantViolated)):
        for seed in range(200):
            RandomCluster(seed, size=5 if seed % 2 else 3).run(3000)
