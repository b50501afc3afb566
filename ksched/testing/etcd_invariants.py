"""What must hold inside an etcd cluster whatever happens to it (Raft paper, figure 3), checked while it runs.

Election safety: one leader a term at most. Leader completeness: a leader has every entry that was committed before.
Log matching: two logs that agree on the term at an index are the same up to there. State-machine safety: members apply
the same entries at the same index, and come to the same state.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ksched.cluster.etcd.member import Member, Proposal
from ksched.cluster.etcd.ops import FROM_KEY, LeaseGrant, LeaseRevoke, Range
from ksched.cluster.etcd.raft import Entry, Role, Snapshot, SoftState
from ksched.cluster.etcd.store import Store
from ksched.sim.kernel import SECOND, Kernel


class Violation(Exception):
    """Something that must hold does not: ``check`` names it."""

    def __init__(self, check: str, text: str) -> None:
        self.check = check
        self.text = text
        super().__init__(check, text)


class _Applied(NamedTuple):
    term: int
    data: Any
    revision: int


class Invariants:
    """An observer of the members (``etcd.group.observers``); raises Violation at the moment something breaks."""

    def __init__(self, kernel: Kernel) -> None:
        self.elections = 0
        self.entries: list[Any] = []
        """What was applied by anybody, in the order of the log."""
        self._kernel = kernel
        self._leaders: dict[int, int] = {}
        self._applied: dict[int, _Applied] = {}
        # The first entry seen, and the last; earlier ones were applied before anybody looked.
        self._first = self._last = 0
        self._granted: dict[int, int] = {}

    def role_changed(self, member: Member, state: SoftState) -> None:
        if state.role is not Role.LEADER:
            return
        self.elections += 1
        raft = member.node.raft
        other = self._leaders.setdefault(raft.term, member.id)
        if other != member.id:
            raise Violation("election safety", f"members {other} and {member.id} both lead in term {raft.term}")
        committed = self._applied.get(self._last)
        if committed is None or raft.log.first_index() > self._last:
            return
        if not raft.log.matches(self._last, committed.term):
            text = f"member {member.id}, leader of term {raft.term}, has not the committed entry {self._last}"
            raise Violation("leader completeness", text)

    def applied(self, member: Member, entry: Entry) -> None:
        revision = member.store.revision
        known = self._applied.get(entry.index)
        if self._applied and entry.index < self._first:
            return
        if known is None:
            if not self._applied:
                self._first = entry.index
            elif entry.index != self._last + 1:
                raise Violation("state-machine safety", f"member {member.id} applied {entry.index} after {self._last}")
            self._last = entry.index
            self._applied[entry.index] = _Applied(entry.term, entry.data, revision)
            self.entries.append(entry.data)
            self._check_lease(entry.data)
        elif known.term != entry.term or known.data is not entry.data:
            text = f"member {member.id} applied another entry at {entry.index} than a member before"
            raise Violation("state-machine safety", text)
        elif known.revision != revision:
            text = f"member {member.id} came to revision {revision} at entry {entry.index}, not {known.revision}"
            raise Violation("state-machine safety", text)

    def restored(self, member: Member, snapshot: Snapshot) -> None:
        known = self._applied.get(snapshot.index)
        if known is not None and member.store.revision != known.revision:
            text = f"member {member.id} has revision {member.store.revision} by snapshot, not {known.revision}"
            raise Violation("state-machine safety", text)

    def _check_lease(self, data: Any) -> None:
        if not isinstance(data, Proposal):
            return
        op, now = data.op, self._kernel.now
        if isinstance(op, LeaseGrant):
            self._granted.setdefault(op.id, now + op.ttl * SECOND)
        elif isinstance(op, LeaseRevoke) and now < self._granted.get(op.id, 0):
            raise Violation("leases", f"lease {op.id} was revoked {self._granted[op.id] - now} ns before its time")

    def check_logs(self, members: Iterable[Member]) -> None:
        """Log matching, between all members that are up."""
        logs = []
        for member in members:
            if member.up:
                log = member.node.raft.log
                first = log.first_index()
                logs.append((member.id, first, log.entries(first)))
        for number, (one, first, entries) in enumerate(logs):
            for other, other_first, other_entries in logs[:number]:
                start = max(first, other_first)
                pairs = list(zip(entries[start - first :], other_entries[start - other_first :], strict=False))
                agreed = [at for at, (a, b) in enumerate(pairs) if a.term == b.term]
                for at in range(agreed[-1] + 1 if agreed else 0):
                    a, b = pairs[at]
                    if a.term != b.term or a.data is not b.data:
                        raise Violation("log matching", f"members {one} and {other} differ at entry {start + at}")

    def check_states(self, members: Iterable[Member]) -> None:
        """State-machine safety: members that have applied equally many entries hold the same."""
        states: dict[int, tuple[int, Any]] = {}
        for member in members:
            if member.up:
                contents = contents_of(member.store)
                one, state = states.setdefault(member.applied, (member.id, contents))
                if state != contents:
                    text = f"members {one} and {member.id} differ after entry {member.applied}"
                    raise Violation("state-machine safety", text)


def contents_of(store: Store) -> tuple[int, list[Any], list[int]]:
    """Revision, live keys and leases of a store, to be compared."""
    keys = store.range(Range(FROM_KEY, FROM_KEY)).kvs
    return store.revision, keys, sorted(store.leases)
