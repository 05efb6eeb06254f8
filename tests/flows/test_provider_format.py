"""Credits told to handlers that read only their provider's own words, verified as such a handler does."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from sqlalchemy import Engine, select, update

from config.sources import parse_sources
from relay.core.callbacks import Origin
from relay.core.parsing import RawRequest
from relay.core.sources import Source
from relay.core.webhooks import new_secret
from relay.flows.committer import Committer
from relay.flows.intake import Intake, Request
from relay.ports import Answer
from relay.store.engine import reading, writing
from relay.store.rows import attempts, deliveries
from tests.builders import a_callback
from tests.fakes import FakeMemory, FakeOutbound, numbered_ids
from tests.flows.test_delivery import now, run, said
from tests.rows import an_endpoint

SECRET, OWN = "the-secret-of-the-source", new_secret(b"o" * 32)
SOURCES = """
[sources.crossing]
adapter = "crossingpay-v1"
appid = "VunT0000h1l8"
secrets = ["the-secret-of-the-source", "an-older-one"]

[sources.header]
secrets = ["the-secret-of-the-source"]
body = "json"
status = "succeeded"
evidence = ["signature"]
amount = { form = "decimal" }
fields.orderid = { pattern = "[a-z0-9-]{1,64}" }
fields.amount = { pattern = "[0-9.]{1,20}" }
signature = { name = "X-Signature", location = "header", envelope = "body", digest = "hmac-sha256" }
ack = { body = "OK" }
"""
IDS = numbered_ids()
Sent = tuple[str, dict[str, str], bytes]


def the_sources() -> dict[str, Source]:
    """The configuration as it is read."""
    faults: list[str] = []
    found = parse_sources(SOURCES, str, faults)
    assert faults == []
    return found


def handles(sent: Sent, secret: str = SECRET) -> dict[str, str] | None:
    """What an old handler of crossingpay-v1 reads of a request; None when it does not verify."""
    fields = dict(parse_qsl(sent[2].decode(), strict_parsing=True))
    claimed = fields.pop("sign")
    text = "".join(name + fields[name] for name in sorted(fields)) + secret
    return fields if hashlib.sha1(text.encode()).hexdigest().upper() == claimed else None


def a_form(orderid: str = "sh-1", at: int = 1_700_000_000) -> bytes:
    """What the provider sends, its fields in an order of its own."""
    fields = {"t": str(at), "orderid": orderid, "amount": "30000", "localusermark": "1", "appid": "VunT0000h1l8"}
    text = "".join(name + fields[name] for name in sorted(fields)) + SECRET
    signature = hashlib.sha1(text.encode()).hexdigest().upper()
    return "&".join(f"{name}={value}" for name, value in {**fields, "sign": signature}.items()).encode()


def a_door(engine: Engine) -> Intake:
    """The way in."""
    committer = Committer(engine, FakeMemory(), clock=now, new_id=IDS)
    return Intake(the_sources(), committer, clock=now)


def call_back(engine: Engine, body: bytes, source: str = "crossing", **raw: Any) -> None:
    """Let a callback through the door, as it comes by HTTP."""
    usual = {"content_type": "application/x-www-form-urlencoded", "query": "", "headers": {"user-agent": "x"}}
    request = RawRequest(body=body, **(usual | raw))
    a_door(engine).receive(Request(source=source, raw=request, address="203.0.113.7", request_id="r1"))


def a_handler(engine: Engine, **columns: Any) -> None:
    """Register an old handler."""
    secrets = json.dumps([{"secret": OWN, "expires_at": None}])
    usual = {"id": "old", "url": "https://old.example/notify", "format": "provider", "secrets": secrets}
    an_endpoint(engine, **usual | {"event_types": ",recharge.succeeded,"} | columns)


def deliver(engine: Engine, answer: Callable[[int], Answer], *, times: int = 1) -> list[Sent]:
    """Deliver until so many attempts have ended, each due at once; `answer` is given their number. Return what was sent."""
    outbound = FakeOutbound(lambda *_: answer(len(outbound.sent)))

    def ended() -> bool:
        with writing(engine) as connection:
            connection.execute(update(deliveries).values(due_at=now() - timedelta(seconds=1)))
            return len(connection.execute(select(attempts).where(attempts.c.outcome.is_not(None))).all()) >= times

    run(engine, outbound, until=ended, sources=the_sources())
    return outbound.sent


def ended(engine: Engine) -> Any:
    """How the delivery stands."""
    with reading(engine) as connection:
        return connection.execute(select(deliveries)).one()


def test_the_first_attempt_is_the_bytes_as_they_came(engine: Engine) -> None:
    """Whatever the order of their fields; the handler's word of success ends it."""
    a_handler(engine)
    call_back(engine, a_form())
    (sent,) = deliver(engine, lambda _: said(200, body="success"))
    assert sent[0] == "https://old.example/notify"
    assert sent[2] == a_form()
    assert sent[1] == {
        "content-type": "application/x-www-form-urlencoded",
        "webhook-id": sent[1]["webhook-id"],
    }
    assert ended(engine).state == "delivered"


@pytest.mark.parametrize("answer", ["fail", "", "success!", '{"code": 0}'])
def test_a_success_that_does_not_acknowledge_is_a_failure(engine: Engine, answer: str) -> None:
    """Tried again, the same fields written and signed anew with the source's first secret, until it does."""
    a_handler(engine)
    call_back(engine, a_form())
    first, second = deliver(engine, lambda count: said(200, body=answer if count == 1 else "success\n"), times=2)
    assert first[2] == a_form()
    fields = handles(second)
    assert fields is not None
    assert fields == handles(first)
    assert ended(engine).state == "delivered"
    with reading(engine) as connection:
        assert connection.execute(select(attempts.c.status, attempts.c.error, attempts.c.outcome)).all() == [
            (200, "not_acknowledged", "failed"),
            (200, None, "delivered"),
        ]


@pytest.mark.parametrize("answer", [said(500, body="success"), said(None), said(302, body="success")])
def test_a_failure_stays_one_whatever_it_says(engine: Engine, answer: Answer) -> None:
    """The status comes first."""
    a_handler(engine)
    call_back(engine, a_form())
    deliver(engine, lambda _: answer)
    assert (ended(engine).state, ended(engine).failures) == ("pending", 1)


def test_a_recovered_credit_is_written_in_the_same_words(engine: Engine) -> None:
    """It never came, so there are no bytes of the provider's."""
    a_handler(engine)
    found = a_callback(signature=None, secret_id=None, origin=Origin.RECONCILER)
    a_door(engine).accept(found, the_sources()["crossing"])
    (sent,) = deliver(engine, lambda _: said(200, body="success"))
    fields = handles(sent)
    assert fields is not None
    assert (fields["orderid"], fields["amount"], fields["localusermark"]) == ("sh-1", "30000", "1")
    assert ended(engine).state == "delivered"


def test_an_endpoint_that_signs_itself_always_does(engine: Engine) -> None:
    """From the first attempt on, and with the newest of its secrets: its handler knows no other."""
    older = new_secret(b"q" * 32)
    secrets = json.dumps([{"secret": OWN, "expires_at": None}, {"secret": older, "expires_at": "2999-01-01T00:00:00Z"}])
    a_handler(engine, signing="own", secrets=secrets)
    call_back(engine, a_form())
    (sent,) = deliver(engine, lambda _: said(200, body="success"))
    assert handles(sent) is None
    assert handles(sent, OWN) is not None


def test_a_signature_in_a_header_goes_along(engine: Engine) -> None:
    """First the provider's, then ours over the bytes that we wrote; the source's own acknowledgement counts."""
    a_handler(engine)
    body = b'{"orderid":"sh-1", "amount":"3.50"}'
    signature = hmac.digest(SECRET.encode(), body, "sha256").hex()
    headers = {"x-signature": signature, "user-agent": "x", "cookie": "y"}
    call_back(engine, body, "header", content_type="application/json", headers=headers)
    first, second = deliver(engine, lambda count: said(200, body="success" if count == 1 else "OK"), times=2)
    assert (first[2], first[1]["x-signature"]) == (body, signature)
    assert not {"user-agent", "cookie"} & set(first[1])
    signed = {name.lower(): value for name, value in second[1].items()}
    assert signed["x-signature"] == hmac.digest(SECRET.encode(), second[2], "sha256").hex()
    assert json.loads(second[2]) == {"orderid": "sh-1", "amount": "3.5"}
    assert ended(engine).state == "delivered"


def test_what_cannot_be_said_in_the_providers_words_waits(engine: Engine) -> None:
    """A source that was taken out of the configuration: told as what it is, and tried again."""
    a_handler(engine)
    call_back(engine, a_form())
    outbound = FakeOutbound(lambda *_: said())
    run(engine, outbound, until=lambda: ended(engine).failures == 1, sources={})
    assert outbound.sent == []
    assert (ended(engine).state, ended(engine).last_error) == ("pending", "not_renderable")


def test_each_credit_of_many_has_its_own_callback(engine: Engine) -> None:
    """Also claimed in one batch, beside endpoints of the usual format."""
    a_handler(engine)
    an_endpoint(engine, id="usual", secrets=json.dumps([{"secret": OWN, "expires_at": None}]))
    for number in range(5):
        call_back(engine, a_form(f"sh-{number}"))
    sent = deliver(engine, lambda _: said(200, body="success"), times=10)
    assert sorted(one[2] for one in sent if one[0] == "https://old.example/notify") == [
        a_form(f"sh-{number}") for number in range(5)
    ]
