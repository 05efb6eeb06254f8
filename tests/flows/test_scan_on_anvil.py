"""The reader on a real EVM node: real reorgs, nodes that bear little or drop out, and money that comes by way of a contract."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from eth_typing import HexStr
from sqlalchemy import Engine, select
from web3 import HTTPProvider, Web3
from web3.types import RPCEndpoint, TxParams

from relay.core.chains import Chain, NodeURL, Token
from relay.core.ranges import gaps
from relay.edge.nodes import HTTPNode
from relay.errors import NodeFault
from relay.flows.scan import scan
from relay.ports import Node, NodeError
from relay.store import chain as store
from relay.store.engine import reading
from relay.store.rows import addresses, transfers
from tests.builders import NOON
from tests.nodes.test_token import BYTECODE, SUPPLY, word
from tests.rows import add

CONFIRMATIONS = 4
MINE, HERS = "0x" + "11" * 20, "0x" + "22" * 20
# Calls transfer(to, value) of a token twice, with the two values it is given.
ROUTER = (
    "60338060095f395ff3"
    "63a9059cbb60e01b5f52602035600452604035602452"
    "5f5f60445f5f5f355af150"
    "606035602452"
    "5f5f60445f5f5f355af150"
    "00"
)


class Weak:
    """A node that bears `most` blocks a question, and is gone after `asks` of them."""

    def __init__(self, node: Node, *, most: int = 10_000, asks: int = 10_000) -> None:
        self.name, self._node, self._most, self._asks = f"weak {node.name}", node, most, asks

    def ask(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[object]:
        """Pass the batch on, or fail."""
        self._asks -= 1
        if self._asks < 0:
            raise NodeFault(self.name, code="refused")
        told = self._node.ask(calls)
        return [self._refusal(call) or answer for call, answer in zip(calls, told, strict=True)]

    def _refusal(self, call: tuple[str, Sequence[Any]]) -> NodeError | None:
        wanted = call[1][0] if call[0] == "eth_getLogs" else {}
        if "fromBlock" not in wanted or int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) < self._most:
            return None
        return NodeError(-32600, f"You can make eth_getLogs requests with up to a {self._most} block range.")


class House:
    """A token on a real node, and the ledger of one who reads it."""

    def __init__(self, engine: Engine, url: str) -> None:
        self.engine, self.web3 = engine, Web3(HTTPProvider(url))
        self.payer = self.web3.eth.accounts[0]
        self.token = self.deploy(BYTECODE.read_text().strip() + word(SUPPLY) + word(6))
        # So deep that no reorg takes the token along.
        self.mine(3 * CONFIRMATIONS)
        where = NodeURL(name="1:anvil", url=url)
        self.node = HTTPNode(where, rate=10_000)
        self.chain = Chain(
            name="ethereum",
            chain_id=self.web3.eth.chain_id,
            tokens=(Token(contract=self.token.lower(), decimals=6),),
            finality="confirmations",
            confirmations=CONFIRMATIONS,
            window=64,
            block_ms=1_000,
            nodes=(where,),
        )
        self.now = NOON
        add(engine, addresses, chain="ethereum", address=MINE, role="deposit", created_at=NOON)
        assert self.scan() == "scanned"
        self.start = self.state("first_block")

    def deploy(self, code: str) -> str:
        """Put a contract on the chain; return its address."""
        made: TxParams = {"from": self.payer, "data": HexStr(code)}
        return str(self.web3.eth.wait_for_transaction_receipt(self.web3.eth.send_transaction(made))["contractAddress"])

    def call(self, to: str, data: str) -> dict[str, Any]:
        """Send a transaction, in a block of its own; return what it was."""
        sent: TxParams = {"from": self.payer, "to": Web3.to_checksum_address(to), "data": HexStr(data), "gas": 200_000}
        self.web3.eth.wait_for_transaction_receipt(self.web3.eth.send_transaction(sent))
        return {"from": self.payer, "to": to, "data": data, "gas": hex(200_000)}

    def pay(self, to: str, units: int, *, token: str | None = None) -> dict[str, Any]:
        """Pay an address."""
        return self.call(token or self.token, transfer(to, units))

    def rpc(self, method: str, *given: Any) -> Any:
        """Ask the node something of its own."""
        told = self.web3.provider.make_request(RPCEndpoint(method), list(given))
        assert "error" not in told, told
        return told["result"]

    def mine(self, blocks: int) -> None:
        """Add empty blocks."""
        self.rpc("anvil_mine", hex(blocks))

    def scan(self, *nodes: Node) -> str:
        """Scan ten minutes later."""
        self.now += timedelta(minutes=10)
        given = nodes or (self.node,)
        return scan(self.engine, self.chain, given, owner="test", clock=lambda: self.now, jitter=lambda: 0.0)

    def state(self, column: str) -> Any:
        """A column of the chain's state."""
        with reading(self.engine) as connection:
            return store.states(connection)["ethereum"][column]

    def stored(self) -> dict[tuple[str, int], int]:
        """What stands, by key."""
        with reading(self.engine) as connection:
            rows = connection.execute(select(transfers).where(transfers.c.orphaned_at.is_(None))).mappings().all()
        return {(row["tx_hash"], row["log_index"]): row["amount_micros"] for row in rows}

    def true(self) -> dict[tuple[str, int], int]:
        """What a slow reader finds, receipt by receipt."""
        found = {}
        for number in range(self.start, self.web3.eth.block_number + 1):
            for receipt in self.rpc("eth_getBlockReceipts", hex(number)):
                for log in receipt["logs"]:
                    if log["address"] == self.token.lower() and log["topics"][2][26:] == MINE[2:]:
                        found[log["transactionHash"], int(log["logIndex"], 16)] = int(log["data"], 16)
        return found


def transfer(to: str, units: int) -> str:
    """The calldata of a payment."""
    return "0xa9059cbb" + word(int(to, 16)) + word(units)


@pytest.fixture
def house(engine: Engine, anvil_url: str) -> House:
    """A token of its own on the node; what the test did to the chain stays there."""
    return House(engine, anvil_url)


def test_direct_and_routed_money_is_found_alike_and_a_counterfeit_is_not(house: House) -> None:
    """By its logs, each with its own key, whatever was called; what failed moved nothing."""
    router = house.deploy("0x" + ROUTER)
    house.pay(router, 100)
    house.pay(MINE, 7)
    house.call(router, "0x" + word(int(house.token, 16)) + word(int(MINE, 16)) + word(30) + word(4))
    house.pay(MINE, 9_000_000, token=house.deploy(BYTECODE.read_text().strip() + word(SUPPLY) + word(6)))
    house.pay(MINE, 0)
    house.pay(MINE, 2 * SUPPLY)
    assert house.scan() == "scanned"
    assert sorted(house.stored().values()) == [4, 7, 30]
    assert house.stored() == {key: units for key, units in house.true().items() if units}


def test_a_real_reorg_orphans_what_it_took_and_finds_what_came_back(house: House) -> None:
    """The same payment, signed again in another block, is another transaction; the ledger has no gap."""
    house.pay(MINE, 5)
    again = house.pay(MINE, 6)
    house.scan()
    assert sorted(house.stored().values()) == [5, 6]
    house.rpc("anvil_reorg", 2, [[again, 1]])
    house.mine(1)
    assert house.scan() == "scanned"
    assert sorted(house.stored().values()) == [6]
    assert house.stored() == house.true()


def test_a_reorg_deeper_than_what_was_final_stops_the_chain(house: House) -> None:
    """Nothing is taken back in silence."""
    house.pay(MINE, 5)
    house.mine(2 * CONFIRMATIONS)
    house.scan()
    house.rpc("anvil_reorg", 2 * CONFIRMATIONS + 1, [])
    house.mine(1)
    assert house.scan() == "stopped"
    assert house.state("stopped") == "deep_reorg"
    assert list(house.stored().values()) == [5]


def test_whatever_happens_the_ledger_is_what_the_chain_holds(house: House) -> None:
    """Payments, reorgs, nodes that refuse ranges and nodes that drop out in the middle, by a seed."""
    dice = random.Random(4)
    for _ in range(25):
        match dice.choice(["pay", "pay", "mine", "reorg", "weak", "drop", "scan"]):
            case "pay":
                house.pay(MINE, dice.randint(1, 50))
            case "mine":
                house.mine(dice.randint(1, 30))
            case "reorg" if house.web3.eth.block_number > house.start + CONFIRMATIONS:
                house.rpc("anvil_reorg", dice.randint(1, CONFIRMATIONS), [])
                house.mine(1)
            case "weak":
                house.scan(Weak(house.node, most=dice.randint(1, 9)))
            case "drop":
                house.scan(Weak(house.node, asks=dice.randint(0, 6)))
            case "scan":
                house.scan(Weak(house.node, asks=1), house.node)
    assert house.scan() == "scanned"
    assert house.stored() == house.true()
    with reading(house.engine) as connection:
        assert gaps(store.ranges_of(connection, "ethereum"), house.start, house.web3.eth.block_number) == []
