"""etcd's own tests of membership changes: the configuration after each, or why it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksched.cluster.etcd.raft import ConfChangeRefused
from ksched.cluster.etcd.raft.changer import Changer
from ksched.cluster.etcd.raft.tracker import ProgressTracker

from .conf_changes import parse_changes
from .datadriven import Case, check, files


class _Changes:
    """A configuration to which one change after the other is made; each command is one entry of the log."""

    def __init__(self) -> None:
        self.tracker = ProgressTracker(max_inflight_messages=10)
        self.last_index = 0

    def run(self, case: Case) -> str:
        changer = Changer(self.tracker, self.last_index)
        self.last_index += 1
        changes = parse_changes(case.input)
        try:
            if case.command == "simple":
                changed = changer.simple(changes)
            elif case.command == "enter-joint":
                changed = changer.enter_joint(changes, auto_leave=case.value("autoleave", "false") == "true")
            else:
                assert case.command == "leave-joint"
                changed = changer.leave_joint()
        except ConfChangeRefused as error:
            return str(error)
        self.tracker.switch(*changed)
        lines = [f"{member}: {progress}\n" for member, progress in self.tracker.progress.items()]
        return f"{self.tracker.configuration}\n{''.join(lines)}"


@pytest.mark.data
@pytest.mark.parametrize("path", files("confchange"))
def test_membership_changes_come_to_what_etcd_makes_of_them(path: Path) -> None:
    check(path, _Changes().run)
