"""The provider of the tests and the provider of the sandbox keep one contract, so that what is tried with one holds for the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from relay.core.answers import Absent, Made, Refused, Unclear, read_fact, read_made
from relay.core.calls import Call, build
from relay.edge.provider import HTTPProvider
from relay.sandbox.dialects import Account
from relay.sandbox.provider import Provider
from relay.sandbox.watch import server
from tests.core.calling import SECRET, a_called_source
from tests.edge.providers import FakeProvider
from tests.sandbox.served import serving

APPID, ADDRESS, TX_HASH, PAID_AT = "VunT0000h1l8", "0xabcd", "0x" + "ab" * 32, 1_790_000_000
ORDER = {"orderid": "sh-1", "user_ref": "7", "amount": "3.5", "address": ADDRESS, "callback_url": "http://relay/x"}


@dataclass
class Side:
    """One of the two: where it answers, and how an order of 3.5 USDT is paid there."""

    url: str
    pay: Callable[[], object]

    def make(self, **words: str) -> Any:
        """Have the order made as the relay does."""
        call = a_called_source().adapter.creates["recharge"]
        return read_made(call, "sh-1", *self._exchange(call, {**ORDER, **words}))

    def ask(self, **words: str) -> Any:
        """Ask about the order as the relay does."""
        call = a_called_source().adapter.query
        assert call is not None
        status, body = self._exchange(call, {"orderid": "sh-1", "now": "1790000000", **words})
        return read_fact(call, source="crossing", namespace="crossing", orderid="sh-1", status=status, body=body)

    def _exchange(self, call: Call, words: dict[str, str]) -> tuple[int, bytes]:
        source = a_called_source(self.url)
        request = build(call, source.adapter.scheme, source.base_url, {**source.own_words, **words})
        reply = HTTPProvider().exchange(request, deadline_s=5)
        assert reply.status is not None
        return reply.status, reply.body


@contextmanager
def of_the_tests() -> Iterator[Side]:
    provider = FakeProvider()
    paid = {"status": 1, "amount": "3.5", "txid": TX_HASH, "t": PAID_AT}
    yield Side(provider.url, lambda: provider.paid.update({"sh-1": paid}))
    provider.close()


@contextmanager
def of_the_sandbox() -> Iterator[Side]:
    def pay() -> None:
        provider.pay(ADDRESS, 3_500_000, TX_HASH)
        provider.call_back("sh-1")

    account = Account(APPID, SECRET)
    provider = Provider(account, relay_url="", post=lambda _: (None, ""))
    with serving(server(provider, port=0)) as url:
        yield Side(url, pay)


@pytest.fixture(params=[of_the_tests, of_the_sandbox])
def side(request: pytest.FixtureRequest) -> Iterator[Side]:
    """Each of the two."""
    with request.param() as found:
        yield found


def test_an_order_is_made_and_told_by_its_number(side: Side) -> None:
    """The provider gives it one of its own."""
    made = side.make()
    assert isinstance(made, Made)
    assert set(made.told) == {"provider_order_id"}


def test_the_same_order_again_is_refused(side: Side) -> None:
    """In these words, whatever else it says."""
    side.make()
    assert side.make() == side.make(amount="4") == Refused("orderid exists")


@pytest.mark.parametrize("act", ["make", "ask"])
def test_a_signature_of_another_key_is_refused(side: Side, act: str) -> None:
    """And nothing is learnt of the order by it."""
    side.make()
    answer = side.make(secret="another") if act == "make" else side.ask(secret="another")
    assert answer == (Refused("sign error") if act == "make" else Unclear("sign error"))


def test_an_order_that_was_never_made_is_absent(side: Side) -> None:
    """Not merely unclear."""
    assert side.ask() == Absent()


def test_an_order_waits_for_money_then_is_paid(side: Side) -> None:
    """Paid, the answer says how much, and by which transaction."""
    made = side.make()
    waiting = side.ask()
    assert (waiting.status, waiting.amount_micros, waiting.tx_hash) == ("pending", None, None)
    side.pay()
    paid = side.ask()
    assert (paid.status, paid.amount_micros, paid.tx_hash) == ("succeeded", 3_500_000, TX_HASH)
    assert (paid.provider_order_id, paid.occurred_at is None) == (made.told["provider_order_id"], False)
