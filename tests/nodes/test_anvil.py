"""Tests of the anvil fixture: it is a node of its own, and it goes back on demand."""

from __future__ import annotations

from web3 import HTTPProvider, Web3
from web3.types import RPCEndpoint


def test_anvil_mines_and_goes_back_on_demand(anvil_url: str) -> None:
    """Snapshot, mine and revert are what the reorg tests stand on."""
    chain = Web3(HTTPProvider(anvil_url))
    start = chain.eth.block_number
    kept = chain.provider.make_request(RPCEndpoint("evm_snapshot"), [])["result"]
    chain.provider.make_request(RPCEndpoint("anvil_mine"), ["0x3"])
    assert chain.eth.block_number == start + 3
    assert chain.provider.make_request(RPCEndpoint("evm_revert"), [kept])["result"] is True
    assert chain.eth.block_number == start
