from __future__ import annotations

from collections.abc import Callable

import pytest

from ksched.cluster.etcd.raft import (
    ConfChange,
    ConfChangeRefused,
    ConfChangeSingle,
    ConfChangeType,
    Configuration,
    Entry,
    HardState,
    InvariantViolated,
    LocalMessage,
    MemoryStorage,
    Message,
    MessageType,
    PeerNotFound,
    ProposalDropped,
    RaftConfig,
    RawNode,
    ReadState,
    Role,
    Snapshot,
)
from ksched.errors import InputError

from .members import Members


def test_what_is_proposed_anywhere_is_applied_everywhere_in_one_order() -> None:
    members = Members(3)
    members.elect(1)
    members[1].propose("a")
    members[2].propose("b")
    members[1].propose_all([Entry(data="c"), Entry(data="d")])
    members.stabilize()
    assert sorted(members.data(1)) == ["a", "b", "c", "d"]
    assert members.data(1) == members.data(2) == members.data(3)


def test_entries_are_shared_not_copied() -> None:
    members = Members(3)
    members.elect(1)
    members[1].propose(["payload"])
    members.stabilize()
    assert members.applied[1][-1] is members.applied[2][-1] is members.applied[3][-1]


def test_promises_wait_for_the_disk_and_appends_do_not() -> None:
    members = Members(3)
    members.elect(1)
    members[1].propose("a")
    ready = members[1].ready()
    assert ready.must_sync
    assert [m.type for m in ready.messages] == [MessageType.APP, MessageType.APP]
    assert ready.messages_after_sync == []
    members[2].step(ready.messages[0])
    ready = members[2].ready()
    assert ready.must_sync
    assert ready.messages == []
    assert [m.type for m in ready.messages_after_sync] == [MessageType.APP_RESP]


def test_a_leader_counts_itself_only_when_its_own_write_is_done() -> None:
    members = Members(1)
    members[1].campaign()
    ready = members[1].ready()
    members.storage[1].append(ready.entries)
    assert members[1].raft.role is Role.CANDIDATE
    members[1].advance()
    assert members[1].raft.role is Role.LEADER
    members[1].propose("a")
    ready = members[1].ready()
    members.storage[1].append(ready.entries)
    assert members[1].raft.log.committed == 0
    members[1].advance()
    assert members[1].raft.log.committed == 2


def test_a_vote_must_be_synced_and_a_commit_index_need_not() -> None:
    members = Members(3)
    members[1].campaign()
    vote = members.work(1)
    assert vote.hard_state == HardState(term=1, vote=1, commit=0)
    assert vote.must_sync
    members.stabilize()
    members[1].propose("a")
    members.passes = lambda m: m.commit < 2
    members.stabilize()
    members[2].step(Message(MessageType.HEARTBEAT, 2, 1, term=1, commit=2))
    commit = members.work(2)
    assert commit.hard_state == HardState(term=1, vote=1, commit=2)
    assert not commit.must_sync


def test_entries_of_earlier_terms_are_committed_only_behind_one_of_the_own_term() -> None:
    # Figure 8 of the Raft paper: the entry of term 2 is on a majority at (c), and still may be overwritten at (d).
    storage = MemoryStorage(Configuration(voters=frozenset({1, 2, 3, 4, 5})))
    storage.append([Entry(term=1, index=1), Entry(term=2, index=2)])
    storage.set_hard_state(HardState(term=3, commit=1))
    leader = RawNode(RaftConfig(id=1, applied=1, pre_vote=False), storage, lambda n: 0)

    def write() -> None:
        storage.append(leader.ready().entries)
        leader.advance()

    leader.campaign()
    write()
    for voter in (2, 3):
        leader.step(Message(MessageType.VOTE_RESP, 1, voter, term=4))
    assert leader.raft.role is Role.LEADER
    for follower in (2, 3):
        leader.step(Message(MessageType.APP_RESP, 1, follower, term=4, index=2))
    write()
    assert leader.raft.log.committed == 1
    for follower in (2, 3):
        leader.step(Message(MessageType.APP_RESP, 1, follower, term=4, index=3))
    assert leader.raft.log.committed == 3


def test_a_follower_overwrites_what_a_new_leader_does_not_have() -> None:
    members = Members(3)
    members.elect(1)
    members.passes = lambda m: False
    members[1].propose("lost")
    members.stabilize()
    members.passes = lambda m: 1 not in (m.sender, m.to)
    members.elect(2)
    members[2].propose("kept")
    members.stabilize()
    members.passes = lambda m: True
    members[2].tick()
    members.stabilize()
    assert members.data(1) == members.data(2) == ["kept"]


def test_a_leader_without_a_quorum_steps_down_and_keeps_nothing_from_being_proposed_elsewhere() -> None:
    members = Members(3, check_quorum=True, election_tick=5)
    members.elect(1)
    members.passes = lambda m: 1 not in (m.sender, m.to)
    for _ in range(10):
        members[1].tick()
        members.stabilize()
    assert members[1].raft.role is not Role.LEADER
    with pytest.raises(ProposalDropped):
        members[1].propose("a")


def test_a_member_that_was_cut_off_disturbs_nobody_with_pre_vote() -> None:
    members = Members(3, pre_vote=True, check_quorum=True, election_tick=5)
    members.elect(1)
    members.passes = lambda m: 3 not in (m.sender, m.to)
    for _ in range(40):
        for id in (1, 2, 3):
            members[id].tick()
        members.stabilize()
    assert members[3].raft.term == 1
    members.passes = lambda m: True
    for _ in range(5):
        members[1].tick()
        members.stabilize()
    assert members[1].raft.role is Role.LEADER
    assert members[3].raft.lead == 1


def test_leadership_is_handed_over_to_a_follower_once_it_has_everything() -> None:
    members = Members(3, check_quorum=True)
    members.elect(1)
    members.passes = lambda m: m.to != 2
    members[1].propose("a")
    members.stabilize()
    members.passes = lambda m: True
    members[1].transfer_leader(2)
    with pytest.raises(ProposalDropped):
        members[1].propose("while it moves")
    members[1].tick()
    members.stabilize()
    assert members[2].raft.role is Role.LEADER
    assert members.data(2) == ["a"]


def test_a_read_is_answered_when_a_quorum_has_confirmed_the_leader() -> None:
    members = Members(3)
    members.elect(1)
    members[1].read_index("at the leader")
    members[2].read_index("at a follower")
    members.stabilize()
    assert members.reads[1] == [ReadState(1, "at the leader")]
    assert members.reads[2] == [ReadState(1, "at a follower")]
    members.passes = lambda m: 1 not in (m.sender, m.to)
    members[1].read_index("alone")
    members.stabilize()
    assert len(members.reads[1]) == 1


def test_one_round_of_heartbeats_confirms_all_reads_before_it() -> None:
    members = Members(3)
    members.elect(1)
    for read in range(3):
        members[1].read_index(read)
    last = [m for m in members[1].ready().messages if m.to == 2][-1]
    members[1].advance()
    members[2].step(last)
    members.work(2)
    members[1].step(members.sent.pop())
    members.stabilize()
    assert [state.context for state in members.reads[1]] == [0, 1, 2]


def test_a_read_before_the_first_commit_of_a_term_waits_for_it() -> None:
    members = Members(3)
    members[1].campaign()
    held: list[Message] = []

    def hold_acknowledgements(m: Message) -> bool:
        if m.type is MessageType.APP_RESP:
            held.append(m)
        return m.type is not MessageType.APP_RESP

    members.passes = hold_acknowledgements
    members.stabilize()
    members[1].read_index("early")
    members.stabilize()
    assert members.reads[1] == []
    members.passes = lambda m: True
    for m in held:
        members[1].step(m)
    members.stabilize()
    assert members.reads[1] == [ReadState(1, "early")]


def test_lease_based_reads_ask_nobody() -> None:
    members = Members(3, check_quorum=True, lease_based_reads=True)
    members.elect(1)
    members[1].read_index("quick")
    assert members[1].ready().read_states == [ReadState(1, "quick")]


def test_a_follower_behind_the_compacted_log_gets_a_snapshot() -> None:
    members = Members(3)
    members.elect(1)
    members.passes = lambda m: m.to != 3
    for number in range(5):
        members[1].propose(number)
    members.stabilize()
    applied = members[1].status().applied
    members.storage[1].save_snapshot(Snapshot(applied, 1, members.configuration, "state"))
    members.storage[1].compact(applied)
    members.passes = lambda m: True
    members[1].tick()
    members.stabilize()
    assert members.storage[3].snapshot().data == "state"
    assert members[3].status().applied == applied
    members[1].propose("after")
    members.stabilize()
    assert members.data(3) == ["after"]


def test_at_most_so_many_appends_are_on_their_way() -> None:
    members = Members(2, max_inflight_messages=2)
    members.elect(1)
    for number in range(5):
        members[1].propose(number)
    appends = [m for m in members[1].ready().messages if m.type is MessageType.APP and m.entries]
    assert [m.entries[0].data for m in appends] == [0, 1]


def test_too_much_uncommitted_is_refused_until_it_is_applied() -> None:
    members = Members(2, max_uncommitted_size=100)
    members.elect(1)
    members[1].propose("first may be of any size", size=150)
    with pytest.raises(ProposalDropped):
        members[1].propose("second", size=1)
    members.stabilize()
    members[1].propose("third", size=1)


def test_members_are_added_as_learners_promoted_and_removed() -> None:
    members = Members(3)
    members.elect(1)

    def change(kind: ConfChangeType, member: int) -> None:
        members[1].propose_conf_change(ConfChange((ConfChangeSingle(kind, member),)), v1=True)
        members.stabilize()

    change(ConfChangeType.ADD_LEARNER_NODE, 4)
    assert members[2].status().configuration == Configuration(frozenset({1, 2, 3}), learners=frozenset({4}))
    change(ConfChangeType.ADD_NODE, 4)
    assert members[2].status().configuration == Configuration(frozenset({1, 2, 3, 4}))
    change(ConfChangeType.REMOVE_NODE, 3)
    assert members[2].status().configuration == Configuration(frozenset({1, 2, 4}))


def test_a_change_that_would_remove_all_voters_is_refused_and_changes_nothing() -> None:
    members = Members(1)
    with pytest.raises(ConfChangeRefused, match="removed all voters"):
        members[1].apply_conf_change(ConfChange((ConfChangeSingle(ConfChangeType.REMOVE_NODE, 1),)))
    assert members[1].status().configuration == members.configuration


def test_a_second_change_before_the_first_is_applied_becomes_an_empty_entry() -> None:
    members = Members(3)
    members.elect(1)
    for member in (4, 5):
        members[1].propose_conf_change(ConfChange((ConfChangeSingle(ConfChangeType.ADD_LEARNER_NODE, member),)))
    members.stabilize()
    assert members[1].status().configuration.learners == frozenset({4})


@pytest.mark.parametrize("id", [1, 2])
def test_skipped_ticks_are_ticks(id: int) -> None:
    stepped, skipped = (Members(3, heartbeat_tick=3, election_tick=10) for _ in range(2))
    for members in (stepped, skipped):
        members.elect(1)
    ticks = stepped[id].ticks_to_timeout()
    assert ticks is not None
    for _ in range(ticks - 1):
        stepped[id].tick()
    skipped[id].skip_ticks(ticks - 1)
    assert not stepped[id].has_ready()
    with pytest.raises(InvariantViolated):
        skipped[id].skip_ticks(1)
    for members in (stepped, skipped):
        members[id].tick()
    assert stepped[id].ready() == skipped[id].ready()


def test_a_member_that_cannot_lead_has_no_timer() -> None:
    node = RawNode(RaftConfig(id=9), MemoryStorage(Configuration(voters=frozenset({1}))), lambda n: 0)
    assert node.ticks_to_timeout() is None
    node.skip_ticks(1000)


def test_messages_that_do_not_belong_are_refused() -> None:
    members = Members(3)
    with pytest.raises(LocalMessage):
        members[1].step(Message(MessageType.STORAGE_APPLY_RESP, 1, 2, entries=[Entry(1, 1)]))
    with pytest.raises(PeerNotFound):
        members[1].step(Message(MessageType.APP_RESP, 1, 9, term=1))


def test_a_ready_must_be_finished_before_the_next() -> None:
    members = Members(1)
    members[1].campaign()
    members[1].ready()
    with pytest.raises(InvariantViolated):
        members[1].ready()


@pytest.mark.parametrize(
    "config",
    [
        {"id": 0},
        {"id": 1, "heartbeat_tick": 0},
        {"id": 1, "election_tick": 1},
        {"id": 1, "max_inflight_messages": 0},
        {"id": 1, "max_inflight_bytes": 5},
        {"id": 1, "check_quorum": False, "lease_based_reads": True},
    ],
)
def test_a_configuration_that_cannot_work_is_an_input_error(config: dict[str, int]) -> None:
    make: Callable[..., RaftConfig] = RaftConfig
    with pytest.raises(InputError, match="raft\\."):
        make(**config)
