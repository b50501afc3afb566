"""Growing columns for the result tables: an append costs a fraction of a microsecond, a value eight bytes."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

NEVER = -1
"""How a time that has not come is kept until it is written as null."""


class Integers:
    """int64 values; NEVER becomes null when ``nullable``."""

    __slots__ = ("_values", "append", "extend", "nullable")

    def __init__(self, *, nullable: bool = False) -> None:
        self._values = array("q")
        self.append = self._values.append
        self.extend = self._values.extend
        self.nullable = nullable

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, row: int) -> int:
        return self._values[row]

    def __setitem__(self, row: int, value: int) -> None:
        self._values[row] = value

    def to_arrow(self, kind: pa.DataType | None = None) -> pa.Array:
        """The column as int64, or narrowed to ``kind``."""
        values = np.frombuffer(self._values, dtype=np.int64) if self._values else np.zeros(0, dtype=np.int64)
        column = pa.array(values, mask=values == NEVER if self.nullable else None)
        return column.cast(kind) if kind is not None else column


class Labels:
    """Texts that repeat: kept as codes, written as a dictionary column in first-seen order; None is null."""

    __slots__ = ("_codes", "_known", "_texts", "_tuples")

    def __init__(self) -> None:
        self._codes = array("i")
        self._known: dict[str, int] = {}
        self._texts: list[str] = []
        self._tuples: dict[tuple[str, ...], array[int]] = {}

    def code(self, text: str | None) -> int:
        """The code of a text; -1 for None."""
        if text is None:
            return NEVER
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = len(self._texts)
            self._texts.append(text)
        return found

    def append(self, text: str | None) -> None:
        """One more value."""
        known = self._known.get(text)  # type: ignore[arg-type]
        self._codes.append(self.code(text) if known is None else known)

    def extend(self, texts: Iterable[str]) -> None:
        """More values; the same texts usually come in the same order, so whole tuples are remembered."""
        key = tuple(texts)
        codes = self._tuples.get(key)
        if codes is None:
            codes = self._tuples[key] = array("i", map(self.code, key))
        self._codes.extend(codes)

    def __setitem__(self, row: int, text: str | None) -> None:
        self._codes[row] = self.code(text)

    def __getitem__(self, row: int) -> str | None:
        code = self._codes[row]
        return None if code == NEVER else self._texts[code]

    def __len__(self) -> int:
        return len(self._codes)

    def to_arrow(self) -> pa.Array:
        """dictionary<int32, string>"""
        codes = np.frombuffer(self._codes, dtype=np.int32) if self._codes else np.zeros(0, dtype=np.int32)
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes == NEVER), pa.array(self._texts, pa.string()))

    def to_strings(self) -> pa.Array:
        """Plain strings, for columns nested in lists."""
        return self.to_arrow().dictionary_decode()


class Offsets:
    """Ends of variable-length entries, for list and map columns."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends = array("i", [0])

    def close(self, end: int) -> None:
        """The current entry ends at flat position ``end``."""
        self._ends.append(end)

    def to_arrow(self) -> pa.Array:
        """int32[n + 1]"""
        return pa.array(np.frombuffer(self._ends, dtype=np.int32))
