"""Own the chain's process (`python -m relay.sandbox.chain`): blocks come while there is something to mine, else now and then."""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path

from relay.sandbox.chain import LAG
from relay.sandbox.chain.evm import EVM
from relay.sandbox.chain.kept import Kept
from relay.sandbox.chain.rpc import routes
from relay.sandbox.loopback import serve

EVERY_S, HEARTBEAT_S = 1.0, 15.0
TICK_S = 0.1


def mine_for_ever(chain: EVM, *, every_s: float, heartbeat_s: float) -> None:
    """Mine a block every second or so until the last transaction is final, then one for each beat of the heart."""
    last = time.monotonic()
    while True:
        time.sleep(TICK_S)
        if time.monotonic() - last >= (every_s if chain.is_busy else heartbeat_s):
            last = time.monotonic()
            chain.mine()


def main() -> None:
    """Serve JSON-RPC and the knobs on 127.0.0.1 until the process is ended."""
    parser = argparse.ArgumentParser(description="An EVM chain with a token like USDT, for local use only.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--keep", type=Path, help="the file that lets the next start go on; none: it ends with the process"
    )
    parser.add_argument("--lag", type=int, default=LAG, help="how many blocks stand on a final one")
    parser.add_argument(
        "--every", type=float, default=EVERY_S, help="seconds between blocks while there is something to mine"
    )
    given = parser.parse_args()
    chain = EVM(Kept(given.keep), lag=given.lag)
    miner = {"every_s": given.every, "heartbeat_s": max(HEARTBEAT_S, given.every)}
    threading.Thread(target=mine_for_ever, args=(chain,), kwargs=miner, name="miner", daemon=True).start()
    # The relay reads it like any node, and sends no header of the sandbox's.
    serve(routes(chain), port=given.port, open_paths=frozenset({"/"})).serve_forever()


if __name__ == "__main__":
    main()
