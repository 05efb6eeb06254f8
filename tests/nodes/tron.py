"""Own a TRON-like node: java-tron's limits to the letter, over a chain that a test writes itself.

The limits are those of java-tron's JSON-RPC service: reads of state at `latest` only, narrow log queries,
`finalized` in blocks and logs, no `pending`, and an error for every method that it does not implement.
Beside it the solidity service answers constant calls from the last solidified block.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from eth_hash.auto import keccak

from tests.nodes.multicall import MULTICALL, NUMBER, aggregate

CHAIN_ID = 0x2B6653DC
TOKEN = "0x" + "a6" * 20
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
BLOCK_S = 3
START_S = 1_700_000_000
MAX_RANGE = 5_000
MAX_TOPICS = 1_000
MAX_RESULTS = 10_000
FILTER_S = 300
LAG = 19

BALANCE_OF = "0x70a08231"
DECIMALS = "0x313ce567"


class Refused(Exception):
    """The node's own error. `code` is JSON-RPC's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class TronNode:
    """A chain in memory. Blocks 0 to `head` exist; those up to `head - lag` are solidified. Units are integers.

    `knows_finalized`: it is of a release after java-tron's PR 6007. Of the
    blocks in `hole` its JSON-RPC, which was off then, tells no logs for ever.
    """

    head: int = 0
    lag: int = LAG
    logs: list[dict[str, Any]] = field(default_factory=list)
    balances: dict[str, int] = field(default_factory=dict)
    knows_finalized: bool = True
    hole: range = range(0)
    now_s: int = 0
    filters: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def solid(self) -> int:
        """The last solidified block."""
        return max(0, self.head - self.lag)

    def mine(self, blocks: int = 1) -> int:
        """Add empty blocks and return the new head."""
        with self.lock:
            self.head += blocks
            return self.head

    def transfer(self, sender: str, to: str, units: int) -> str:
        """Mine a block with one transfer of the token, and return the transaction's hash."""
        with self.lock:
            self.head += 1
            log = _transfer_log(self.head, len(self.logs), sender, to, units)
            self.logs.append(log)
            self.balances[to.lower()] = self.balances.get(to.lower(), 0) + units
            self.balances[sender.lower()] = self.balances.get(sender.lower(), 0) - units
            return str(log["transactionHash"])

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        """Answer one JSON-RPC call with its result or its error."""
        reply = {"jsonrpc": "2.0", "id": call.get("id")}
        try:
            with self.lock:
                return reply | {"result": self._result(str(call.get("method")), call.get("params") or [])}
        except Refused as refused:
            return reply | {"error": {"code": refused.code, "message": str(refused)}}

    def _result(self, method: str, params: list[Any]) -> Any:
        match method:
            case "eth_chainId":
                return hex(CHAIN_ID)
            case "eth_blockNumber":
                return hex(self.head)
            case "eth_getBlockByNumber":
                return self._block(self._number(params[0]))
            case "eth_getBlockByHash":
                return self._block(_number_of(params[0]))
            case "eth_getTransactionByHash" | "eth_getTransactionReceipt":
                return self._transaction(params[0], with_logs=method.endswith("Receipt"))
            case "eth_getLogs" | "eth_newFilter" | "eth_getFilterLogs":
                return self._logs_result(method, params[0])
            case "eth_call" | "eth_getCode" | "eth_getStorageAt" | "eth_getBalance":
                self._only_latest(params[-1])
                return self._state_result(method, params[0])
        raise Refused(-32601, f"the method {method} does not exist/is not available")

    def _logs_result(self, method: str, asked: Any) -> Any:
        if method == "eth_newFilter":
            name = hex(len(self.filters) + 1)
            self.filters[name] = (self.now_s + FILTER_S, asked)
            return name
        return self._found(asked if method == "eth_getLogs" else self._filter(asked))

    def _state_result(self, method: str, asked: Any) -> str:
        if method == "eth_call":
            return self._executed(_address(asked["to"], prefixed=True), asked.get("data") or asked["input"], self.head)
        has_code = _address(asked, prefixed=True) in (TOKEN, MULTICALL)
        return hex(0) if method == "eth_getBalance" else "0x6001" if has_code else "0x"

    def _number(self, tag: str) -> int:
        if tag == "pending":
            raise Refused(-32602, "TAG pending not supported")
        tags = {"earliest": 0, "latest": self.head, "finalized": self.solid}
        if tag == "finalized" and not self.knows_finalized:
            raise Refused(-32602, "TAG finalized not supported")
        if tag in tags:
            return tags[tag]
        try:
            return int(tag, 16)
        except ValueError:
            raise Refused(-32602, "invalid block number") from None

    def _block(self, number: int) -> dict[str, Any] | None:
        if not 0 <= number <= self.head:
            return None
        parent = block_hash(number - 1) if number else "0x" + "0" * 64
        seen = hex(START_S + BLOCK_S * number)
        return {"number": hex(number), "hash": block_hash(number), "parentHash": parent, "timestamp": seen}

    def _found(self, wanted: dict[str, Any]) -> list[dict[str, Any]]:
        topics = [_options(each) for each in wanted.get("topics", [])]
        if any(each is not None and len(each) > MAX_TOPICS for each in topics):
            raise Refused(-32602, f"exceed max topics: {MAX_TOPICS}")
        if "blockHash" in wanted:
            first = last = self._existing(_number_of(wanted["blockHash"]))
        else:
            first, last = (self._number(wanted.get(key, "latest")) for key in ("fromBlock", "toBlock"))
        if last - first + 1 > MAX_RANGE:
            raise Refused(-32602, f"exceed max block range: {MAX_RANGE}")
        places = [_address(each) for each in _options(wanted.get("address")) or []]
        numbered = [(int(log["blockNumber"], 16), log) for log in self.logs]
        found = [log for number, log in numbered if first <= number <= last and number not in self.hole]
        found = [log for log in found if (not places or log["address"] in places) and _matches(log, topics)]
        if len(found) > MAX_RESULTS:
            raise Refused(-32005, f"query returned more than {MAX_RESULTS} results")
        return found

    def _filter(self, name: str) -> dict[str, Any]:
        until, wanted = self.filters.get(name, (0, {}))
        if until <= self.now_s:
            raise Refused(-32000, "filter not found")
        return wanted

    def _transaction(self, tx_hash: str, *, with_logs: bool) -> dict[str, Any] | None:
        logs = [log for log in self.logs if log["transactionHash"] == tx_hash]
        if not logs:
            return None
        place = {name: logs[0][name] for name in ("blockNumber", "blockHash", "transactionIndex")}
        told = {"status": "0x1", "transactionHash": tx_hash, "logs": logs} if with_logs else {"hash": tx_hash}
        return place | told

    def _executed(self, to: str, data: str, at: int) -> str:
        if (to, data) == (MULTICALL, "0x" + NUMBER.hex()):
            return _word(at)
        if to == MULTICALL:
            return aggregate(data, at, block_hash(at - 1), lambda _, asked: self._told("0x" + asked.hex(), at))
        return "0x" + self._told(data, at).hex() if to == TOKEN else "0x"

    def _told(self, data: str, at: int) -> bytes:
        if data == DECIMALS:
            return bytes.fromhex(_word(6)[2:])
        if data.startswith(BALANCE_OF):
            return bytes.fromhex(_word(max(0, self._held("0x" + data[-40:].lower(), at)))[2:])
        raise Refused(-32000, "REVERT opcode executed")

    def _held(self, address: str, at: int) -> int:
        """What an address held at the end of a block: what it holds now, less what moved since."""
        held, word = self.balances.get(address, 0), _word(int(address, 16))
        for log in self.logs:
            if int(log["blockNumber"], 16) > at:
                held += int(log["data"], 16) * ((log["topics"][1] == word) - (log["topics"][2] == word))
        return held

    def solid_call(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer walletsolidity/triggerconstantcontract: from the last solidified block, and addresses in hex with 41 alone."""
        contract = str(asked.get("contract_address"))
        if len(contract) != 42 or not contract.startswith("41") or "owner_address" not in asked:
            return {"result": {"code": "OTHER_ERROR", "message": b"INVALID hex String".hex()}}
        data = "0x" + keccak(asked["function_selector"].encode())[:4].hex() + asked.get("parameter", "")
        try:
            with self.lock:
                told = self._executed("0x" + contract[2:], data, self.solid)
        except Refused as refused:
            return {"result": {"result": True, "message": str(refused).encode().hex()}, "constant_result": [""]}
        if told == "0x":
            return {"result": {"code": "CONTRACT_VALIDATE_ERROR", "message": b"No contract".hex()}}
        return {"result": {"result": True}, "energy_used": 1_000, "constant_result": [told[2:]]}

    def _only_latest(self, block: Any) -> None:
        # An object is checked for existence and then answered from the head all the same: the trap of this node.
        if isinstance(block, dict):
            number = _number_of(block["blockHash"]) if "blockHash" in block else self._number(block["blockNumber"])
            self._existing(number)
        elif block in ("earliest", "pending", "finalized"):
            raise Refused(-32602, "TAG [earliest | pending | finalized] not supported")
        elif block != "latest":
            raise Refused(-32602, "QUANTITY not supported, just support TAG as latest")

    def _existing(self, number: int) -> int:
        if not 0 <= number <= self.head:
            raise Refused(-32000, "header not found")
        return number


def block_hash(number: int) -> str:
    """Return the hash of the block with this number; TRON's own hashes begin with the number too."""
    return f"0x{number:016x}" + "7c" * 24


@contextmanager
def served(node: TronNode) -> Iterator[str]:
    """Serve the node on a free loopback port, and yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/walletsolidity/triggerconstantcontract":
                return self._say(node.solid_call(asked))
            told = [node.answer(each) for each in asked] if isinstance(asked, list) else node.answer(asked)
            return self._say(told)

        def _say(self, told: Any) -> None:
            body = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keep the tests' output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _transfer_log(number: int, index: int, sender: str, to: str, units: int) -> dict[str, Any]:
    return {
        "address": TOKEN,
        "topics": [TRANSFER, _word(int(_address(sender), 16)), _word(int(_address(to), 16))],
        "data": _word(units),
        "blockNumber": hex(number),
        "blockHash": block_hash(number),
        "transactionHash": f"0x{index + 1:064x}",
        "transactionIndex": "0x0",
        "logIndex": "0x0",
        "removed": False,
    }


def _number_of(digest: str) -> int:
    number = int(digest[2:18], 16)
    return number if digest == block_hash(number) else -1


def _address(text: str, *, prefixed: bool = False) -> str:
    """Return an address of 20 bytes in hex; behind a 41 where calls are concerned."""
    plain = text.lower().removeprefix("0x")
    plain = plain[2:] if prefixed and len(plain) == 42 and plain.startswith("41") else plain
    if len(plain) != 40 or set(plain) - set("0123456789abcdef"):
        raise Refused(-32602, "invalid address hash value")
    return "0x" + plain


def _options(wanted: Any) -> list[str] | None:
    if wanted is None:
        return None
    return [wanted] if isinstance(wanted, str) else list(wanted)


def _matches(log: dict[str, Any], topics: list[list[str] | None]) -> bool:
    return all(each is None or each == [] or log["topics"][at] in each for at, each in enumerate(topics))


def _word(number: int) -> str:
    return f"0x{number:064x}"
