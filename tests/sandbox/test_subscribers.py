from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from relay.sandbox.loopback import Call, post, serve
from relay.sandbox.subscribers import Ledger, Refused, Subscriber, routes, verify
from tests.sandbox.served import serving

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
# The reference library has no clock but the machine's.
NOW_S = int(time.time())
# The reference library looks at the clock, and this file may have been read long before its tests run.
DAY_S = 86_400
BODY = b'{"type":"recharge.succeeded","data":{"orderid":"sh-1","credited_micros":3000000}}'


def headers(
    body: bytes = BODY, *, secret: str = SECRET, at_s: int = NOW_S, webhook_id: str = "evt_1"
) -> dict[str, str]:
    """What the reference library would send."""
    signature = Webhook(secret).sign(webhook_id, datetime.fromtimestamp(at_s, UTC), body.decode())
    return {"webhook-id": webhook_id, "webhook-timestamp": str(at_s), "webhook-signature": signature}


@pytest.mark.parametrize("secret", [SECRET, SECRET.removeprefix("whsec_"), SECRET.rstrip("=")])
def test_what_the_reference_library_signs_is_accepted(secret: str) -> None:
    """With and without the prefix, with and without padding."""
    assert verify(secret, headers(), BODY, now_s=NOW_S) == "evt_1"


def test_one_good_signature_among_others_is_enough() -> None:
    """A rotation sends several, and versions we do not know are passed over."""
    good = headers()["webhook-signature"]
    listed = f"v1,AAAA v2,{good[3:]} {good} v1,not/base64!"
    assert verify(SECRET, {**headers(), "webhook-signature": listed}, BODY, now_s=NOW_S) == "evt_1"


WRONG: list[tuple[str, dict[str, str]]] = [
    ("another secret", headers(secret=OTHER)),
    ("another body", headers(b'{"a":1}')),
    ("nothing behind the comma", {**headers(), "webhook-signature": "v1,"}),
    ("cut short", {**headers(), "webhook-signature": headers()["webhook-signature"][:-4]}),
    ("only another version", {**headers(), "webhook-signature": "v2," + headers()["webhook-signature"][3:]}),
    ("another id", {**headers(), "webhook-id": "evt_2"}),
    ("too old", headers(at_s=NOW_S - DAY_S)),
    ("too new", headers(at_s=NOW_S + DAY_S)),
    ("no number", {**headers(), "webhook-timestamp": "soon"}),
    *((f"without {name}", {key: value for key, value in headers().items() if key != name}) for name in headers()),
]


@pytest.mark.parametrize(("reason", "given"), WRONG, ids=[reason for reason, _ in WRONG])
def test_what_the_reference_library_refuses_is_refused(reason: str, given: dict[str, str]) -> None:
    """Every way in which a signature can fail; the library agrees wherever it looks at the same clock."""
    with pytest.raises(Refused):
        verify(SECRET, given, BODY, now_s=NOW_S)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY, given)


@pytest.mark.parametrize("age_s", [-300, 300])
def test_five_minutes_either_way_are_the_limit(age_s: int) -> None:
    """A second more is too much."""
    assert verify(SECRET, headers(), BODY, now_s=NOW_S + age_s) == "evt_1"
    with pytest.raises(Refused):
        verify(SECRET, headers(), BODY, now_s=NOW_S + age_s + age_s // 300)


@pytest.mark.parametrize("secret", ["", "whsec_"])
def test_an_empty_secret_verifies_nothing(secret: str) -> None:
    """A key of no bytes would let anybody sign."""
    with pytest.raises(Refused):
        verify(secret, headers(), BODY, now_s=NOW_S)


def event(orderid: str = "sh-1", *, kind: str = "recharge.succeeded", note: str = "") -> bytes:
    return json.dumps({"type": kind, "data": {"orderid": orderid, "credited_micros": 3_000_000, "note": note}}).encode()


TAKEN: list[tuple[str, list[tuple[str, bytes]], dict[str, int]]] = [
    ("one webhook credits once", [("evt_1", event())], {"credited_micros": 3_000_000, "orders": 1}),
    (
        "the same one again is a repeat",
        [("evt_1", event())] * 3,
        {"credited_micros": 3_000_000, "repeats": 2, "twice": 0},
    ),
    (
        "the same id with other bytes is noted",
        [("evt_1", event()), ("evt_1", event(note="x"))],
        {"altered": 1, "orders": 1},
    ),
    (
        "a second event for an order is not credited",
        [("evt_1", event()), ("evt_2", event())],
        {"credited_micros": 3_000_000, "twice": 1},
    ),
    ("a held order is not credited", [("evt_1", event(kind="recharge.held"))], {"credited_micros": 0, "orders": 0}),
    (
        "two orders are two credits",
        [("evt_1", event()), ("evt_2", event("sh-2"))],
        {"credited_micros": 6_000_000, "orders": 2},
    ),
]


@pytest.mark.parametrize(("story", "webhooks", "expected"), TAKEN, ids=[story for story, _, _ in TAKEN])
def test_a_ledger_credits_an_order_once(
    story: str, webhooks: list[tuple[str, bytes]], expected: dict[str, int]
) -> None:
    """Its records show whatever the relay did wrong."""
    ledger = Ledger()
    for webhook_id, body in webhooks:
        ledger.take(webhook_id, body)
    view = ledger.view()
    assert {name: view[name] for name in expected} == expected


def call(webhook_id: str = "evt_1", body: bytes = BODY) -> Call:
    return Call("/hooks/billing", headers(body, at_s=int(time.time()), webhook_id=webhook_id), body)


def test_billing_fails_only_first_attempts() -> None:
    """The second attempt of the same webhook is taken, however unwell it is."""
    naps: list[float] = []
    billing = Subscriber("billing", SECRET, chance=lambda: 0.0, sleep=naps.append)
    assert [billing.receive(call()).status for _ in range(3)] == [503, 200, 200]
    assert billing.ledger.view()["repeats"] == 1
    assert naps == [0.4]


def test_a_healthy_service_goes_down_when_told() -> None:
    """For as many webhooks as were asked for, or for as many attempts to tell of one order."""
    wallet = Subscriber("wallet", SECRET)
    wallet.go_down(1)
    assert [wallet.receive(call("evt_1")).status, wallet.receive(call("evt_2")).status] == [503, 200]
    wallet.ignore("sh-1", 2)
    assert [wallet.receive(call("evt_3")).status for _ in range(3)] == [503, 503, 200]


def test_a_bad_signature_is_401_and_counted() -> None:
    """It reaches no ledger."""
    wallet = Subscriber("wallet", OTHER)
    assert wallet.receive(call()).status == 401
    assert wallet.ledger.view() == {
        "orders": 0,
        "credited": {},
        "credited_micros": 0,
        "repeats": 0,
        "twice": 0,
        "altered": 0,
        "refused": 1,
    }


def test_hooks_are_open_and_ledgers_are_not() -> None:
    """The relay may post from anywhere; the ledgers are for the sandbox."""
    subscribers = {"wallet": Subscriber("wallet", SECRET)}
    server = serve(routes(subscribers), port=0, open_paths=frozenset({"/hooks/wallet"}))
    with serving(server) as url:
        assert post(f"{url}/hooks/wallet", b"{}", content_type="application/json", timeout_s=5)[0] == 401
        assert post(f"{url}/down", b"{}", content_type="application/json", timeout_s=5)[0] == 403
