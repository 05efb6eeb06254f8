"""The sandbox's provider answers the relay's own calls: through its settings, over sockets, as a merchant makes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import load
from relay.core.answers import Absent, Made, Refused, Unclear, read_fact, read_made
from relay.core.calls import build
from relay.core.facts import ProviderFact
from relay.core.sources import Source
from relay.edge.provider import HTTPProvider
from relay.sandbox.book import V1, V2, Entry
from relay.sandbox.dialects import DIALECTS
from relay.sandbox.loopback import post
from relay.sandbox.plan import Plan, prepare
from relay.sandbox.provider import Provider
from relay.sandbox.watch import server
from tests.sandbox.built import TX_HASH, pay
from tests.sandbox.served import serving

ASKED = [name for name in DIALECTS if name not in (V2, "epusdt")]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """The plan of a first start."""
    return prepare(tmp_path / "plan.json")


@pytest.fixture
def provider(plan: Plan) -> Iterator[Provider]:
    """A provider that serves at the plan's port, and whose callbacks nobody takes."""
    made = Provider(plan.account, relay_url="", post=lambda _: (None, ""))
    with serving(server(made, port=plan.provider_port)):
        yield made


class Merchant:
    """Calls as the relay does, on the sandbox's settings."""

    def __init__(self, plan: Plan) -> None:
        self.sources = load(plan.environment()).sources

    def make(self, dialect: str, kind: str, **words: str) -> Any:
        """Have an order made."""
        source, call = self.sources[dialect], self.sources[dialect].adapter.creates[kind]
        usual = {"orderid": "sh-1", "user_ref": "12", "amount": "30.75", "callback_url": "http://relay/callbacks/x"}
        status, body = self._exchange(source, call, {**usual, **words})
        return read_made(call, "sh-1", status, body)

    def ask(self, dialect: str, orderid: str, **words: str) -> Any:
        """Ask what became of one."""
        source = self.sources[dialect]
        call = source.adapter.query
        assert call is not None
        status, body = self._exchange(source, call, {"orderid": orderid, "now": "1790000000", **words})
        return read_fact(call, source=dialect, namespace=source.namespace, orderid=orderid, status=status, body=body)

    def _exchange(self, source: Source, call: Any, words: dict[str, str]) -> tuple[int, bytes]:
        request = build(call, source.adapter.scheme, source.base_url, {**source.own_words, **words})
        reply = HTTPProvider().exchange(request, deadline_s=5)
        assert reply.status is not None
        return reply.status, reply.body


@pytest.fixture
def merchant(plan: Plan, provider: Provider) -> Merchant:
    """One who knows the account."""
    return Merchant(plan)


MADE = [(V1, "recharge"), (V2, "monitor"), (V2, "deposit")]


@pytest.mark.parametrize(("dialect", "kind"), MADE)
def test_an_order_is_made_once(merchant: Merchant, provider: Provider, dialect: str, kind: str) -> None:
    """At the address that was named, in lower case as the chain spells it; a second one of its name is refused."""
    made = merchant.make(dialect, kind, address="0xABCD")
    assert isinstance(made, Made)
    assert made.told["provider_order_id"] == "cz1"
    order = provider.find("sh-1")
    assert order is not None
    assert (order.dialect, order.amount, order.address) == (dialect, 307_500, "0xabcd")
    assert order.callback_url == "http://relay/callbacks/x"
    again = merchant.make(dialect, kind, address="0xABCD")
    assert isinstance(again, Refused)
    assert again.error.endswith("exists")


def test_a_deposit_may_leave_the_address_to_the_provider(merchant: Merchant) -> None:
    """Which tells it in its answer."""
    made = merchant.make(V2, "deposit")
    assert isinstance(made, Made)
    assert made.told["address"].startswith("0x")
    assert len(made.told["address"]) == 42


@pytest.mark.parametrize(("dialect", "kind"), MADE)
@pytest.mark.parametrize("words", [{"secret": "another"}, {"amount": "0"}, {"amount": "0.00001"}])
def test_an_order_that_is_wrong_is_refused_in_words(
    merchant: Merchant, provider: Provider, dialect: str, kind: str, words: dict[str, str]
) -> None:
    """And is not in the book."""
    made = merchant.make(dialect, kind, address="0xABCD", **words)
    assert isinstance(made, Refused)
    assert made.error.startswith(("sign error", "apikey is wrong") if "secret" in words else "param error")
    assert provider.find("sh-1") is None


@pytest.mark.parametrize("dialect", ASKED)
def test_what_became_of_an_order_is_told(merchant: Merchant, provider: Provider, dialect: str) -> None:
    """Nothing of a stranger, that it waits for money and for blocks on it, then that it was paid; SHKeeper's answer names no sum."""
    assert isinstance(merchant.ask(dialect, "sh-1"), Absent)
    order = provider.place(Entry("sh-1", "12", 307_500, dialect=dialect))
    assert order is not None
    assert merchant.ask(dialect, "sh-1").status == "pending"
    provider.pay(order.address, 30_750_000, TX_HASH)
    assert merchant.ask(dialect, "sh-1").status == "pending"
    pay(provider, Entry("sh-2", "12", 307_500, dialect=dialect))
    fact = merchant.ask(dialect, "sh-2")
    assert isinstance(fact, ProviderFact)
    assert fact.status == "succeeded"
    assert fact.amount_micros == (None if dialect == "shkeeper" else 30_750_000)
    assert fact.tx_hash == (TX_HASH if dialect == V1 else None)


@pytest.mark.parametrize("dialect", ASKED)
def test_who_has_not_the_key_is_told_nothing(merchant: Merchant, provider: Provider, dialect: str) -> None:
    """It does not read as an order that does not exist."""
    pay(provider, Entry("sh-1", "12", 307_500, dialect=dialect))
    wrong = {"secret": "another", "account.api_key": "another"}
    assert isinstance(merchant.ask(dialect, "sh-1", **wrong), Unclear)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"null", b'{"apikey": 1}', b'{"apikey": ["a"]}'])
def test_what_is_no_order_is_refused(plan: Plan, provider: Provider, body: bytes) -> None:
    """By every route that takes one."""
    for path in ("/api/merchant/TraderRechargeorder", "/api/orders/monitor", "/api/orders/deposit"):
        url = plan.provider_url + path
        status, answer = post(url, body, content_type="application/json", timeout_s=5)
        assert status == 200
        assert set(json.loads(answer)) & {"err", "error"}
