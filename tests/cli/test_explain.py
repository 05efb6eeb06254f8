"""`relay explain`: a sentence, or that nobody has answered yet."""

from __future__ import annotations

from sqlalchemy import Engine

from relay.store.rows import chains
from tests.cli.conftest import CommandLine
from tests.rows import a_stored_transfer, add, an_address

HERE = "0x" + "a" * 40


def test_a_transaction_is_explained(relay: CommandLine, engine: Engine) -> None:
    """For a person and for a program."""
    add(engine, chains, name="ethereum", chain_id=1, span=16, head_number=12)
    known = a_stored_transfer(engine, 5, an_address(engine, HERE), unmatched="ambiguous")
    (found,) = relay.json("explain", known[2:], "--json")
    assert (found["case"], found["tx_hash"], found["chain"]) == ("ambiguous", known, "ethereum")
    assert "more than one order" in relay("explain", known).stdout


def test_one_that_nobody_answers_for_ends_with_a_failure(relay: CommandLine) -> None:
    """After the wait; without a chain it is said at once, and what is no hash is a misuse."""
    assert "chain_off" in relay("explain", "ab" * 32).stdout
    relay.environment["CHAIN_TRON_RPC_URLS"] = "http://127.0.0.1:9"
    assert "is a worker running" in relay("explain", "ab" * 32, "--wait", "0", code=1).stderr
    relay("explain", "nonsense", code=2)
