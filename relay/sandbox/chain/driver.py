"""Own the handle on a running sandbox chain, for the sandbox's own parts and for tests; it knows HTTP and nothing of the EVM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from relay.sandbox.loopback import ask

TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
ANSWER_WITHIN_S = 10.0
SUPPLY, PLACES, DEPLOY_GAS = 10**15, 6, 2_000_000
# What the token can do to an owner's money without a Transfer.
DESTROY, VANISH = "0xf3bdc228", "0x5b940312"

_BYTECODE = Path(__file__).with_name("token.hex")


class ChainAway(Exception):
    """The chain does not answer, or refuses; the text says which."""


class SandboxChain:
    """A chain behind a URL. Units are the token's base units: a millionth of a USDT."""

    def __init__(self, url: str) -> None:
        self.url = url

    @property
    def accounts(self) -> list[str]:
        """The accounts it signs for; all hold tokens."""
        accounts: list[str] = self._state()["accounts"]
        return accounts

    @property
    def token(self) -> str:
        """The token's contract."""
        return str(self._state()["token"])

    @property
    def head(self) -> int:
        """The last block."""
        return int(self._state()["head"])

    @property
    def final(self) -> int:
        """The last final block."""
        return int(self._state()["final"])

    def mine(self, blocks: int = 1) -> int:
        """Mine blocks; return the new head."""
        return int(self._knob("mine", {"blocks": blocks})["head"])

    def reorg(self, depth: int, *, drop: bool | str = False) -> int:
        """Replace the last blocks; return the new head. Their transactions are mined again unless all, or that one, are dropped."""
        return int(self._knob("reorg", {"depth": depth, "drop": drop})["head"])

    def set_lag(self, blocks: int) -> None:
        """Let a block be final when that many stand on it."""
        self._knob("lag", {"blocks": blocks})

    def transfer(self, sender: str, to: str, units: int, *, token: str = "") -> str:
        """Send tokens, of another contract when one is named; return the transaction's hash. They arrive with the next block."""
        return self._do(sender, f"0xa9059cbb{int(to, 16):064x}{units:064x}", token)

    def counterfeit(self, sender: str) -> str:
        """Make another token with the name and the code of this one, all of it the sender's; return the transaction's hash."""
        data = f"{_BYTECODE.read_text().strip()}{SUPPLY:064x}{PLACES:064x}"
        return str(self.rpc("eth_sendTransaction", {"from": sender, "data": data, "gas": hex(DEPLOY_GAS)}))

    def destroy(self, sender: str, owner: str) -> str:
        """Have all that an address holds destroyed, as the token's issuer may; return the transaction's hash."""
        return self._do(sender, f"{DESTROY}{int(owner, 16):064x}")

    def vanish(self, sender: str, owner: str, units: int) -> str:
        """Let tokens of an address vanish, and nothing tell of it; return the transaction's hash."""
        return self._do(sender, f"{VANISH}{int(owner, 16):064x}{units:064x}")

    def transfers(self, first: int, last: int) -> list[dict[str, Any]]:
        """Return the token's Transfer logs of a range of blocks."""
        wanted = {"fromBlock": hex(first), "toBlock": hex(last), "address": self.token, "topics": [TRANSFER]}
        found: list[dict[str, Any]] = self.rpc("eth_getLogs", wanted)
        return found

    def block_of(self, tx_hash: str) -> int | None:
        """Return the block of a transaction; None while it is in none."""
        receipt = self.rpc("eth_getTransactionReceipt", tx_hash)
        return None if receipt is None else int(receipt["blockNumber"], 16)

    def rpc(self, method: str, *params: Any) -> Any:
        """Return the result of a JSON-RPC call. Raises ChainAway."""
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = ask(self.url, call, timeout_s=ANSWER_WITHIN_S)
        if not isinstance(answer, dict) or "result" not in answer:
            raise ChainAway(f"{method}: {answer}")
        return answer["result"]

    def _do(self, sender: str, data: str, token: str = "") -> str:
        return str(self.rpc("eth_sendTransaction", {"from": sender, "to": token or self.token, "data": data}))

    def _state(self) -> dict[str, Any]:
        return self._checked(ask(f"{self.url}/state", timeout_s=ANSWER_WITHIN_S))

    def _knob(self, name: str, value: dict[str, Any]) -> dict[str, Any]:
        return self._checked(ask(f"{self.url}/{name}", value, timeout_s=ANSWER_WITHIN_S))

    def _checked(self, answer: Any) -> dict[str, Any]:
        if not isinstance(answer, dict):
            raise ChainAway("the chain does not answer, or refuses")
        return answer
