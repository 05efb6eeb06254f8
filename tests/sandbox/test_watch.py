from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from relay.sandbox.book import Entry
from relay.sandbox.chain.driver import SandboxChain
from relay.sandbox.chain.evm import EVM
from relay.sandbox.chain.rpc import routes
from relay.sandbox.dialects import Account
from relay.sandbox.loopback import serve
from relay.sandbox.provider import Provider, Request
from relay.sandbox.watch import CONFIRMATIONS, Watcher
from tests.sandbox.served import serving


@pytest.fixture(scope="module")
def chain() -> Iterator[SandboxChain]:
    """A chain that mines only when told to."""
    with serving(serve(routes(EVM()), port=0, open_paths=frozenset({"/"}))) as url:
        yield SandboxChain(url)


APPIDS = itertools.count(1)


class Scene:
    """A provider that watches the chain, and what it called back."""

    def __init__(self, chain: SandboxChain) -> None:
        self.chain = chain
        self.called: list[str] = []
        account = Account(f"A{next(APPIDS)}", "a secret")
        self.provider = Provider(account, relay_url="", post=self._post)
        self.watcher = Watcher(self.provider, chain, at_once)
        self.watcher.look()

    def order(self, orderid: str, address: str = "") -> str:
        """Place an order; return its address."""
        placed = self.provider.place(Entry(orderid, "12", 100_000, address=address))
        assert placed is not None
        return placed.address

    def pay(self, address: str) -> None:
        """Send ten USDT, and mine."""
        self.chain.transfer(self.chain.accounts[1], address, 10_000_000)
        self.chain.mine()
        self.watcher.look()

    def mine(self, blocks: int = 1) -> None:
        """Mine, and look."""
        self.chain.mine(blocks)
        self.watcher.look()

    def _post(self, request: Request) -> tuple[int | None, str]:
        self.called.append(request.body.decode())
        return 200, "success"


def at_once(act: Callable[[str], None], orderid: str) -> Any:
    act(orderid)


@pytest.fixture
def scene(chain: SandboxChain) -> Scene:
    """A provider of its own for each test."""
    return Scene(chain)


def test_an_order_is_called_back_after_its_confirmations(scene: Scene) -> None:
    """The payment's own block is the first; once, however often one looks."""
    scene.pay(scene.order("sh-1"))
    order = scene.provider.find("sh-1")
    assert order is not None
    assert order.payment is not None
    for _ in range(CONFIRMATIONS - 2):
        scene.mine()
    assert scene.called == []
    scene.mine()
    scene.mine()
    assert len(scene.called) == 1
    assert "orderid=sh-1" in scene.called[0]


def test_a_payment_whose_block_was_replaced_is_waited_for(scene: Scene) -> None:
    """It is mined again in another block, and confirmed anew."""
    scene.pay(scene.order("sh-1"))
    scene.chain.reorg(1)
    scene.watcher.look()
    assert scene.called == []
    scene.mine(CONFIRMATIONS)
    assert len(scene.called) == 1


def test_a_payment_is_confirmed_after_a_restart(scene: Scene) -> None:
    """Whatever was seen before it."""
    scene.pay(scene.order("sh-1"))
    scene.watcher = Watcher(scene.provider, scene.chain, at_once)
    scene.mine(CONFIRMATIONS)
    assert len(scene.called) == 1


def test_a_payment_that_came_before_its_order_is_found(scene: Scene) -> None:
    """The provider may hear of an order a few blocks late."""
    address = scene.order("sh-1")
    late = Scene(scene.chain)
    scene.pay(address)
    late.mine()
    late.order("sh-1", address)
    late.mine(CONFIRMATIONS)
    assert len(late.called) == 1


def test_what_is_paid_to_strangers_calls_nobody(scene: Scene) -> None:
    """The token has other users."""
    scene.pay(scene.chain.accounts[2])
    scene.mine(CONFIRMATIONS)
    assert scene.called == []
