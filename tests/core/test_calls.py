"""What is sent to a provider, held to hand-made requests."""

from __future__ import annotations

import json
import tomllib
from hashlib import sha1
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import pytest

from config.sources import parse_sources
from relay.core.callbacks import Status
from relay.core.calls import build, parse_calls, parse_query, spell_amount
from relay.core.sections import Section
from tests.core.calling import SECRET, a_called_source, sources_toml
from tests.core.examples import preset

WORDS = {
    "orderid": "sh-1",
    "user_ref": "7",
    "amount": "3.5",
    "address": "TXYZopYRdj2D9XRtbG411XZZ3kM5VkAeBf",
    "callback_url": "https://relay.example/callbacks/crossing",
    "appid": "VunT0000h1l8",
    "account.username": "shop",
    "secret": SECRET,
    "now": "1700000000",
}


def test_an_order_of_v1_is_asked_for_as_its_provider_wants_it() -> None:
    """Every parameter is signed: names and values in the order of their names, the key behind them, SHA-1, upper case."""
    source = a_called_source()
    made = build(source.adapter.creates["recharge"], source.adapter.scheme, source.base_url, WORDS)
    fields = dict(parse_qsl(made.body.decode()))
    given = fields.pop("sign")
    text = "".join(name + fields[name] for name in sorted(fields)) + SECRET
    assert (made.method, made.url) == ("POST", "https://api.example/api/merchant/TraderRechargeorder")
    assert made.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert sorted(fields) == ["address", "amount", "appid", "localusermark", "notify_url", "orderid", "username"]
    assert given == sha1(text.encode()).hexdigest().upper()


def test_a_word_without_a_value_stops_the_call() -> None:
    """The provider would sign over an empty field, and who knows what it makes of one."""
    source = a_called_source()
    with pytest.raises(ValueError, match="address is missing"):
        build(source.adapter.creates["recharge"], source.adapter.scheme, source.base_url, WORDS | {"address": ""})


def a_query(**changes: Any) -> Any:
    table = {
        "path": "/stores/{account.store}/orders/{orderid}",
        "method": "GET",
        "body": "query",
        "headers": {"Authorization": "token {account.key}"},
        "fields": {"take": "1", "since": "{expires_at?}"},
        "answers": {"status": "status"},
        "statuses": {"done": "succeeded"},
    }
    faults: list[str] = []
    section = Section(table | changes, "x.query", faults)
    return parse_query(section, amount_form="decimal", unit_micros=1, statuses={}), faults


def test_a_key_travels_in_a_header_and_names_are_escaped() -> None:
    """Whatever an order is called, it stays one step of the path; a field that has no value is left out."""
    call, faults = a_query()
    words = {"orderid": "a/b ?&", "account.store": "s", "account.key": "k1"}
    made = build(call, a_called_source().adapter.scheme, "https://api.example", words)
    assert faults == []
    assert made.url == "https://api.example/stores/s/orders/a%2Fb%20%3F%26?take=1"
    assert (made.headers, made.body) == ({"Authorization": "token k1"}, b"")
    assert parse_qs(made.url.partition("?")[2]) == {"take": ["1"]}


def test_what_is_sent_is_not_for_a_log() -> None:
    """A request may bear a key."""
    made = build(
        a_query()[0], a_called_source().adapter.scheme, "", {"orderid": "1", "account.store": "s", "account.key": "k1"}
    )
    assert "k1" not in repr(made)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"path": "stores"}, "x.query.path: must begin with /"),
        ({"method": "POST"}, "x.query.body: a GET has its fields"),
        ({"ok": {"path": "status"}}, "x.query.ok: needs a path and the values"),
        ({"fields": {"a": "{ordered}"}}, "x.query.fields: {ordered} is not known"),
        ({"answers": {"status": "a..b"}}, "x.query.answers.status: must be a path"),
        ({"answers": {"status": "a", "stats": "b"}}, "x.query.answers.stats: is not known"),
        ({"answers": {}}, "x.query.answers.status: is missing"),
        ({"statuses": {}}, "x.query.statuses: is missing"),
        ({"statuses": {"done": "paid"}}, "x.query.statuses.done: must be one of"),
        ({"pth": "/"}, 'x.query.pth: is not known; did you mean "path"?'),
    ],
)
def test_a_faulty_call_is_named(changes: dict[str, Any], fault: str) -> None:
    """A typo is found at the start, not at the first order."""
    assert any(found.startswith(fault) for found in a_query(**changes)[1]), a_query(**changes)[1]


def test_a_create_must_be_able_to_succeed() -> None:
    """Without a condition or a number nothing tells a made order from an apology."""
    faults: list[str] = []
    parse_calls(
        Section({"deposit": {"path": "/d"}, "gift": {}}, "x.create", faults), amount_form="decimal", unit_micros=1
    )
    assert [fault.partition(":")[0] for fault in faults] == ["x.create.deposit.ok", "x.create.gift"]


@pytest.mark.parametrize(
    ("form", "unit", "micros", "text"),
    [
        ("integer", 100, 3_000_000, "30000"),
        ("decimal", 1, 3_000_000, "3"),
        ("decimal", 1, 3_500_001, "3.500001"),
        ("decimal", 100, 10_000_100, "10.0001"),
    ],
)
def test_amounts_are_spelled_as_the_provider_counts(form: str, unit: int, micros: int, text: str) -> None:
    """Whole units, or the shortest decimal."""
    call, _ = a_query(amount={"form": form, "unit_micros": unit})
    assert spell_amount(call, micros) == text


def test_an_amount_finer_than_the_unit_is_refused() -> None:
    """Rounding would ask the user for another sum."""
    call, _ = a_query(amount={"form": "integer", "unit_micros": 100})
    with pytest.raises(ValueError, match=r"0\.000100 USDT"):
        spell_amount(call, 3_000_001)


def test_a_source_says_what_its_query_needs() -> None:
    """What the question names of the account must be there, once there is somebody to ask."""
    text = sources_toml().replace('"{now}"', '"{account.pin}"')
    faults: list[str] = []
    parse_sources(text, lambda _: "", faults)
    assert faults == ["sources.crossing.account.pin: is needed to ask the provider at base_url"]
    quiet: list[str] = []
    assert parse_sources(text.replace('base_url = "https://api.example"', ""), lambda _: "", quiet)
    assert quiet == []


def test_a_source_may_bring_its_own_query() -> None:
    """The preset's is not published, so an account that knows it writes it down, and gains a witness."""
    with_query, without = a_called_source(), a_called_source(query=False)
    assert without.adapter.query is None
    assert with_query.adapter.query is not None
    assert with_query.adapter.query.statuses["1"] is Status.SUCCEEDED
    assert (with_query.recover, without.recover) == ("provider+chain", "chain")


def test_calls_stand_in_presets_as_tables() -> None:
    """The documented example is TOML that reads."""
    assert tomllib.loads(sources_toml())["sources"]["crossing"]["query"]["signature"] == "sign"


@pytest.mark.parametrize(
    ("name", "url", "header"),
    [
        ("shkeeper", "https://api.example/api/v1/invoices/sh-1", {"X-Shkeeper-Api-Key": SECRET}),
        ("btcpay", "https://api.example/api/v1/stores/s/invoices?orderId=sh-1", {"Authorization": "token k"}),
    ],
)
def test_presets_ask_as_their_providers_document(name: str, url: str, header: dict[str, str]) -> None:
    """With a key in a header; neither was tried on a live account."""
    adapter = preset(name)
    assert adapter.query is not None
    words = WORDS | {"account.store": "s", "account.api_key": "k"}
    made = build(adapter.query, adapter.scheme, "https://api.example", words)
    assert (made.method, made.url, made.headers) == ("GET", url, header)


@pytest.mark.parametrize("name", ["crossingpay-v2", "crossingpay-v2-snake"])
@pytest.mark.parametrize("kind", ["monitor", "deposit"])
def test_orders_of_v2_are_asked_for_in_json(name: str, kind: str) -> None:
    """By the names that its page gives, with the key among them."""
    adapter = preset(name)
    made = build(adapter.creates[kind], adapter.scheme, "https://api.example", WORDS)
    assert made.url == f"https://api.example/api/orders/{kind}"
    assert json.loads(made.body) == {
        "apikey": SECRET,
        "order_id": "sh-1",
        "address": WORDS["address"],
        "amount": "3.5",
        "callback": WORDS["callback_url"],
    }
