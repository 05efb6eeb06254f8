"""A log becomes money only where a token of ours wrote it, of the right shape, with a value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay.core.chains import Chain, Token
from relay.core.logs import (
    TOKEN_EVENTS,
    TRANSFER,
    is_between_others,
    parse_header,
    parse_log,
    token_event_of,
    transfer_of,
)
from tests.builders import NOON

USDT, BINANCE = "0x" + "a6" * 20, "0x" + "55" * 20
CHAIN = Chain(
    name="bsc",
    chain_id=56,
    tokens=(Token(contract=USDT, decimals=6), Token(contract=BINANCE, decimals=18)),
    finality="finalized",
    block_ms=750,
)


def raw(**changes: Any) -> dict[str, Any]:
    """A Transfer log as nodes spell it."""
    return {
        "address": USDT.upper().replace("X", "x"),
        "topics": [TRANSFER, "0x" + "00" * 12 + "11" * 20, "0x" + "00" * 12 + "22" * 20],
        "data": f"0x{3_000_000:064x}",
        "blockNumber": "0x10",
        "blockHash": "0x" + "ab" * 32,
        "transactionHash": "0x" + "cd" * 32,
        "logIndex": "0x3",
        "removed": False,
    } | changes


def test_a_transfer_is_read() -> None:
    """With its value in micros and its key."""
    found = transfer_of(parse_log(raw()), CHAIN, block_time=NOON)
    assert found is not None
    assert (found.key, found.amount_micros, found.rest) == (("bsc", "0x" + "cd" * 32, 3), 3_000_000, 0)
    assert (found.sender, found.recipient) == ("0x" + "11" * 20, "0x" + "22" * 20)


def test_eighteen_places_keep_their_rest() -> None:
    """Micros and rest together are the base units."""
    units = 3 * 10**18 + 7
    found = transfer_of(parse_log(raw(address=BINANCE, data=f"0x{units:064x}")), CHAIN, block_time=NOON)
    assert found is not None
    assert (found.amount_micros, found.rest) == (3_000_000, 7)
    assert CHAIN.tokens[1].join(found.amount_micros, found.rest) == units


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "0x" + "99" * 20},
        {"data": f"0x{0:064x}"},
        {"topics": ["0x" + "00" * 32]},
        {"topics": []},
    ],
    ids=["counterfeit", "zero-value poisoning", "another event", "anonymous"],
)
def test_what_moves_no_money_of_ours_is_nothing(changes: dict[str, Any]) -> None:
    """Neither a transfer nor an error."""
    assert transfer_of(parse_log(raw(**changes)), CHAIN, block_time=NOON) is None


def test_transfers_between_others_are_told_without_being_read() -> None:
    """In any spelling of a watched address it is not one; neither is what is spelled oddly."""
    watched = {"0x" + "2a" * 20}
    assert is_between_others(raw(), watched)
    for spelled in (
        "0x" + "00" * 12 + "2a" * 20,
        "0x" + "00" * 12 + "2A" * 20,
        "0x" + "2a" * 20,
        "0x01" + "2a" * 31,
        7,
    ):
        assert not is_between_others(raw(topics=[TRANSFER, "0x" + "00" * 32, spelled]), watched)
    assert not any(
        is_between_others(one, watched) for one in (None, {}, raw(topics=[TRANSFER]), raw(topics=["0x"] * 3))
    )


def test_dust_is_kept() -> None:
    """A base unit below a micro is still money."""
    found = transfer_of(parse_log(raw(address=BINANCE, data=f"0x{1:064x}")), CHAIN, block_time=NOON)
    assert found is not None
    assert (found.amount_micros, found.rest) == (0, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"removed": True},
        {"blockHash": None},
        {"logIndex": "3"},
        {"logIndex": hex(2**31)},
        {"blockNumber": hex(2**63)},
        {"address": "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"},
        {"topics": "none"},
        {"data": "0x1"},
        {"data": "0xzz"},
        {"logIndex": "0x80000000"},
    ],
)
def test_what_is_no_log_is_refused(changes: dict[str, Any]) -> None:
    """A node that answers so is not believed."""
    with pytest.raises(ValueError, match=r"is|has"):
        parse_log(raw(**changes))


@pytest.mark.parametrize("changes", [{"topics": [TRANSFER]}, {"data": "0x"}, {"data": f"0x{2**255:064x}"}])
def test_a_transfer_that_our_token_cannot_have_made_is_refused(changes: dict[str, Any]) -> None:
    """It is no transfer of another kind: somebody lies."""
    with pytest.raises(ValueError, match=r"Transfer|moves"):
        transfer_of(parse_log(raw(**changes)), CHAIN, block_time=NOON)


@pytest.mark.parametrize("indexed", [True, False])
def test_a_blacklisted_address_is_found_in_data_or_topic(*, indexed: bool) -> None:
    """Tether's old code does not index it."""
    topic = next(key for key, kind in TOKEN_EVENTS.items() if kind == "AddedBlackList")
    word = "00" * 12 + "33" * 20
    log = parse_log(raw(topics=[topic, "0x" + word] if indexed else [topic], data="0x" if indexed else "0x" + word))
    event = token_event_of(log, CHAIN)
    assert event is not None
    assert (event.kind, event.account) == ("AddedBlackList", "0x" + "33" * 20)
    assert token_event_of(replace(log, contract="0x" + "99" * 20), CHAIN) is None


@pytest.mark.parametrize("given", [None, [], {"number": "0x1"}, {"number": 1, "hash": "0x" + "ab" * 32}])
def test_what_is_no_block_is_refused(given: object) -> None:
    """Null above all: the node does not have it."""
    with pytest.raises(ValueError, match="is not"):
        parse_header(given)
