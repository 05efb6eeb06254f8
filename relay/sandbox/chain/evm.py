"""Own a chain in this process: a real EVM with the sandbox's token, blocks in JSON-RPC's spelling, and a finality that lags."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from eth.db.atomic import AtomicDB
from eth.exceptions import HeaderNotFound
from eth_tester import PyEVMBackend
from eth_utils.exceptions import ValidationError

from relay.sandbox.chain import CONTRACT, FINE, LAG, MAKER
from relay.sandbox.chain.kept import Kept
from relay.sandbox.chain.spelling import Block, spell_block

# A library below eth-tester raises the limit so far that a deep request would end the process instead of failing.
sys.setrecursionlimit(1_000)

SUPPLY, SHARE = 10**15, 10**13
DEPLOY_GAS, USUAL_GAS = 2_000_000, 200_000
TRANSFER = bytes.fromhex("a9059cbb")
PLACES, FINE_PLACES = 6, 18
# Whoever has it may only spend what is worth nothing.
_MAKER_KEY, _MAKER_COINS = b"relay sandbox: the fine token..!", 10**18

_BYTECODE = Path(__file__).with_name("token.hex")


class Refused(Exception):
    """What a node would not do; the text says why."""


class EVM:
    """The chain, to be used from any thread. Units are the token's base units, a millionth of a USDT.

    What `kept` holds goes on; an empty one begins with the token and a share
    of it for each account. A block is final when `lag` others stand on it.
    """

    def __init__(self, kept: Kept | None = None, *, lag: int = LAG, clock: Callable[[], float] = time.time) -> None:
        self.lag = lag
        self._clock = clock
        self._lock = threading.RLock()
        self._kept = kept or Kept(None)
        self._backend = PyEVMBackend()
        self._blocks = self._kept.blocks()
        if not self._blocks:
            for key, value in self._backend.chain.chaindb.db.wrapped_db.kv_store.items():
                self._kept.state[key] = value
        self._backend.chain = type(self._backend.chain)(AtomicDB(self._kept.state))
        self._backend.add_account(_MAKER_KEY)
        self._places = {one["hash"]: block.number for block in self._blocks for one in block.transactions}
        self._final = 0
        if not self._blocks:
            self._begin()
        # What an earlier version has kept lacks it.
        if not self.code(FINE, self.head):
            self._make_fine()

    @property
    def accounts(self) -> list[str]:
        """The accounts that this node signs for; the first made the token."""
        return [one for one in ("0x" + address.hex() for address in self._backend.get_accounts()) if one != MAKER]

    @property
    def head(self) -> int:
        """The last block's number."""
        return len(self._blocks) - 1

    @property
    def final(self) -> int:
        """The last final block's number; the library itself would call the head final. What was final once stays so."""
        self._final = min(max(self._final, self.head - self.lag), self.head)
        return self._final

    @property
    def safe(self) -> int:
        """Half way between the final block and the head."""
        return max(0, self.head - self.lag // 2)

    @property
    def is_busy(self) -> bool:
        """Whether a transaction waits for its block, or for its block to be final."""
        with self._lock:
            last = max((place for place in self._places.values()), default=0)
            return bool(self._pending()) or last > self.final

    @property
    def mined_at_s(self) -> int:
        """The time of the last block, in Unix seconds."""
        return int(self._blocks[-1].header["timestamp"], 16)

    def block(self, number: int) -> Block | None:
        """Return a block by its number."""
        with self._lock:
            return self._blocks[number] if 0 <= number <= self.head else None

    def block_by_hash(self, digest: str) -> Block | None:
        """Return a block of the chain as it stands; one that was replaced is gone."""
        with self._lock:
            return next((block for block in reversed(self._blocks) if block.header["hash"] == digest), None)

    def place_of(self, tx_hash: str) -> tuple[Block, int] | None:
        """Return the block of a mined transaction and the place in it."""
        with self._lock:
            number = self._places.get(tx_hash)
            block = None if number is None else self._blocks[number]
        if block is None:
            return None
        return block, next(at for at, one in enumerate(block.transactions) if one["hash"] == tx_hash)

    def blocks(self, first: int, last: int) -> list[Block]:
        """Return the blocks from `first` to `last` that there are."""
        with self._lock:
            return self._blocks[max(0, first) : last + 1]

    def send(self, transaction: Mapping[str, Any]) -> str:
        """Sign and take a transaction into the next block; return its hash. Raises Refused."""
        with self._lock:
            sender = transaction["from"]
            if sender not in self._backend.get_accounts():
                raise Refused(f"unknown account 0x{sender.hex()}")
            nonce = self._backend.get_nonce(sender, "pending")
            try:
                digest: bytes = self._backend.send_transaction({"nonce": nonce, "gas": USUAL_GAS, **transaction})
            except ValidationError as error:
                raise Refused(str(error)) from error
            return "0x" + digest.hex()

    def transfer(self, sender: str, to: str, units: int) -> str:
        """Move units of the token in the next block; return the transaction's hash."""
        data = TRANSFER + bytes.fromhex(to[2:]).rjust(32, b"\0") + units.to_bytes(32)
        return self.send({"from": bytes.fromhex(sender[2:]), "to": bytes.fromhex(CONTRACT[2:]), "data": data})

    def mine(self, count: int = 1) -> None:
        """Mine blocks, the first with all that waits. Their times are now, or a second after their parent's if that is later."""
        with self._lock:
            for _ in range(count):
                chain = self._backend.chain
                now = max(int(self._clock()), chain.get_canonical_head().timestamp + 1)
                chain.header = chain.header.copy(timestamp=now)
                self._backend.mine_blocks()
                self._append(chain.get_canonical_block_by_number(self.head + 1))
            self._kept.save()

    def reorg(self, depth: int, *, drop: bool | str = False) -> None:
        """Replace the last `depth` blocks by one more than they were. Raises Refused for more than there are.

        Their transactions are mined again in the first new block, unless told
        to `drop` them all, or the one of a hash.
        """
        with self._lock:
            if not 0 < depth < self.head:
                raise Refused(f"a depth from 1 to {self.head - 1} is possible")
            ancestor, chain = self.head - depth, self._backend.chain
            gone = [chain.get_canonical_block_by_number(number) for number in range(ancestor + 1, self.head + 1)]
            again = [one for block in gone for one in block.transactions] + self._pending()
            self._backend.revert_to_snapshot(bytes.fromhex(self._blocks[ancestor].header["hash"][2:]))
            del self._blocks[ancestor + 1 :]
            self._kept.cut(ancestor)
            self._places = {digest: place for digest, place in self._places.items() if place <= ancestor}
            for one in again:
                if drop is not True and f"0x{one.hash.hex()}" != drop:
                    self._backend.chain.apply_transaction(one)
            self.mine(depth + 1)

    def call(self, transaction: Mapping[str, Any], number: int) -> bytes:
        """Return what a call would at a block. Raises Refused, also where there is no such block."""
        with self._lock:
            try:
                result = self._backend.call({"from": self._backend.get_accounts()[0], **transaction}, number)
            except Exception as error:
                raise Refused(f"execution reverted: {error}") from error
            return bytes.fromhex(result[2:]) if isinstance(result, str) else bytes(result)

    def code(self, address: str, number: int) -> bytes:
        """Return the code at an address."""
        return bytes(self._at(number, lambda: self._backend.get_code(bytes.fromhex(address[2:]), number)))

    def balance(self, address: str, number: int) -> int:
        """Return an account's balance of the chain's own coin."""
        return int(self._at(number, lambda: self._backend.get_balance(bytes.fromhex(address[2:]), number)))

    def _at(self, number: int, read: Callable[[], Any]) -> Any:
        with self._lock:
            try:
                return read()
            except HeaderNotFound as error:
                raise Refused(f"block {number} is not there") from error

    def _pending(self) -> list[Any]:
        return list(self._backend.chain.get_block().transactions)

    def _append(self, mined: Any) -> None:
        block = spell_block(mined, mined.get_receipts(self._backend.chain.chaindb))
        self._blocks.append(block)
        self._kept.append(block)
        self._places |= {one["hash"]: block.number for one in block.transactions}

    def _begin(self) -> None:
        self._append(self._backend.chain.get_canonical_block_by_number(0))
        owner, *users = self.accounts
        self._deploy(owner, PLACES)
        self.mine()
        for user in users:
            self.transfer(owner, user, SHARE)
        self.mine()

    def _make_fine(self) -> None:
        owner, maker = (bytes.fromhex(one[2:]) for one in (self.accounts[0], MAKER))
        self.send({"from": owner, "to": maker, "value": _MAKER_COINS})
        self.mine()
        self._deploy(MAKER, FINE_PLACES)
        self.mine()

    def _deploy(self, maker: str, places: int) -> None:
        code = bytes.fromhex(_BYTECODE.read_text().strip()[2:]) + SUPPLY.to_bytes(32) + places.to_bytes(32)
        self.send({"from": bytes.fromhex(maker[2:]), "data": code, "gas": DEPLOY_GAS})
