"""Own the provider's process: its HTTP, and the eye that it keeps on the chain, so that callback and chain tell one story."""

from __future__ import annotations

import argparse
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from relay.sandbox import dialects, loopback, provider
from relay.sandbox.chain.driver import ChainAway, SandboxChain
from relay.sandbox.plan import Plan
from relay.sandbox.provider import Provider, Request
from relay.sandbox.shelf import Shelf

log = logging.getLogger(__name__)

CONFIRMATIONS = 3
LOOK_EVERY_S = 0.4
# Blocks that are read again each time: a transfer may come back in another block, or be there before its order is known.
AGAIN = 30
SENDERS = 8
ANSWER_WITHIN_S = 10.0


class Watcher:
    """Sees payments arrive and has an order called back after its confirmations; `later` runs what may take a while in a thread."""

    def __init__(self, book: Provider, chain: SandboxChain, later: Callable[[Callable[[str], None], str], Any]) -> None:
        self._book = book
        self._chain = chain
        self._later = later
        self._next: int | None = None
        self._waiting = book.unconfirmed

    def look(self) -> None:
        """Look at the chain once. Raises ChainAway."""
        head = self._chain.head
        # After a reorg the head may stand below what was read.
        first = head if self._next is None else min(self._next, head)
        for log_entry in self._chain.transfers(max(0, first - AGAIN), head):
            recipient, tx_hash = "0x" + log_entry["topics"][2][26:], log_entry["transactionHash"]
            orderid = self._book.pay(recipient, int(log_entry["data"], 16), tx_hash)
            if orderid is not None:
                self._waiting[orderid] = tx_hash
        self._next = head + 1
        for orderid, tx_hash in list(self._waiting.items()):
            block = self._chain.block_of(tx_hash)
            # Its own block is the first.
            if block is not None and head - block + 1 >= CONFIRMATIONS:
                del self._waiting[orderid]
                self._later(self._book.call_back, orderid)


def watch_for_ever(watcher: Watcher) -> None:
    """Look every few tenths of a second; a chain that is away is looked for again."""
    while True:
        time.sleep(LOOK_EVERY_S)
        try:
            watcher.look()
        except ChainAway as error:
            log.warning("chain_away", extra={"reason": str(error)})


def main() -> None:
    """Serve merchants and the sandbox until the process is ended."""
    parser = argparse.ArgumentParser(description="A payment provider for the sandbox, on 127.0.0.1.")
    parser.add_argument("--plan", type=Path, required=True, help="the sandbox's plan file")
    path = parser.parse_args().plan
    plan, shelf = Plan.read(path), Shelf(path.with_name("sandbox-provider.db"))
    book = Provider(plan.account, relay_url=plan.relay_url, post=_post, shelf=shelf)
    with ThreadPoolExecutor(SENDERS) as senders:
        watcher = Watcher(book, SandboxChain(plan.chain_url), senders.submit)
        threading.Thread(target=watch_for_ever, args=(watcher,), name="watcher", daemon=True).start()
        server(book, port=plan.provider_port).serve_forever()


def server(book: Provider, *, port: int) -> ThreadingHTTPServer:
    """Return a server of the routes for merchants, open to all, and of those for the sandbox alone."""
    spoken = dialects.routes(book.account, book.place, book.find)
    open_paths = frozenset(route.partition(" ")[2] for route in spoken)
    return loopback.serve({**spoken, **provider.routes(book)}, port=port, open_paths=open_paths)


def _post(request: Request) -> tuple[int | None, str]:
    return loopback.post(
        request.url,
        request.body,
        content_type=request.content_type,
        timeout_s=ANSWER_WITHIN_S,
        headers=request.headers,
    )


if __name__ == "__main__":
    main()
