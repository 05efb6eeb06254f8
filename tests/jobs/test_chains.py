"""The jobs that ask nodes, run in this process on a real EVM: scan, match, explain."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, select

from jobs import balance, explain, scan
from jobs.parts import runtime
from relay.sandbox.chain import CHAIN_ID, CONTRACT
from relay.sandbox.chain.driver import SandboxChain
from relay.store import inquiries
from relay.store.engine import make_engine, reading
from relay.store.rows import balances, chains, matches, transfers
from tests.rows import a_stored_order, an_address
from tests.web.conftest import ENVIRONMENT

SHOP = "0x" + "5a" * 20
CHAINS = f"""
[chains.sandbox]
chain_id = {CHAIN_ID}
finality = "finalized"
block_ms = 1000
tokens = [{{ contract = "{CONTRACT}", decimals = 6 }}]

[chains.other]
chain_id = 1
finality = "finalized"
block_ms = 1000
tokens = [{{ contract = "{CONTRACT}", decimals = 6 }}]
"""


@pytest.fixture
def engine(
    sqlite_url: str, redis_url: str, sandbox_chain: SandboxChain, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    """The database of this process's jobs; one chain has a node, another a node that is not there."""
    places = {"DATABASE_URL": sqlite_url, "REDIS_URL": redis_url, "RELAY_CHAINS": CHAINS}
    nodes = {"CHAIN_SANDBOX_RPC_URLS": sandbox_chain.url, "CHAIN_OTHER_RPC_URLS": "http://127.0.0.1:9"}
    for name, value in (ENVIRONMENT | places | nodes).items():
        monkeypatch.setenv(name, value)
    runtime.cache_clear()
    engine = make_engine(sqlite_url)
    yield engine
    engine.dispose()
    runtime().engine.dispose()
    runtime.cache_clear()


def test_a_payment_is_read_and_meets_its_order(engine: Engine, sandbox_chain: SandboxChain) -> None:
    """A chain whose node is away stops no other, and is said."""
    an_address(engine, SHOP, chain="sandbox")
    a_stored_order(engine, "sh-1", state="created", credited_micros=0, chain="sandbox", address=SHOP)
    assert scan.run() == 1
    sandbox_chain.transfer(sandbox_chain.accounts[0], SHOP, 3_000_000)
    sandbox_chain.mine(1)
    assert scan.run() == 1
    with reading(engine) as connection:
        (moved,) = connection.execute(select(transfers)).all()
        (match,) = connection.execute(select(matches)).all()
        states = {row.name: row.trouble for row in connection.execute(select(chains))}
    assert (moved.recipient, moved.amount_micros) == (SHOP, 3_000_000)
    assert (match.orderid, match.rule) == ("sh-1", "address")
    assert states == {"sandbox": None, "other": "refused"}


def test_a_transaction_is_asked_about(engine: Engine, sandbox_chain: SandboxChain) -> None:
    """What the nodes say is kept for whoever asked; one that is away is named."""
    sent = sandbox_chain.transfer(sandbox_chain.accounts[0], SHOP, 3_000_000)
    sandbox_chain.mine(1)
    explain.run(sent)
    with reading(engine) as connection:
        row = inquiries.find(connection, sent)
    assert row is not None
    told = json.loads(row["answer"])
    assert told["silent"] == ["other"]
    (seen,) = told["seen"]
    assert (seen["chain"], seen["state"], [move["recipient"] for move in seen["moves"]]) == ("sandbox", "mined", [SHOP])


def test_a_balance_is_measured_at_the_final_block(engine: Engine, sandbox_chain: SandboxChain) -> None:
    """On an EVM without a Multicall3: what is paid behind the final block does not count yet."""
    an_address(engine, SHOP, chain="sandbox")
    sandbox_chain.set_lag(2)
    sandbox_chain.transfer(sandbox_chain.accounts[0], SHOP, 3_000_000)
    sandbox_chain.mine(3)
    sandbox_chain.transfer(sandbox_chain.accounts[0], SHOP, 4_000_000)
    sandbox_chain.mine(1)
    scan.run()
    assert balance.run() == 1
    with reading(engine) as connection:
        (row,) = connection.execute(select(balances)).all()
    assert (row.chain, row.address, row.units, row.last_block) == ("sandbox", SHOP, "3000000", sandbox_chain.final)
