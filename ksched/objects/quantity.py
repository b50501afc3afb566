"""Resource quantities: the numbers with suffixes of Kubernetes manifests (``100m``, ``1.5Gi``, ``1e3``).

Grammar, rounding, caps and canonical form follow apimachinery's ``pkg/api/resource`` (quantity.go, suffix.go,
amount.go). Three points are decided for the user's good where that parser is careless: a text without any digit
(``"m"``, ``"."``, ``"+"``) is an error and not 0; an enormous exponent is an error (upwards) or rounds to one nano
(downwards) instead of running for minutes or wrapping around; and :meth:`Quantity.value` and
:meth:`Quantity.milli_value` stop at the int64 limits instead of wrapping.
"""

from __future__ import annotations

import functools
import math
import re
from typing import Any, Final

from pydantic_core import core_schema

INT64_MAX: Final = 2**63 - 1

_NANO: Final = 10**9
_MILLI_IN_NANO: Final = 10**6
_CAP_IN_NANO: Final = INT64_MAX * _NANO
_EXPONENT_LIMIT: Final = 9999
_LONGEST_TEXT: Final = 1000

DECIMAL_SI: Final = "DecimalSI"
BINARY_SI: Final = "BinarySI"
DECIMAL_EXPONENT: Final = "DecimalExponent"

_DECIMAL_SUFFIXES: Final = {
    "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}  # fmt: skip
_DECIMAL_SUFFIX_OF: Final = {exponent: suffix for suffix, exponent in _DECIMAL_SUFFIXES.items()}
_BINARY_SUFFIXES: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_BINARY_SUFFIX_OF: Final = {exponent: suffix for suffix, exponent in _BINARY_SUFFIXES.items()}

_SHAPE: Final = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_EXPONENT: Final = re.compile(r"[eE]([+-]?)([0-9]+)", re.ASCII)


class Quantity:
    """An exact number in units of nano, which remembers how the user wrote it.

    ``source`` is what stood in the manifest (text, or a YAML/JSON number). Equality, ordering and hash go by value:
    ``Quantity.parse("1") == Quantity.parse("1000m")``. Immutable; may be shared freely.
    """

    __slots__ = ("format", "nano", "source")

    source: str | int | float
    nano: int
    format: str

    def __init__(self, nano: int, source: str | int | float | None = None, format: str = DECIMAL_SI) -> None:
        object.__setattr__(self, "nano", nano)
        object.__setattr__(self, "format", format)
        object.__setattr__(self, "source", _canonical(nano, format) if source is None else source)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"Quantity is immutable, cannot set {name}")

    __delattr__ = None  # type: ignore[assignment]

    @classmethod
    def parse(cls, source: str | int | float | Quantity) -> Quantity:
        """The quantity written as ``source``; ValueError with a message for the user when it is none."""
        if isinstance(source, str):
            return _parse_text(source)
        if isinstance(source, Quantity):
            return source
        if isinstance(source, bool) or not isinstance(source, int | float):
            raise ValueError(f"a quantity is a number or a text like 500m or 2Gi, not {_shown(source)}")
        if isinstance(source, float) and not math.isfinite(source):
            raise ValueError(f"a quantity must be finite, not {source}")
        parsed = _parse_text(_number_text(source))
        return cls(parsed.nano, source, parsed.format)

    @classmethod
    def of(cls, value: int, *, format: str = DECIMAL_SI) -> Quantity:
        """The whole number ``value``, written canonically (``of(2**30, format=BINARY_SI)`` is ``1Gi``)."""
        return cls(value * _NANO, None, format)

    @classmethod
    def of_milli(cls, milli: int) -> Quantity:
        """``milli`` thousandths, written canonically (``of_milli(1500)`` is ``1500m``)."""
        return cls(milli * _MILLI_IN_NANO)

    def value(self) -> int:
        """The value rounded up (away from zero) to a whole number, within int64."""
        return _scaled(self.nano, _NANO)

    def milli_value(self) -> int:
        """The value in thousandths, rounded up (away from zero), within int64."""
        return _scaled(self.nano, _MILLI_IN_NANO)

    def rounded_up_to_milli(self) -> Quantity:
        """This quantity when it is a whole number of thousandths, else the next one away from zero.

        The api-server does this to every entry of a resource list (``RoundUp(Milli)`` in
        SetDefaults_ResourceList in pkg/apis/core/v1/defaults.go).
        """
        if self.nano % _MILLI_IN_NANO == 0:
            return self
        return Quantity(_divide_away(self.nano, _MILLI_IN_NANO) * _MILLI_IN_NANO, None, self.format)

    def fits_int64(self, *, milli: bool = False) -> bool:
        """Whether :meth:`value` (or :meth:`milli_value`) is exact rather than stopped at the int64 limits."""
        unit = _MILLI_IN_NANO if milli else _NANO
        return -INT64_MAX * unit <= self.nano <= INT64_MAX * unit

    def canonical(self) -> str:
        """The text kubectl would print: no fraction digits, the largest suffix that loses nothing."""
        return _canonical(self.nano, self.format)

    def __str__(self) -> str:
        return str(self.source)

    def __repr__(self) -> str:
        return f"Quantity({self.source!r})"

    def __eq__(self, other: object) -> bool:
        return self.nano == other.nano if isinstance(other, Quantity) else NotImplemented

    def __lt__(self, other: Quantity) -> bool:
        return self.nano < other.nano if isinstance(other, Quantity) else NotImplemented

    def __le__(self, other: Quantity) -> bool:
        return self.nano <= other.nano if isinstance(other, Quantity) else NotImplemented

    def __gt__(self, other: Quantity) -> bool:
        return self.nano > other.nano if isinstance(other, Quantity) else NotImplemented

    def __ge__(self, other: Quantity) -> bool:
        return self.nano >= other.nano if isinstance(other, Quantity) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.nano)

    def __bool__(self) -> bool:
        return self.nano != 0

    def __add__(self, other: Quantity) -> Quantity:
        if not isinstance(other, Quantity):
            return NotImplemented
        return Quantity(self.nano + other.nano, None, self.format if self.nano else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        if not isinstance(other, Quantity):
            return NotImplemented
        return Quantity(self.nano - other.nano, None, self.format if self.nano else other.format)

    def __copy__(self) -> Quantity:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Quantity:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return (Quantity, (self.nano, self.source, self.format))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda q: q.source),
        )


def _number_text(number: int | float) -> str:
    if isinstance(number, int) and abs(number) >= 10**_LONGEST_TEXT:
        raise ValueError("the number is too large for a quantity")
    return repr(number)


@functools.lru_cache(maxsize=16384)
def _parse_text(text: str) -> Quantity:
    stripped = text.strip()  # the api-server's JSON decoding trims too
    match = _SHAPE.fullmatch(stripped) if len(stripped) <= _LONGEST_TEXT else None
    if match is None or not (match[2] or match[3]):
        raise ValueError(
            f"{_shown(text)} is not a quantity: expected a number with an optional suffix, "
            "like 500m, 0.5, 1e3, 128M or 1.5Gi"
        )
    sign, whole, fraction, suffix = match[1], match[2], match[3] or "", match[4]
    base, exponent, format = _interpret(text, suffix)
    digits = int(whole + fraction)
    if base == 2:
        nano = min(_divide_up((digits << exponent) * _NANO, 10 ** len(fraction)), _CAP_IN_NANO)
        if nano < _NANO:
            format = DECIMAL_SI
    else:
        nano = _decimal_nano(text, digits, exponent - len(fraction) + 9)
    return Quantity(-nano if sign == "-" else nano, text, format)


def _interpret(text: str, suffix: str) -> tuple[int, int, str]:
    """(base, exponent, format) of a suffix."""
    if suffix in _DECIMAL_SUFFIXES:
        return 10, _DECIMAL_SUFFIXES[suffix], DECIMAL_SI
    if suffix in _BINARY_SUFFIXES:
        return 2, _BINARY_SUFFIXES[suffix], BINARY_SI
    exponent = _EXPONENT.fullmatch(suffix)
    if exponent is not None:
        digits = exponent[2].lstrip("0") or "0"
        # One digit more than the limit is as far beyond it as a thousand.
        magnitude = int(digits) if len(digits) <= 6 else 10**6
        return 10, -magnitude if exponent[1] == "-" else magnitude, DECIMAL_EXPONENT
    known = ", ".join([*(s for s in _DECIMAL_SUFFIXES if s), *_BINARY_SUFFIXES])
    raise ValueError(f"{_shown(text)} is not a quantity: unknown suffix {suffix!r}; known are {known} and e<exponent>")


def _decimal_nano(text: str, digits: int, exponent: int) -> int:
    """``digits * 10**exponent`` rounded up to a whole number, without ever computing an enormous power."""
    if digits == 0:
        return 0
    if exponent > _EXPONENT_LIMIT:
        raise ValueError(f"{_shown(text)} is too large for a quantity")
    if exponent >= 0:
        power: int = 10**exponent
        return digits * power
    if -exponent > 2 * _EXPONENT_LIMIT:
        return 1
    return _divide_up(digits, 10**-exponent)


def _divide_up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)


def _divide_away(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor) if dividend >= 0 else dividend // divisor


@functools.lru_cache(maxsize=16384)
def _scaled(nano: int, unit: int) -> int:
    return max(-INT64_MAX - 1, min(INT64_MAX, _divide_away(nano, unit)))


def _canonical(nano: int, format: str) -> str:
    if nano == 0:
        return "0"
    if format == BINARY_SI:
        whole, rest = divmod(nano, _NANO)
        if rest == 0 and not -1024 < whole < 1024:
            return _canonical_binary(whole)
        format = DECIMAL_SI
    return _canonical_decimal(nano, format)


def _canonical_binary(value: int) -> str:
    exponent = 0
    while exponent < 60 and value % 1024 == 0:
        value //= 1024
        exponent += 10
    return f"{value}{_BINARY_SUFFIX_OF.get(exponent, '')}"


def _canonical_decimal(nano: int, format: str) -> str:
    exponent = -9
    while nano % 1000 == 0:
        nano //= 1000
        exponent += 3
    if format == DECIMAL_SI and exponent in _DECIMAL_SUFFIX_OF:
        return f"{nano}{_DECIMAL_SUFFIX_OF[exponent]}"
    return f"{nano}e{exponent}" if exponent else str(nano)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
