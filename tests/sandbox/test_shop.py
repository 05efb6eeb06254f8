from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.sandbox.book import V1, V2
from relay.sandbox.chain.driver import ChainAway
from relay.sandbox.dialects import DIALECTS, address_for
from relay.sandbox.loopback import Call, Handler, Reply, serve
from relay.sandbox.numbers import Numbers
from relay.sandbox.plan import Plan, prepare
from relay.sandbox.provider import Provider, routes
from relay.sandbox.shop import AMOUNTS, Shop, shop_of
from tests.sandbox.served import serving

ACCOUNTS = ["0x01", "0x02", "0x03"]


class World:
    """A relay that makes every order unless told otherwise, a provider, and a chain that takes every transfer."""

    def __init__(self) -> None:
        self.status = 201
        self.asked: list[tuple[str, dict[str, Any], str]] = []
        self.transfers: list[dict[str, Any]] = []

    def relay(self) -> dict[str, Handler]:
        return {"POST /v1/orders": self._take, "POST /v1/orders/import": self._take}

    def chain(self) -> dict[str, Handler]:
        state = {"head": 1, "final": 0, "token": "0xt", "accounts": ACCOUNTS}
        return {"GET /state": lambda _: Reply(200, state), "POST /": self._transfer}

    def _take(self, call: Call) -> Reply:
        self.asked.append((call.path, call.value(), call.headers["authorization"]))
        return Reply(self.status, {})

    def _transfer(self, call: Call) -> Reply:
        self.transfers.append(call.value()["params"][0])
        return Reply(200, {"result": "0xhash"})


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def provider() -> Provider:
    """A provider that calls nobody."""
    plan = Plan("A1", "s", "k", "a", 1, 2, {})
    return Provider(plan.account, relay_url="", post=lambda _: (None, ""))


@pytest.fixture
def shop(world: World, provider: Provider, tmp_path: Path) -> Iterator[Shop]:
    """A shop among them."""
    plan = replace(prepare(tmp_path / "plan.json"), appid="A1")
    with (
        serving(serve(world.relay(), port=0, open_paths=frozenset({"/v1/orders", "/v1/orders/import"}))) as relay_url,
        serving(serve(routes(provider), port=plan.provider_port)),
        serving(serve(world.chain(), port=plan.chain_port)),
    ):
        yield Shop(
            replace(plan, relay_url=relay_url), key="k", numbers=Numbers(tmp_path / "orders"), dice=random.Random(7)
        )


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_order_is_made_where_its_dialect_has_it_made(
    shop: Shop, world: World, provider: Provider, dialect: str
) -> None:
    """By the relay at V1 and V2; elsewhere at the provider, and the relay is told."""
    order = shop.order(dialect)
    assert order is not None
    [(path, told, authorization)] = world.asked
    assert authorization == "Bearer k"
    assert (told["source"], told["orderid"], told["chain"]) == (dialect, "sh-0001", "sandbox")
    assert told["address"] == order.address == address_for("A1", "sh-0001")
    assert float(told["amount"]) * 10_000 == order.amount
    assert order.amount in AMOUNTS
    found = provider.find("sh-0001")
    if dialect in (V1, V2):
        assert (path, told["kind"], found) == ("/v1/orders", "recharge" if dialect == V1 else "monitor", None)
    else:
        assert path == "/v1/orders/import"
        assert found is not None
        assert (found.dialect, found.amount, found.address) == (dialect, order.amount, order.address)


def test_a_key_that_was_set_is_the_relays(tmp_path: Path, world: World) -> None:
    """Not the one that the plan keeps for a relay of which none was set."""
    path = tmp_path / "sandbox.json"
    with serving(serve(world.relay(), port=0, open_paths=frozenset({"/v1/orders"}))) as relay_url:
        ours = prepare(path, relay_url).environment()
        for environ in (ours, ours | {"RELAY_ADMIN_KEY": "s" * 32}):
            assert shop_of(path, environ).tell("/v1/orders", {})
    assert [key for _, _, key in world.asked] == [f"Bearer {ours['RELAY_ADMIN_KEY']}", "Bearer " + "s" * 32]


def test_an_order_is_paid_on_the_chain_by_who_ordered(shop: Shop, world: World) -> None:
    """In the token's units, from an account that holds some; the first one made the token."""
    order = shop.order(amount=307_500)
    assert order is not None
    assert shop.pay(order) == "0xhash"
    [sent] = world.transfers
    assert (sent["from"], sent["to"]) == ("0x02", "0xt")
    assert sent["data"] == f"0xa9059cbb{int(order.address, 16):064x}{30_750_000:064x}"


def test_an_order_that_the_relay_does_not_make_is_none(shop: Shop, world: World) -> None:
    """An accepted one that is finished later counts as made."""
    world.status = 503
    assert shop.order() is None
    world.status = 202
    assert shop.order() is not None


def test_nobody_orders_while_the_chain_is_away(world: World, tmp_path: Path) -> None:
    """An order that cannot be paid would wait for ever."""
    plan = replace(prepare(tmp_path / "plan.json"), chain_port=1)
    shop = Shop(plan, key="k", numbers=Numbers(tmp_path / "orders"))
    with pytest.raises(ChainAway):
        shop.order()
    assert not (tmp_path / "orders").exists()
    assert json.dumps(world.asked) == "[]"
