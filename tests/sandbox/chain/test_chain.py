"""The sandbox's chain is a real EVM that a reader of chains takes for any other node."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import Engine, select

from relay.core.chains import Chain, NodeURL, Token
from relay.edge.nodes import HTTPNode
from relay.flows.chain_reading import Reader
from relay.flows.scan import scan
from relay.sandbox.chain import CHAIN_ID, CONTRACT
from relay.sandbox.chain.driver import ChainAway, SandboxChain
from relay.sandbox.chain.evm import EVM
from relay.sandbox.chain.kept import Kept
from relay.store.engine import reading, writing
from relay.store.rows import addresses, chains, transfers
from tests.rows import add
from tests.sandbox.built import NOW
from tests.system import eventually, free_port

ROOT = Path(__file__).parents[3]
SHOP, OTHER = "0x" + "5a" * 20, "0x" + "5b" * 20


def block(chain: SandboxChain, tag: str) -> dict[str, Any]:
    found: dict[str, Any] = chain.rpc("eth_getBlockByNumber", tag, False)
    return found


def number(chain: SandboxChain, tag: str) -> int:
    return int(block(chain, tag)["number"], 16)


def balance(chain: SandboxChain, owner: str, tag: str = "latest") -> int:
    call = {"to": chain.token, "data": f"0x70a08231{int(owner, 16):064x}"}
    return int(chain.rpc("eth_call", call, tag), 16)


def read(chain: SandboxChain) -> Chain:
    """The chain as the relay would be told of it."""
    node = NodeURL(name="1:sandbox", url=chain.url)
    token = Token(contract=CONTRACT, decimals=6)
    return Chain(
        name="sandbox", chain_id=CHAIN_ID, tokens=(token,), finality="finalized", block_ms=1_000, nodes=(node,)
    )


def node(chain: SandboxChain) -> HTTPNode:
    return HTTPNode(read(chain).nodes[0], rate=1_000)


def test_a_final_block_is_behind_a_safe_one_and_that_behind_the_head(sandbox_chain: SandboxChain) -> None:
    """The library itself answers finalized = latest, and then nothing that waits for finality would be tried."""
    sandbox_chain.set_lag(6)
    head = sandbox_chain.mine(10)
    assert [number(sandbox_chain, tag) for tag in ("latest", "safe", "finalized")] == [head, head - 3, head - 6]
    assert sandbox_chain.final < sandbox_chain.head
    sandbox_chain.set_lag(2)
    assert number(sandbox_chain, "finalized") == head - 2


def test_the_token_is_where_it_is_said_to_be(sandbox_chain: SandboxChain) -> None:
    """The relay's own check of chain id, code and decimals passes, over one batch of HTTP."""
    reader = Reader(read(sandbox_chain), node(sandbox_chain))
    tips, fault = reader.tips([0])
    assert (tips.head.number, fault) == (sandbox_chain.head, None)
    assert sandbox_chain.token == CONTRACT


def test_a_transfer_waits_for_its_block_and_returns_nothing(sandbox_chain: SandboxChain) -> None:
    """Then balances have moved, the past has not, and the receipt bears the log."""
    payer = sandbox_chain.accounts[1]
    sent = sandbox_chain.transfer(payer, SHOP, 12_345_678)
    assert sandbox_chain.rpc("eth_getTransactionReceipt", sent) is None
    before = sandbox_chain.head
    sandbox_chain.mine()
    assert (balance(sandbox_chain, SHOP), balance(sandbox_chain, SHOP, hex(before))) == (12_345_678, 0)
    receipt = sandbox_chain.rpc("eth_getTransactionReceipt", sent)
    [log] = receipt["logs"]
    assert (receipt["status"], int(log["data"], 16), log["blockNumber"]) == ("0x1", 12_345_678, hex(before + 1))
    data = f"0xa9059cbb{int(SHOP, 16):064x}{1:064x}"
    assert sandbox_chain.rpc("eth_call", {"from": payer, "to": CONTRACT, "data": data}, "latest") == "0x"
    assert sandbox_chain.rpc("eth_getTransactionByHash", sent)["from"] == payer


def test_what_nobody_has_cannot_be_sent(sandbox_chain: SandboxChain) -> None:
    """Mined as a failure, without a log, as on any chain."""
    sent = sandbox_chain.transfer(sandbox_chain.accounts[1], SHOP, 10**18)
    sandbox_chain.mine()
    receipt = sandbox_chain.rpc("eth_getTransactionReceipt", sent)
    assert (receipt["status"], receipt["logs"]) == ("0x0", [])


def test_block_times_are_the_clocks_and_each_is_later_than_its_parent() -> None:
    """A block that is mined within the second of its parent bears the next one."""
    now = [int(time.time())]
    evm = EVM(clock=lambda: float(now[0]))
    now[0] = evm.mined_at_s + 100
    evm.mine(2)
    times = [int(one.header["timestamp"], 16) for one in evm.blocks(0, evm.head)]
    assert times[-2:] == [now[0], now[0] + 1]
    assert times == sorted(set(times))


def test_logs_are_found_by_range_by_hash_and_by_topic(sandbox_chain: SandboxChain) -> None:
    """And by nothing that does not fit."""
    first, second = (sandbox_chain.transfer(sandbox_chain.accounts[1], to, 5) for to in (SHOP, OTHER))
    head = sandbox_chain.mine()
    words = ["0x" + "0" * 24 + one[2:] for one in (SHOP, OTHER)]
    topics: list[Any] = [None, None, words[:1]]
    here = {"fromBlock": hex(head), "toBlock": "latest", "address": [CONTRACT]}

    def found(wanted: dict[str, Any]) -> list[str]:
        return [log["transactionHash"] for log in sandbox_chain.rpc("eth_getLogs", wanted)]

    assert found(here) == [first, second]
    assert found({**here, "topics": topics}) == [first]
    assert found({**here, "topics": [None, None, words]}) == [first, second]
    assert found({**here, "topics": [None, None, None, None]}) == []
    assert found({**here, "address": SHOP}) == []
    assert found({"blockHash": block(sandbox_chain, "latest")["hash"]}) == [first, second]
    assert found({"fromBlock": hex(head + 1), "toBlock": hex(head + 9)}) == []


@pytest.mark.parametrize("drop", [False, True])
def test_a_reorg_replaces_blocks(sandbox_chain: SandboxChain, *, drop: bool) -> None:
    """The transfer is mined again in another block, or is gone; the old block cannot be asked any more."""
    sent = sandbox_chain.transfer(sandbox_chain.accounts[1], SHOP, 5)
    sandbox_chain.mine(3)
    old = sandbox_chain.rpc("eth_getTransactionReceipt", sent)["blockHash"]
    head = sandbox_chain.head
    assert sandbox_chain.reorg(3, drop=drop) == head + 1
    receipt = sandbox_chain.rpc("eth_getTransactionReceipt", sent)
    assert (receipt is None) is drop
    assert balance(sandbox_chain, SHOP) == (0 if drop else 5)
    assert sandbox_chain.rpc("eth_getBlockByHash", old, False) is None
    with pytest.raises(ChainAway, match="unknown block"):
        sandbox_chain.rpc("eth_getLogs", {"blockHash": old})
    for at in range(1, sandbox_chain.head + 1):
        assert block(sandbox_chain, hex(at))["parentHash"] == block(sandbox_chain, hex(at - 1))["hash"]


def test_more_blocks_than_there_are_cannot_be_replaced(sandbox_chain: SandboxChain) -> None:
    """Nothing changes."""
    head = sandbox_chain.head
    with pytest.raises(ChainAway):
        sandbox_chain.reorg(head)
    assert sandbox_chain.head == head


REFUSED = [
    ("eth_nothing", [], -32601),
    ("eth_getBlockByNumber", ["soon", False], -32602),
    ("eth_getLogs", [{"fromBlock": "0x2", "toBlock": "0x1"}], -32602),
    ("eth_call", [{"to": CONTRACT, "data": "0x70a08231"}, "0xffff"], -32000),
    ("eth_call", [{"to": CONTRACT, "data": "0xffffffff"}, "latest"], -32000),
    ("eth_sendTransaction", [{"from": SHOP, "to": CONTRACT}], -32000),
    ("eth_sendTransaction", ["0x"], -32602),
]


@pytest.mark.parametrize(("method", "params", "code"), REFUSED)
def test_what_it_cannot_do_is_an_error(sandbox_chain: SandboxChain, method: str, params: list[Any], code: int) -> None:
    """One of a batch does not spoil the others."""
    asked: list[Any] = [{"id": 7, "method": method, "params": params}, {"id": 8, "method": "eth_chainId", "params": []}]
    refused, fine = requests.post(sandbox_chain.url, json=asked, timeout=10).json()
    assert (refused["error"]["code"], fine["result"]) == (code, hex(CHAIN_ID))


def test_knobs_are_for_the_sandbox_alone(sandbox_chain: SandboxChain) -> None:
    """A page elsewhere cannot make a browser turn them."""
    assert requests.post(f"{sandbox_chain.url}/mine", json={"blocks": 3}, timeout=10).status_code == 403


def test_the_next_start_goes_on_with_the_same_blocks(tmp_path: Path) -> None:
    """A chain that begins anew would be the deepest of all reorgs to its readers."""
    kept = Kept(tmp_path / "chain.db")
    first = EVM(kept)
    sent = first.transfer(first.accounts[1], SHOP, 5)
    first.mine(2)
    first.reorg(1)
    before = [one.header["hash"] for one in first.blocks(0, first.head)]
    kept.close()
    second = EVM(Kept(tmp_path / "chain.db"))
    assert [one.header["hash"] for one in second.blocks(0, second.head)] == before
    assert second.place_of(sent) is not None
    second.transfer(second.accounts[1], SHOP, 6)
    second.mine()
    call = {"to": bytes.fromhex(CONTRACT[2:]), "data": bytes.fromhex(f"70a08231{int(SHOP, 16):064x}")}
    assert int.from_bytes(second.call(call, second.head)) == 11


def test_an_evm_leaves_the_limit_of_recursion_alone() -> None:
    """A library below it raises the limit so far that deep JSON would end the process."""
    EVM()
    assert sys.getrecursionlimit() <= 1_000


def test_the_relay_reads_it_through_reorgs(sandbox_chain: SandboxChain, engine: Engine) -> None:
    """Random transfers, reorgs and scans: at the end the table holds what the chain does, and calls final what is."""
    dice, chain = random.Random(7), read(sandbox_chain)
    sandbox_chain.set_lag(4)
    payer = sandbox_chain.accounts[1]
    add(engine, addresses, chain="sandbox", address=SHOP, role="deposit", created_at=NOW)
    for _ in range(12):
        for _ in range(dice.randint(0, 2)):
            sandbox_chain.transfer(payer, dice.choice((SHOP, OTHER)), dice.randint(1, 10**9))
        sandbox_chain.mine(dice.randint(1, 3))
        if sandbox_chain.head > 8 and dice.random() < 0.4:
            sandbox_chain.reorg(dice.randint(1, 3), drop=dice.random() < 0.3)
        assert scan(engine, chain, [node(sandbox_chain)], owner="t", clock=lambda: NOW, jitter=lambda: 0) == "scanned"
    logs = sandbox_chain.transfers(0, sandbox_chain.head)
    true = {log["transactionHash"]: log["blockHash"] for log in logs if log["topics"][2][26:] == SHOP[2:]}
    with reading(engine) as connection:
        rows = connection.execute(select(transfers).where(transfers.c.orphaned_at.is_(None))).all()
        final = connection.execute(select(chains.c.final_number)).scalar_one()
    assert {row.tx_hash: row.block_hash for row in rows} == true
    assert final == sandbox_chain.final
    assert all(row.is_final == (row.block_number <= final) for row in rows)


def test_a_question_about_many_addresses_in_many_blocks_is_not_too_long(
    engine: Engine, sandbox_chain: SandboxChain
) -> None:
    """Each block is asked for all of them."""
    watched = [
        {"chain": "sandbox", "address": f"0x{at:040x}", "role": "deposit", "created_at": NOW} for at in range(99)
    ]
    with writing(engine) as connection:
        connection.execute(addresses.insert(), watched)
    sandbox_chain.set_lag(60)
    for _ in range(2):
        sandbox_chain.mine(30)
        assert (
            scan(engine, read(sandbox_chain), [node(sandbox_chain)], owner="t", clock=lambda: NOW, jitter=lambda: 0)
            == "scanned"
        )


def test_the_process_mines_by_itself_until_all_is_final(tmp_path: Path) -> None:
    """A block for what waits, as many more as finality takes, then rest."""
    port = free_port()
    command = [sys.executable, "-m", "relay.sandbox.chain", "--port", str(port), "--keep", str(tmp_path / "chain.db")]
    process = subprocess.Popen([*command, "--lag", "3", "--every", "0.2"], cwd=ROOT)
    chain = SandboxChain(f"http://127.0.0.1:{port}")

    def is_up() -> bool:
        try:
            return chain.head >= 2
        except ChainAway:
            return False

    try:
        eventually(is_up, within_s=20, what="the chain answers")
        sent = chain.transfer(chain.accounts[2], SHOP, 7)
        eventually(lambda: chain.rpc("eth_getTransactionReceipt", sent) is not None, within_s=30, what="it is mined")
        at = int(chain.rpc("eth_getTransactionReceipt", sent)["blockNumber"], 16)
        eventually(lambda: chain.final >= at, within_s=30, what="it is final")
        resting = chain.head
        time.sleep(0.8)
        assert chain.head == resting
    finally:
        process.terminate()
        process.wait(10)
