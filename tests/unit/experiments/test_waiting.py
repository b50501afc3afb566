"""The order in which runs are handed out: groups stay together, and nobody idles at the end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ksched.experiments.executors import Processes, Task, ThisProcess
from ksched.experiments.run_spec import RunSpec
from ksched.experiments.waiting import WaitingRuns

from .fakes import open_store, simulate, spec, sweep


def grid(seeds: int, policies: int) -> list[RunSpec]:
    """Policies outside, seeds inside, as an experiment file lists them: no two neighbours are of one group."""
    return [replace(spec(100 * p + s), seed=s) for p in range(policies) for s in range(seeds)]


def waiting(specs: list[RunSpec]) -> WaitingRuns:
    queue = WaitingRuns()
    for one in specs:
        queue.add(one)
    return queue


def test_runs_are_of_one_group_if_trace_replay_and_seed_are_the_same():
    one = replace(spec(1), config={"replay": {"mode": "inflate"}, "policy": "a"})
    assert replace(one, run_id="other", config={**one.config, "policy": "b"}).group == one.group
    others = (
        replace(one, seed=2),
        replace(one, trace={**one.trace, "content_hash": "1"}),
        replace(one, config={"replay": {"mode": "snapshot"}, "policy": "a"}),
    )
    assert len({one.group, *(other.group for other in others)}) == 4


def test_one_worker_does_group_after_group_in_the_order_of_the_plan():
    queue, group, order = waiting(grid(seeds=3, policies=2)), "", []
    while len(queue):
        run = queue.take(group)
        group = run.group
        order.append((run.seed, run.run_id))
    assert order == [(s, spec(100 * p + s).run_id) for s in range(3) for p in range(2)]
    with pytest.raises(IndexError):
        queue.take(group)


def test_two_workers_have_groups_of_their_own_until_only_one_is_left():
    queue = waiting(grid(seeds=3, policies=4))
    a, b = queue.take(""), queue.take("")
    seeds = [(a.seed, b.seed)]
    while len(queue):
        a, b = queue.take(a.group), queue.take(b.group)
        seeds.append((a.seed, b.seed))
    assert seeds == [(0, 1)] * 4 + [(2, 2)] * 2


def test_help_goes_to_the_group_with_most_runs_left():
    small, large = grid(seeds=1, policies=2), [replace(one, seed=9) for one in grid(seeds=1, policies=5)]
    queue = waiting([*small, *large])
    queue.take("")
    queue.take("")
    assert queue.take("a group that is done").seed == 9


def test_runs_without_anything_in_common_keep_the_order_of_the_plan():
    specs = [spec(n) for n in range(4)]
    queue = waiting(specs)
    assert [queue.take("") for _ in specs] == specs


def test_this_process_does_the_policies_of_a_seed_one_after_another(tmp_path):
    specs = grid(seeds=3, policies=2)
    done = sweep(specs, tmp_path).done
    assert done == [spec(100 * p + s).run_id for s in range(3) for p in range(2)]
    assert ThisProcess().room() == [""]


def test_a_process_that_did_one_of_the_group_gets_the_next(tmp_path):
    first, second = grid(seeds=2, policies=1)
    store = open_store(tmp_path)
    with Processes(2) as executor:
        assert executor.room() == ["", ""]
        for run in (first, second):
            executor.submit(Task(run, store, simulate))
        before = {process.group: process for process in executor._busy.values()}
        while len(executor.room()) < 2:
            executor.completed(lambda run_id, done, total: None)
        executor.submit(Task(replace(first, run_id="another"), store, simulate))
        assert list(executor._busy.values()) == [before[first.group]]
        assert executor.room() == [second.group]
