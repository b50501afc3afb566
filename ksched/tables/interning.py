"""Interning: equal values become one small integer, so that columns hold int32 and work is done per distinct value."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Interner(Generic[T]):
    """Dense ids, given in first-seen order (deterministic), never taken back."""

    __slots__ = ("_ids", "values")

    def __init__(self, initial: Iterable[T] = ()) -> None:
        self.values: list[T] = []
        self._ids: dict[T, int] = {}
        for value in initial:
            self.id(value)

    def id(self, value: T) -> int:
        """The id of ``value``, a new one if it was never seen."""
        found = self._ids.get(value)
        if found is None:
            found = self._ids[value] = len(self.values)
            self.values.append(value)
        return found

    def get(self, value: T) -> int | None:
        """The id of ``value`` or None if it was never seen."""
        return self._ids.get(value)

    def __len__(self) -> int:
        return len(self.values)
