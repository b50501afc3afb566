"""The enumerations of the core carry etcd's names as text, so logs read like those of a real member."""

from __future__ import annotations

from enum import IntEnum


class Named(IntEnum):
    """An enumeration whose text is a prefix and its name in camel case: ``APP_RESP`` reads ``MsgAppResp``."""

    @property
    def prefix(self) -> str:
        raise NotImplementedError

    def __str__(self) -> str:
        return self.prefix + self.name.title().replace("_", "")


def id_list(ids: frozenset[int]) -> str:
    """Member ids as etcd writes a set of them: hexadecimal, ascending, in parentheses."""
    return "(" + " ".join(f"{member:x}" for member in sorted(ids)) + ")"
