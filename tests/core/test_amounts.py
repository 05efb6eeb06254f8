"""Amounts: exact, ASCII, bounded, and the same text back."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.amounts import format_micros, parse_decimal, parse_units, parse_usdt

EVIL = [
    *(
        "",
        " ",
        "1 ",
        " 1",
        "\t1",
        "1\n",
        "+1",
        "-1",
        "--1",
        "1_000",
        "1,000",
        "1e3",
        "1E3",
        "0x10",
        "0b1",
        "1.",
        ".5",
        "1..2",
        "1.2.3",
    ),
    *(
        "NaN",
        "sNaN",
        "Infinity",
        "-Infinity",
        "inf",
        "None",
        "\u0661\u0662",
        "\uff11\uff12",
        "1\uff12",
        "\u00b2",
        "\u2167",
        "1\x00",
        "\ufeff1",
        "007",
        "00",
        "1e200000",
        "9" * 200_000,
    ),
]


@pytest.mark.parametrize(
    ("raw", "micros"), [("30000", 3_000_000), ("1", 100), ("0", 0), ("999999999999999", 99_999_999_999_999_900)]
)
def test_whole_units_become_micros(raw: str, micros: int) -> None:
    """A unit of 1/10,000 USDT is 100 micros."""
    assert parse_units(raw, unit_micros=100) == micros


def test_more_than_a_database_holds_is_no_amount() -> None:
    """Of hundredths and of whole USDT fifteen digits are too many; what is held to the last micro is one."""
    assert parse_units("9223372036854", unit_micros=1_000_000) == 9_223_372_036_854_000_000
    for raw, unit_micros in (("9223372036855", 1_000_000), ("9" * 15, 10_000)):
        with pytest.raises(ValueError, match="is more than there is"):
            parse_units(raw, unit_micros=unit_micros)


@pytest.mark.parametrize(
    ("raw", "micros"),
    [
        ("100.29", 100_290_000),
        ("3", 3_000_000),
        ("0.000001", 1),
        ("0.0000019", 1),
        ("0.1234567890123456789"[:20], 123_456),
        ("999999999999.999999", 999_999_999_999_999_999),
    ],
)
def test_decimals_are_floored_to_micros(raw: str, micros: int) -> None:
    """What lies below a micro is dropped, never rounded up."""
    assert parse_decimal(raw) == micros


@pytest.mark.parametrize("raw", EVIL, ids=lambda raw: ascii(raw[:12]))
def test_evil_amounts_are_refused_at_once(raw: str) -> None:
    """Nothing that int() or Decimal() would charitably accept gets through, and length costs no time."""
    began = time.thread_time()
    with pytest.raises(ValueError, match="must be a plain"):
        parse_units(raw, unit_micros=100)
    with pytest.raises(ValueError, match="must be a plain"):
        parse_decimal(raw)
    assert time.thread_time() - began < 0.1


def test_a_whole_number_of_units_has_no_point() -> None:
    """A source that counts units never sends fractions of them."""
    with pytest.raises(ValueError, match="whole number"):
        parse_units("1.5", unit_micros=100)


@pytest.mark.parametrize("raw", ["1000000000000000", "12345678901234567890"])
def test_amounts_beyond_fifteen_digits_are_refused(raw: str) -> None:
    """Sums must stay inside a BIGINT."""
    with pytest.raises(ValueError, match="15 digits"):
        parse_units(raw, unit_micros=1_000_000)


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (3_000_000, "3.000000"),
        (0, "0.000000"),
        (-1, "-0.000001"),
        (-1_500_000, "-1.500000"),
        (10**18, "1000000000000.000000"),
    ],
)
def test_micros_are_written_with_six_places(micros: int, text: str) -> None:
    """Always six places, and the sign once."""
    assert format_micros(micros) == text


@given(st.integers(min_value=0, max_value=10**18 - 1))
def test_what_is_written_reads_back(micros: int) -> None:
    """Writing and reading are each other's inverse."""
    assert parse_usdt(format_micros(micros)) == micros


@given(st.text())
def test_any_text_is_parsed_or_refused(raw: str) -> None:
    """Reading is total: a number of micros or ValueError."""
    with suppress(ValueError):
        assert parse_decimal(raw) >= 0


def test_a_person_may_not_write_more_places_than_usdt_has() -> None:
    """A limit of 0.0000001 USDT is a mistake; trailing zeros are not."""
    assert parse_usdt("30.50000000") == 30_500_000
    with pytest.raises(ValueError, match="six places"):
        parse_usdt("0.0000001")
