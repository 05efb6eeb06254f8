"""The banner tells of tokens that do not work, and of our addresses that may not send."""

from __future__ import annotations

from sqlalchemy import Engine

from relay.flows.token_health import banner
from relay.store.engine import reading
from relay.store.rows import addresses, token_events
from tests.builders import NOON
from tests.rows import add

MINE, STRANGER = "0x" + "11" * 20, "0x" + "99" * 20


def an_event(engine: Engine, number: int, kind: str, account: str | None = None, **columns: object) -> None:
    """Store an event of the token."""
    usual = {
        "chain": "ethereum",
        "tx_hash": f"0x{number:064x}",
        "log_index": 0,
        "block_number": number,
        "block_hash": f"0x{number:064x}",
        "contract": "0x" + "a6" * 20,
        "kind": kind,
        "account": account,
        "seen_at": NOON,
    }
    add(engine, token_events, **usual | columns)


def test_only_our_addresses_and_standing_events_count(engine: Engine) -> None:
    """A stranger on the black list is none of our business, and a block that was replaced tells nothing."""
    add(engine, addresses, chain="ethereum", address=MINE, role="deposit", created_at=NOON)
    add(engine, addresses, chain="ethereum", address=STRANGER, role="external", created_at=NOON)
    an_event(engine, 1, "AddedBlackList", STRANGER)
    an_event(engine, 2, "Pause", orphaned_at=NOON)
    with reading(engine) as connection:
        assert not banner(connection)
    an_event(engine, 3, "AddedBlackList", MINE)
    an_event(engine, 4, "Pause")
    with reading(engine) as connection:
        told = banner(connection)
    assert "0x1111111111111111111111111111111111111111 is on the black list" in told
    assert "is paused since block 4" in told
