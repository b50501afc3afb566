"""Members whose every step is a command of a file (go.etcd.io/raft/v3, rafttest)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ksched.cluster.etcd.raft import (
    ConfChange,
    Configuration,
    Entry,
    EntryType,
    HardState,
    MemoryStorage,
    Message,
    MessageType,
    RaftConfig,
    RaftError,
    RawNode,
    Snapshot,
    Transition,
)
from ksched.cluster.etcd.raft.messages import is_local_target
from ksched.cluster.etcd.raft.quorum import NO_LIMIT

from .conf_changes import parse_changes
from .datadriven import Case
from .describe import describe_entries, describe_message, describe_ready
from .output import LEVELS, Output

_TRANSITIONS = {
    "auto": Transition.AUTO,
    "implicit": Transition.JOINT_IMPLICIT,
    "explicit": Transition.JOINT_EXPLICIT,
}


class _Storage(MemoryStorage):
    """Gives out the newest snapshot of the member's state machine, however long its log is."""

    __slots__ = ("history",)

    def __init__(self, first: Snapshot) -> None:
        super().__init__()
        # The state after each applied entry. The machine appends each entry's payload to its data.
        self.history = [first]
        if first != Snapshot():
            self.apply_snapshot(first)

    def snapshot(self) -> Snapshot:
        return self.history[-1]


@dataclass
class _Member:
    node: RawNode
    storage: _Storage
    config: RaftConfig
    # Messages to the local workers, with asynchronous storage writes.
    append_work: list[Message] = field(default_factory=list)
    apply_work: list[Message] = field(default_factory=list)


class Environment:
    """Members, the messages between them, and a method for every command."""

    def __init__(self) -> None:
        self.output = Output()
        self.members: dict[int, _Member] = {}
        self.messages: list[Message] = []
        self._random = random.Random(1)

    def run(self, case: Case) -> str:
        method: Callable[[Case], None] = getattr(self, "do_" + case.command.replace("-", "_"))
        self.output.take()
        try:
            method(case)
        except RaftError as error:
            if self.output.quiet:
                return str(error)
            self.output.write(str(error))
        return self.output.take() or "ok"

    def _first(self, case: Case) -> _Member:
        return self.members[int(case.bare()[0])]

    # Members

    def do_add_nodes(self, case: Case) -> None:
        arguments = case.arguments
        index = int(case.value("index", "0"))
        content = case.value("content", "").encode()
        configuration = Configuration(
            voters=frozenset(map(int, arguments.get("voters", []))),
            learners=frozenset(map(int, arguments.get("learners", []))),
        )
        first = Snapshot(index, 1 if index else 0, configuration, content or None, len(content))
        max_committed_size = case.value("max-committed-size-per-ready", "")
        for _ in range(int(case.bare()[0])):
            config = RaftConfig(
                id=len(self.members) + 1,
                election_tick=3,
                heartbeat_tick=1,
                applied=index,
                async_storage_writes=case.value("async-storage-writes", "false") == "true",
                max_size_per_message=NO_LIMIT,
                max_committed_size_per_ready=int(max_committed_size) if max_committed_size else None,
                max_inflight_messages=int(case.value("inflight", "1000000")),
                check_quorum=case.value("checkquorum", "false") == "true",
                pre_vote=case.value("prevote", "false") == "true",
                lease_based_reads=case.value("read-only", "safe") == "lease-based",
                disable_conf_change_validation=case.value("disable-conf-change-validation", "false") == "true",
                step_down_on_removal=case.value("step-down-on-removal", "false") == "true",
            )
            storage = _Storage(first)
            node = RawNode(config, storage, self._random.randrange, self.output)
            self.members[config.id] = _Member(node, storage, config)

    def do_compact(self, case: Case) -> None:
        self._first(case).storage.compact(int(case.bare()[1]))
        self.do_raft_log(case)

    def do_campaign(self, case: Case) -> None:
        self._first(case).node.campaign()

    def do_forget_leader(self, case: Case) -> None:
        self._first(case).node.forget_leader()

    def do_transfer_leadership(self, case: Case) -> None:
        self.members[int(case.value("from", ""))].node.transfer_leader(int(case.value("to", "")))

    def do_report_unreachable(self, case: Case) -> None:
        self._first(case).node.report_unreachable(int(case.bare()[1]))

    def do_set_randomized_election_timeout(self, case: Case) -> None:
        self._first(case).node.raft.randomized_election_timeout = int(case.value("timeout", ""))

    def do_tick_election(self, case: Case) -> None:
        for _ in range(self._first(case).config.election_tick):
            self._first(case).node.tick()

    def do_tick_heartbeat(self, case: Case) -> None:
        for _ in range(self._first(case).config.heartbeat_tick):
            self._first(case).node.tick()

    def do_propose(self, case: Case) -> None:
        data = case.bare()[1].encode()
        self._first(case).node.propose(data, len(data))

    def do_propose_conf_change(self, case: Case) -> None:
        change = ConfChange(parse_changes(case.input), _TRANSITIONS[case.value("transition", "auto")])
        self._first(case).node.propose_conf_change(change, v1=case.value("v1", "false") == "true")

    # What is shown

    def do_log_level(self, case: Case) -> None:
        self.output.level = LEVELS.index(case.bare()[0].upper())

    def do_raft_log(self, case: Case) -> None:
        storage = self._first(case).storage
        first, last = storage.first_index(), storage.last_index()
        if last < first:
            self.output.write(f"log is empty: first index={first}, last index={last}")
        else:
            self.output.write(describe_entries(storage.entries(first, last + 1)))

    def do_raft_state(self, case: Case) -> None:
        for member in self.members.values():
            status = member.node.status()
            voter = "(Voter)" if status.id in status.configuration.all_voters() else "(Non-Voter)"
            soft = status.soft_state
            term = status.hard_state.term
            self.output.write(f"{status.id}: {soft.role} {voter} Term:{term} Lead:{soft.lead}\n")

    def do_status(self, case: Case) -> None:
        for member, progress in self._first(case).node.status().progress.items():
            self.output.write(f"{member}: {progress}\n")

    # Messages

    def do_send_snapshot(self, case: Case) -> None:
        sender, to = map(int, case.bare())
        snapshot = self.members[sender].storage.snapshot()
        term = self.members[sender].node.status().hard_state.term
        m = Message(MessageType.SNAP, to, sender, term, snapshot=snapshot)
        self.messages.append(m)
        self.output.write(describe_message(m))

    def do_deliver_msgs(self, case: Case) -> None:
        kind = case.value("type", "")
        count = sum(self._deliver(int(to), kind) for to in case.bare())
        count += sum(self._deliver(int(to), kind, drop=True) for to in case.arguments.get("drop", []))
        if not count:
            self.output.write("no messages\n")

    def _waiting(self, to: int, kind: str = "", *, drop: bool = False) -> list[Message]:
        def local(m: Message) -> bool:
            return m.sender == m.to or is_local_target(m.sender)

        return [
            m for m in self.messages if m.to == to and not (drop and local(m)) and (not kind or str(m.type) == kind)
        ]

    def _deliver(self, to: int, kind: str = "", *, drop: bool = False) -> int:
        waiting = self._waiting(to, kind, drop=drop)
        chosen = {id(m) for m in waiting}
        self.messages = [m for m in self.messages if id(m) not in chosen]
        for m in waiting:
            self.output.write(("dropped: " if drop else "") + describe_message(m) + "\n")
            if drop:
                continue
            try:
                self.members[to].node.step(m)
            except RaftError as error:
                self.output.write(f"{error}\n")
        return len(waiting)

    # Work

    def do_process_ready(self, case: Case) -> None:
        self._for_each(case, "handling Ready", self._process_ready)

    def do_process_append_thread(self, case: Case) -> None:
        self._for_each(case, "processing append thread", self._process_append_work)

    def do_process_apply_thread(self, case: Case) -> None:
        self._for_each(case, "processing apply thread", self._process_apply_work)

    def _for_each(self, case: Case, title: str, work: Callable[[int], None]) -> None:
        ids = [int(member) for member in case.bare()]
        if len(ids) == 1:
            work(ids[0])
            return
        for member in ids:
            self._titled(member, title, work)

    def _titled(self, member: int, title: str, work: Callable[[int], object]) -> None:
        self.output.write(f"> {member} {title}\n")
        with self.output.indented():
            work(member)

    def do_stabilize(self, case: Case) -> None:
        old_level = self.output.level
        if "log-level" in case.arguments:
            self.output.level = LEVELS.index(case.value("log-level", "").upper())
        ids = [int(member) for member in case.bare()] or list(self.members)
        while self._round(ids):
            pass
        self.output.level = old_level

    def _round(self, ids: Sequence[int]) -> bool:
        """Everything that can be done now, once for each member; whether there was anything."""
        worked = False
        for member in ids:
            if self.members[member].node.has_ready():
                self._titled(member, "handling Ready", self._process_ready)
                worked = True
        for member in ids:
            if self._waiting(member):
                self._titled(member, "receiving messages", self._deliver)
                worked = True
        for member in ids:
            if self.members[member].append_work:
                self.output.write(f"> {member} processing append thread\n")
                while self.members[member].append_work:
                    with self.output.indented():
                        self._process_append_work(member)
                worked = True
        for member in ids:
            if self.members[member].apply_work:
                self.output.write(f"> {member} processing apply thread\n")
                while self.members[member].apply_work:
                    with self.output.indented():
                        self._process_apply_work(member)
                worked = True
        return worked

    def _process_ready(self, id: int) -> None:
        member = self.members[id]
        ready = member.node.ready()
        self.output.write(describe_ready(ready))
        asynchronous = member.config.async_storage_writes
        if not asynchronous:
            _write(member.storage, ready.hard_state, ready.entries, ready.snapshot)
            _apply(member, ready.committed_entries)
        for m in [*ready.messages, *ready.messages_after_sync]:
            if m.type is MessageType.STORAGE_APPEND:
                member.append_work.append(m)
            elif m.type is MessageType.STORAGE_APPLY:
                member.apply_work.append(m)
            else:
                self.messages.append(m)
        if not asynchronous:
            member.node.advance()

    def _process_append_work(self, id: int) -> None:
        member = self.members[id]
        if not member.append_work:
            self.output.write("no append work to perform")
            return
        m = member.append_work.pop(0)
        state = HardState(m.term, m.vote, m.commit)
        self.output.write("Processing:\n" + describe_message(replace(m, responses=())) + "\n")
        _write(member.storage, state if state != HardState() else None, m.entries, m.snapshot)
        self._respond(m)

    def _process_apply_work(self, id: int) -> None:
        member = self.members[id]
        if not member.apply_work:
            self.output.write("no apply work to perform")
            return
        m = member.apply_work.pop(0)
        self.output.write("Processing:\n" + describe_message(replace(m, responses=())) + "\n")
        _apply(member, m.entries)
        self._respond(m)

    def _respond(self, m: Message) -> None:
        self.output.write("Responses:\n" + "".join(describe_message(response) + "\n" for response in m.responses))
        self.messages.extend(m.responses)


def _write(storage: _Storage, state: HardState | None, entries: Sequence[Entry], snapshot: Snapshot | None) -> None:
    if state is not None:
        storage.set_hard_state(state)
    if snapshot is not None:
        assert not entries, "can't apply snapshot and entries at the same time"
        storage.apply_snapshot(snapshot)
    else:
        storage.append(entries)


def _apply(member: _Member, entries: Sequence[Entry]) -> None:
    for entry in entries:
        last = member.storage.history[-1]
        configuration = last.configuration
        update = entry.data
        if entry.type is not EntryType.NORMAL:
            configuration = member.node.apply_conf_change(entry.data)
            update = None
        data = (last.data or b"") + (update or b"")
        member.storage.history.append(Snapshot(entry.index, entry.term, configuration, data, len(data)))
