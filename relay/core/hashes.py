"""Own how the hash of a transaction is spelled: 0x and 64 lower-case hex digits for us, as its chain's people know it for them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_HASH = re.compile(r"(?:0[xX])?([0-9a-fA-F]{64})", re.ASCII)


def parse_hash(text: str) -> str:
    """Return the machine spelling of a hash, with or without 0x; ValueError for anything else."""
    found = _HASH.fullmatch(text)
    if found is None:
        raise ValueError("must be 64 hex digits, with or without 0x before them")
    return f"0x{found[1].lower()}"


def hashes(told: Iterable[str | None]) -> set[str]:
    """Return the machine spellings of those that are hashes; what a provider calls a transaction need not be one."""
    return {f"0x{found[1].lower()}" for one in told if one is not None and (found := _HASH.fullmatch(one))}


def show_hash(machine: str, family: str) -> str:
    """Return the spelling that people know: TRON's explorers write no 0x."""
    return machine.removeprefix("0x") if family == "tron" else machine


def spellings(machine: str) -> tuple[str, ...]:
    """Return the ways in which providers write a hash; what they told is kept in their own words."""
    digits = machine.removeprefix("0x")
    return (machine, digits, digits.upper(), f"0x{digits.upper()}")
