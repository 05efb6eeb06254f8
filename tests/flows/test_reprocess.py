"""After a wrong deploy: what was refused for our own fault passes when the fault is mended, once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import Engine, select

from config.sources import parse_sources
from relay.core.actors import Actor
from relay.core.parsing import RawRequest
from relay.core.signatures import sign
from relay.core.sources import Source
from relay.errors import CallbackRejected
from relay.flows import reprocess
from relay.flows.committer import Committer
from relay.flows.forwarding import Forwarder
from relay.flows.intake import MOST_HEADERS, Intake, Request
from relay.ports import Reply
from relay.store.engine import reading
from relay.store.rows import callbacks, events
from tests.builders import NOON
from tests.fakes import FakeHandler, FakeMemory, numbered_ids

RIGHT = """
[sources.crossing]
adapter = "crossingpay-v1"
appid = "VunT0000h1l8"
secrets = ["the-secret"]

[sources.header]
secrets = ["the-secret"]
body = "json"
status = "succeeded"
evidence = ["signature"]
amount = { form = "decimal" }
fields.orderid = { pattern = "[a-z0-9-]{1,64}" }
fields.amount = { pattern = "[0-9.]{1,20}" }
signature = { name = "X-Signature", location = "header", envelope = "body", digest = "hmac-sha256" }
"""
WITHOUT = RIGHT.replace("sources.crossing", "sources.one").replace("sources.header", "sources.two")
OPERATOR = Actor(id="key_1", name="an operator", roles=frozenset({"operator"}))


def the_sources(text: str) -> dict[str, Source]:
    """A configuration as it is read."""
    faults: list[str] = []
    found = parse_sources(text, str, faults)
    assert faults == []
    return found


def a_door(engine: Engine, text: str) -> Intake:
    """The door of a deploy with this configuration."""
    committer = Committer(engine, FakeMemory(), clock=lambda: NOON, new_id=numbered_ids())
    return Intake(the_sources(text), committer, clock=lambda: NOON)


def a_form() -> RawRequest:
    """A paid callback of crossingpay-v1."""
    fields = {
        "orderid": "sh-1",
        "amount": "30000",
        "localusermark": "1",
        "appid": "VunT0000h1l8",
        "t": str(int(NOON.timestamp())),
    }
    signature = sign(the_sources(RIGHT)["crossing"].adapter.scheme, "the-secret", fields)
    body = "&".join(f"{name}={value}" for name, value in {**fields, "sign": signature}.items())
    return RawRequest(body=body.encode(), content_type="application/x-www-form-urlencoded", query="", headers={})


def signed_in_a_header() -> RawRequest:
    """A paid callback whose signature is a header."""
    body = json.dumps({"orderid": "sh-1", "amount": "3"}).encode()
    signature = sign(the_sources(RIGHT)["header"].adapter.scheme, "the-secret", {}, body=body)
    headers = {"x-signature": signature, "cookie": "a=b"} | {f"x-{n}": "y" * 2_000 for n in range(100)}
    return RawRequest(body=body, content_type="application/json", query="", headers=headers)


def refuse(engine: Engine, text: str, source: str, raw: RawRequest) -> str:
    """Call back at a deploy that refuses it; return the reason."""
    with pytest.raises(CallbackRejected) as refused:
        a_door(engine, text).receive(Request(source=source, raw=raw, address="203.0.113.7", request_id="r1"))
    return refused.value.code


def again(engine: Engine, text: str, *, dry_run: bool = False) -> list[str]:
    """Take everything that was rejected through the door of another deploy."""
    handler = FakeHandler(Reply(status=200, body=b"success"))
    found = reprocess.all_rejected(
        engine,
        Forwarder(a_door(engine, text), handler, the_sources(text)),
        source=None,
        reason=None,
        limit=None,
        dry_run=dry_run,
        actor=OPERATOR,
        clock=lambda: NOON,
    )
    return [one.result for one in found]


def told(engine: Engine) -> list[str]:
    """The events that were written."""
    with reading(engine) as connection:
        return list(connection.scalars(select(events.c.type)))


WRONG = {
    "a wrong secret": (RIGHT.replace("the-secret", "another"), "crossing", a_form(), "bad_signature"),
    "a source left out": (WITHOUT, "crossing", a_form(), "unknown_source"),
    "a source with a header left out": (WITHOUT, "header", signed_in_a_header(), "unknown_source"),
    "a wrong header": (RIGHT.replace("X-Signature", "X-Sign"), "header", signed_in_a_header(), "bad_signature"),
    "a wrong pattern": (RIGHT.replace("[a-z0-9-]", "[0-9]"), "header", signed_in_a_header(), "bad_field"),
    "a missing field": (
        RIGHT.replace("fields.amount", 'fields.user_ref = { pattern = "[0-9]+" }\nfields.amount'),
        "header",
        signed_in_a_header(),
        "missing_field",
    ),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_a_wrong_deploy_refused_is_credited_once(engine: Engine, fault: str) -> None:
    """A dry run tells so and changes nothing; the second time it is a repeat."""
    wrong, source, raw, reason = WRONG[fault]
    assert refuse(engine, wrong, source, raw) in (reason, "missing_signature")
    assert again(engine, wrong) == ["rejected"]
    assert again(engine, RIGHT, dry_run=True) == ["passes"]
    assert told(engine) == []
    assert again(engine, RIGHT) == ["accepted"]
    assert again(engine, RIGHT) == ["duplicate"]
    assert told(engine) == ["recharge.succeeded"]


def test_a_refused_request_is_kept_in_bounds(engine: Engine) -> None:
    """Any header may turn out to carry the signature; but not a stranger's session, and not megabytes."""
    raw = signed_in_a_header()
    many: Mapping[str, str] = dict(raw.headers) | {f"z-{n}": "y" for n in range(100)}
    refuse(engine, WITHOUT, "header", RawRequest(body=raw.body, content_type="", query="", headers=dict(many)))
    with reading(engine) as connection:
        kept: dict[str, Any] = json.loads(connection.scalars(select(callbacks.c.headers)).one())
    assert "x-signature" in kept
    assert "cookie" not in kept
    assert (len(kept), max(map(len, kept.values())) <= 1_024) == (MOST_HEADERS, True)
