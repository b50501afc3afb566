"""How long something takes: distributions of non-negative durations, written in a file as

    5ms                                         always the same
    {kind: uniform, low: 1ms, high: 3ms}
    {kind: exponential, mean: 10ms}
    {kind: lognormal, median: 55ms, sigma: 0.25, offset: 5ms}

A zero delay draws no random number, so switching a latency off shifts nothing else.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ksched.sim.streams import Streams

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def parse_duration(value: object) -> int:
    """Nanoseconds of a duration in Go's notation (``1.5s``, ``1h30m``, ``250ms``) or of an int that is ns already.

    Raises ValueError for anything else: a bare float or a number without a unit in a text is not guessed at.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError(f"a duration must not be negative, got {value}")
        return value
    text = value.strip() if isinstance(value, str) else ""
    if text == "0":
        return 0
    total, end = 0, 0
    for part in _PART.finditer(text):
        if part.start() != end:
            break
        whole, _, fraction = part[1].partition(".")
        unit = _UNITS[part[2]]
        total += int(whole or 0) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
        end = part.end()
    if not text or end != len(text):
        raise ValueError(f"{value!r} is not a duration: write a number with a unit, for example 5ms, 1.5s or 2m")
    return total


Duration = Annotated[int, BeforeValidator(parse_duration)]
"""Nanoseconds as an int; a file may say ``5ms``."""


class _Distribution(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def is_zero(self) -> bool:
        """True when every sample is 0."""
        return False

    @property
    def typical(self) -> int:
        """The median in ns."""
        raise NotImplementedError

    @property
    def ceiling(self) -> int:
        """Nanoseconds that no sample will ever exceed, or one in 10^15 at most."""
        raise NotImplementedError

    def sample(self, rng: np.random.Generator) -> int:
        """One duration in ns, never negative."""
        raise NotImplementedError


class Constant(_Distribution):
    """Always ``value``."""

    kind: Literal["constant"] = "constant"
    value: Duration = 0

    @property
    def is_zero(self) -> bool:
        return self.value == 0

    @property
    def typical(self) -> int:
        return self.value

    @property
    def ceiling(self) -> int:
        return self.value

    def sample(self, rng: np.random.Generator) -> int:
        return self.value


class Uniform(_Distribution):
    """Any duration from ``low`` to ``high``, both included, equally likely."""

    kind: Literal["uniform"] = "uniform"
    low: Duration = 0
    high: Duration

    @model_validator(mode="after")
    def _ordered(self) -> Uniform:
        if self.low > self.high:
            raise ValueError("low must not be above high")
        return self

    @property
    def is_zero(self) -> bool:
        return self.high == 0

    @property
    def typical(self) -> int:
        return (self.low + self.high) // 2

    @property
    def ceiling(self) -> int:
        return self.high

    def sample(self, rng: np.random.Generator) -> int:
        return int(rng.integers(self.low, self.high, endpoint=True)) if self.high else 0


class Exponential(_Distribution):
    """Memoryless with the given ``mean``, after a fixed ``offset``."""

    kind: Literal["exponential"] = "exponential"
    mean: Duration
    offset: Duration = 0

    @property
    def is_zero(self) -> bool:
        return self.mean == 0 and self.offset == 0

    @property
    def typical(self) -> int:
        return self.offset + int(self.mean * math.log(2))

    @property
    def ceiling(self) -> int:
        return self.offset + int(self.mean * math.log(1e15))

    def sample(self, rng: np.random.Generator) -> int:
        return self.offset + (int(rng.standard_exponential() * self.mean) if self.mean else 0)


class LogNormal(_Distribution):
    """``offset`` plus a lognormal with the given ``median``; ``sigma`` is the deviation of the logarithm.

    The usual shape of measured service times. p95/median of the lognormal part is ``exp(1.645 * sigma)``.
    """

    kind: Literal["lognormal"] = "lognormal"
    median: Duration
    sigma: float = Field(ge=0, le=10, allow_inf_nan=False)
    offset: Duration = 0

    @property
    def is_zero(self) -> bool:
        return self.median == 0 and self.offset == 0

    @property
    def typical(self) -> int:
        return self.offset + self.median

    @property
    def ceiling(self) -> int:
        # The normal distribution is beyond 7.94 deviations once in 10^15.
        return self.offset + int(self.median * math.exp(7.95 * self.sigma))

    def sample(self, rng: np.random.Generator) -> int:
        return self.offset + (int(math.exp(rng.standard_normal() * self.sigma) * self.median) if self.median else 0)


def _shorthand(value: Any) -> Any:
    return {"kind": "constant", "value": value} if isinstance(value, str | int) else value


Delay = Annotated[
    Annotated[Constant | Uniform | Exponential | LogNormal, Field(discriminator="kind")],
    BeforeValidator(_shorthand),
]
"""Type of a configuration field that holds a delay; a plain duration is accepted for a constant."""

ZERO = Constant()


class Sampler:
    """A delay tied to the random stream it draws from. Calling it gives the next duration in ns."""

    __slots__ = ("_delay", "_generator", "_name", "_streams", "is_zero")

    def __init__(self, delay: Constant | Uniform | Exponential | LogNormal, streams: Streams, name: str) -> None:
        self._delay = delay
        self._streams = streams
        self._name = name
        self._generator: np.random.Generator | None = None
        self.is_zero = delay.is_zero

    def __call__(self) -> int:
        if self.is_zero:
            return 0
        if self._generator is None:
            self._generator = self._streams.generator(self._name)
        return self._delay.sample(self._generator)
