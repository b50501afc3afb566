"""How a leader keeps the followers' logs in step with its own, and what it makes of their answers
(etcd: raft/raft.go)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ksched.cluster.etcd.raft import read_requests
from ksched.cluster.etcd.raft.errors import Compacted, InvariantViolated, SnapshotUnavailable
from ksched.cluster.etcd.raft.messages import Entry, Message, MessageType, payload_size
from ksched.cluster.etcd.raft.progress import Progress, ProgressState

if TYPE_CHECKING:
    from ksched.cluster.etcd.raft.raft import Raft


def broadcast_append(raft: Raft) -> None:
    """Sends everybody what they miss: entries, or at least the commit index."""
    for member in raft.tracker.progress:
        if member != raft.id:
            send_append(raft, member)


def send_append(raft: Raft, to: int, *, even_empty: bool = True) -> bool:
    """Sends the next entries, or a snapshot if the log no longer has them. Without ``even_empty`` only if there are
    any. Returns whether something was sent."""
    progress = raft.tracker.progress[to]
    if progress.is_paused():
        return False
    log = raft.log
    next_index = progress.next
    if not even_empty and next_index > log.last_index():
        return False
    try:
        previous_term = log.term(next_index - 1)
    except Compacted:
        return _send_snapshot(raft, to, progress)
    if progress.state is ProgressState.REPLICATE and progress.inflights.full():
        # An empty append finds out whether the inflight ones were lost.
        entries: Sequence[Entry] = ()
    else:
        entries = log.entries(next_index, raft.config.max_size_per_message)
    if not entries and not even_empty:
        return False
    raft.send(
        Message(
            MessageType.APP,
            to,
            index=next_index - 1,
            log_term=previous_term,
            entries=entries,
            commit=log.committed,
        )
    )
    progress.sent_entries(len(entries), payload_size(entries))
    progress.sent_commit = log.committed
    return True


def _send_snapshot(raft: Raft, to: int, progress: Progress) -> bool:
    if not progress.recent_active:
        raft.logger.debug("ignore sending snapshot to %x since it is not recently active", to)
        return False
    try:
        snapshot = raft.log.snapshot()
    except SnapshotUnavailable:
        raft.logger.debug("%x failed to send snapshot to %x because snapshot is temporarily unavailable", raft.id, to)
        return False
    if not snapshot.index:
        raise InvariantViolated("need non-empty snapshot")
    raft.logger.debug(
        "%x [firstindex: %d, commit: %d] sent snapshot[index: %d, term: %d] to %x [%s]",
        raft.id,
        raft.log.first_index(),
        raft.log.committed,
        snapshot.index,
        snapshot.term,
        to,
        progress,
    )
    progress.become_snapshot(snapshot.index)
    raft.logger.debug("%x paused sending replication messages to %x [%s]", raft.id, to, progress)
    raft.send(Message(MessageType.SNAP, to, snapshot=snapshot))
    return True


def handle_append_response(raft: Raft, m: Message, progress: Progress) -> None:
    """A follower, or the leader's own storage, has (or refuses) entries."""
    progress.recent_active = True
    if m.reject:
        _handle_rejection(raft, m, progress)
        return
    index = m.index
    # An acknowledgement without news can still end probing: the follower's log is where we thought it was.
    probed = progress.state is ProgressState.PROBE and progress.match == index
    if not progress.maybe_update(index) and not probed:
        return
    if progress.state is ProgressState.REPLICATE:
        progress.inflights.free_to(index)
    elif progress.state is ProgressState.PROBE:
        progress.become_replicate()
    elif progress.match + 1 >= raft.log.first_index():
        # Whichever snapshot the follower took, our log reaches it again.
        raft.logger.debug(
            "%x recovered from needing snapshot, resumed sending replication messages to %x [%s]",
            raft.id,
            m.sender,
            progress,
        )
        progress.become_probe()
        progress.become_replicate()
    # What is not above the commit index cannot move it.
    if index > raft.log.committed and raft.maybe_commit():
        read_requests.release_postponed(raft)
        broadcast_append(raft)
    elif m.sender != raft.id and progress.can_bump_commit(raft.log.committed):
        send_append(raft, m.sender)
    if m.sender == raft.id:
        return
    # Room in the window may let several messages go.
    while send_append(raft, m.sender, even_empty=False):
        pass
    if m.sender == raft.lead_transferee and progress.match == raft.log.last_index():
        raft.logger.info("%x sent MsgTimeoutNow to %x after received MsgAppResp", raft.id, m.sender)
        raft.send(Message(MessageType.TIMEOUT_NOW, m.sender))


def _handle_rejection(raft: Raft, m: Message, progress: Progress) -> None:
    """The follower has no such entry before the ones we sent. It told us where its log may match ours, which saves
    probing one index after the other: entries of ours with a term above its hint's cannot be in its log."""
    raft.logger.debug(
        "%x received MsgAppResp(rejected, hint: (index %d, term %d)) from %x for index %d",
        raft.id,
        m.reject_hint,
        m.log_term,
        m.sender,
        m.index,
    )
    hint = m.reject_hint
    if m.log_term:
        hint, _ = raft.log.find_conflict_by_term(hint, m.log_term)
    if progress.maybe_decrease_to(m.index, hint):
        raft.logger.debug("%x decreased progress of %x to [%s]", raft.id, m.sender, progress)
        if progress.state is ProgressState.REPLICATE:
            progress.become_probe()
        send_append(raft, m.sender)


def handle_heartbeat_response(raft: Raft, m: Message, progress: Progress) -> None:
    progress.recent_active = True
    progress.paused = False
    # With a full window this sends an empty append, which recovers from the loss of all that was inflight.
    if progress.match < raft.log.last_index() or progress.state is ProgressState.PROBE:
        send_append(raft, m.sender)
    if m.context:
        read_requests.acknowledge(raft, m.sender, m.context)


def report_unreachable(raft: Raft, member: int) -> None:
    """What was streamed to the member is probably lost: starts to probe."""
    progress = raft.tracker.progress.get(member)
    if progress is None:
        raft.logger.debug("%x no progress available for %x", raft.id, member)
        return
    if progress.state is ProgressState.REPLICATE:
        progress.become_probe()
    raft.logger.debug("%x failed to send message to %x because it is unreachable [%s]", raft.id, member, progress)


def report_snapshot(raft: Raft, member: int, *, arrived: bool) -> None:
    """The snapshot sent to the member arrived, or did not. Either way appends wait for a sign of life."""
    progress = raft.tracker.progress.get(member)
    if progress is None:
        raft.logger.debug("%x no progress available for %x", raft.id, member)
        return
    if progress.state is not ProgressState.SNAPSHOT:
        return
    if not arrived:
        progress.pending_snapshot = 0
    progress.become_probe()
    raft.logger.debug(
        "%x snapshot %s, resumed sending replication messages to %x [%s]",
        raft.id,
        "succeeded" if arrived else "failed",
        member,
        progress,
    )
    progress.paused = True
