from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest

from relay.core.callbacks import Callback
from relay.core.parsing import RawRequest, read_callback
from relay.core.signatures import Secret
from relay.core.sources import Source
from relay.errors import CallbackRejected
from relay.sandbox.facts import _book
from relay.sandbox.loopback import ask, serve
from relay.sandbox.plan import adapter
from relay.sandbox.provider import FORM, UNIT_MICROS, Numbers, Provider, routes
from tests.sandbox.served import serving

SECRET = "the provider's secret"
SOURCE = Source(name="crossing", namespace="crossing", adapter=adapter(), appid="A1", secrets=(Secret.of(SECRET),))


class Relay:
    """The door of the relay, as far as the provider sees it."""

    def __init__(self) -> None:
        self.accepted: list[Callback] = []

    def __call__(self, body: bytes) -> tuple[int | None, str]:
        """Verify and read a posting as the relay does."""
        try:
            request = RawRequest(body=body, content_type=FORM, query="", headers={})
            self.accepted.append(read_callback(SOURCE, request, now=datetime.now(UTC)))
        except CallbackRejected as error:
            return error.http_status, error.code
        return 200, "success"


@pytest.fixture
def relay() -> Relay:
    """A door that remembers what came through it."""
    return Relay()


@pytest.fixture
def provider(relay: Relay) -> Provider:
    """A provider before that door."""
    return Provider(adapter(), appid="A1", secret=SECRET, post=relay, numbers=itertools.count(1).__next__, seed=7)


def test_what_the_provider_signs_is_accepted_and_means_the_same(provider: Provider, relay: Relay) -> None:
    """Order, user and amount arrive as they stand in the book."""
    entry = provider.order()
    [callback] = relay.accepted
    assert (callback.orderid, callback.user_ref, callback.amount_micros) == (
        entry.orderid,
        entry.user,
        entry.amount * UNIT_MICROS,
    )
    assert entry.sent[0].status == 200


def test_a_lost_callback_is_never_sent_and_never_repeated(provider: Provider, relay: Relay) -> None:
    """The book still says that it was paid."""
    lost = provider.order(lose=True)
    provider.order()
    assert lost.lost
    assert [callback.orderid for callback in relay.accepted] == ["sh-0002"]
    assert provider.book()["totals"] == {
        "orders": 2,
        "micros": (lost.amount + provider._entries[1].amount) * UNIT_MICROS,
        "lost": 1,
        "forged": 0,
    }


def test_a_repeated_callback_is_three_times_the_same(provider: Provider, relay: Relay) -> None:
    """Three postings race each other and say one thing."""
    provider.order(repeat=True)
    assert len(relay.accepted) == 3
    assert len(set(relay.accepted)) == 1


def test_a_forged_callback_is_refused(provider: Provider, relay: Relay) -> None:
    """A digit moved from the user to the order number, the signature kept."""
    assert provider.forge() is None
    genuine = provider.order()
    forged = provider.forge()
    assert forged is not None
    assert forged.user + forged.orderid == genuine.user[:-1] + genuine.user[-1] + genuine.orderid
    assert forged.forged_from == genuine.orderid
    assert (forged.sent[0].status, forged.sent[0].answer) == (401, "bad_signature")
    assert len(relay.accepted) == 1


def test_a_wrong_scale_is_signed_all_the_same(provider: Provider, relay: Relay) -> None:
    """The callback says ten times what was paid."""
    provider.arm("scale")
    entry = provider.order()
    assert relay.accepted[0].amount_micros == 10 * entry.amount * UNIT_MICROS


def test_an_armed_knob_works_once_and_waits_for_a_callback_that_is_sent(provider: Provider, relay: Relay) -> None:
    """Lose and repeat pressed together are two orders."""
    provider.arm("repeat")
    provider.arm("lose")
    assert provider.order().lost
    assert provider.book()["armed"] == {"lose": 0, "repeat": 1, "scale": 0}
    provider.order()
    provider.order()
    assert len(relay.accepted) == 4


def test_the_control_routes_do_what_the_board_asks(provider: Provider) -> None:
    """Order, arm, forge, and a book that reads back as what it was."""
    with serving(serve(routes(provider), port=0)) as url:
        assert ask(f"{url}/forge", {}) is None
        assert ask(f"{url}/orders", {"large": True})["amount"] == 12_000_000
        assert ask(f"{url}/arm", {"knob": "lose"}) == {"ok": True}
        assert ask(f"{url}/arm", {"knob": "everything"}) is None
        assert ask(f"{url}/forge", {})["forged_from"] == "sh-0001"
        book = _book(ask(f"{url}/book"))
    assert book is not None
    assert [entry.orderid[-7:] for entry in book.entries] == ["sh-0001", "sh-0001"]
    assert (book.orders, book.paid_micros, book.forged, book.armed["lose"]) == (1, 1_200_000_000, 1, 1)


def test_order_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    """The relay remembers every order for ever."""
    first = Numbers(tmp_path / "orders")
    assert [first.take(), first.take()] == [1, 2]
    assert Numbers(tmp_path / "orders").take() == 3
