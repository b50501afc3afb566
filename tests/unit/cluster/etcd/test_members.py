"""An etcd cluster of several members: what its clients see when members die, stall, or lose each other."""

from __future__ import annotations

from typing import Any

import pytest

from ksched.cluster.etcd.ops import Compact, LeaseGrant, Put, Range, WatchBatch
from ksched.sim.kernel import MILLISECOND, SECOND
from ksched.sim.network import LinkQuality
from tests.unit.cluster.etcd.harness import Answers, Cluster

TIMED_OUT = "etcdserver: request timed out"


def test_a_write_is_applied_by_all_members() -> None:
    cluster = Cluster(members=3)
    assert cluster.put(b"a", b"1").revision == 2
    cluster.etcd.leader()  # from here on there are members to be looked at
    cluster.put(b"b", b"2")
    cluster.run(1)
    assert [cluster.etcd.status(member).revision for member in (1, 2, 3)] == [3, 3, 3]
    for member in (1, 2, 3):
        assert cluster.get(b"b", member=member, serializable=True) == b"2"


def test_the_cluster_goes_on_when_its_leader_dies_and_the_dead_one_catches_up_later() -> None:
    cluster = Cluster(members=3)
    cluster.put(b"a", b"1")
    dead = cluster.etcd.leader()
    cluster.etcd.crash(dead)
    cluster.run(3)
    assert cluster.etcd.leader() not in (0, dead)
    assert cluster.get(b"a") == b"1"
    assert cluster.put(b"a", b"2").revision == 3
    cluster.etcd.restart(dead)
    cluster.run(1)
    assert cluster.get(b"a", member=dead, serializable=True) == b"2"


def test_without_a_majority_writes_stall_and_serializable_reads_go_on() -> None:
    cluster = Cluster(members=3)
    cluster.put(b"a", b"1")
    leader = cluster.etcd.leader()
    first, second = cluster.others(leader)
    cluster.etcd.crash(first)
    cluster.etcd.crash(leader)
    cluster.run(3)
    asked = cluster.kernel.now
    assert cluster.put(b"a", b"2", member=second) == TIMED_OUT
    assert cluster.kernel.now - asked == 7 * SECOND  # 5 s and two election timeouts
    assert cluster.get(b"a", member=second) == TIMED_OUT
    assert cluster.get(b"a", member=second, serializable=True) == b"1"
    assert cluster.etcd.status(second).leader == 0
    cluster.etcd.restart(first)
    cluster.run(3)
    assert cluster.put(b"a", b"3").revision >= 3


def test_a_leader_that_loses_its_followers_steps_down_and_what_it_took_alone_is_gone() -> None:
    cluster = Cluster(members=3)
    leader = cluster.etcd.leader()
    cluster.etcd.isolate(leader)
    taken = Answers(cluster.kernel)
    cluster.etcd.submit(Put(b"a", b"lost"), taken, member=leader)
    cluster.run(4)
    assert cluster.etcd.status(leader).leader == 0
    follower = cluster.others(leader)[0]
    assert cluster.put(b"b", b"kept", member=follower).revision == 2
    cluster.run(5)
    assert taken.values == [TIMED_OUT]
    cluster.etcd.heal()
    cluster.run(3)
    assert cluster.get(b"a", member=leader) is None
    assert cluster.get(b"b", member=leader) == b"kept"


def test_a_member_that_was_cut_off_does_not_disturb_the_leader_when_it_is_back() -> None:
    cluster = Cluster(members=3)
    leader = cluster.etcd.leader()
    cut_off = cluster.others(leader)[0]
    cluster.etcd.isolate(cut_off)
    cluster.run(30)
    term = cluster.etcd.status(leader).term
    cluster.etcd.heal()
    cluster.run(5)
    assert cluster.etcd.leader() == leader
    assert cluster.etcd.status(cut_off).term == term  # pre-vote


def test_a_read_through_a_stranded_leader_is_not_answered_from_its_old_state() -> None:
    cluster = Cluster(members=3)
    cluster.put(b"a", b"old")
    leader = cluster.etcd.leader()
    other = cluster.others(leader)[0]
    cluster.etcd.isolate(leader)
    cluster.etcd.pause(leader)
    cluster.run(3)
    assert cluster.put(b"a", b"new", member=other).revision == 3
    cluster.etcd.resume(leader)
    assert cluster.etcd.status(leader).leader == leader  # it does not know yet
    assert cluster.get(b"a", member=leader, serializable=True) == b"old"
    assert cluster.get(b"a", member=leader) == TIMED_OUT


def test_acknowledged_writes_survive_a_loss_of_power_everywhere() -> None:
    cluster = Cluster(members=3, disk={"sync": "5ms", "torn": 1}, peers={"delay": "1ms"})
    written = [cluster.put(b"k%d" % number, b"v").revision for number in range(20)]
    cluster.etcd.submit(Put(b"in flight", b"v"), lambda response, error: None)
    cluster.run(0.004)
    for member in (1, 2, 3):
        cluster.etcd.crash(member)
    for member in (1, 2, 3):
        cluster.etcd.restart(member)
    cluster.run(4)
    assert written == list(range(2, 22))
    assert [cluster.get(b"k%d" % number) for number in range(20)] == [b"v"] * 20


def test_a_member_far_behind_is_brought_up_by_a_snapshot_and_its_watches_go_on() -> None:
    cluster = Cluster(members=3, snapshot_count=10, catch_up=2)
    slow = cluster.others(cluster.etcd.leader())[0]
    told: list[WatchBatch] = []
    cluster.etcd.watch(told.append, b"k", member=slow)
    cluster.put(b"k", b"0")
    cluster.run(1)
    cluster.etcd.isolate(slow)
    for number in range(40):
        cluster.put(b"k", b"%d" % number, member=cluster.etcd.leader())
    group = cluster.etcd.group
    assert group.members[cluster.etcd.leader()].node.raft.log.first_index() > group.members[slow].applied + 1
    cluster.etcd.heal()
    cluster.run(2)
    assert cluster.get(b"k", member=slow, serializable=True) == b"39"
    assert [batch.revision for batch in told] == list(range(2, 43))


def test_a_watch_survives_the_member_that_served_it() -> None:
    cluster = Cluster(members=3, network="1ms")
    told: list[WatchBatch] = []
    cluster.etcd.watch(told.append, b"k", start_revision=2)
    for round_number in range(3):
        for number in range(5):
            cluster.put(b"k", b"%d" % number)
        served_by = cluster.etcd._watches[0].member
        if served_by is not None:
            cluster.etcd.crash(served_by.id)
            cluster.run(3)
            cluster.etcd.restart(served_by.id)
        else:
            assert round_number == 0
            cluster.etcd.leader()
    cluster.run(3)
    assert [batch.revision for batch in told] == list(range(2, 17))


def test_a_watch_leaves_a_member_that_has_lost_its_leader() -> None:
    cluster = Cluster(members=3)
    cluster.etcd.isolate(1)
    told: list[WatchBatch] = []
    cluster.etcd.watch(told.append, b"k")
    cluster.run(8)
    cluster.put(b"k", b"1", member=cluster.etcd.leader())
    cluster.run(1)
    assert [batch.revision for batch in told] == [2]


def test_a_watch_whose_start_is_compacted_ends_with_the_compact_revision_after_a_restart_too() -> None:
    cluster = Cluster(members=3)
    for number in range(5):
        cluster.put(b"k", b"%d" % number)
    cluster.ask(Compact(5))
    cluster.etcd.crash(1)
    cluster.etcd.restart(1)
    cluster.run(1)
    told: list[WatchBatch] = []
    cluster.etcd.watch(told.append, b"k", start_revision=2, member=1)
    cluster.run(1)
    assert [(batch.canceled, batch.compact_revision) for batch in told] == [(True, 5)]


def test_a_new_leader_gives_every_lease_its_full_time_again() -> None:
    cluster = Cluster(members=3)
    cluster.ask(LeaseGrant(7, 5))
    cluster.ask(Put(b"k", b"v", lease=7))
    cluster.run(4)
    cluster.etcd.crash(cluster.etcd.leader())
    cluster.run(4)
    assert cluster.get(b"k") == b"v"
    assert cluster.etcd.lease_remaining(7) > 0
    cluster.run(5)
    assert cluster.get(b"k") is None
    assert cluster.etcd.lease_remaining(7) == -1


def test_keeping_a_lease_alive_without_a_leader_is_refused() -> None:
    cluster = Cluster(members=3)
    cluster.ask(LeaseGrant(7, 60))
    leader = cluster.etcd.leader()
    for member in cluster.others(leader):
        cluster.etcd.crash(member)
    cluster.run(3)
    answers = Answers(cluster.kernel)
    cluster.etcd.lease_keep_alive(7, answers)
    cluster.run(1)
    assert answers.values == ["etcdserver: no leader"]


def test_members_can_be_added_and_removed_one_at_a_time() -> None:
    cluster = Cluster(members=3)
    cluster.put(b"a", b"1")
    answers = Answers(cluster.kernel)
    new = cluster.etcd.add_member(answers)
    cluster.run(2)
    assert sorted(answers.values[0].voters) == [1, 2, 3, new]
    assert cluster.get(b"a", member=new) == b"1"
    leader = cluster.etcd.leader()
    cluster.etcd.remove_member(leader, answers)
    cluster.run(6)
    assert not cluster.etcd.status(leader).up
    assert cluster.etcd.leader() not in (0, leader)
    cluster.put(b"a", b"2")
    assert cluster.get(b"a", member=new) == b"2"


def test_writes_of_one_instant_go_to_the_disk_and_to_the_followers_as_one() -> None:
    cluster = Cluster(members=3, disk={"sync": "1ms"}, peers={"delay": "1ms"})
    answers = Answers(cluster.kernel)
    leader = cluster.etcd.leader()
    for number in range(50):
        cluster.etcd.submit(Put(b"k%d" % number, b"v"), answers, member=leader)
    cluster.run(1)
    assert {time for time, _ in answers.came} == {3 * MILLISECOND}  # there, to the disk, back
    assert len(answers.came) == 50


def test_a_write_nobody_led_to_take_is_not_made_after_it_was_given_up() -> None:
    cluster = Cluster(members=3)
    leader = cluster.etcd.leader()
    dead = cluster.others(leader)
    for member in dead:
        cluster.etcd.crash(member)
    cluster.run(3)
    assert cluster.put(b"a", b"given up", member=leader) == TIMED_OUT
    for member in dead:
        cluster.etcd.restart(member)
    cluster.run(4)
    assert cluster.get(b"a") is None


def test_a_lossy_untidy_network_costs_time_and_nothing_else() -> None:
    cluster = Cluster(members=3)
    bad = LinkQuality(loss=0.2, duplicate=0.2, reorder=0.3, detour={"kind": "uniform", "low": "0", "high": "300ms"})
    cluster.etcd.disturb(bad)
    for number in range(30):
        while not isinstance(cluster.put(b"k%d" % number, b"v"), tuple):
            pass
    cluster.etcd.heal()
    cluster.run(3)
    response: Any = cluster.ask(Range(b"k", b"l"))
    assert response.count == 30


@pytest.mark.parametrize("members", [1, 3, 5])
def test_elided_and_stepped_clusters_show_the_same(members: int) -> None:
    """Down to the nanosecond, with and without delays, through a leader's death and a partition."""

    def story(stepped: bool, delays: dict[str, Any]) -> list[Any]:
        cluster = Cluster(seed=3, members=members, stepped=stepped, network="1ms", **delays)
        seen = Answers(cluster.kernel)
        cluster.etcd.watch(lambda batch: seen(batch, None), b"a", b"z")
        cluster.etcd.lease_grant(3, seen, 9)
        for number in range(10):
            cluster.etcd.submit(Put(b"k%d" % (number % 3), b"%d" % number, lease=9 * (number % 2)), seen)
            cluster.run(0.01)
            cluster.etcd.submit(Range(b"a", b"z"), seen)
            cluster.run(0.117)
        cluster.run(7.3)
        if members > 1:
            leader = cluster.etcd.leader()
            cluster.etcd.crash(leader)
            cluster.etcd.submit(Put(b"m", b"1"), seen)
            cluster.run(4.1)
            cluster.etcd.restart(leader)
            cluster.run(20)
            cluster.etcd.isolate(cluster.etcd.leader())
            cluster.run(5)
            cluster.etcd.submit(Put(b"n", b"1"), seen)
            cluster.etcd.heal()
            cluster.run(12.3)
        cluster.etcd.submit(Range(b"a", b"z"), seen)
        cluster.run(9)
        return [*seen.came, [cluster.etcd.status(member) for member in cluster.others()]]

    for delays in ({}, {"peers": {"delay": "2ms"}, "disk": {"sync": "3ms"}, "commit": "1ms"}):
        assert story(False, delays) == story(True, delays)


def test_a_healthy_cluster_costs_nothing_while_nothing_happens() -> None:
    cluster = Cluster(members=3, peers={"delay": "1ms"}, disk={"sync": "1ms"})
    cluster.put(b"a", b"1")
    cluster.run(1)
    steps = 0
    while cluster.kernel.next_time() is not None:
        cluster.kernel.step()
        steps += 1
    assert steps < 50  # a day of heartbeats would be millions


def test_the_same_seed_gives_the_same_history() -> None:
    def history() -> list[Any]:
        cluster = Cluster(seed=5, members=3, peers={"delay": {"kind": "uniform", "low": "0", "high": "9ms"}})
        answers = Answers(cluster.kernel)
        for number in range(20):
            cluster.etcd.submit(Put(b"k", b"%d" % number), answers)
            cluster.run(0.01)
        cluster.etcd.crash(cluster.etcd.leader())
        cluster.run(9)
        return answers.came

    assert history() == history()
