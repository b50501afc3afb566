"""The generator of Go's package math/rand, bit for bit, for orders that were drawn by a Go program.

It is Mitchell and Reeds' additive lagged Fibonacci generator s[k] = s[k-607] + s[k-273] mod 2^64. Its register is
seeded by a Lehmer generator (48271 mod 2^31-1), mixed with the register the same recurrence reaches after 7.8e12 steps
from seed 1. Go's source lists those 607 numbers; here they are computed: taking N steps at once is arithmetic with
x^N mod (x^607 - x^334 - 1).

Source of the rules: math/rand/rng.go, gen_cooked.go and rand.go of Go 1.0 to 1.19 (an explicit seed still gives the
same numbers in later releases).
"""

from __future__ import annotations

from functools import cache
from itertools import islice
from typing import Any

import numpy as np

LENGTH = 607
TAP = 273
_STEPS = 7_800_000_000_000
_MASK63 = (1 << 63) - 1
_MASK64 = (1 << 64) - 1
_LEHMER_MODULUS = 2**31 - 1
_ZERO_SEED = 89482311
"""What stands for seed 0, on which a Lehmer generator would get stuck."""
_WARM_UP = 20

Register = np.ndarray[Any, np.dtype[np.uint64]]


class GoRandom:
    """``rand.New(rand.NewSource(seed))``: the methods that programs order things with."""

    def __init__(self, seed: int) -> None:
        words = _lehmer_words(seed, (40, 20, 0))
        self._register = [word ^ cooked for word, cooked in zip(words, _cooked(), strict=True)]
        self._tap, self._feed = 0, LENGTH - TAP

    def int63(self) -> int:
        """A whole number in [0, 2^63)."""
        register = self._register
        self._tap = tap = self._tap - 1 if self._tap > 0 else LENGTH - 1
        self._feed = feed = self._feed - 1 if self._feed > 0 else LENGTH - 1
        register[feed] = word = (register[feed] + register[tap]) & _MASK64
        return word & _MASK63

    def intn(self, n: int) -> int:
        """A whole number in [0, n), for n up to 2^31 - 1."""
        if not 0 < n < 2**31:
            raise ValueError(f"intn({n}): the bound must be from 1 to 2^31 - 1")
        if n & (n - 1) == 0:
            return self.int63() >> 32 & (n - 1)
        highest = 2**31 - 1 - 2**31 % n
        value = self.int63() >> 32
        while value > highest:
            value = self.int63() >> 32
        return value % n

    def shuffled(self, n: int) -> list[int]:
        """Where each of n items comes from after ``rand.Shuffle``."""
        order = list(range(n))
        for i in range(n - 1, 0, -1):
            j = self._below(i + 1)
            order[i], order[j] = order[j], order[i]
        return order

    def perm(self, n: int) -> list[int]:
        """``rand.Perm``: a permutation of range(n)."""
        order = [0] * n
        for i in range(n):
            j = self.intn(i + 1)
            order[i] = order[j]
            order[j] = i
        return order

    def _below(self, n: int) -> int:
        """The number in [0, n) that Shuffle draws: Lemire's multiplication instead of a remainder."""
        product = (self.int63() >> 31) * n
        if product % 2**32 < n:
            while product % 2**32 < 2**32 % n:
                product = (self.int63() >> 31) * n
        return product >> 32


def _lehmer_words(seed: int, shifts: tuple[int, int, int]) -> list[int]:
    """607 words, each three successive numbers of the Lehmer generator, shifted and combined by exclusive or."""
    state = seed % _LEHMER_MODULUS or _ZERO_SEED

    def numbers() -> Any:
        nonlocal state
        while True:
            state = state * 48271 % _LEHMER_MODULUS
            yield state

    drawn = list(islice(numbers(), _WARM_UP, _WARM_UP + 3 * LENGTH))
    a, b, c = shifts
    return [drawn[i] << a & _MASK64 ^ drawn[i + 1] << b & _MASK64 ^ drawn[i + 2] << c for i in range(0, len(drawn), 3)]


@cache
def _cooked() -> tuple[int, ...]:
    """The register after 7.8e12 steps from seed 1."""
    register = np.array(_lehmer_words(1, (20, 10, 0)), dtype=np.uint64)
    # In order of age: the step number k overwrites position (333 - k) mod 607.
    position = (LENGTH - TAP - 1 - np.arange(LENGTH)) % LENGTH
    old = register[position]
    series = np.concatenate([old, np.zeros(LENGTH, dtype=np.uint64)])
    for start in range(LENGTH, 2 * LENGTH, TAP):
        block = np.arange(start, min(start + TAP, 2 * LENGTH))
        series[block] = series[block - LENGTH] + series[block - TAP]
    power = _power_of_x(_STEPS)
    windows = np.lib.stride_tricks.sliding_window_view(series, LENGTH)[:LENGTH]
    later = (windows * power).sum(axis=1, dtype=np.uint64)
    register[(position - _STEPS) % LENGTH] = later
    return tuple(register.tolist())


def _power_of_x(exponent: int) -> Register:
    """Coefficients of x^exponent mod (x^607 - x^334 - 1) over the integers mod 2^64, by repeated squaring."""
    power = np.zeros(LENGTH, dtype=np.uint64)
    power[0] = 1
    for bit in bin(exponent)[2:]:
        square = np.convolve(power, power)
        power = _reduced(np.concatenate([[np.uint64(0)], square]) if bit == "1" else square)
    return power


def _reduced(polynomial: Register) -> Register:
    """The remainder: from the top, x^k becomes x^(k-607) + x^(k-273)."""
    for end in range(len(polynomial), LENGTH, -TAP):
        block = np.arange(max(end - TAP, LENGTH), end)
        polynomial[block - LENGTH] += polynomial[block]
        polynomial[block - TAP] += polynomial[block]
    return polynomial[:LENGTH]
