"""How far one follower is, in the view of the leader (etcd: raft/tracker/progress.go)."""

from __future__ import annotations

from dataclasses import dataclass

from ksched.cluster.etcd.raft.errors import InvariantViolated
from ksched.cluster.etcd.raft.inflights import Inflights
from ksched.cluster.etcd.raft.names import Named


class ProgressState(Named):
    """PROBE: where the follower's log ends is not known, one message at a time finds out. REPLICATE: messages are
    streamed ahead of their acknowledgement. SNAPSHOT: nothing is sent until the follower has taken the snapshot."""

    PROBE = 0
    REPLICATE = 1
    SNAPSHOT = 2

    @property
    def prefix(self) -> str:
        return "State"


@dataclass(slots=True)
class Progress:
    """What the leader knows of a follower. Always ``match < next``; entries between are on their way.

    ``paused`` holds appends back until the next answer: in PROBE after one message, in REPLICATE when the window of
    inflight messages is full. ``recent_active`` is what check-quorum counts. ``sent_commit`` is the highest commit
    index on its way; it goes back when messages are known to be lost.
    """

    next: int
    inflights: Inflights
    match: int = 0
    sent_commit: int = 0
    state: ProgressState = ProgressState.PROBE
    pending_snapshot: int = 0
    recent_active: bool = False
    paused: bool = False
    is_learner: bool = False

    def _become(self, state: ProgressState) -> None:
        self.paused = False
        self.pending_snapshot = 0
        self.state = state
        self.inflights.clear()

    def become_probe(self) -> None:
        """Starts to look for the end of the follower's log, behind a snapshot that is known to have arrived."""
        # 0 unless a snapshot was on its way.
        arrived = self.pending_snapshot
        self._become(ProgressState.PROBE)
        self.next = max(self.match, arrived) + 1
        self.sent_commit = min(self.sent_commit, self.next - 1)

    def become_replicate(self) -> None:
        self._become(ProgressState.REPLICATE)
        self.next = self.match + 1

    def become_snapshot(self, index: int) -> None:
        self._become(ProgressState.SNAPSHOT)
        self.pending_snapshot = index
        self.next = index + 1
        self.sent_commit = index

    def sent_entries(self, count: int, size: int) -> None:
        """Notes that ``count`` entries of ``size`` payload bytes, from ``next`` on, went out in one message."""
        if self.state is ProgressState.REPLICATE:
            if count:
                self.next += count
                self.inflights.add(self.next - 1, size)
            # A message beyond the window is a probe: the stream rests until there is an answer.
            self.paused = self.inflights.full()
        elif self.state is ProgressState.PROBE:
            # An empty probe does not pause: it only carries the commit index.
            if count:
                self.paused = True
        else:
            raise InvariantViolated(f"sending append in unhandled state {self.state}")

    def can_bump_commit(self, commit: int) -> bool:
        """Whether sending ``commit`` could tell the follower more than what is already on its way."""
        return commit > self.sent_commit and self.sent_commit < self.next - 1

    def maybe_update(self, index: int) -> bool:
        """Takes an acknowledgement up to ``index``; False if it says nothing new."""
        if index <= self.match:
            return False
        self.match = index
        if self.next <= index:
            self.next = index + 1
        self.paused = False
        return True

    def maybe_decrease_to(self, rejected: int, hint: int) -> bool:
        """Takes the refusal of an append behind ``rejected``; the logs may match at ``hint``. False if it is stale."""
        if self.state is ProgressState.REPLICATE:
            if rejected <= self.match:
                return False
            self.next = self.match + 1
            self.sent_commit = min(self.sent_commit, self.next - 1)
            return True
        # Probes go out one at a time, so a refusal of anything but the last one is old.
        if self.next - 1 != rejected:
            return False
        self.next = max(min(rejected, hint + 1), self.match + 1)
        self.sent_commit = min(self.sent_commit, self.next - 1)
        self.paused = False
        return True

    def is_paused(self) -> bool:
        return self.paused or self.state is ProgressState.SNAPSHOT

    def __str__(self) -> str:
        text = f"{self.state} match={self.match} next={self.next}"
        if self.is_learner:
            text += " learner"
        if self.is_paused():
            text += " paused"
        if self.pending_snapshot:
            text += f" pendingSnap={self.pending_snapshot}"
        if not self.recent_active:
            text += " inactive"
        if self.inflights:
            text += f" inflight={len(self.inflights)}"
            if self.inflights.full():
                text += "[full]"
        return text
