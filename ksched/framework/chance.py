"""Randomness by counter: a pure function of what is decided, never of what was drawn before.

Two policies replaying the same workload with the same seed see the same draws for the same pod and attempt, whatever
each did before; that keeps their comparison paired. The mixer is SplitMix64's finaliser (Steele, Lea, Flood, OOPSLA
2014), chained over the key's parts.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import overload

import numpy as np
import numpy.typing as npt

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX1 = 0xBF58476D1CE4E5B9
_MIX2 = 0x94D049BB133111EB

Counters = npt.NDArray[np.integer]
Draws = npt.NDArray[np.uint64]


def _mix_array(x: Draws) -> Draws:
    x = x + np.uint64(_GOLDEN)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_MIX1)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_MIX2)
    return x ^ (x >> np.uint64(31))


@lru_cache(maxsize=1 << 16)
def text_key(text: str) -> int:
    """A 64-bit key of a string, the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def key(*parts: int | str) -> int:
    """A 64-bit key of an ordered tuple of integers and strings."""
    return extended(0, *parts)


@lru_cache(maxsize=1 << 10)
def stream_of(seed: int, plugin: str) -> int:
    """The key of what one plugin draws in one run."""
    return key(seed, plugin)


def extended(state: int, *parts: int | str) -> int:
    """The key of a tuple whose beginning has the key ``state``, and that goes on with ``parts``."""
    for part in parts:
        # The mixer written out: this is called several times per decision.
        x = (state ^ (text_key(part) if isinstance(part, str) else part & _MASK)) + _GOLDEN & _MASK
        x = (x ^ (x >> 30)) * _MIX1 & _MASK
        x = (x ^ (x >> 27)) * _MIX2 & _MASK
        state = x ^ (x >> 31)
    return state


@overload
def draw(state: int, counter: int) -> int: ...
@overload
def draw(state: int, counter: Counters) -> Draws: ...
def draw(state: int, counter: int | Counters) -> int | Draws:
    """The ``counter``-th 64-bit draw of the stream ``state`` (an int from :func:`key`); arrays give arrays."""
    if isinstance(counter, np.ndarray):
        with np.errstate(over="ignore"):
            return _mix_array(counter.astype(np.uint64) ^ np.uint64(state))
    return extended(state, int(counter))
