"""Hashes of transactions: every spelling of a person or a provider is one of ours."""

from __future__ import annotations

import pytest

from relay.core.hashes import parse_hash, show_hash, spellings

HASH = "0x" + "ab" * 32


@pytest.mark.parametrize("text", [HASH, "ab" * 32, "AB" * 32, "0X" + "Ab" * 32])
def test_every_spelling_is_read(text: str) -> None:
    """With and without 0x, in any case."""
    assert parse_hash(text) == HASH


@pytest.mark.parametrize("text", ["", "0x", "ab" * 31, "ab" * 33, "zz" * 32, f" {HASH}", f"{HASH}\n", "٣" * 64])
def test_what_is_no_hash_is_refused(text: str) -> None:
    """It says what one looks like."""
    with pytest.raises(ValueError, match="64 hex digits"):
        parse_hash(text)


def test_a_hash_is_shown_as_its_chain_is_known_for() -> None:
    """TRON's explorers write no 0x; whatever we show is read again."""
    assert (show_hash(HASH, "tron"), show_hash(HASH, "evm")) == ("ab" * 32, HASH)
    assert {parse_hash(one) for one in spellings(HASH)} == {HASH}
