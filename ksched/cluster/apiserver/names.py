"""Uids and generated names."""

from __future__ import annotations

from ksched.sim.streams import Streams

# Upstream's alphabet for generated names (apimachinery pkg/util/rand): no vowels, nothing easily confused.
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX = 5
_MAX_BASE = 63 - _SUFFIX
_BLOCK = 256
"""So many are made at a time."""


class Names:
    """Makes names from a random stream and uids from a counter, so that both are the same in every run."""

    def __init__(self, streams: Streams) -> None:
        self._generator = streams.generator("apiserver/names")
        self._ready: list[str] = []
        self._uid_head = f"{streams.seed & 0xFFFFFFFF:08x}-0000-4000-8000-"
        self._uids: list[str] = []  # the next ones, in reverse
        self._uids_made = 0

    def uid(self) -> str:
        """The next uid: in the form of a UUID, unique within the run."""
        if not self._uids:
            first = self._uids_made + 1
            self._uids_made += _BLOCK
            self._uids = [f"{self._uid_head}{number:012x}" for number in range(self._uids_made, first - 1, -1)]
        return self._uids.pop()

    def generate(self, base: str) -> str:
        """``base`` and five random characters; a base too long for a name is cut."""
        if not self._ready:
            drawn = self._generator.integers(0, len(ALPHABET), size=(_BLOCK, _SUFFIX))
            self._ready = ["".join(ALPHABET[i] for i in row) for row in drawn.tolist()]
        return base[:_MAX_BASE] + self._ready.pop()
