"""How a membership change acts on the configuration (etcd: raft/confchange).

One voter at a time may change at once. Everything else goes through a joint configuration, in which old and new
majority both have to agree (Ongaro, "Consensus: Bridging Theory and Practice", sections 4.1 and 4.3).
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy

from ksched.cluster.etcd.raft.conf_change import ConfChangeSingle, ConfChangeType
from ksched.cluster.etcd.raft.configuration import Configuration
from ksched.cluster.etcd.raft.errors import ConfChangeRefused
from ksched.cluster.etcd.raft.progress import Progress
from ksched.cluster.etcd.raft.tracker import ProgressTracker

Changed = tuple[Configuration, dict[int, Progress]]


class Changer:
    """Works out configuration and progress after a change; the tracker it is given stays as it is.

    ``last_index`` is where the log ends: a new member is probed from there.
    """

    def __init__(self, tracker: ProgressTracker, last_index: int) -> None:
        self._tracker = tracker
        self._last_index = last_index
        old = tracker.configuration
        self._voters = set(old.voters)
        self._outgoing = set(old.outgoing)
        self._learners = set(old.learners)
        self._learners_next = set(old.learners_next)
        # One level is enough: of a progress only the learner mark changes.
        self._progress = {member: copy(progress) for member, progress in tracker.progress.items()}

    def simple(self, changes: Iterable[ConfChangeSingle]) -> Changed:
        """Changes at most one voter, and any number of learners."""
        if self._outgoing:
            raise ConfChangeRefused("can't apply simple config change in joint config")
        self._apply(changes)
        if len(self._voters ^ self._tracker.configuration.voters) > 1:
            raise ConfChangeRefused("more than one voter changed without entering joint config")
        return self._checked(auto_leave=False)

    def enter_joint(self, changes: Iterable[ConfChangeSingle], *, auto_leave: bool) -> Changed:
        """Keeps the present voters as the outgoing majority and makes any changes to the incoming one."""
        if self._outgoing:
            raise ConfChangeRefused("config is already joint")
        if not self._voters:
            raise ConfChangeRefused("can't make a zero-voter config joint")
        self._outgoing = set(self._voters)
        self._apply(changes)
        return self._checked(auto_leave=auto_leave)

    def leave_joint(self) -> Changed:
        """Drops the outgoing majority, with those who were only in it; waiting learners become learners."""
        if not self._outgoing:
            raise ConfChangeRefused("can't leave a non-joint config")
        for member in self._learners_next:
            self._learners.add(member)
            self._progress[member].is_learner = True
        self._learners_next.clear()
        for member in self._outgoing - self._voters - self._learners:
            del self._progress[member]
        self._outgoing.clear()
        return self._checked(auto_leave=False)

    def _apply(self, changes: Iterable[ConfChangeSingle]) -> None:
        for change in changes:
            # etcd puts member 0 into a change that it decided not to make after all.
            if change.member == 0:
                continue
            if change.type is ConfChangeType.ADD_NODE:
                self._make_voter(change.member)
            elif change.type is ConfChangeType.ADD_LEARNER_NODE:
                self._make_learner(change.member)
            elif change.type is ConfChangeType.REMOVE_NODE:
                self._remove(change.member)
        if not self._voters:
            raise ConfChangeRefused("removed all voters")

    def _make_voter(self, member: int) -> None:
        if member not in self._progress:
            self._progress[member] = self._new_progress(is_learner=False)
        self._progress[member].is_learner = False
        self._learners.discard(member)
        self._learners_next.discard(member)
        self._voters.add(member)

    def _make_learner(self, member: int) -> None:
        progress = self._progress.get(member)
        if progress is None:
            self._progress[member] = self._new_progress(is_learner=True)
            self._learners.add(member)
            return
        if progress.is_learner:
            return
        self._remove(member)
        self._progress[member] = progress
        # A voter of the outgoing majority cannot be a learner yet.
        if member in self._outgoing:
            self._learners_next.add(member)
        else:
            progress.is_learner = True
            self._learners.add(member)

    def _remove(self, member: int) -> None:
        if member not in self._progress:
            return
        self._voters.discard(member)
        self._learners.discard(member)
        self._learners_next.discard(member)
        if member not in self._outgoing:
            del self._progress[member]

    def _new_progress(self, *, is_learner: bool) -> Progress:
        progress = self._tracker.new_progress(max(self._last_index, 1), is_learner=is_learner)
        # Otherwise check-quorum could depose the leader before the new member had a chance to answer.
        progress.recent_active = True
        return progress

    def _checked(self, *, auto_leave: bool) -> Changed:
        configuration = Configuration(
            frozenset(self._voters),
            frozenset(self._outgoing),
            frozenset(self._learners),
            frozenset(self._learners_next),
            auto_leave,
        )
        _check_invariants(configuration, self._progress)
        return configuration, self._progress


def restore(tracker: ProgressTracker, configuration: Configuration, last_index: int) -> None:
    """Brings an empty tracker into ``configuration``, by the changes that lead there."""
    if configuration.joint:
        for change in _changes(ConfChangeType.ADD_NODE, configuration.outgoing):
            tracker.switch(*Changer(tracker, last_index).simple([change]))
    incoming = [
        *_changes(ConfChangeType.REMOVE_NODE, configuration.outgoing),
        *_changes(ConfChangeType.ADD_NODE, configuration.voters),
        *_changes(ConfChangeType.ADD_LEARNER_NODE, configuration.learners),
        *_changes(ConfChangeType.ADD_LEARNER_NODE, configuration.learners_next),
    ]
    if configuration.joint:
        changer = Changer(tracker, last_index)
        tracker.switch(*changer.enter_joint(incoming, auto_leave=configuration.auto_leave))
    else:
        for change in incoming:
            tracker.switch(*Changer(tracker, last_index).simple([change]))
    if tracker.configuration != configuration:
        raise ConfChangeRefused(f"cannot restore configuration {configuration}: came to {tracker.configuration}")


def _changes(type: ConfChangeType, members: frozenset[int]) -> list[ConfChangeSingle]:
    return [ConfChangeSingle(type, member) for member in sorted(members)]


def _check_invariants(configuration: Configuration, progress: dict[int, Progress]) -> None:
    for member in sorted(configuration.members() | configuration.learners_next):
        if member not in progress:
            raise ConfChangeRefused(f"no progress for {member}")
    for member in sorted(configuration.learners_next):
        if member not in configuration.outgoing:
            raise ConfChangeRefused(f"{member} is in LearnersNext, but not Voters[1]")
        if progress[member].is_learner:
            raise ConfChangeRefused(f"{member} is in LearnersNext, but is already marked as learner")
    for member in sorted(configuration.learners):
        if member in configuration.outgoing:
            raise ConfChangeRefused(f"{member} is in Learners and Voters[1]")
        if member in configuration.voters:
            raise ConfChangeRefused(f"{member} is in Learners and Voters[0]")
        if not progress[member].is_learner:
            raise ConfChangeRefused(f"{member} is in Learners, but is not marked as learner")
    if not configuration.joint and configuration.auto_leave:
        raise ConfChangeRefused("AutoLeave must be false when not joint")
