"""Own how blocks, transactions, receipts and logs are spelled in JSON-RPC, from what the EVM holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from eth_tester.utils.address import generate_contract_address

Value = dict[str, Any]
SUCCESS = b"\x01"


@dataclass(frozen=True, slots=True)
class Block:
    """A block that was mined, every part as a node would answer with it."""

    number: int
    header: Value
    transactions: list[Value]
    receipts: list[Value]

    @property
    def logs(self) -> list[Value]:
        """The logs of all its transactions, in order."""
        return [log for receipt in self.receipts for log in receipt["logs"]]

    def as_text(self) -> str:
        """Spell it for keeping."""
        return json.dumps([self.number, self.header, self.transactions, self.receipts])

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read what was kept."""
        return cls(*json.loads(text))


def spell_block(mined: Any, receipts: Sequence[Any]) -> Block:
    """Return a py-evm block with its receipts in JSON-RPC's spelling. Source: Ethereum's execution API."""
    header = mined.header
    place = {"blockHash": _bytes(header.hash), "blockNumber": hex(header.block_number)}
    transactions = [_transaction(one, at, place) for at, one in enumerate(mined.transactions)]
    spelled, logs_before, gas_before = [], 0, 0
    for transaction, one, receipt in zip(transactions, mined.transactions, receipts, strict=True):
        spelled.append(_receipt(one, receipt, transaction, gas_before=gas_before, logs_before=logs_before))
        logs_before, gas_before = logs_before + len(receipt.logs), receipt.gas_used
    return Block(header.block_number, _header(header, transactions), transactions, spelled)


def _header(header: Any, transactions: Sequence[Value]) -> Value:
    return {
        "number": hex(header.block_number),
        "hash": _bytes(header.hash),
        "parentHash": _bytes(header.parent_hash),
        "timestamp": hex(header.timestamp),
        "miner": _bytes(header.coinbase),
        "stateRoot": _bytes(header.state_root),
        "transactionsRoot": _bytes(header.transaction_root),
        "receiptsRoot": _bytes(header.receipt_root),
        "logsBloom": f"0x{header.bloom:0512x}",
        "mixHash": _bytes(header.mix_hash),
        "nonce": _bytes(header.nonce),
        "sha3Uncles": _bytes(header.uncles_hash),
        "extraData": _bytes(header.extra_data),
        "difficulty": hex(header.difficulty),
        "gasLimit": hex(header.gas_limit),
        "gasUsed": hex(header.gas_used),
        "baseFeePerGas": hex(header.base_fee_per_gas),
        "uncles": [],
        "transactions": [one["hash"] for one in transactions],
    }


def _transaction(one: Any, at: int, place: Value) -> Value:
    return {
        **place,
        "hash": _bytes(one.hash),
        "transactionIndex": hex(at),
        "type": hex(getattr(one, "type_id", None) or 0),
        "chainId": hex(one.chain_id),
        "nonce": hex(one.nonce),
        "from": _bytes(one.sender),
        "to": _bytes(one.to) if one.to else None,
        "value": hex(one.value),
        "gas": hex(one.gas),
        "gasPrice": hex(one.max_fee_per_gas),
        "input": _bytes(one.data),
    }


def _receipt(one: Any, receipt: Any, transaction: Value, *, gas_before: int, logs_before: int) -> Value:
    names = ("blockHash", "blockNumber", "transactionIndex", "from", "to", "type")
    where = {name: transaction[name] for name in ("blockHash", "blockNumber", "transactionIndex")}
    where["transactionHash"] = transaction["hash"]
    made = None if one.to else _bytes(generate_contract_address(one.sender, one.nonce))
    return {
        **{name: transaction[name] for name in names},
        "transactionHash": transaction["hash"],
        "status": "0x1" if receipt.state_root == SUCCESS else "0x0",
        "cumulativeGasUsed": hex(receipt.gas_used),
        "gasUsed": hex(receipt.gas_used - gas_before),
        "effectiveGasPrice": transaction["gasPrice"],
        "contractAddress": made,
        "logsBloom": f"0x{receipt.bloom:0512x}",
        "logs": [_log(log, where, logs_before + at) for at, log in enumerate(receipt.logs)],
    }


def _log(log: Any, where: Value, index: int) -> Value:
    return {
        **where,
        "address": _bytes(log.address),
        "topics": [f"0x{topic:064x}" for topic in log.topics],
        "data": _bytes(log.data),
        "logIndex": hex(index),
        "removed": False,
    }


def _bytes(value: bytes) -> str:
    return "0x" + value.hex()
