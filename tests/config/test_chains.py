"""Chains are read with their nodes, and every fault has its place."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from config.chains import parse_chains
from config.settings import DEFAULT_CHAINS
from relay.core.chains import Chain

FILE = DEFAULT_CHAINS.read_text(encoding="utf-8")
# The chains that are commented out. Source: Tether's supported protocols, and USDT0's deployments.
OTHERS = {
    "polygon": (137, "finalized", ["0xc2132d05d31c914a87c6611c10748aeb04b58e8f"]),
    "arbitrum": (42161, "safe", ["0xfd086bc7cd5c481dcc9c85ebe478a1c0b69fcbb9"]),
    "optimism": (
        10,
        "safe",
        ["0x94b008aa00579c1307b0ef2c499ad98a8ce58e58", "0x01bff41798a0bcf287b996046ca68b395dbc1071"],
    ),
    "avalanche": (
        43114,
        "finalized",
        ["0x9702230a8ea53601f5cd2dc00fdbc13d4df4a8c7", "0xc7198437980c041c805a1edcba50c1ce5db95118"],
    ),
}
ONE = """
[chains.bsc]
chain_id = 56
finality = "finalized"
block_ms = 750
tokens = [{ contract = "0x55d398326f99059fF775485246999027B3197955", decimals = 18 }]
"""


def read(text: str, environ: Mapping[str, str] | None = None) -> tuple[dict[str, Chain], list[str]]:
    """The chains of a text, and what is wrong with it."""
    faults: list[str] = []
    return parse_chains(text, lambda name: (environ or {}).get(name, ""), faults), faults


def test_the_file_names_the_chains_and_none_is_on_without_nodes() -> None:
    """Whoever sets nothing reads nothing."""
    chains, faults = read(FILE)
    assert (list(chains), faults) == (["tron", "ethereum", "bsc"], [])
    assert not any(chain.is_on for chain in chains.values())
    assert chains["tron"].tokens[0].contract == "0xa614f803b6fd780986a42c78ec9c7f77e6ded13c"


def test_the_chains_that_are_commented_out_have_the_right_shape() -> None:
    """Taking the comment away is enough."""
    chains, faults = read(
        re.sub(r"^# (?=[\[a-z \]])", "", FILE.partition("[chains.tron]")[2], flags=re.MULTILINE).join(
            ["[chains.tron]", ""]
        )
    )
    assert faults == []
    found = {
        name: (one.chain_id, one.finality, [token.contract for token in one.tokens]) for name, one in chains.items()
    }
    assert {name: found[name] for name in OTHERS} == OTHERS
    assert all(token.decimals == 6 for name in OTHERS for token in chains[name].tokens)
    # Contracts on Arbitrum see the block number of Ethereum: a Multicall3 there names another block than its node.
    multicalls = {name: chains[name].multicall for name in chains if name not in {"tron", "arbitrum"}}
    assert set(multicalls.values()) == {"0xca11bde05977b3631167028862be2a173976ca11"}
    assert chains["arbitrum"].multicall is None
    assert all(one.explorer_tx and one.explorer_address for one in chains.values())


def test_nodes_come_with_their_headers_and_are_not_shown() -> None:
    """A key may stand in the path and in the header."""
    urls = "https://a.example/v2/KEY1#TRON-PRO-API-KEY=KEY2, http://127.0.0.1:8545"
    chains, faults = read(ONE, {"CHAIN_BSC_RPC_URLS": urls})
    assert faults == []
    first, second = chains["bsc"].nodes
    assert (first.name, first.headers) == ("1:a.example", {"TRON-PRO-API-KEY": "KEY2"})
    assert second.url == "http://127.0.0.1:8545"
    assert "KEY" not in repr(chains)


def test_solidity_services_are_tron_s_alone() -> None:
    """With a header each, as nodes have."""
    chains, faults = read(FILE, {"CHAIN_TRON_SOLIDITY_URLS": "https://a.example#TRON-PRO-API-KEY=KEY"})
    assert faults == []
    (service,) = chains["tron"].solidity
    assert (service.url, service.headers) == ("https://a.example", {"TRON-PRO-API-KEY": "KEY"})
    assert not chains["ethereum"].solidity
    assert read(FILE, {"CHAIN_TRON_SOLIDITY_URLS": "a.example"})[1] == [
        "CHAIN_TRON_SOLIDITY_URLS: entry 1 must be an http or https URL"
    ]


@pytest.mark.parametrize(
    ("text", "urls", "fault"),
    [
        (ONE + "spam = 1", "", "chains.bsc.spam: is not known"),
        (ONE + "confirmations = 5", "", "chains.bsc.confirmations:"),
        (ONE.replace('"finalized"', '"confirmations"'), "", "chains.bsc.confirmations:"),
        (ONE.replace("7955", "7956"), "", "chains.bsc.tokens[0].contract: has a wrong checksum"),
        (ONE.replace("chain_id = 56", ""), "", "chains.bsc.chain_id:"),
        (ONE + ONE.replace("bsc", "other"), "", "chains.other: has the chain id of bsc"),
        (
            ONE + 'explorer_tx = "https://x.example/tx/"',
            "",
            "chains.bsc.explorer_tx: must be an http or https URL with {}",
        ),
        (ONE + 'explorer_address = "javascript:{}"', "", "chains.bsc.explorer_address: must be"),
        (ONE.replace("bsc", "BSC"), "", "chains.BSC: a name is lower-case letters"),
        (ONE, "ftp://x/KEY", "CHAIN_BSC_RPC_URLS: entry 1 must be"),
        (ONE, "https://x.example#nothing", "CHAIN_BSC_RPC_URLS: entry 1 must have"),
        ("[", "", "RELAY_CHAINS: is not TOML"),
        ("x = 1", "", "RELAY_CHAINS"),
    ],
)
def test_a_fault_stops_all_chains_and_names_its_place(text: str, urls: str, fault: str) -> None:
    """The values of nodes are not repeated."""
    chains, faults = read(text, {"CHAIN_BSC_RPC_URLS": urls})
    assert chains == {}
    assert any(told.startswith(fault) for told in faults), faults
    assert not any("KEY" in told for told in faults)


def test_the_file_names_what_is_left_out_as_it_is() -> None:
    """A section that says it changes nothing by that."""
    [told] = re.findall(r"^# Left out: (.+)\.$", FILE, re.MULTILINE)
    (said, faults), (silent, _) = read(ONE + told.replace(", ", "\n")), read(ONE)
    assert (said, faults) == (silent, [])
