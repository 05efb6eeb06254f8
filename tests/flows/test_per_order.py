"""Orders with a URL of their own: told there, under the secret of the endpoint whose prefix it matches."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sqlalchemy import Engine, select

from relay.core.webhooks import key_of, new_secret, signed_headers
from relay.flows.committer import Committer
from relay.flows.judgement import Arrival
from relay.store.engine import reading
from relay.store.rows import deliveries
from tests.builders import NOON, a_callback, a_source
from tests.fakes import FakeMemory, FakeOutbound, numbered_ids
from tests.flows.test_delivery import run, said, settled
from tests.rows import a_stored_order, an_endpoint

SECRET = new_secret(b"p" * 32)


def pay(engine: Engine, orderid: str, notify_url: str | None) -> None:
    """Let a registered order of a URL be paid."""
    paid = {"state": "created", "credited_micros": 0, "amount_micros": None, "amount_raw": None, "registered": True}
    a_stored_order(engine, orderid, notify_url=notify_url, **paid)
    committer = Committer(engine, FakeMemory(), clock=lambda: NOON, new_id=numbered_ids(orderid))
    callback = replace(a_callback(), orderid=orderid, signature=orderid)
    committer.commit([Arrival(raw={"source": "crossing", "received_at": NOON}, callback=callback, source=a_source())])


def told(engine: Engine) -> list[str]:
    """The endpoints that deliveries were written for."""
    with reading(engine) as connection:
        return sorted(connection.scalars(select(deliveries.c.endpoint_id)))


@pytest.mark.parametrize(
    ("prefix", "url", "is_told"),
    [
        ("https://shop.example/pay", "https://shop.example/pay", True),
        ("https://shop.example/pay", "https://shop.example/pay/1", True),
        ("https://shop.example/pay", "https://shop.example/pay?o=1", True),
        ("https://shop.example/pay/", "https://shop.example/pay/1", True),
        ("https://shop.example/", "https://shop.example/pay", True),
        ("https://shop.example/pay", "https://shop.example/payment", False),
        ("https://shop.example/pay/", "https://shop.example/pay", False),
        ("https://shop.example/p_y", "https://shop.example/pay", False),
        ("https://shop.example/%", "https://shop.example/pay", False),
        ("https://shop.example/pay", None, False),
    ],
)
def test_an_order_is_told_under_its_prefix(engine: Engine, prefix: str, url: str | None, *, is_told: bool) -> None:
    """By whole segments, in the database as in the rule; endpoints of the usual kind are told of every order."""
    an_endpoint(engine, id="all")
    an_endpoint(engine, id="tenant", kind="per_order", url=prefix)
    pay(engine, "sh-1", url)
    assert told(engine) == (["all", "tenant"] if is_told else ["all"])


def test_it_is_told_at_its_own_url_under_the_endpoints_secret(engine: Engine) -> None:
    """Each order at its own; a test event at the prefix itself."""
    secrets = json.dumps([{"secret": SECRET, "expires_at": None}])
    an_endpoint(engine, id="tenant", kind="per_order", url="https://shop.example/pay", secrets=secrets)
    an_endpoint(engine, id="else", kind="per_order", url="https://else.example/", secrets="[]")
    pay(engine, "sh-1", "https://shop.example/pay/1")
    pay(engine, "sh-2", "https://shop.example/pay/2?x=y")
    outbound = FakeOutbound(lambda *_: said())
    run(engine, outbound, until=settled(engine))
    assert sorted(url for url, _, _ in outbound.sent) == [
        "https://shop.example/pay/1",
        "https://shop.example/pay/2?x=y",
    ]
    for _, headers, body in outbound.sent:
        at = int(headers["webhook-timestamp"])
        assert headers == signed_headers(headers["webhook-id"], body, [key_of(SECRET)], timestamp=at)
