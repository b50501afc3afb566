"""Memory of results that follow from their key alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

K = TypeVar("K")
V = TypeVar("V")

_LIMIT = 1 << 13


class Memo(dict[K, V]):
    """A dict of results that would be the same if computed again: forgetting any of them changes no answer.

    That makes it the one thing a node-local plugin may keep. It forgets everything when it grows too large, and is
    empty in a copy.
    """

    def __setitem__(self, key: K, value: V) -> None:
        if len(self) >= _LIMIT:
            self.clear()
        super().__setitem__(key, value)

    def each(self, keys: Sequence[K], compute: Callable[[K], V]) -> list[V]:
        """The result (never None) for each of ``keys``; what is not known is computed, once for equal keys."""
        results: list[V | None] = list(map(self.get, keys))
        for i, result in enumerate(results):
            if result is None:
                key = keys[i]
                if key not in self:
                    self[key] = compute(key)
                results[i] = self[key]
        return cast("list[V]", results)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Memo, ())
