"""Tests of the TRON-like node: it refuses what java-tron refuses, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.nodes.tron import MAX_RESULTS, TOKEN, TRANSFER, TronNode, served

ALICE, BOB = "0x" + "11" * 20, "0x" + "22" * 20


def call(node: TronNode, method: str, *params: Any) -> dict[str, Any]:
    return node.answer({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})


def padded(address: str) -> str:
    return "0x" + "0" * 24 + address[2:]


BALANCE = {"to": TOKEN, "data": "0x70a08231" + padded(BOB)[2:]}


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("eth_call", [BALANCE, "0x1"]),
        ("eth_call", [BALANCE, "finalized"]),
        ("eth_call", [BALANCE, {"blockNumber": "0xffffff"}]),
        ("eth_getBalance", [BOB, "earliest"]),
        ("eth_getBlockByNumber", ["pending", False]),
        ("eth_getLogs", [{"fromBlock": "0x0", "toBlock": hex(5_000)}]),
        ("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "pending"}]),
        ("eth_getLogs", [{"topics": [TRANSFER, None, [padded(BOB)] * 1_001]}]),
        ("eth_getLogs", [{"address": "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"}]),
        ("eth_getLogs", [{"address": "41" + TOKEN[2:]}]),
        ("eth_getCode", [TOKEN, "finalized"]),
        ("eth_getFilterLogs", ["0x1"]),
        ("eth_getTransactionCount", [BOB, "latest"]),
        ("eth_sendRawTransaction", ["0x00"]),
        ("eth_feeHistory", []),
    ],
)
def test_what_the_real_node_refuses_is_an_error(method: str, params: list[Any]) -> None:
    """Neither a wrong answer nor an empty one stands in for the refusal."""
    node = TronNode(head=9_000)
    assert "error" in call(node, method, *params)


def test_a_transfer_is_found_by_its_receiver_in_20_byte_hex() -> None:
    """The widest range and the longest topic list that are allowed still find it."""
    node = TronNode(head=100)
    sent = node.transfer(ALICE, BOB, 1_500_000)
    topics = [TRANSFER, None, [padded(BOB)] * 1_000]
    (log,) = call(node, "eth_getLogs", {"fromBlock": "0x0", "toBlock": hex(4_999), "topics": topics})["result"]
    assert (log["transactionHash"], log["address"], int(log["data"], 16)) == (sent, TOKEN, 1_500_000)
    assert len(log["address"]) == 42


def test_a_pinned_balance_is_silently_the_latest_one() -> None:
    """A block object is only checked for existence, so a historic balance must never be asked for this way."""
    node = TronNode(head=10)
    node.transfer(ALICE, BOB, 7)
    assert int(call(node, "eth_call", BALANCE, {"blockNumber": "0x1"})["result"], 16) == 7


def test_the_finalized_head_lags_by_nineteen_blocks() -> None:
    """Solidification needs more than two thirds of the 27 representatives."""
    node = TronNode()
    head = node.mine(100)
    assert int(call(node, "eth_getBlockByNumber", "finalized", False)["result"]["number"], 16) == head - 19


def test_more_than_ten_thousand_results_are_refused() -> None:
    """One more than allowed is an error, never a cut list."""
    node = TronNode(head=1)
    node.transfer(ALICE, BOB, 1)
    node.logs *= MAX_RESULTS
    assert len(call(node, "eth_getLogs", {"fromBlock": "0x0"})["result"]) == MAX_RESULTS
    node.logs += node.logs[:1]
    assert "error" in call(node, "eth_getLogs", {"fromBlock": "0x0"})


def test_the_node_answers_over_http_one_call_or_a_batch() -> None:
    """Both shapes of JSON-RPC come back in kind."""
    with served(TronNode(head=5)) as url:
        ask: Any = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}
        assert requests.post(url, json=ask, timeout=5).json()["result"] == "0x5"
        assert [each["result"] for each in requests.post(url, json=[ask, ask], timeout=5).json()] == ["0x5", "0x5"]


def test_an_older_release_does_not_know_finalized() -> None:
    """Neither for blocks nor for logs."""
    node = TronNode(head=100, knows_finalized=False)
    assert "error" in call(node, "eth_getBlockByNumber", "finalized", False)
    assert "error" in call(node, "eth_getLogs", {"toBlock": "finalized"})


def test_a_filter_expires_after_five_minutes() -> None:
    """So nothing that lasts may rest on one."""
    node = TronNode(head=1)
    node.transfer(ALICE, BOB, 1)
    name = call(node, "eth_newFilter", {"fromBlock": "0x0"})["result"]
    assert len(call(node, "eth_getFilterLogs", name)["result"]) == 1
    node.now_s += 300
    assert "error" in call(node, "eth_getFilterLogs", name)


def test_calls_take_the_prefix_of_tron() -> None:
    """And tell the token's decimals, code and the receipt of a transfer."""
    node = TronNode(head=1)
    sent = node.transfer(ALICE, BOB, 1)
    prefixed = "0x41" + TOKEN[2:]
    assert int(call(node, "eth_call", {"to": prefixed, "data": "0x313ce567"}, "latest")["result"], 16) == 6
    assert call(node, "eth_getCode", prefixed, "latest")["result"] == "0x6001"
    receipt = call(node, "eth_getTransactionReceipt", sent)["result"]
    assert (receipt["status"], len(receipt["logs"])) == ("0x1", 1)


def test_a_time_without_json_rpc_is_a_hole_for_ever() -> None:
    """Empty, and silent about it."""
    node = TronNode(head=1)
    node.transfer(ALICE, BOB, 1)
    node.hole = range(2, 3)
    assert call(node, "eth_getLogs", {"fromBlock": "0x0"})["result"] == []


def test_the_solidity_service_answers_from_the_last_solidified_block() -> None:
    """Addresses in hex with their prefix alone."""
    node = TronNode()
    node.transfer(ALICE, BOB, 7)
    node.mine(30)
    node.transfer(ALICE, BOB, 8)
    asked = {
        "owner_address": "41" + "0" * 40,
        "contract_address": "41" + TOKEN[2:],
        "function_selector": "balanceOf(address)",
        "parameter": padded(BOB)[2:],
    }
    assert [int(one, 16) for one in node.solid_call(asked)["constant_result"]] == [7]
    assert node.solid_call(asked | {"contract_address": TOKEN})["result"]["code"] == "OTHER_ERROR"
    assert node.solid_call(asked | {"contract_address": "41" + "9" * 40})["result"]["code"] == "CONTRACT_VALIDATE_ERROR"
