"""Own how an address on a chain is spelled: one machine spelling that we store and compare, and the one people know.

The machine spelling is 0x and 40 lower-case hex digits on every chain.
"""

from __future__ import annotations

import re
from hashlib import sha256

from eth_hash.auto import keccak

# TRON's addresses are 20 bytes behind this one. Source: TRON's protocol document, "Account", address format.
_TRON_PREFIX = b"\x41"
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS = {character: value for value, character in enumerate(_ALPHABET)}

_MACHINE = re.compile(r"0x[0-9a-f]{40}", re.ASCII)
_EVM = re.compile(r"0[xX]([0-9a-fA-F]{40})", re.ASCII)
_TRON_HEX = re.compile(r"(?:(?:0[xX])?41|0[xX])([0-9a-fA-F]{40})", re.ASCII)
_TRON_BASE58 = re.compile(r"T[1-9A-HJ-NP-Za-km-z]{33}", re.ASCII)


def family_of(chain: str) -> str:
    """Return how a chain, by its name, spells addresses."""
    return "tron" if chain == "tron" else "evm"


def parse_address(text: str, family: str) -> str:
    """Return the machine spelling of an address as a person or a provider writes it.

    TRON: base58check (T…), 41 and 40 hex digits, or 0x and 40 hex digits. EVM:
    0x and 40 hex digits, whose capitals, where both cases occur, are a
    checksum (EIP-55). Raises ValueError for anything else, and for a checksum that does not hold.
    """
    return _from_tron(text) if family == "tron" else _from_evm(text)


def show_address(machine: str, family: str) -> str:
    """Return the spelling that people know: base58check on TRON, the checksummed one (EIP-55) elsewhere.

    Raises ValueError for anything but the machine spelling.
    """
    if not _MACHINE.fullmatch(machine):
        raise ValueError("must be 0x and 40 lower-case hex digits")
    return _base58check(_TRON_PREFIX + bytes.fromhex(machine[2:])) if family == "tron" else _checksummed(machine[2:])


def _from_evm(text: str) -> str:
    found = _EVM.fullmatch(text)
    if found is None:
        raise ValueError("must be 0x and 40 hex digits")
    digits = found[1]
    if digits not in (digits.lower(), digits.upper()) and _checksummed(digits.lower())[2:] != digits:
        raise ValueError("has a wrong checksum: its capitals do not fit")
    return f"0x{digits.lower()}"


def _checksummed(digits: str) -> str:
    """EIP-55: a letter is a capital where the Keccak-256 of the lower-case digits has a nibble of 8 or more."""
    nibbles = keccak(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(nibble, 16) >= 8 else digit for digit, nibble in zip(digits, nibbles, strict=False)
    )


def _from_tron(text: str) -> str:
    found = _TRON_HEX.fullmatch(text)
    if found is not None:
        return f"0x{found[1].lower()}"
    if not _TRON_BASE58.fullmatch(text):
        raise ValueError("must be T and 33 base58 characters, 41 and 40 hex digits, or 0x and 40 hex digits")
    number = 0
    for character in text:
        number = number * 58 + _DIGITS[character]
    # 34 characters that begin with T stay below 58 to the 34th, which takes up to 200 bits: 25 bytes.
    whole = number.to_bytes(25, "big")
    payload, check = whole[:21], whole[21:]
    if _check_bytes(payload) != check:
        raise ValueError("has a wrong checksum: a character is mistyped")
    if payload[:1] != _TRON_PREFIX:
        raise ValueError("is an address of another chain than TRON")
    return f"0x{payload[1:].hex()}"


def _base58check(payload: bytes) -> str:
    number = int.from_bytes(payload + _check_bytes(payload), "big")
    characters = []
    while number:
        number, digit = divmod(number, 58)
        characters.append(_ALPHABET[digit])
    return "".join(reversed(characters))


def _check_bytes(payload: bytes) -> bytes:
    return sha256(sha256(payload).digest()).digest()[:4]
