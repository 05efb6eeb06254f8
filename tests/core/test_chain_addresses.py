"""How addresses on chains are spelled."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.chain_addresses import family_of, parse_address, show_address

USDT_ON_TRON = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
USDT_ON_TRON_HEX = "a614f803b6fd780986a42c78ec9c7f77e6ded13c"
USDT_ON_ETHEREUM = "0xdAC17F958D2ee523a2206206994597C13D831ec7"
MULTICALL_ON_TRON = "TEazPvZwDjDtFeJupyo7QunvnrnUjPH8ED"


@pytest.mark.parametrize(
    ("family", "spelled", "machine"),
    [
        ("tron", USDT_ON_TRON, f"0x{USDT_ON_TRON_HEX}"),
        ("tron", f"41{USDT_ON_TRON_HEX}", f"0x{USDT_ON_TRON_HEX}"),
        ("tron", f"0x41{USDT_ON_TRON_HEX}", f"0x{USDT_ON_TRON_HEX}"),
        ("tron", f"0x{USDT_ON_TRON_HEX}", f"0x{USDT_ON_TRON_HEX}"),
        ("tron", f"41{USDT_ON_TRON_HEX}".upper(), f"0x{USDT_ON_TRON_HEX}"),
        ("tron", MULTICALL_ON_TRON, "0x32a4f47a74a6810bd0bf861cabab99656a75de9e"),
        ("evm", USDT_ON_ETHEREUM, USDT_ON_ETHEREUM.lower()),
        ("evm", USDT_ON_ETHEREUM.lower(), USDT_ON_ETHEREUM.lower()),
        ("evm", USDT_ON_ETHEREUM.upper(), USDT_ON_ETHEREUM.lower()),
    ],
)
def test_every_known_spelling_is_one_machine_spelling(family: str, spelled: str, machine: str) -> None:
    """What a provider, a wallet and a node write is compared as one text."""
    assert parse_address(spelled, family) == machine


@pytest.mark.parametrize(
    ("family", "spelled", "why"),
    [
        ("tron", USDT_ON_TRON[:-1] + "u", "wrong checksum"),
        ("tron", "TZ" + USDT_ON_TRON[2:], "wrong checksum"),
        ("tron", "T" + "z" * 33, "wrong checksum"),
        ("tron", USDT_ON_TRON[:-1], "must be T"),
        ("tron", USDT_ON_TRON.replace("q", "0"), "must be T"),
        ("tron", USDT_ON_TRON_HEX, "must be T"),
        ("tron", f" {USDT_ON_TRON}", "must be T"),
        ("tron", f"{USDT_ON_TRON}\n", "must be T"),
        ("tron", "", "must be T"),
        ("evm", USDT_ON_TRON, "must be 0x"),
        ("evm", USDT_ON_ETHEREUM.replace("dAC", "Dac"), "wrong checksum"),
        ("evm", USDT_ON_ETHEREUM[2:], "must be 0x"),
        ("evm", USDT_ON_ETHEREUM + "0", "must be 0x"),
        ("evm", "0x" + "٣" * 40, "must be 0x"),
    ],
)
def test_what_is_mistyped_is_refused(family: str, spelled: str, why: str) -> None:
    """Money sent to a mistyped address is gone, so a checksum is believed over a person."""
    with pytest.raises(ValueError, match=why):
        parse_address(spelled, family)


@given(st.binary(min_size=20, max_size=20), st.sampled_from(["evm", "tron"]))
def test_the_spelling_for_people_is_read_back(address: bytes, family: str) -> None:
    """Whatever is shown can be pasted where an address is asked for, also one that begins with zeros."""
    machine = f"0x{address.hex()}"
    assert parse_address(show_address(machine, family), family) == machine


def test_people_see_the_spelling_of_the_chain() -> None:
    """A wallet shows the same."""
    assert show_address(f"0x{USDT_ON_TRON_HEX}", "tron") == USDT_ON_TRON
    assert show_address(USDT_ON_ETHEREUM.lower(), "evm") == USDT_ON_ETHEREUM


@pytest.mark.parametrize("wrong", ["", USDT_ON_TRON, USDT_ON_ETHEREUM, f"41{USDT_ON_TRON_HEX}"])
def test_only_the_machine_spelling_is_shown(wrong: str) -> None:
    """A spelling that slipped in unread is a fault of ours."""
    with pytest.raises(ValueError, match="lower-case"):
        show_address(wrong, "tron")


@pytest.mark.parametrize(("chain", "family"), [("tron", "tron"), ("ethereum", "evm"), ("polygon", "evm")])
def test_a_chain_has_a_family(chain: str, family: str) -> None:
    """Only TRON spells addresses its own way."""
    assert family_of(chain) == family
