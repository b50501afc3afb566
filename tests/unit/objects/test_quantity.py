"""Quantities against apimachinery's rules, in tables and by an oracle of fractions."""

import copy
import pickle
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksched.objects import Quantity
from ksched.objects.quantity import BINARY_SI, DECIMAL_EXPONENT, DECIMAL_SI, INT64_MAX

VALUES = [
    # text, value, milli value
    ("0", 0, 0),
    ("100m", 1, 100),
    ("0.5", 1, 500),
    (".5", 1, 500),
    ("5.", 5, 5000),
    ("1e3", 1000, 10**6),
    ("1E3", 1000, 10**6),
    ("1e+3", 1000, 10**6),
    ("1e-3", 1, 1),
    ("1E", 10**18, INT64_MAX),
    ("1Ki", 1024, 1024000),
    ("1Gi", 2**30, 2**30 * 1000),
    ("1.5Gi", 3 * 2**29, 3 * 2**29 * 1000),
    ("1500M", 1500 * 10**6, 1500 * 10**9),
    ("128974848", 128974848, 128974848000),
    ("7910m", 8, 7910),
    ("333333u", 1, 334),
    ("100000u", 1, 100),
    ("1n", 1, 1),
    ("0.1n", 1, 1),
    ("0.0000000001", 1, 1),
    ("1e-400", 1, 1),
    ("1e-99999999999999", 1, 1),
    ("-1", -1, -1000),
    ("-0.5", -1, -500),
    ("-0.1n", -1, -1),
    ("+2", 2, 2000),
    ("0001", 1, 1000),
    ("0e99999999", 0, 0),
    (" 1 ", 1, 1000),
    (2, 2, 2000),
    (0.1, 1, 100),
    (1e3, 1000, 10**6),
]


@pytest.mark.parametrize(("text", "value", "milli"), VALUES, ids=str)
def test_a_quantity_rounds_up_to_units_and_to_thousandths(text, value, milli):
    quantity = Quantity.parse(text)
    assert (quantity.value(), quantity.milli_value()) == (value, milli)


INVALID = [
    "",
    " ",
    "m",
    "Ki",
    ".",
    "+",
    "-",
    "e5",
    "abc",
    "1 Gi",
    "1Gib",
    "1KI",
    "1ki",
    "1i",
    ".5i",
    "0.1mi",
    "1.1.M",
    "1+1.0M",
    "1e",
    "1e-",
    "1e3.5",
    "1Ee3",
    "1mm",
    "--1",
    "1,5",
    "0x10",
    "1_000",
    "١",
    "1e400000",
    "1" * 1001,
    True,
    None,
    [1],
    float("nan"),
    float("inf"),
    10**2000,
]


@pytest.mark.parametrize("text", INVALID, ids=lambda text: repr(text)[:20])
def test_what_is_no_quantity_is_a_value_error_in_one_line(text):
    with pytest.raises(ValueError, match="quantity") as error:
        Quantity.parse(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 250


CAPS = [
    ("8Ei", INT64_MAX, "binary quantities stop at 2^63-1"),
    ("9223372036854775807Ki", INT64_MAX, "also with many digits"),
    ("-100Ei", -INT64_MAX, "and at the negative of it"),
    ("9223372036854775807", INT64_MAX, "the largest int64 is exact"),
    ("9223372036854775808", INT64_MAX, "decimal quantities are not capped, their value is"),
    ("1e400", INT64_MAX, "however large they are"),
]


@pytest.mark.parametrize(("text", "value", "why"), CAPS, ids=[row[2] for row in CAPS])
def test_values_stay_within_int64(text, value, why):
    assert Quantity.parse(text).value() == value


def test_decimal_quantities_beyond_int64_keep_their_value():
    big = Quantity.parse("18446744073709551616")
    assert big == Quantity.parse("1.8446744073709551616e19")
    assert big > Quantity.parse("9223372036854775807")
    assert not big.fits_int64()
    assert Quantity.parse("9223372036854775807").fits_int64()
    assert not Quantity.parse("9223372036854775807").fits_int64(milli=True)


CANONICAL = [
    ("0", "0"),
    ("0.0", "0"),
    ("1000m", "1"),
    ("1500m", "1500m"),
    ("1.5", "1500m"),
    ("0.5Gi", "512Mi"),
    ("1.5Gi", "1536Mi"),
    ("1024Ki", "1Mi"),
    ("1023", "1023"),
    ("512Ki", "512Ki"),
    ("0.5Ki", "512"),
    ("1.1Ki", "1126400m"),
    ("0.9Gi", "966367641600m"),
    ("1000k", "1M"),
    ("12e6", "12e6"),
    ("1200e4", "12e6"),
    ("100000000e-3", "100e3"),
    ("1234567", "1234567"),
    ("-1500M", "-1500M"),
    ("1000E", "1e21"),
    ("0.9n", "1n"),
]


@pytest.mark.parametrize(("text", "expected"), CANONICAL, ids=[row[0] for row in CANONICAL])
def test_the_canonical_form_has_no_fraction_and_the_largest_suffix(text, expected):
    assert Quantity.parse(text).canonical() == expected


def test_a_quantity_remembers_how_it_was_written():
    assert [Quantity.parse(source).source for source in ("1000m", 1, 0.5, "1.50Gi")] == ["1000m", 1, 0.5, "1.50Gi"]
    assert str(Quantity.parse("1.50Gi")) == "1.50Gi"


def test_rounding_up_to_milli_keeps_the_object_when_nothing_is_lost():
    exact = Quantity.parse("250m")
    assert exact.rounded_up_to_milli() is exact
    assert Quantity.parse("333333u").rounded_up_to_milli().source == "334m"
    assert Quantity.parse("-333333u").rounded_up_to_milli().source == "-334m"


def test_a_quantity_cannot_be_changed():
    quantity = Quantity.parse("1")
    with pytest.raises(AttributeError):
        quantity.nano = 5
    assert copy.deepcopy(quantity) is quantity
    assert pickle.loads(pickle.dumps(quantity)) == quantity
    assert pickle.loads(pickle.dumps(quantity)).source == "1"


# --- the oracle -----------------------------------------------------------------------------------------------------

DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}

digits = st.text("0123456789", min_size=1, max_size=25)
numbers = st.one_of(
    digits,
    st.tuples(digits, digits).map(".".join),
    digits.map(lambda d: f".{d}"),
    digits.map(lambda d: f"{d}."),
)
exponents = st.integers(-40, 40).flatmap(
    lambda e: st.sampled_from([f"e{e}", f"E{e}", f"e+{e}" if e >= 0 else f"e{e}", f"e{e:+03d}"])
)
suffixes = st.one_of(st.sampled_from(sorted(DECIMAL)), st.sampled_from(sorted(BINARY)), exponents)


def exact(number: str, suffix: str) -> Fraction:
    """What apimachinery stores: rounded away from zero to nano, binary capped at int64."""
    value = Fraction("0" + number + "0" if number.endswith(".") else "0" + number)
    if suffix in BINARY:
        value = min(value * 2 ** BINARY[suffix], Fraction(INT64_MAX))
    elif suffix in DECIMAL:
        value *= Fraction(10) ** DECIMAL[suffix]
    else:
        value *= Fraction(10) ** int(suffix[1:])
    return Fraction(-((-value * 10**9) // 1), 10**9)


def up(value: Fraction) -> int:
    magnitude = -((-abs(value)) // 1)
    return int(min(magnitude, INT64_MAX) if value >= 0 else max(-magnitude, -INT64_MAX - 1))


@given(st.sampled_from(["", "+", "-"]), numbers, suffixes)
def test_parsing_agrees_with_fractions(sign, number, suffix):
    quantity = Quantity.parse(sign + number + suffix)
    expected = exact(number, suffix) * (-1 if sign == "-" else 1)
    assert Fraction(quantity.nano, 10**9) == expected
    assert quantity.value() == up(expected)
    assert quantity.milli_value() == up(expected * 1000)
    assert Quantity.parse(quantity.canonical()).nano == quantity.nano
    canonical = Quantity.parse(quantity.canonical())
    assert canonical.canonical() == quantity.canonical()


@given(numbers, suffixes, numbers, suffixes)
def test_order_and_sums_agree_with_fractions(a, suffix_a, b, suffix_b):
    left, right = Quantity.parse(a + suffix_a), Quantity.parse(b + suffix_b)
    exact_left, exact_right = exact(a, suffix_a), exact(b, suffix_b)
    assert (left < right, left == right, left > right) == (
        exact_left < exact_right,
        exact_left == exact_right,
        exact_left > exact_right,
    )
    assert (left <= right, left >= right) == (exact_left <= exact_right, exact_left >= exact_right)
    if left == right:
        assert hash(left) == hash(right)
    assert Fraction((left + right).nano, 10**9) == exact_left + exact_right
    assert Fraction((left - right).nano, 10**9) == exact_left - exact_right


@given(st.integers(-(10**30), 10**30), st.sampled_from([DECIMAL_SI, BINARY_SI, DECIMAL_EXPONENT]))
def test_the_canonical_text_means_the_same_number(nano, format):
    quantity = Quantity(nano, None, format)
    if format == BINARY_SI and abs(nano) > INT64_MAX * 10**9:
        return  # never made by parsing
    assert Quantity.parse(quantity.source).nano == nano


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_a_value_error(text):
    try:
        quantity = Quantity.parse(text)
    except ValueError:
        return
    assert any(character.isdigit() for character in text)
    assert Quantity.parse(quantity.canonical()) == quantity
