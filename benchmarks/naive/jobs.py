"""Own the naive delivery job: one ORM session and one POST for one delivery."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import time

import requests
from sqlmodel import Session

from benchmarks.naive.tables import Attempt, Delivery, Event, Subscriber, make_engine, now

TIMEOUT_S = 15

engine = make_engine(os.environ["DATABASE_URL"])
http = requests.Session()


class DeliveryFailed(Exception):
    """Tells RQ to try the job again later."""


def deliver(delivery_id: int) -> None:
    """Send one delivery and record how it went; RQ repeats what failed."""
    with Session(engine) as session:
        delivery = session.get_one(Delivery, delivery_id)
        event = session.get_one(Event, delivery.event_id)
        subscriber = session.get_one(Subscriber, delivery.subscriber_id)
        attempt = send(delivery_id, event, subscriber)
        session.add(attempt)
        delivery.attempts += 1
        if attempt.status is not None and attempt.status < 300:
            delivery.state = "delivered"
            delivery.finished_at = attempt.finished_at
        session.commit()
        if delivery.state != "delivered":
            raise DeliveryFailed(delivery_id)


def send(delivery_id: int, event: Event, subscriber: Subscriber) -> Attempt:
    """POST the event, signed as Standard Webhooks asks; a failure is an attempt as well."""
    body = event.body.encode()
    started, status, error = now(), None, None
    try:
        status = http.post(
            subscriber.url, data=body, headers=headers(event.uuid, body, subscriber.secret), timeout=TIMEOUT_S
        ).status_code
    except requests.RequestException as problem:
        error = type(problem).__name__
    return Attempt(delivery_id=delivery_id, started_at=started, finished_at=now(), status=status, error=error)


def headers(webhook_id: str, body: bytes, secret: str) -> dict[str, str]:
    """Return the three headers of Standard Webhooks 1.0."""
    timestamp = str(int(time.time()))
    digest = hmac.digest(secret.encode(), f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
