"""Own a chain in memory with branches, and nodes that tell of it truly or lie in a named way."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from relay.core.chains import Chain, Token
from relay.core.logs import TRANSFER
from relay.errors import NodeFault
from relay.ports import NodeError
from tests.builders import NOON
from tests.nodes.multicall import MULTICALL, aggregate

USDT = "0x" + "a6" * 20
COUNTERFEIT = "0x" + "66" * 20
# The token does not tell what this address holds.
SILENT = "0x" + "de" * 20
DECIMALS = "0x313ce567"
STRANGER = "0x" + "99" * 20
START_S = int(NOON.timestamp()) - 1_000
_numbers = itertools.count(1)


def a_chain(**changes: Any) -> Chain:
    """A chain whose nodes are scripted."""
    usual: dict[str, Any] = {
        "name": "ethereum",
        "chain_id": 1,
        "tokens": (Token(contract=USDT, decimals=6),),
        "finality": "finalized",
        "block_ms": 1_000,
        "window": 16,
        "span": 8,
        "topics": 2,
        "results": 10_000,
        "filter_above": 6,
    }
    return Chain(**(usual | changes))


@dataclass
class Block:
    """A block with its logs."""

    number: int
    hash: str
    parent: str
    logs: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class World:
    """The true chain. Every block's hash is new, so that a replaced block is another one."""

    blocks: list[Block] = field(default_factory=list)
    final: int = 0
    quietly: list[tuple[int, str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.blocks:
            self.mine()

    @property
    def head(self) -> int:
        """The number of the last block."""
        return len(self.blocks) - 1

    def mine(self, *moves: tuple[str, str, int], contract: str = USDT) -> Block:
        """Add a block with these transfers (sender, recipient, base units)."""
        number = len(self.blocks)
        block = Block(number, _digest(), self.blocks[-1].hash if self.blocks else "0x" + "0" * 64)
        for index, move in enumerate(moves):
            block.logs.append(_log(block, index, move, contract))
        self.blocks.append(block)
        return block

    def reorg(self, depth: int) -> list[Block]:
        """Take the last blocks away; return them. Mine others in their place."""
        gone = self.blocks[len(self.blocks) - depth :]
        del self.blocks[len(self.blocks) - depth :]
        return gone

    def transfers_of(self, watched: set[str], start: int, end: int | None = None) -> dict[tuple[str, int], int]:
        """What a slow reader finds: units by (transaction, log index), in blocks `start` to `end`."""
        return {
            (log["transactionHash"], int(log["logIndex"], 16)): int(log["data"], 16)
            for block in self.blocks[start : None if end is None else end + 1]
            for log in block.logs
            if log["address"] == USDT and int(log["data"], 16)
            if {"0x" + topic[26:] for topic in log["topics"][1:]} & watched
        }

    def held(self, address: str, number: int) -> int:
        """What an address holds at the end of a block: its transfers, and what came and went without one (`quietly`)."""
        units = sum(moved for at, one, moved in self.quietly if one == address and at <= number)
        for log in (log for block in self.blocks[: number + 1] for log in block.logs if log["address"] == USDT):
            if log["topics"][0] == TRANSFER:
                sender, recipient = ("0x" + topic[26:] for topic in log["topics"][1:])
                units += int(log["data"], 16) * ((recipient == address) - (sender == address))
        return units


@dataclass
class ScriptedNode:
    """Fills ports.Node over a World. `lie` is how it fails; `behind` how many blocks it has not heard of."""

    world: World
    name: str = "1:node"
    lie: str = ""
    behind: int = 0
    chain_id: int = 1
    decimals: int = 6
    max_range: int = 1_000
    max_results: int = 10_000
    asked: list[Sequence[tuple[str, Sequence[Any]]]] = field(default_factory=list)

    def ask(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[object]:
        """Answer a batch."""
        self.asked.append(calls)
        if self.lie in ("timeout", "protocol"):
            raise NodeFault(self.name, code=self.lie)
        return [self._answer(method, given) for method, given in calls]

    @property
    def head(self) -> int:
        """The last block it has."""
        return max(0, self.world.head - self.behind)

    def _answer(self, method: str, given: Sequence[Any]) -> object:
        match method:
            case "eth_chainId":
                return hex(self.chain_id)
            case "eth_getBlockByNumber":
                return self._block(given[0])
            case "eth_getLogs":
                return self._logs(given[0])
            case "eth_getCode":
                return "0x" if self.lie == "no code" else "0x6001"
            case "eth_call":
                return self._called(given[0]["to"], given[0]["data"], given[1])
        return NodeError(-32601, "no such method")

    def _called(self, to: str, data: str, at: str) -> object:
        if data == DECIMALS:
            return f"0x{self.decimals:064x}"
        if at != "latest" and self.lie == "latest only":
            return NodeError(-32000, "missing trie node")
        block = self.world.blocks[self.head if at == "latest" or self.lie == "silently latest" else int(at, 16)]
        if self.lie == "moving head":
            self.world.mine()
        if to == MULTICALL:
            return aggregate(data, block.number, block.parent, lambda _, asked: self._held(asked.hex(), block.number))
        return "0x" + (self._held(data[2:], block.number) or b"").hex()

    def _held(self, data: str, number: int) -> bytes | None:
        """What balanceOf(address) says at the end of a block."""
        address = "0x" + data[-40:]
        return None if address == SILENT else self.world.held(address, number).to_bytes(32, "big")

    def _block(self, which: str) -> object:
        tags = {"latest": self.head, "finalized": min(self.world.final, self.head)}
        number = tags[which] if which in tags else int(which, 16)
        if which == "latest" and self.lie == "head is ahead":
            number = self.head + 5
            return _header(Block(number, _digest(), _digest()))
        if which == "latest" and self.lie == "huge head":
            return _header(self.world.blocks[number]) | {"number": hex(2**63)}
        return _header(self.world.blocks[number]) if number <= self.head else None

    def _logs(self, wanted: dict[str, Any]) -> object:
        if "blockHash" in wanted:
            blocks = [block for block in self.world.blocks[: self.head + 1] if block.hash == wanted["blockHash"]]
            if not blocks:
                return NodeError(-32000, "unknown block")
        else:
            first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
            if last - first + 1 > self.max_range:
                if self.lie in ("slow", "floods"):
                    raise NodeFault(self.name, code="timeout" if self.lie == "slow" else "too_large")
                return NodeError(
                    -32602, f"block range is too wide, try [{hex(first)}, {hex(first + self.max_range - 1)}]"
                )
            blocks = self.world.blocks[first : min(last, self.head) + 1]
        found = [log for block in blocks for log in block.logs if _fits(log, wanted)]
        return self._twisted(found[: self.max_results])

    def _twisted(self, found: list[dict[str, Any]]) -> object:
        match self.lie:
            case "doubled and shuffled":
                return [*reversed(found), *found]
            case "removed":
                return [log | {"removed": True} for log in found]
            case "other blocks":
                return [log | {"blockNumber": "0x0"} for log in found]
            case "other hashes":
                return [log | {"blockHash": _digest()} for log in found]
            case "huge index":
                return [log | {"logIndex": hex(2**31)} for log in found]
            case "null":
                return None
            case "two versions":
                return [*found, *(log | {"data": f"0x{1:064x}"} for log in found)]
        return found


def _digest() -> str:
    return "0x" + hashlib.sha256(str(next(_numbers)).encode()).hexdigest()


def _header(block: Block) -> dict[str, Any]:
    seen = hex(START_S + block.number)
    return {"number": hex(block.number), "hash": block.hash, "parentHash": block.parent, "timestamp": seen}


def _log(block: Block, index: int, move: tuple[str, str, int], contract: str) -> dict[str, Any]:
    sender, recipient, units = move
    return {
        "address": contract,
        "topics": [TRANSFER, *("0x" + "0" * 24 + one[2:] for one in (sender, recipient))],
        "data": f"0x{units:064x}",
        "blockNumber": hex(block.number),
        "blockHash": block.hash,
        "transactionHash": _digest(),
        "logIndex": hex(index),
        "removed": False,
    }


def moved(log: dict[str, Any], block: Block, index: int) -> dict[str, Any]:
    """The same transaction, mined in another block."""
    return log | {"blockNumber": hex(block.number), "blockHash": block.hash, "logIndex": hex(index)}


def _fits(log: dict[str, Any], wanted: dict[str, Any]) -> bool:
    given = wanted.get("topics", [])
    options = [None if one is None else [one] if isinstance(one, str) else one for one in given]
    topics = log["topics"]
    return log["address"] in wanted["address"] and all(
        one is None or (at < len(topics) and topics[at] in one) for at, one in enumerate(options)
    )
