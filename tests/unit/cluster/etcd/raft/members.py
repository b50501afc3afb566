"""Members on a perfect network and disk, for tests that look at one thing at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ksched.cluster.etcd.raft import (
    Configuration,
    Entry,
    EntryType,
    MemoryStorage,
    Message,
    PeerNotFound,
    RaftConfig,
    RawNode,
    ReadState,
    Ready,
)


class Members:
    """``size`` voters. ``stabilize`` delivers every message that ``passes`` until nothing is left to do."""

    def __init__(self, size: int, **config: Any) -> None:
        self.configuration = Configuration(voters=frozenset(range(1, size + 1)))
        self.storage = {id: MemoryStorage(self.configuration) for id in range(1, size + 1)}
        self.nodes = {
            id: RawNode(RaftConfig(id=id, **{"pre_vote": False, "check_quorum": False, **config}), storage, lambda n: 0)
            for id, storage in self.storage.items()
        }
        self.applied: dict[int, list[Entry]] = {id: [] for id in self.nodes}
        self.reads: dict[int, list[ReadState]] = {id: [] for id in self.nodes}
        self.passes: Callable[[Message], bool] = lambda m: True
        self.sent: list[Message] = []

    def __getitem__(self, id: int) -> RawNode:
        return self.nodes[id]

    def work(self, id: int) -> Ready:
        ready = self.nodes[id].ready()
        storage = self.storage[id]
        if ready.hard_state is not None:
            storage.set_hard_state(ready.hard_state)
        if ready.snapshot is not None:
            storage.apply_snapshot(ready.snapshot)
        storage.append(ready.entries)
        self.sent += [*ready.messages, *ready.messages_after_sync]
        for entry in ready.committed_entries:
            self.applied[id].append(entry)
            if entry.type is not EntryType.NORMAL:
                self.nodes[id].apply_conf_change(entry.data)
        self.reads[id] += ready.read_states
        self.nodes[id].advance()
        return ready

    def stabilize(self) -> None:
        while self.sent or any(node.has_ready() for node in self.nodes.values()):
            for id, node in self.nodes.items():
                while node.has_ready():
                    self.work(id)
            messages, self.sent = self.sent, []
            for m in messages:
                if self.passes(m) and m.to in self.nodes:
                    # A member that was removed may still answer.
                    with suppress(PeerNotFound):
                        self.nodes[m.to].step(m)

    def elect(self, id: int) -> RawNode:
        self.nodes[id].campaign()
        self.stabilize()
        return self.nodes[id]

    def data(self, id: int) -> list[Any]:
        """The payloads a member has applied, without the empty entries of new leaders."""
        return [entry.data for entry in self.applied[id] if entry.data is not None]
