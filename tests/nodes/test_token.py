"""Tests of the sandbox token's committed bytecode, on a real EVM."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from eth_typing import HexStr
from web3 import HTTPProvider, Web3
from web3.types import TxParams

BYTECODE = Path(__file__).parents[2] / "relay" / "sandbox" / "chain" / "token.hex"
SUPPLY, UNITS = 10**15, 12_345_678


def word(number: int) -> str:
    return f"{number:064x}"


def test_the_token_moves_units_and_its_transfer_returns_nothing(anvil_url: str) -> None:
    """Like USDT, and unlike the standard: a reader that expects `true` must be found out."""
    chain = Web3(HTTPProvider(anvil_url)).eth
    owner, receiver = chain.accounts[0], "0x" + "22" * 20
    made: TxParams = {"from": owner, "data": HexStr(BYTECODE.read_text().strip() + word(SUPPLY) + word(6))}
    token = chain.wait_for_transaction_receipt(chain.send_transaction(made))["contractAddress"]
    assert token is not None
    move: TxParams = {"from": owner, "to": token, "data": HexStr("0xa9059cbb" + word(int(receiver, 16)) + word(UNITS))}
    assert chain.call(move) == b""
    (log,) = chain.wait_for_transaction_receipt(chain.send_transaction(move))["logs"]
    assert (len(log["topics"]), int.from_bytes(log["data"])) == (3, UNITS)
    balance: TxParams = {"to": token, "data": HexStr("0x70a08231" + word(int(receiver, 16)))}
    assert int.from_bytes(chain.call(balance)) == UNITS


def test_the_bytecode_is_what_the_source_compiles_to() -> None:
    """By the compiler and the options that the source names."""
    compiler = shutil.which("vyper", path=Path(sys.executable).parent)
    assert compiler is not None
    command = [compiler, "-f", "bytecode", "--evm-version", "shanghai", str(BYTECODE.with_suffix(".vy"))]
    made = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert made.stdout.strip() == BYTECODE.read_text().strip()
