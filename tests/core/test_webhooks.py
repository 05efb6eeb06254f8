"""Outgoing signatures against the specification's vectors and two libraries that we did not write."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import standardwebhooks
import svix

from relay.core.webhooks import key_of, new_secret, signed_headers

BODY = b'{"type":"recharge.succeeded","data":{"orderid":"sh-1"}}'


@pytest.mark.parametrize(
    ("secret", "event_id", "timestamp", "body", "signature"),
    [
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1614265330,
            b'{"test": 2432232314}',
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1649367553,
            b'{"email":"test@example.com","username":"test_user"}',
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
    ],
)
def test_published_vectors_hold(secret: str, event_id: str, timestamp: int, body: bytes, signature: str) -> None:
    """Source: standard-webhooks, spec and library tests."""
    assert signed_headers(event_id, body, [key_of(secret)], timestamp=timestamp)["webhook-signature"] == signature


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.Webhook])
def test_the_libraries_accept_us_during_a_rotation(library: type) -> None:
    """Old and new secret both sign, and a receiver that knows either accepts."""
    old, new = new_secret(b"o" * 32), new_secret(b"n" * 32)
    timestamp = int(datetime.now(UTC).timestamp())
    headers = signed_headers("evt_1", BODY, [key_of(new), key_of(old)], timestamp=timestamp)
    for secret in (old, new):
        library(secret).verify(BODY, headers)


@pytest.mark.parametrize("library", [standardwebhooks.Webhook, svix.Webhook])
@pytest.mark.parametrize("changed", ["webhook-id", "webhook-timestamp", "webhook-signature", "body"])
def test_the_libraries_refuse_what_was_changed(library: type, changed: str) -> None:
    """Everything that is sent is signed."""
    secret = new_secret(b"s" * 32)
    headers = signed_headers("evt_1", BODY, [key_of(secret)], timestamp=int(datetime.now(UTC).timestamp()))
    body = BODY
    if changed == "body":
        body = BODY.replace(b"sh-1", b"sh-2")
    elif changed == "webhook-timestamp":
        headers[changed] = str(int(headers[changed]) + 1)
    elif changed == "webhook-signature":
        headers[changed] = "v1,AAAA" + headers[changed][7:]
    else:
        headers[changed] = "evt_2"
    with pytest.raises((standardwebhooks.WebhookVerificationError, svix.WebhookVerificationError)):
        library(secret).verify(body, headers)
