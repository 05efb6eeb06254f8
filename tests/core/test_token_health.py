"""What is wrong with a token follows from the last event of each kind."""

from __future__ import annotations

import pytest

from relay.core.logs import TokenEvent
from relay.core.token_health import ailments

USDT, MINE, HERS = "0x" + "a6" * 20, "0x" + "11" * 20, "0x" + "22" * 20


def told(number: int, kind: str, account: str | None = None) -> TokenEvent:
    """An event in a block of its own."""
    return TokenEvent(
        chain="ethereum",
        tx_hash=f"0x{number:064x}",
        log_index=0,
        block_number=number,
        block_hash=f"0x{number:064x}",
        contract=USDT,
        kind=kind,
        account=account,
        data="",
    )


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([], []),
        ([told(1, "Pause")], ["is paused since block 1"]),
        ([told(1, "Pause"), told(2, "Unpause")], []),
        ([told(1, "Pause"), told(2, "Unpause"), told(3, "Pause")], ["is paused since block 3"]),
        ([told(1, "Deprecate", HERS)], ["was replaced by another contract in block 1"]),
        ([told(1, "AddedBlackList", MINE), told(2, "RemovedBlackList", HERS)], ["is on the black list"]),
        ([told(1, "AddedBlackList", MINE), told(2, "RemovedBlackList", MINE)], []),
        ([told(1, "Issue"), told(2, "Params")], []),
    ],
)
def test_the_last_turn_counts(events: list[TokenEvent], words: list[str]) -> None:
    """Of each token, and of each address on its black list."""
    found = ailments(events)
    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))
