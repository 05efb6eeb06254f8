"""`relay chains`, and what the doctor says of chains: each node is asked, on real sockets."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from relay.sandbox.chain import CONTRACT
from relay.sandbox.chain.driver import SandboxChain
from relay.store.rows import chains, scan_ranges
from tests.builders import NOON
from tests.cli.conftest import CommandLine
from tests.nodes.multicall import MULTICALL
from tests.nodes.tron import CHAIN_ID, TOKEN
from tests.rows import a_heartbeat, add

TOML = """
[chains.tron]
chain_id = {chain_id}
finality = "solidified"
block_ms = 3000
tokens = [{{ contract = "{token}", decimals = {decimals} }}]
"""
USUAL: dict[str, Any] = {"chain_id": CHAIN_ID, "token": TOKEN, "decimals": 6}
GOOD, WRONG_CHAIN = USUAL, USUAL | {"chain_id": 1}
WRONG_DECIMALS = USUAL | {"decimals": 18}
AWAY = "http://127.0.0.1:9"


def told(relay: CommandLine, code: int) -> list[tuple[str, str]]:
    """Verdict and detail of everything the doctor says of the chain."""
    return [
        (check["verdict"], check["detail"])
        for check in map(json.loads, relay("doctor", "--json", code=code).stdout.splitlines())
        if check["what"].startswith("chain tron")
    ]


@pytest.fixture
def house(relay: CommandLine, engine: Engine) -> CommandLine:
    """A command line in a house where nothing else is wrong."""
    for kind in ("worker", "clock"):
        a_heartbeat(engine, kind, datetime.now(UTC))
    return relay


CASES: dict[str, tuple[dict[str, Any], str, list[tuple[str, str]]]] = {
    "two nodes": (GOOD, "{url},{url}", [("ok", "head 0"), ("ok", "head 0")]),
    "one node": (GOOD, "{url}", [("ok", "head 0"), ("warning", "has one node")]),
    "one is away": (GOOD, "{url}," + AWAY, [("ok", "head 0"), ("warning", "refused")]),
    "another chain": (WRONG_CHAIN, "{url},{url}", [("fault", f"is on chain {CHAIN_ID}")] * 2),
    "other decimals": (WRONG_DECIMALS, "{url},{url}", [("fault", "has not the 18 decimals")] * 2),
    "off": (GOOD, "", [("ok", "off; CHAIN_TRON_RPC_URLS names no node")]),
}


@pytest.mark.parametrize("case", CASES)
def test_the_doctor_asks_every_node(house: CommandLine, tron_url: str, case: str) -> None:
    """A node that is away is a warning; one that contradicts the file is a fault, by name."""
    file, nodes, verdicts = CASES[case]
    house.environment |= {"RELAY_CHAINS": TOML.format(**file), "CHAIN_TRON_RPC_URLS": nodes.format(url=tron_url)}
    found = told(house, code=1 if ("fault" in dict(verdicts)) else 0)
    verdicts = [("warning", "was not read yet"), *verdicts] if nodes else verdicts
    assert [verdict for verdict, _ in found] == [verdict for verdict, _ in verdicts]
    assert all(words in detail for (_, detail), (_, words) in zip(found, verdicts, strict=True))


READ: dict[str, tuple[list[tuple[int, int]], dict[str, Any], str]] = {
    "ok: read from block 3 to 30, final to 20": ([(3, 30)], {}, ""),
    "warning: read from block 3 to 9, final to 20": ([(3, 9), (12, 30)], {}, "blocks 10 to 11 are read next"),
    "warning: degraded: finality_stalled": ([(3, 30)], {"trouble": "finality_stalled"}, ""),
    "warning: degraded: no scan came to its end lately": ([(3, 30)], {"scanned_at": NOON}, ""),
}


@pytest.mark.parametrize("said", READ)
def test_the_doctor_says_how_far_a_chain_was_read(house: CommandLine, engine: Engine, tron_url: str, said: str) -> None:
    """And whether without a hole: what is not covered is not claimed."""
    ranges, changes, words = READ[said]
    house.environment |= {"RELAY_CHAINS": TOML.format(**GOOD), "CHAIN_TRON_RPC_URLS": f"{tron_url},{tron_url}"}
    state = {"first_block": 3, "final_number": 20, "scanned_at": datetime.now(UTC)} | changes
    add(engine, chains, name="tron", chain_id=CHAIN_ID, span=16, **state)
    for first, last in ranges:
        read = {"first_block": first, "last_block": last, "last_hash": f"0x{last:064x}", "scanned_at": NOON}
        add(engine, scan_ranges, chain="tron", **read)
    told_of_it = ": ".join(told(house, code=0)[0])
    assert told_of_it.startswith(said)
    assert words in told_of_it


SERVICES = {
    "ok: solidified 0": (f'multicall = "{MULTICALL}"', "{url}"),
    "warning: 1:127.0.0.1: refused": (f'multicall = "{MULTICALL}"', AWAY),
    "warning: is not asked": ("", "{url}"),
}


@pytest.mark.parametrize("said", SERVICES)
def test_the_doctor_asks_each_solidity_service(house: CommandLine, tron_url: str, said: str) -> None:
    """For the block that it answers from."""
    multicall, place = SERVICES[said]
    nodes = {"CHAIN_TRON_RPC_URLS": f"{tron_url},{tron_url}", "CHAIN_TRON_SOLIDITY_URLS": place.format(url=tron_url)}
    house.environment |= {"RELAY_CHAINS": TOML.format(**GOOD) + multicall} | nodes
    assert ": ".join(told(house, code=0)[-1]).startswith(said)


def test_a_multicall_that_is_not_there_is_told(house: CommandLine, sandbox_chain: SandboxChain) -> None:
    """Before a day cannot be proven."""
    contract = TOKEN.replace("a6", "cA")
    file = TOML.format(**GOOD).replace("tron", "sandbox").replace("solidified", "finalized")
    file = file.replace(str(CHAIN_ID), str(int(sandbox_chain.rpc("eth_chainId"), 16)))
    file = file.replace(TOKEN, CONTRACT) + f'multicall = "{contract.lower()}"'
    house.environment |= {"RELAY_CHAINS": file, "CHAIN_SANDBOX_RPC_URLS": sandbox_chain.url}
    assert "there is no Multicall3 at 0xcaca" in house("doctor").stdout


def test_a_chain_that_stopped_is_named_until_a_person_lets_it_go_on(house: CommandLine, engine: Engine) -> None:
    """From a block that was read as final; both words belong together."""
    relay = house
    stopped = {
        "stopped": "deep_reorg",
        "stopped_at": NOON,
        "trouble": "deep_reorg",
        "final_number": 7,
        "first_block": 0,
    }
    add(engine, chains, name="tron", chain_id=1, span=16, **stopped)
    assert ("fault", "stopped: deep_reorg") in told(relay, code=1)
    relay.environment["CHAIN_TRON_RPC_URLS"] = AWAY
    assert "stopped" in relay("chains", "list").stdout
    relay("chains", "resume", "tron", "--block", "5", code=2)
    relay("chains", "resume", "tron", "--block", "8", "--hash", "ab" * 32, code=2)
    relay("chains", "resume", "nowhere", code=1)
    assert "tron is read again" in relay("chains", "resume", "tron", "--block", "5", "--hash", "ab" * 32).stdout
    relay("chains", "resume", "tron", code=1)
    states = {one["name"]: (one["state"], one["final_number"]) for one in relay.json("chains", "list", "--json")}
    assert states["tron"] == ("read", 5)
    assert states["bsc"] == ("off", None)
