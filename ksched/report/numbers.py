"""How numbers and lists are written: one scale a row, true minus signs, intervals, p-values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"
_TIME_UNITS = ((86_400.0 * 2, 86_400.0, "d"), (7_200.0, 3_600.0, "h"), (120.0, 60.0, "min"), (1.0, 1.0, "s"))


@dataclass(frozen=True)
class Scale:
    """How numbers of one row are written: divided by ``factor``, with ``digits`` decimals, followed by ``suffix``.

    All numbers of a row share one scale, so that they can be compared by eye.
    """

    factor: float
    digits: int
    suffix: str

    def plain(self, value: float) -> str:
        """1,931.4 or an en dash."""
        if math.isnan(value):
            return NOTHING
        text = f"{abs(value) / self.factor:,.{self.digits}f}"
        return f"{MINUS}{text}" if value < 0 and text.strip("0.,") else text

    def signed(self, value: float) -> str:
        """+1.3, or with a true minus sign; 0 has none."""
        text = self.plain(value)
        return f"+{text}" if value > 0 and text.strip("0.,") else text

    def value(self, value: float) -> str:
        """1,931.4 s"""
        return f"{self.plain(value)}{self.suffix}" if not math.isnan(value) else NOTHING

    def difference(self, value: float) -> str:
        """+1.3 s; of percentages in points, since "2 % more" of a percentage is ambiguous."""
        suffix = " points" if self.suffix == " %" else self.suffix
        return f"{self.signed(value)}{suffix}" if not math.isnan(value) else NOTHING

    def interval(self, low: float, high: float) -> str:
        """[−1.9, −0.7], or nothing when there is no interval."""
        return "" if math.isnan(low) else f"[{self.signed(low)}, {self.signed(high)}]"


def scale(unit: str, *magnitudes: float) -> Scale:
    """The scale for numbers of a unit around these magnitudes."""
    size = max((abs(m) for m in magnitudes if not math.isnan(m)), default=0.0)
    if unit == "s":
        if 0 < size < 1:
            return Scale(0.001, _digits(size / 0.001), " ms")
        factor, suffix = next(((f, s) for least, f, s in _TIME_UNITS if size >= least), (1.0, "s"))
        return Scale(factor, _digits(size / factor), f" {suffix}")
    if unit == "%":
        return Scale(1.0, 2 if size < 1 else 1, " %")
    if unit in ("pods", "nodes"):
        whole = all(m == round(m) for m in magnitudes if not math.isnan(m))
        return Scale(1.0, 0 if whole or size >= 1000 else 1, "")
    return Scale(1.0, _digits(size), f" {unit}" if unit else "")


def _digits(size: float) -> int:
    return 0 if size >= 1000 else 1 if size >= 10 else 2


def row_scale(row: Mapping[str, Any]) -> Scale:
    """The scale of one row of the comparison."""
    return scale(str(row["unit"]), row["value"], row["baseline"])


def p_text(p: float) -> str:
    """0.012, or < 0.001."""
    return NOTHING if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def change(row: Mapping[str, Any]) -> str:
    """The difference as a reader wants it: relative where that is clear, else absolute; with its interval."""
    # A ratio whose denominator may be zero has no interval; the difference itself has.
    unbounded = math.isnan(row["relative_lo"]) and not math.isnan(row["lo"])
    if row["unit"] == "%" or math.isnan(row["relative"]) or unbounded:
        lo, hi, diff, chosen = row["lo"], row["hi"], row["diff"], row_scale(row)
        if row["unit"] == "%":
            chosen = Scale(1.0, _fine_digits(diff, lo, hi), " %")
        text = chosen.difference(diff)
    else:
        lo, hi, diff = row["relative_lo"], row["relative_hi"], row["relative"]
        chosen = Scale(1.0, _fine_digits(diff, lo, hi), "")
        text = f"{chosen.signed(diff)} %"
    if diff != 0 and not chosen.plain(diff).strip(f"0.,{MINUS}"):
        text = text.replace(chosen.plain(diff), f"{'+' if diff > 0 else MINUS}<0.001", 1)
    interval = chosen.interval(lo, hi)
    return f"{text} {interval}" if interval else text


def _fine_digits(*numbers: float) -> int:
    """Decimals for percentages: enough that a small difference does not read as none."""
    size = max((abs(x) for x in numbers if not math.isnan(x)), default=0.0)
    return 1 if size >= 1 or size == 0 else 2 if size >= 0.1 else 3


def listed(items: Sequence[str]) -> str:
    """a, b and c"""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
