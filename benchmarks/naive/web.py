"""Own the naive callback route: verify, SET NX, one ORM session, one RQ job for each subscriber.

Served as most would: gunicorn, gthread, two workers of eight threads.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os

from flask import Flask, request
from flask.typing import ResponseReturnValue
from redis import Redis
from rq import Queue, Retry
from sqlmodel import Session, select

from benchmarks.naive.jobs import deliver
from benchmarks.naive.tables import Callback, Delivery, Event, Subscriber, make_engine

SECRET = os.environ["PROVIDER_SECRET"]
REMEMBER_S = 24 * 3600
RETRY_AFTER_S = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]

app = Flask(__name__)
engine = make_engine(os.environ["DATABASE_URL"])
redis = Redis.from_url(os.environ["REDIS_URL"])
queue = Queue("deliver", connection=redis)


@app.get("/livez")
def livez() -> ResponseReturnValue:
    """Answer when the process serves."""
    return "ok"


@app.post("/callbacks/<source>")
def callback(source: str) -> ResponseReturnValue:
    """Accept a callback once and tell every subscriber."""
    form = request.form.to_dict()
    if not is_signed(form):
        return "bad signature", 401
    if not redis.set(f"callback:{source}:{form['orderid']}", 1, nx=True, ex=REMEMBER_S):
        return "success"
    for delivery_id in store(form):
        queue.enqueue(deliver, delivery_id, retry=Retry(max=len(RETRY_AFTER_S), interval=RETRY_AFTER_S))
    return "success"


def is_signed(form: dict[str, str]) -> bool:
    """Check the provider's SHA-1 over the sorted names and values and the key."""
    text = "".join(name + form[name] for name in sorted(form) if name != "sign") + SECRET
    expected = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().upper()
    return hmac.compare_digest(expected, form.get("sign", ""))


def store(form: dict[str, str]) -> list[int]:
    """Save the callback, its event and a delivery for each subscriber; return the deliveries' ids."""
    with Session(engine) as session:
        received = Callback(
            orderid=form["orderid"],
            appid=form["appid"],
            user_ref=form["localusermark"],
            amount=int(form["amount"]),
            raw=json.dumps(form),
        )
        session.add(received)
        session.flush()
        assert received.id is not None
        event = Event(callback_id=received.id, body=json.dumps({"type": "recharge.succeeded", "data": form}))
        session.add(event)
        session.flush()
        assert event.id is not None
        subscribers = session.exec(select(Subscriber).where(Subscriber.enabled)).all()
        deliveries = [Delivery(event_id=event.id, subscriber_id=one.id) for one in subscribers if one.id is not None]
        session.add_all(deliveries)
        session.commit()
        return [delivery.id for delivery in deliveries if delivery.id is not None]
