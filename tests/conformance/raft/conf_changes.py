"""The notation of the files for membership changes: v1 makes 1 a voter, l1 a learner, r1 removes it, u1 updates it."""

from __future__ import annotations

from collections.abc import Sequence

from ksched.cluster.etcd.raft import ConfChangeSingle, ConfChangeType

_LETTERS = {
    "v": ConfChangeType.ADD_NODE,
    "l": ConfChangeType.ADD_LEARNER_NODE,
    "r": ConfChangeType.REMOVE_NODE,
    "u": ConfChangeType.UPDATE_NODE,
}
_OF_TYPE = {kind: letter for letter, kind in _LETTERS.items()}


def parse_changes(text: str) -> tuple[ConfChangeSingle, ...]:
    return tuple(ConfChangeSingle(_LETTERS[token[0]], int(token[1:])) for token in text.split())


def format_changes(changes: Sequence[ConfChangeSingle]) -> str:
    return " ".join(f"{_OF_TYPE[change.type]}{change.member}" for change in changes)
