"""Own the arithmetic of money: text in, whole micro-USDT out, and back; never a float."""

from __future__ import annotations

import re

MICROS = 1_000_000

# What a BIGINT holds: nine million million USDT, more than there will be.
LARGEST = 2**63 - 1
# Bounded, so that int() is cheap; decimals of these lengths stay below the largest.
_WHOLE = re.compile(r"(?:0|[1-9][0-9]{0,14})", re.ASCII)
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,18}))?", re.ASCII)
_LONGEST = 32


def parse_units(raw: str, *, unit_micros: int) -> int:
    """Return the micros of a provider's whole number of units, `"30000"` of 100 micros each being 3 USDT.

    Raises ValueError for anything but plain ASCII digits without sign,
    leading zero, space, separator or exponent, at most 15 of them, and for
    more than a database holds: 15 digits are that of units above 9,223 micros.
    """
    if len(raw) > _LONGEST or not _WHOLE.fullmatch(raw):
        raise ValueError("must be a plain whole number of at most 15 digits")
    micros = int(raw) * unit_micros
    if micros > LARGEST:
        raise ValueError("is more than there is")
    return micros


def parse_decimal(raw: str) -> int:
    """Return the micros of a decimal string such as `"100.29"`, rounded down; the caller keeps the text.

    Raises ValueError for anything but plain ASCII digits with at most one
    point between them: 12 digits before it, 18 behind.
    """
    found = _DECIMAL.fullmatch(raw) if len(raw) <= _LONGEST else None
    if found is None:
        raise ValueError("must be a plain decimal number such as 30.5")
    whole, fraction = found.group(1), found.group(2) or ""
    return int(whole) * MICROS + int(fraction[:6].ljust(6, "0"))


def parse_usdt(raw: str) -> int:
    """Return the micros of an amount that a person wrote; more than six places is an error, not a rounding."""
    micros = parse_decimal(raw)
    if len(raw.partition(".")[2].rstrip("0")) > 6:
        raise ValueError("USDT has six places at most")
    return micros


def grouped(micros: int) -> str:
    """Spell an amount for people: six places, and its thousands apart."""
    whole, _, places = format_micros(abs(micros)).partition(".")
    return f"{'-' if micros < 0 else ''}{int(whole):,}.{places}"


def format_micros(micros: int) -> str:
    """Return the amount with all six places: `3000000` is `"3.000000"`, `-1` is `"-0.000001"`."""
    whole, fraction = divmod(abs(micros), MICROS)
    return f"{'-' if micros < 0 else ''}{whole}.{fraction:06d}"
