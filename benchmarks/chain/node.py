"""Own the node of the benchmark: a chain made by formula, of any length, behind JSON-RPC, that counts what it is asked."""

from __future__ import annotations

import argparse
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHAIN_ID = 1
TOKEN = "0x" + "a6" * 20
MULTICALL = "0x" + "ca" * 20
PAID_UNITS = 1_000_000
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
STRANGER = "0" * 24 + "99" * 20
MAX_RANGE, MAX_RESULTS = 10_000, 10_000
START_S, BLOCK_S = 1_700_000_000, 12


@dataclass
class Node:
    """A chain of `head` blocks, all final.

    Each block moves money `noise` times between strangers, and every
    `every`-th block pays one of `watched` addresses, in turn; 0 pays none.
    """

    watched: int
    every: int
    noise: int
    head: int = 0
    requests: int = 0
    calls: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def answer(self, asked: Any) -> str:
        """Answer one call or a batch, as JSON."""
        calls = asked if isinstance(asked, list) else [asked]
        if not calls[0]["method"].startswith("bench_"):
            with self.lock:
                self.requests += 1
                self.calls += len(calls)
        told = [f'{{"jsonrpc":"2.0","id":{one["id"]},{self._told(one["method"], one["params"])}}}' for one in calls]
        return f"[{','.join(told)}]" if isinstance(asked, list) else told[0]

    def _told(self, method: str, given: list[Any]) -> str:
        match method:
            case "eth_getLogs":
                return self._logs(given[0])
            case "eth_getBlockByNumber":
                return f'"result":{self._block(given[0])}'
            case "eth_chainId":
                return f'"result":"{hex(CHAIN_ID)}"'
            case "eth_blockNumber":
                return f'"result":"{hex(self.head)}"'
            case "eth_getCode":
                return '"result":"0x6001"'
            case "eth_call" if given[0]["to"] == MULTICALL:
                return f'"result":"{self._weighed(given[0]["data"], int(given[1], 16))}"'
            case "eth_call":
                return f'"result":"0x{6:064x}"'
            case "bench_begin":
                self.head, self.requests, self.calls = given[0], 0, 0
                return '"result":true'
            case "bench_totals":
                return f'"result":{json.dumps({"requests": self.requests, "calls": self.calls})}'
        return '"error":{"code":-32601,"message":"no such method"}'

    def _block(self, which: str) -> str:
        number = self.head if which in ("latest", "finalized", "safe") else int(which, 16)
        if number > self.head:
            return "null"
        seen = hex(START_S + BLOCK_S * number)
        return (
            f'{{"number":"{hex(number)}","hash":"{_hash(number)}","parentHash":"{_hash(max(number - 1, 0))}",'
            f'"timestamp":"{seen}","transactions":[]}}'
        )

    def _weighed(self, data: str, number: int) -> str:
        """Answer aggregate3 in a block: its number, its parent's hash, and a balance for each call behind those two."""
        words = [data[at : at + 64] for at in range(10, len(data), 64)]
        count = int(words[1], 16)
        asked = [words[2 + int(words[2 + call], 16) // 32 :] for call in range(2, count)]
        # A call's data begins in its fifth word: four bytes of a selector, then an address that runs on into the sixth.
        holders = [int((one[4] + one[5])[8:72], 16) for one in asked]
        values = [number, int(_hash(number - 1), 16), *(self._held(one - 1, number) for one in holders)]
        tails = "".join(f"{1:064x}{64:064x}{32:064x}{value:064x}" for value in values)
        offsets = "".join(f"{32 * count + 128 * at:064x}" for at in range(count))
        return f"0x{32:064x}{count:064x}{offsets}{tails}"

    def _held(self, place: int, number: int) -> int:
        """What the watched address of this place holds at the end of a block: it is paid in turn."""
        paid = number // self.every if self.every else 0
        return PAID_UNITS * ((paid - place) // self.watched + (place > 0)) if 0 <= place <= paid else 0

    def _logs(self, wanted: dict[str, Any]) -> str:
        first, last = int(wanted["fromBlock"], 16), min(int(wanted["toBlock"], 16), self.head)
        if last - first + 1 > MAX_RANGE:
            return '"error":{"code":-32602,"message":"block range is too wide"}'
        found: list[str] = []
        for log in self._fitting(first, last, wanted["topics"]):
            if len(found) == MAX_RESULTS:
                return f'"error":{{"code":-32005,"message":"query returned more than {MAX_RESULTS} results"}}'
            found.append(log)
        return f'"result":[{",".join(found)}]'

    def _fitting(self, first: int, last: int, topics: list[Any]) -> Iterator[str]:
        names = [None if one is None else [one] if isinstance(one, str) else one for one in topics]
        if TRANSFER not in (names[0] or []) or (len(names) > 1 and names[1] is not None):
            return
        recipients = None if len(names) < 3 or names[2] is None else set(names[2])
        for number in range(first, last + 1):
            if recipients is None:
                yield from (_log(number, index + 1, STRANGER) for index in range(self.noise))
            if self.every and number and number % self.every == 0:
                paid = f"{number // self.every % self.watched + 1:064x}"
                if recipients is None or f"0x{paid}" in recipients:
                    yield _log(number, 0, paid)


def address(number: int) -> str:
    """Return the watched address with this number, from 0 on."""
    return f"0x{number + 1:040x}"


def _hash(number: int) -> str:
    return f"0x{number:016x}" + "7c" * 24


def _log(number: int, index: int, recipient: str) -> str:
    return (
        f'{{"address":"{TOKEN}","topics":["{TRANSFER}","0x{STRANGER}","0x{recipient}"],"data":"0x{PAID_UNITS:064x}",'
        f'"blockNumber":"{hex(number)}","blockHash":"{_hash(number)}","transactionHash":"0x{number:032x}{index:032x}",'
        f'"transactionIndex":"{hex(index)}","logIndex":"{hex(index)}","removed":false}}'
    )


def serve(node: Node) -> ThreadingHTTPServer:
    """Return a server of the node on a free port of this machine; the caller lets it run."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = node.answer(asked).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self.wfile.write(head.encode() + body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def main() -> None:
    """Serve until the process is ended; the first line printed is the port."""
    parser = argparse.ArgumentParser()
    for name in ("watched", "every", "noise"):
        parser.add_argument(f"--{name}", type=int, required=True)
    server = serve(Node(**vars(parser.parse_args())))
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
