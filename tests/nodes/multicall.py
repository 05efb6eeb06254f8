"""Own a Multicall3 for nodes of tests, whose words a library of Ethereum's own encodes and decodes."""

from __future__ import annotations

from collections.abc import Callable

from eth_abi.abi import decode, encode
from eth_hash.auto import keccak

MULTICALL = "0x" + "ca" * 20
AGGREGATE = keccak(b"aggregate3((address,bool,bytes)[])")[:4].hex()
NUMBER, PARENT = (keccak(name)[:4] for name in (b"getBlockNumber()", b"getLastBlockHash()"))


def aggregate(data: str, number: int, parent_hash: str, answer: Callable[[str, bytes], bytes | None]) -> str:
    """Answer aggregate3 as executed in a block; `answer` tells what other contracts return, None for a failure."""
    assert data[2:10] == AGGREGATE
    (calls,) = decode(["(address,bool,bytes)[]"], bytes.fromhex(data[10:]))
    told = []
    for target, _, asked in calls:
        own = {NUMBER: number.to_bytes(32, "big"), PARENT: bytes.fromhex(parent_hash[2:])}
        found = own.get(asked) if target == MULTICALL else answer(target, asked)
        told.append((found is not None, found or b""))
    return "0x" + encode(["(bool,bytes)[]"], [told]).hex()
