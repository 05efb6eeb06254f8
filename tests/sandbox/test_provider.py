from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from relay.sandbox.book import UNIT_MICROS, V1, Entry
from relay.sandbox.dialects import DIALECTS
from relay.sandbox.facts import _book
from relay.sandbox.loopback import ask, serve
from relay.sandbox.numbers import Numbers
from relay.sandbox.plan import Plan, prepare
from relay.sandbox.provider import Provider, Request, moved, routes
from relay.sandbox.shelf import Shelf
from tests.sandbox.built import TX_HASH, pay
from tests.sandbox.door import Door
from tests.sandbox.served import serving


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """The plan of a first start."""
    return prepare(tmp_path / "plan.json")


@pytest.fixture
def relay(plan: Plan) -> Door:
    """A door that remembers what came through it."""
    return Door(plan)


@pytest.fixture
def provider(plan: Plan, relay: Door) -> Provider:
    """A provider before that door."""
    return Provider(plan.account, relay_url="http://relay", post=relay)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_the_provider_signs_is_accepted_and_means_the_same(provider: Provider, relay: Door, dialect: str) -> None:
    """Order, amount and transaction arrive as they stand in the book, in every dialect that the sandbox's settings name."""
    entry = pay(provider, Entry("sh-1", "12", 307_500, dialect=dialect))
    [callback] = relay.accepted
    assert (callback.source, callback.orderid, callback.amount_micros) == (dialect, "sh-1", 30_750_000)
    assert callback.namespace == V1
    assert callback.tx_hash == (None if dialect == V1 else TX_HASH)
    assert entry.sent[0].status in (200, 202)


def test_an_order_is_placed_once_and_called_back_where_it_says(provider: Provider) -> None:
    """Number and address are the provider's, unless the merchant names an address of its own."""
    first = provider.place(Entry("sh-1", "12", 100_000))
    own = provider.place(Entry("sh-2", "12", 100_000, address="0xabc", callback_url="http://elsewhere"))
    assert first is not None
    assert own is not None
    assert (first.number, first.callback_url) == ("cz1", "http://relay/callbacks/crossing")
    assert (own.number, own.address, own.callback_url) == ("cz2", "0xabc", "http://elsewhere")
    assert len(first.address) == 42
    assert provider.place(Entry("sh-1", "13", 200_000)) is None


def test_only_the_first_payment_to_an_address_of_the_book_counts(provider: Provider) -> None:
    """What arrives elsewhere is nobody's; what was paid replaces what was asked for."""
    order = provider.place(Entry("sh-1", "12", 100_000))
    assert order is not None
    assert provider.pay("0x" + "0" * 40, 1_000_000, "0x1") is None
    assert provider.pay(order.address, 12_500_000, "0x2") == "sh-1"
    assert provider.pay(order.address, 12_500_000, "0x3") is None
    found = provider.find("sh-1")
    assert found is not None
    assert found.payment is not None
    assert (found.amount, found.payment.tx_hash) == (125_000, "0x2")


def test_a_lost_callback_is_never_sent_and_never_repeated(provider: Provider, relay: Door) -> None:
    """The book still says that it was paid."""
    provider.arm("lose", "sh-1")
    lost, other = (pay(provider, Entry(orderid, "12", 100_000)) for orderid in ("sh-1", "sh-2"))
    assert (lost.lost, other.lost) == (True, False)
    assert [callback.orderid for callback in relay.accepted] == ["sh-2"]
    assert provider.book()["totals"] == {
        "placed": 2,
        "orders": 2,
        "micros": 200_000 * UNIT_MICROS,
        "lost": 1,
        "forged": 0,
    }


def test_a_repeated_callback_is_three_times_the_same(provider: Provider, relay: Door) -> None:
    """Three postings race each other and say one thing."""
    provider.arm("repeat")
    pay(provider, Entry("sh-1", "12", 100_000))
    assert len(relay.accepted) == 3
    assert len(set(relay.accepted)) == 1


def test_a_forged_callback_is_refused(provider: Provider, relay: Door) -> None:
    """A digit moved from the user to the order number, the signature kept."""
    assert provider.forge() is None
    pay(provider, Entry("sh-1", "127", 100_000))
    forged = provider.forge()
    assert forged is not None
    assert (forged.user, forged.orderid, forged.forged_from) == ("12", "7sh-1", "sh-1")
    assert (forged.sent[0].status, forged.sent[0].answer) == (401, "bad_signature")
    assert len(relay.accepted) == 1


def test_a_moved_digit_leaves_the_bytes_between_the_names_alone() -> None:
    """Only user and order differ."""
    assert moved({"localusermark": "127", "orderid": "sh-1", "t": "1"}) == {
        "localusermark": "12",
        "orderid": "7sh-1",
        "t": "1",
    }


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_wrong_scale_is_signed_all_the_same(provider: Provider, relay: Door, dialect: str) -> None:
    """The callback says ten times what was paid."""
    provider.arm("scale")
    pay(provider, Entry("sh-1", "12", 100_000, dialect=dialect))
    assert relay.accepted[0].amount_micros == 100_000_000


# What was answered, the amounts that were accepted, and whether the book then says confirmed, and denied.
TRICKS: dict[str, tuple[list[int | None], list[int], bool, bool]] = {
    "lose": ([], [], True, False),
    "hide": ([200], [10_000_000], False, False),
    "deny": ([200], [10_000_000], True, True),
    "garble": ([401], [], True, False),
    "contradict": ([200, 200], [10_000_000, 20_000_000], True, False),
    "claim": ([200], [10_000_000], True, False),
}


@pytest.mark.parametrize(("trick", "end"), TRICKS.items(), ids=TRICKS)
def test_an_order_of_its_own_meets_with_a_trick(
    provider: Provider, relay: Door, trick: str, end: tuple[list[int | None], list[int], bool, bool]
) -> None:
    """The next order is as usual."""
    provider.arm(trick, "sh-1")
    placed = provider.place(Entry("sh-1", "12", 100_000))
    assert placed is not None
    provider.pay(placed.address, 5_000_000 if trick == "claim" else 10_000_000, TX_HASH)
    provider.call_back("sh-1")
    statuses, amounts = [sent.status for sent in placed.sent], [one.amount_micros for one in relay.accepted]
    assert (statuses, amounts, placed.confirmed, placed.denied) == end
    assert [sent.status for sent in pay(provider, Entry("sh-2", "12", 100_000)).sent] == [200]


def test_a_payment_that_nobody_made_is_claimed_once(provider: Provider, relay: Door) -> None:
    """An order that was paid, or that there is not, is left alone."""
    provider.place(Entry("sh-1", "12", 100_000))
    assert [provider.confirm(orderid, "0x1") for orderid in ("sh-1", "sh-1", "sh-2")] == [True, False, False]
    assert [callback.amount_micros for callback in relay.accepted] == [10_000_000]


def test_an_armed_knob_works_once_and_waits_for_a_callback_that_is_sent(provider: Provider, relay: Door) -> None:
    """Lose and repeat pressed together are two orders."""
    provider.arm("repeat")
    provider.arm("lose")
    assert pay(provider, Entry("sh-1", "12", 100_000)).lost
    assert provider.book()["armed"] == {"lose": 0, "repeat": 1, "scale": 0}
    pay(provider, Entry("sh-2", "12", 100_000))
    pay(provider, Entry("sh-3", "12", 100_000))
    assert len(relay.accepted) == 4


def test_the_control_routes_do_what_the_sandbox_asks(provider: Provider) -> None:
    """Place, arm, forge, and a book that reads back as what it was."""
    order = {"orderid": "sh-1", "user": "12", "amount": 100_000, "dialect": "epusdt"}
    with serving(serve(routes(provider), port=0)) as url:
        assert ask(f"{url}/forge", {}) is None
        assert ask(f"{url}/orders", order)["number"] == "cz1"
        assert ask(f"{url}/orders", order) is None
        assert ask(f"{url}/orders", {**order, "dialect": "latin"}) is None
        assert ask(f"{url}/arm", {"knob": "lose"}) == {"ok": True}
        assert ask(f"{url}/arm", {"knob": "deny"}) is None
        assert ask(f"{url}/arm", {"knob": "deny", "orderid": "sh-9"}) == {"ok": True}
        assert ask(f"{url}/confirm", {"orderid": "sh-9", "tx_hash": "0x1"}) is None
        provider.arm("repeat", "sh-2")
        pay(provider, Entry("sh-2", "12", 300_000))
        pay(provider, Entry("sh-3", "12", 300_000))
        assert ask(f"{url}/forge", {}, timeout_s=5)["forged_from"] == "sh-3"
        book = _book(ask(f"{url}/book"))
    assert book is not None
    assert [(entry.orderid, entry.payment is not None) for entry in book.entries] == [
        ("2sh-3", False),
        ("sh-3", True),
        ("sh-2", True),
        ("sh-1", False),
    ]
    assert (book.orders, book.paid_micros, book.forged, book.lost) == (2, 60_000_000, 1, 1)


def test_the_oldest_orders_are_forgotten(monkeypatch: pytest.MonkeyPatch, provider: Provider) -> None:
    """So that a sandbox may run for days."""
    monkeypatch.setattr("relay.sandbox.provider.MOST", 2)
    for number in (1, 2, 3):
        provider.place(Entry(f"sh-{number}", "12", 100_000))
    assert [provider.find(f"sh-{number}") is None for number in (1, 2, 3)] == [True, False, False]


def test_the_book_goes_on_after_a_restart(plan: Plan, relay: Door, tmp_path: Path) -> None:
    """Every line as it was, with its sums and its beginning; what waits for confirmations still does."""

    def start() -> Provider:
        return Provider(plan.account, relay_url="http://relay", post=relay, shelf=Shelf(tmp_path / "book.db"))

    first = start()
    first.arm("lose", "sh-2")
    pay(first, Entry("sh-1", "12", 100_000))
    pay(first, Entry("sh-2", "12", 200_000))
    first.place(Entry("sh-3", "12", 300_000))
    fourth = first.place(Entry("sh-4", "12", 300_000))
    assert fourth is not None
    first.pay(fourth.address, 30_000_000, "0x4")
    second = start()
    assert second.book() == first.book()
    assert second.unconfirmed == {"sh-4": "0x4"}
    assert second.place(Entry("sh-1", "12", 100_000)) is None
    fifth = second.place(Entry("sh-5", "12", 100_000))
    assert fifth is not None
    assert fifth.number == "cz5"


def test_order_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    """The relay remembers every order for ever; two processes count together."""
    first, second = Numbers(tmp_path / "orders"), Numbers(tmp_path / "orders")
    assert [first.take(), first.take(), second.take(), first.take()] == [1, 2, 3, 4]
    assert Numbers(tmp_path / "orders").take() == 5


def test_a_callback_of_v1_is_a_form(plan: Plan) -> None:
    """As the provider's page shows it: five fields and a signature, the amount in ten-thousandths."""
    bodies: list[bytes] = []

    def keep(request: Request) -> tuple[int | None, str]:
        bodies.append(request.body)
        return 200, "success"

    post: Callable[[Request], tuple[int | None, str]] = keep
    pay(Provider(plan.account, relay_url="", post=post), Entry("sh-1", "12", 307_500))
    fields = {name: values[0] for name, values in parse_qs(bodies[0].decode()).items()}
    assert set(fields) == {"appid", "orderid", "localusermark", "amount", "t", "sign"}
    assert (fields["amount"], fields["localusermark"]) == ("307500", "12")
