"""Own the fixtures of the chain nodes, for every room of the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relay.sandbox import loopback
from relay.sandbox.chain.driver import SandboxChain
from relay.sandbox.chain.evm import EVM
from relay.sandbox.chain.rpc import routes
from tests.nodes import anvil
from tests.nodes.tron import TronNode, served
from tests.sandbox.served import serving


@pytest.fixture(scope="session")
def anvil_url() -> Iterator[str]:
    """The URL of a real EVM node; skipped, with the reason, where its package cannot be had."""
    try:
        with anvil.anvil() as url:
            yield url
    except anvil.Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def tron_node() -> TronNode:
    """A TRON-like chain that the test writes."""
    return TronNode()


@pytest.fixture
def tron_url(tron_node: TronNode) -> Iterator[str]:
    """The URL at which that chain is served."""
    with served(tron_node) as url:
        yield url


@pytest.fixture
def sandbox_chain() -> Iterator[SandboxChain]:
    """An EVM chain of its own with a token like USDT, behind JSON-RPC; it mines when the test says so."""
    with serving(loopback.serve(routes(EVM()), port=0, open_paths=frozenset({"/"}))) as url:
        yield SandboxChain(url)
