"""What an endpoint may have sent differently: a sentence for a chat tool, and headers of its own."""

from __future__ import annotations

import json

from sqlalchemy import Engine

from relay.core.webhooks import key_of, signed_headers
from relay.flows.outcomes import announce_all
from relay.store.engine import FEED_LOCK, writing
from relay.store.rows import deliveries
from tests.fakes import FakeOutbound, numbered_ids
from tests.flows.test_delivery import SECRET, announce, make_due, now, rows, run, said, settled, subscribe

URL = "https://relay.example"


def alert(engine: Engine) -> None:
    """Write an alert."""
    with writing(engine, lock=FEED_LOCK) as connection:
        data = {"reason": "many_breaks", "not_told": 3}
        announce_all(connection, [("relay.alert", data)], now=now(), new_id=numbered_ids())


def test_a_chat_tool_gets_a_sentence_and_each_attempt_the_same(engine: Engine) -> None:
    """Signed over the very bytes, beside an endpoint that gets the event as it is."""
    subscribe(engine, "chat", format="text", event_types=",relay.alert,")
    subscribe(engine, "pager", event_types=",relay.alert,")
    alert(engine)
    outbound = FakeOutbound(lambda *_: said(500))
    run(engine, outbound, until=settled(engine), public_url=URL)
    make_due(engine)
    run(engine, outbound, until=lambda: all(one.attempts == 2 for one in rows(engine, deliveries)), public_url=URL)
    told = [(headers, body) for url, headers, body in outbound.sent if "chat" in url]
    text = f"3 more breaks opened or were resolved at once than are told one by one. {URL}/finance/breaks"
    assert [json.loads(body) for _, body in told] == [{"text": text}] * 2
    for headers, body in told:
        at = int(headers["webhook-timestamp"])
        assert headers == signed_headers("evt_1", body, [key_of(SECRET)], timestamp=at)
    assert len({body for _, _, body in outbound.sent}) == 2


def test_own_headers_go_along_and_replace_nothing(engine: Engine) -> None:
    """Unwrapped like the secrets, as they were checked when they were set."""
    subscribe(engine, "plain")
    subscribe(engine, "keyed", headers=json.dumps({"authorization": "wrapped", "webhook-id": "mine"}))
    announce(engine)
    outbound = FakeOutbound(lambda *_: said())
    run(engine, outbound, until=settled(engine), unwrap=lambda text: "Bearer x" if text == "wrapped" else text)
    sent = {url: headers for url, headers, _ in outbound.sent}
    plain, keyed = sent["https://plain.example/"], sent["https://keyed.example/"]
    assert keyed.pop("authorization") == "Bearer x"
    assert set(keyed) == set(plain)
    assert keyed["webhook-id"] == plain["webhook-id"] == "evt_1"
