"""Own the chain's JSON-RPC over HTTP, as far as readers of chains and senders of tokens need it, and the knobs beside it.

Source of methods, tags and errors: Ethereum's execution API; -32000 is what nodes answer to what they cannot do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from relay.sandbox.chain import CHAIN_ID, CONTRACT
from relay.sandbox.chain.evm import EVM, Refused
from relay.sandbox.chain.spelling import Block
from relay.sandbox.loopback import Call, Handler, Reply

# Infura's limit, and its words beyond it.
MOST_RESULTS = 10_000
CANNOT, NO_METHOD, WRONG_PARAMS, NO_REQUEST = -32000, -32601, -32602, -32600
_INTEGERS = ("value", "gas", "nonce", "maxFeePerGas", "maxPriorityFeePerGas")
_SPELLED = {"maxFeePerGas": "max_fee_per_gas", "maxPriorityFeePerGas": "max_priority_fee_per_gas"}


def routes(chain: EVM) -> dict[str, Handler]:
    """Return the routes: `POST /` for JSON-RPC, and the knobs, which only the sandbox may turn."""
    node = Node(chain)

    def rpc(call: Call) -> Reply:
        return Reply(200, node.answer(call.value()))

    def state(call: Call) -> Reply:
        return Reply(200, {"head": chain.head, "final": chain.final, "token": CONTRACT, "accounts": chain.accounts})

    def mine(call: Call) -> Reply:
        chain.mine(int(call.value().get("blocks", 1)))
        return state(call)

    def reorg(call: Call) -> Reply:
        asked = call.value()
        try:
            chain.reorg(int(asked["depth"]), drop=asked.get("drop", False))
        except Refused as error:
            return Reply(422, {"error": str(error)})
        return state(call)

    def lag(call: Call) -> Reply:
        chain.lag = max(1, int(call.value()["blocks"]))
        return state(call)

    return {"POST /": rpc, "GET /state": state, "POST /mine": mine, "POST /reorg": reorg, "POST /lag": lag}


class Node:
    """Answers JSON-RPC calls about one chain."""

    def __init__(self, chain: EVM) -> None:
        self._chain = chain
        self._methods: Mapping[str, Callable[..., Any]] = {
            "web3_clientVersion": lambda: "relay-sandbox",
            "net_version": lambda: str(CHAIN_ID),
            "eth_chainId": lambda: hex(CHAIN_ID),
            "eth_accounts": lambda: chain.accounts,
            "eth_gasPrice": lambda: hex(10**9),
            "eth_blockNumber": lambda: hex(chain.head),
            "eth_getBlockByNumber": lambda tag, full=False: _shown(self._block(tag), full=full),
            "eth_getBlockByHash": lambda digest, full=False: _shown(chain.block_by_hash(digest), full=full),
            "eth_getLogs": self._logs,
            "eth_call": lambda call, tag="latest": _hex(chain.call(_transaction(call), self._existing(tag).number)),
            "eth_getCode": lambda address, tag="latest": _hex(chain.code(address, self._existing(tag).number)),
            "eth_getBalance": lambda address, tag="latest": hex(chain.balance(address, self._existing(tag).number)),
            "eth_getTransactionByHash": lambda digest: self._mined(digest, lambda block: block.transactions),
            "eth_getTransactionReceipt": lambda digest: self._mined(digest, lambda block: block.receipts),
            "eth_sendTransaction": lambda call: chain.send(_transaction(call)),
        }

    def answer(self, asked: Any) -> Any:
        """Answer one call, or a list of them."""
        if isinstance(asked, list):
            return [self._one(call) for call in asked] or _error(None, NO_REQUEST, "an empty batch")
        return self._one(asked)

    def _one(self, call: Any) -> dict[str, Any]:
        if not isinstance(call, Mapping) or not isinstance(call.get("params", []), list):
            return _error(None, NO_REQUEST, "not a JSON-RPC call")
        method = self._methods.get(str(call.get("method")))
        if method is None:
            return _error(call.get("id"), NO_METHOD, f"the method {call.get('method')} does not exist")
        try:
            return {"jsonrpc": "2.0", "id": call.get("id"), "result": method(*call.get("params", []))}
        except Refused as error:
            return _error(call.get("id"), CANNOT, str(error))
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            return _error(call.get("id"), WRONG_PARAMS, f"invalid params: {error}")

    def _block(self, tag: str) -> Block | None:
        chain = self._chain
        named = {"earliest": 0, "latest": chain.head, "safe": chain.safe, "finalized": chain.final}
        return chain.block(named[tag] if tag in named else int(tag, 16))

    def _existing(self, tag: Any) -> Block:
        """The block that state is asked at, by number, tag, or EIP-1898's object."""
        if isinstance(tag, Mapping):
            block = (
                self._chain.block_by_hash(tag["blockHash"]) if "blockHash" in tag else self._block(tag["blockNumber"])
            )
        else:
            block = self._block(tag)
        if block is None:
            raise Refused("header not found")
        return block

    def _logs(self, wanted: Mapping[str, Any]) -> list[dict[str, Any]]:
        if "blockHash" in wanted:
            block = self._chain.block_by_hash(wanted["blockHash"])
            if block is None:
                raise Refused("unknown block")
            blocks: Iterable[Block] = [block]
        else:
            first, last = self._number(wanted, "fromBlock"), self._number(wanted, "toBlock")
            if first > last:
                raise ValueError("the range ends before it begins")
            blocks = self._chain.blocks(first, last)
        places = {address.lower() for address in _options(wanted.get("address")) or ()}
        topics = [_options(one) for one in wanted.get("topics") or ()]
        logs = (log for block in blocks for log in block.logs)
        found = [log for log in logs if (not places or log["address"] in places) and _fits(log["topics"], topics)]
        if len(found) > MOST_RESULTS:
            raise Refused(f"query returned more than {MOST_RESULTS} results")
        return found

    def _number(self, wanted: Mapping[str, Any], key: str) -> int:
        tag = wanted.get(key) or "latest"
        block = self._block(tag)
        return int(tag, 16) if block is None else block.number

    def _mined(self, digest: str, part: Callable[[Block], list[dict[str, Any]]]) -> dict[str, Any] | None:
        place = self._chain.place_of(digest)
        return None if place is None else part(place[0])[place[1]]


def _shown(block: Block | None, *, full: bool) -> dict[str, Any] | None:
    if block is None:
        return None
    return block.header | ({"transactions": block.transactions} if full else {})


def _transaction(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call's fields as the EVM takes them; those that nodes take and it does not are left out."""
    fields: dict[str, Any] = {_SPELLED.get(name, name): int(call[name], 16) for name in _INTEGERS if name in call}
    fields |= {name: bytes.fromhex(call[name][2:]) for name in ("from", "to") if call.get(name)}
    data = call.get("input") or call.get("data")
    return fields | ({"data": bytes.fromhex(data[2:])} if data else {})


def _options(wanted: Any) -> Sequence[str] | None:
    if wanted is None:
        return None
    return [wanted] if isinstance(wanted, str) else list(wanted)


def _fits(given: Sequence[str], wanted: Sequence[Sequence[str] | None]) -> bool:
    if len(given) < len(wanted):
        return False
    return all(not one or topic in one for topic, one in zip(given, wanted, strict=False))


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _error(number: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}
