"""Named random streams.

Each component draws from a stream of its own, whose state depends on the seed and the stream's name alone. Adding a
component, or letting one draw more often, therefore leaves every other component's numbers as they were, which keeps
two policies that run on the same seed comparable.
"""

from __future__ import annotations

import hashlib

import numpy as np


class Streams:
    """The random streams of one run, all derived from ``seed`` (a non-negative int)."""

    def __init__(self, seed: int) -> None:
        if seed < 0:
            raise ValueError(f"a seed must not be negative, got {seed}")
        self.seed = seed
        self._generators: dict[str, np.random.Generator] = {}

    def generator(self, name: str) -> np.random.Generator:
        """The stream called ``name``; asking again returns the same generator, further along."""
        generator = self._generators.get(name)
        if generator is None:
            words = np.frombuffer(hashlib.blake2b(name.encode(), digest_size=16).digest(), dtype="<u4")
            sequence = np.random.SeedSequence(self.seed, spawn_key=tuple(int(word) for word in words))
            generator = self._generators[name] = np.random.Generator(np.random.PCG64(sequence))
        return generator
