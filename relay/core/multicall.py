"""Own the words of Multicall3: many balances and the block they stand at, in one call.

Source: Multicall3 (github.com/mds1/multicall): aggregate3, getBlockNumber, getLastBlockHash; the encoding is Solidity's ABI.
Its own getBlockHash of the block that is executed is always zero, so a block is known here by its number and its parent's hash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eth_hash.auto import keccak

_WORD = 64


def _selector(declared: str) -> str:
    return keccak(declared.encode())[:4].hex()


BALANCE_OF = _selector("balanceOf(address)")
AGGREGATE = "aggregate3((address,bool,bytes)[])"
_AGGREGATE = _selector(AGGREGATE)
BLOCK_NUMBER = "getBlockNumber()"
_NUMBER = _selector(BLOCK_NUMBER)
_PARENT = _selector("getLastBlockHash()")


@dataclass(frozen=True, slots=True)
class Weighed:
    """What one call told: the number of its block, the hash of that block's parent, a balance for each question; None where refused."""

    number: int
    parent_hash: str
    units: tuple[int | None, ...]


def balance_of(address: str) -> str:
    """Return the call data that asks a token for the balance of an address in machine spelling."""
    return f"0x{BALANCE_OF}{address[2:].rjust(_WORD, '0')}"


def parse_units(told: object) -> int:
    """Return a balance as a token tells it; ValueError for anything but one word."""
    if not isinstance(told, str) or len(told) != 2 + _WORD or told[:2] != "0x":
        raise ValueError("is not a balance")
    return int(told, 0)


def ask_balances(multicall: str, wanted: Sequence[tuple[str, str]]) -> str:
    """Return the call data that asks a Multicall3 for its block and the balances of (contract, address)."""
    calls = [(multicall, _NUMBER), (multicall, _PARENT)]
    calls += [(contract, balance_of(address)[2:]) for contract, address in wanted]
    tails = [_call(target, data) for target, data in calls]
    return "0x" + _AGGREGATE + _number(32) + _number(len(calls)) + _offsets(tails) + "".join(tails)


def read_balances(told: object, count: int) -> Weighed:
    """Return what a Multicall3 answered to `count` questions; ValueError for any other shape."""
    if not isinstance(told, str) or told[:2] != "0x":
        raise ValueError("is not an answer")
    answers = list(_results(bytes.fromhex(told[2:]), count + 2))
    number, parent = answers[:2]
    if number is None or parent is None or number >= 2**63:
        raise ValueError("does not tell its block")
    return Weighed(number, f"0x{parent:064x}", tuple(answers[2:]))


def _call(target: str, data: str) -> str:
    padded = data.ljust(-(-len(data) // _WORD) * _WORD, "0")
    # The 1 lets this question fail alone: a token that reverts must not take the others' balances with it.
    return target[2:].rjust(_WORD, "0") + _number(1) + _number(96) + _number(len(data) // 2) + padded


def _offsets(tails: Sequence[str]) -> str:
    at, told = 32 * len(tails), ""
    for tail in tails:
        told += _number(at)
        at += len(tail) // 2
    return told


def _number(value: int) -> str:
    return f"{value:064x}"


def _results(raw: bytes, count: int) -> Iterator[int | None]:
    """Read (bool, bytes)[]; each answer is one word, None for a call that failed."""
    start = _read(raw, 0) + 32
    if _read(raw, start - 32) != count:
        raise ValueError("answers another number of questions")
    for at in range(count):
        result = start + _read(raw, start + 32 * at)
        data = result + _read(raw, result + 32)
        done = _read(raw, result) == 1 and _read(raw, data) == 32
        yield _read(raw, data + 32) if done else None


def _read(raw: bytes, at: int) -> int:
    if at + 32 > len(raw):
        raise ValueError("is cut off")
    return int.from_bytes(raw[at : at + 32])
