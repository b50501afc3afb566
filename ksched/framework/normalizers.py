"""Declared normalisers: what they need to know of all feasible nodes is small, and while it stays the same a cached
total stays valid for every row that did not change."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

MAX_NODE_SCORE = 100

Raw = npt.NDArray[Any]


_ALL = np.array(MAX_NODE_SCORE)
"""As an array, since numpy takes longer to convert a number than to multiply by it."""
_NO_OVERFLOW = np.iinfo(np.int64).max // MAX_NODE_SCORE


class Normalizer(Protocol):
    """A normalisation split into the reduction over feasible nodes and the map of each row.

    It may also have ``within_bounds(inputs)``: whether what it makes of raw scores with these inputs is sure to be
    finite and within 0..100. Then nobody need look.
    """

    def inputs(self, raw: Raw) -> Hashable:
        """What the map needs, from the raw scores of the feasible nodes (at least one)."""

    def apply(self, raw: Raw, inputs: Any) -> Raw:
        """Normalised scores of some rows given :meth:`inputs`."""


class DefaultNormalizer:
    """Scale by the maximum to 0..100, optionally reversed (upstream: helper.DefaultNormalizeScore).

    Integer arithmetic truncates as Go's does; floats stay floats. If the maximum is 0 all rows get 0, or 100 when
    reversed.
    """

    def __init__(self, *, reverse: bool = False) -> None:
        self.reverse = reverse

    def inputs(self, raw: Raw) -> Hashable:
        """The maximum, at least 0: upstream's search for it starts there."""
        highest = raw.item(raw.argmax())  # several times as fast as max
        return 0 if highest <= 0 else highest  # NaN stays NaN: it is reported with the node it came from

    def apply(self, raw: Raw, inputs: Any) -> Raw:
        """``100 * raw // max`` (``/`` for floats) or 100 minus that."""
        if inputs == 0:
            return np.full(len(raw), MAX_NODE_SCORE) if self.reverse else raw
        scaled = _scaled(raw, inputs)
        return MAX_NODE_SCORE - scaled if self.reverse else scaled


class MinMaxNormalizer:
    """Stretch min..max of the feasible nodes to 0..100, 0 for all when they are equal."""

    def inputs(self, raw: Raw) -> Hashable:
        """(min, max) of the feasible nodes."""
        return raw.item(raw.argmin()), raw.item(raw.argmax())  # NaN is both where there is one

    def apply(self, raw: Raw, inputs: Any) -> Raw:
        """``100 * (raw - min) / (max - min)``, integer division for integers."""
        low, high = inputs
        if low == high:
            return np.zeros_like(raw)
        return _scaled(raw - low, high - low)

    def within_bounds(self, inputs: Any) -> bool:
        """Unless the range is not finite, or so large that integers overflow."""
        low, high = inputs
        return bool(high - low <= _NO_OVERFLOW)  # NaN is not


def _scaled(raw: Raw, highest: Any) -> Raw:
    """``raw`` as a share of ``highest`` in 0..100; what is not finite is judged afterwards."""
    scaled: Raw = _ALL * (raw / highest) if raw.dtype.kind == "f" else _ALL * raw // highest
    return scaled  # floats in this order: the highest is exactly 100
