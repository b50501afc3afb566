"""Growing columns for the result tables: an append costs some tens of nanoseconds, a value eight bytes.

What is recorded once a pod or more is kept as it is until a block of every column can be written at once: one by one
each append would find its code and its column out of the processor's caches.

Numbers are kept in an ``array("q")``, texts in a list where each value is an object that others hold too; texts that
say one of a few things over and over as :class:`Labels`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

BLOCK = 64
"""Records that are written into columns at once."""
NEVER = -1
"""How a time that has not come is kept until it is written as null."""


def integers(values: array[int], kind: pa.DataType | None = None) -> pa.Array:
    """The column of an ``array("q")``: int64, or narrowed to ``kind``."""
    column = pa.array(_int64(values))
    return column.cast(kind) if kind is not None else column


def times(values: array[int]) -> pa.Array:
    """The int64 column of an ``array("q")`` of times, NEVER as null."""
    known = _int64(values)
    return pa.array(known, mask=known == NEVER)


def _int64(values: array[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.frombuffer(values, dtype=np.int64) if values else np.zeros(0, dtype=np.int64)


class _Codes(dict[str | None, int]):
    """Texts numbered as they are first asked for; None is NEVER."""

    def __init__(self) -> None:
        self[None] = NEVER
        self.texts: list[str] = []

    def __missing__(self, text: str) -> int:
        code = self[text] = len(self.texts)
        self.texts.append(text)
        return code


class Labels:
    """Texts that repeat: kept as codes, written as a dictionary column in first-seen order; None is null."""

    __slots__ = ("_codes", "_values")

    def __init__(self) -> None:
        self._codes = _Codes()
        self._values = array("i")

    def append(self, text: str | None) -> None:
        """One more value."""
        self._values.append(self._codes[text])

    def extend(self, texts: Iterable[str | None]) -> None:
        """More values, for less than an append each."""
        self._values.extend(map(self._codes.__getitem__, texts))

    def fill(self, text: str | None, count: int) -> None:
        """``count`` more values, all the same, for less than an append each."""
        self._values.extend(array("i", [self._codes[text]]) * count)

    def __setitem__(self, row: int, text: str | None) -> None:
        self._values[row] = self._codes[text]

    def to_arrow(self) -> pa.Array:
        """dictionary<int32, string>"""
        codes = np.frombuffer(self._values, dtype=np.int32) if self._values else np.zeros(0, dtype=np.int32)
        texts = pa.array(self._codes.texts, pa.string())
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes == NEVER), texts)

    def to_strings(self) -> pa.Array:
        """Plain strings, for columns nested in lists."""
        return self.to_arrow().dictionary_decode()


class Lengths:
    """Lengths of variable-length entries, for list and map columns."""

    __slots__ = ("_lengths", "extend")

    def __init__(self) -> None:
        self._lengths = array("i")
        self.extend = self._lengths.extend
        """``extend(lengths)``: those of more entries."""

    def offsets(self) -> pa.Array:
        """Where each entry starts and the last one ends, int32[n + 1]."""
        offsets = np.zeros(len(self._lengths) + 1, dtype=np.int32)
        np.cumsum(self._lengths, out=offsets[1:])
        return pa.array(offsets)
