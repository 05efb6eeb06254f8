"""Own the making of orders at their providers: committed before it leaves, sent once, and its answer written with the order."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, RowMapping

from relay.core import creations as rules
from relay.core.actors import Actor
from relay.core.addresses import networks
from relay.core.answers import Busy, Made, Refused, Unclear, read_made
from relay.core.creations import Wish
from relay.core.registrations import FIELDS, Registration, read_registration
from relay.core.sources import Source
from relay.errors import Conflict, NotFound, Unprocessable
from relay.flows.register import checked_notify_url
from relay.ports import Provider, Reply
from relay.store import creations as store
from relay.store import endpoints, orders, paces
from relay.store.engine import FEED_LOCK, reading, writing
from relay.store.polls import request_poll

log = logging.getLogger(__name__)

# Of the 8 s that a caller waits, the turn of its account may take three and the exchange the other five.
TURN_WITHIN = timedelta(seconds=3)
EXCHANGE_S = 5.0
MOST_WAITING = 2
# Whoever has sent a request and says nothing for so long has died; a request that waits is then the job's.
LOST_AFTER = timedelta(seconds=60)
JOB_TAKES_OVER = timedelta(seconds=10)
# A request that could not leave for so long is given up.
GIVEN_UP_AFTER = timedelta(days=1)
ASK_AFTER = timedelta(seconds=5)
# Where a request stands before it left, and after, while nobody knows what became of it.
UNSENT, UNSETTLED = ("waiting",), ("sent", "unknown")
# What the job works through in one round, at a second each.
MOST_OF_A_ROUND = 8
# With the turn and the exchange that have begun before its end, a round stays below the 20 s that a stopping process grants a job.
ROUND = timedelta(seconds=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Creator:
    """What the making of orders works with. `public_url` is where providers reach us; `sleep` waits for seconds."""

    engine: Engine
    sources: Mapping[str, Source]
    provider: Provider
    public_url: str
    allow_cidrs: tuple[str, ...]
    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    places: threading.BoundedSemaphore = field(default_factory=lambda: threading.BoundedSemaphore(MOST_WAITING))


def create(
    creator: Creator, fields: Mapping[str, str], *, kind: str | None, actor: Actor
) -> tuple[RowMapping, RowMapping]:
    """Have an order made; return the order and its request, as they stand when the answer came or was waited for long enough.

    `fields` are those of a registration; `kind` may be left out where a
    source makes orders of one only. The same wish again changes nothing and
    returns the same. Raises Unprocessable for what no provider could be
    told, and, as `provider_refused`, with the provider's own words when it
    did not make the order; Conflict for an order that is known otherwise.
    """
    source = creator.sources.get(fields["source"])
    if source is None or not actor.reaches(source.name):
        raise Unprocessable("no such source", pointer="/source")
    said = {name: fields[name] for name in FIELDS if name in fields and name != "source"}
    wish = Wish(rules.kind_of(source, kind), said)
    rules.call_of(source, wish.kind)
    with reading(creator.engine) as connection:
        prefixes = endpoints.prefixes(connection)
    registration = _registration(creator, fields, source, prefixes)
    # Built once for its faults: what cannot be sent is not stored.
    rules.outgoing(source, wish, callback_url=_callback_url(creator, source), now=creator.clock())
    number = _enter(creator, source, registration, wish)
    if number is not None:
        _try_now(creator, number, source, wish)
    return _result(creator, registration.key)


def finish(creator: Creator) -> int:
    """Send what waits to leave, and call unknown what left with a sender that died; return how many were looked at.

    What waits for the far turn of its account lets what others send pass.
    """
    now, looked_at = creator.clock(), 0
    busy: set[str] = set()
    while looked_at < MOST_OF_A_ROUND and creator.clock() - now < ROUND:
        with reading(creator.engine) as connection:
            row = store.next_due(connection, now=now, busy=busy)
        if row is None:
            break
        looked_at += 1
        if not _finish_one(creator, row, now):
            busy.add(row["source"])
    return looked_at


def _finish_one(creator: Creator, row: RowMapping, now: datetime) -> bool:
    """Do what is due for a request; False where its account's turn is far."""
    source = creator.sources.get(row["source"])
    key = (row["namespace"], row["orderid"])
    if row["state"] == "sent":
        _unknown(creator, row["id"], source, row["orderid"], "whoever sent it never came back")
    elif now - row["created_at"] > GIVEN_UP_AFTER:
        _give_up(creator, row["id"], key, row["error"] or "it could not be sent", since=UNSENT)
    elif source is None:
        _again(creator, row["id"], key, f"the source {row['source']} is not configured", since=UNSENT)
    else:
        return _send(creator, row["id"], source, Wish.stored(row["call"], row["fields"]))
    return True


def settle_asked(creator: Creator, source: Source, row: RowMapping, told: Mapping[str, str] | None) -> None:
    """Settle a request of unknown outcome by what its provider said when it was asked; None for "no such order"."""
    key = (row["namespace"], row["orderid"])
    if told is not None:
        _made(creator, row["id"], source, key, told)
    elif creator.clock() - row["sent_at"] > LOST_AFTER:
        _give_up(creator, row["id"], key, "the request never reached the provider, which knows no such order")


def _registration(
    creator: Creator, fields: Mapping[str, str], source: Source, prefixes: list[endpoints.Prefix]
) -> Registration:
    allow = networks(creator.allow_cidrs)

    def check_url(url: str) -> str:
        return checked_notify_url(url, source.name, prefixes, allow)

    try:
        wanted = read_registration(fields, {source.name: source}, check_url=check_url)
    except ValueError as error:
        word = str(error).split(maxsplit=1)[0].rstrip(":")
        raise Unprocessable(str(error), pointer=f"/{word}" if word in FIELDS else "") from None
    return replace(wanted, state="creating")


def _enter(creator: Creator, source: Source, wanted: Registration, wish: Wish) -> int | None:
    """Commit the order and its request before anything leaves; None for a wish that was entered before."""
    now = creator.clock()
    with writing(creator.engine, lock=FEED_LOCK) as connection:
        before = store.find(connection, wanted.key)
        if before is not None:
            _must_be_the_same(before, source, wish)
            return None
        if orders.find(connection, *wanted.key) is not None:
            raise Conflict("the order is known already, and was not made here", code="order_exists")
        entered = orders.register(connection, [wanted], now=now)[0]
        if entered.outcome == "refused":
            raise Unprocessable(entered.reason)
        return store.add(
            connection,
            wanted.key,
            source=source.name,
            call=wish.kind,
            fields=wish.text,
            due_at=now + JOB_TAKES_OVER,
            now=now,
        )


def _must_be_the_same(before: RowMapping, source: Source, wish: Wish) -> None:
    if (before["source"], before["call"], before["fields"]) != (source.name, wish.kind, wish.text):
        raise Conflict("the order was asked for with other fields", code="order_exists")


def _try_now(creator: Creator, number: int, source: Source, wish: Wish) -> None:
    """Send it while the caller waits; too many who wait would leave no thread for callbacks."""
    if not creator.places.acquire(blocking=False):
        return
    try:
        _send(creator, number, source, wish)
    finally:
        creator.places.release()


def _send(creator: Creator, number: int, source: Source, wish: Wish) -> bool:
    """Send a request that waits, in its account's turn, unless somebody else does; False where the turn is far."""
    now = creator.clock()
    with writing(creator.engine) as connection:
        turn = paces.reserve(connection, rules.pace_name(source), now=now, latest=now + TURN_WITHIN, apart=rules.APART)
    if turn is None:
        return False
    creator.sleep((turn - now).total_seconds())
    try:
        request = rules.outgoing(source, wish, callback_url=_callback_url(creator, source), now=creator.clock())
    except (Unprocessable, Conflict) as error:
        # The configuration was changed since; with the old one back the request leaves.
        _again(creator, number, (source.namespace, wish.fields["orderid"]), error.detail, since=UNSENT)
        return True
    with writing(creator.engine) as connection:
        sent_at = creator.clock()
        if not store.take(connection, number, now=sent_at, due_at=sent_at + LOST_AFTER):
            return True
    _settle(creator, number, source, wish, creator.provider.exchange(request, deadline_s=EXCHANGE_S))
    return True


def _settle(creator: Creator, number: int, source: Source, wish: Wish, reply: Reply) -> None:
    orderid = wish.fields["orderid"]
    key = (source.namespace, orderid)
    log.info(
        "creation_answered",
        extra={"source": source.name, "orderid": orderid, "status": reply.status, "reason": reply.error},
    )
    if reply.status is None:
        if reply.left:
            _unknown(creator, number, source, orderid, reply.error or "")
        else:
            _again(creator, number, key, reply.error or "")
        return
    match read_made(rules.call_of(source, wish.kind), orderid, reply.status, reply.body):
        case Made(told):
            _made(creator, number, source, key, told)
        case Refused(error):
            _give_up(creator, number, key, error)
        case Busy():
            _again(creator, number, key, "too many requests")
        case Unclear(reason):
            _unknown(creator, number, source, orderid, reason)


def _made(creator: Creator, number: int, source: Source, key: store.Key, told: Mapping[str, str]) -> None:
    now = creator.clock()
    with writing(creator.engine, lock=FEED_LOCK) as connection:
        if not store.settle(connection, number, state="done", now=now, answer=json.dumps(dict(told))):
            return
        # Read under the lock: a callback that overtook the answer has moved the order on, and is not taken back.
        store.write_order(connection, rules.made(store.order_of(connection, key), told, source), now=now)
        if _can_ask(source):
            later = now + timedelta(seconds=source.grace_s)
            request_poll(connection, source, key[1], reason="unpaid", due_at=later, now=now)


def _give_up(creator: Creator, number: int, key: store.Key, error: str, *, since: tuple[str, ...] = UNSETTLED) -> None:
    now = creator.clock()
    with writing(creator.engine, lock=FEED_LOCK) as connection:
        if store.settle(connection, number, state="refused", now=now, since=since, error=error[:500]):
            store.write_order(connection, rules.refused(store.order_of(connection, key)), now=now)


def _again(creator: Creator, number: int, key: store.Key, why: str, *, since: tuple[str, ...] = UNSETTLED) -> None:
    """Nothing reached the provider, so the request may leave once more."""
    now = creator.clock()
    with writing(creator.engine) as connection:
        tries = _tries(connection, key)
        later = now + timedelta(seconds=rules.wait_s(tries))
        store.settle(connection, number, state="waiting", now=now, since=since, due_at=later, error=why[:500])


def _tries(connection: Connection, key: store.Key) -> int:
    row = store.find(connection, key)
    return 0 if row is None else int(row["tries"])


def _unknown(creator: Creator, number: int, source: Source | None, orderid: str, why: str) -> None:
    """Nobody knows whether the provider made it: it is asked where that is possible, and the request never sent again."""
    now = creator.clock()
    with writing(creator.engine) as connection:
        is_new = store.settle(connection, number, state="unknown", now=now, since=("sent",), error=why[:500])
        if is_new and source is not None and _can_ask(source):
            request_poll(connection, source, orderid, reason="creation", due_at=now + ASK_AFTER, now=now)
    log.warning("creation_unknown", extra={"creation": number, "orderid": orderid, "reason": why})


def _can_ask(source: Source) -> bool:
    return source.adapter.query is not None and bool(source.base_url)


def _callback_url(creator: Creator, source: Source) -> str:
    return f"{creator.public_url}/callbacks/{source.name}"


def _result(creator: Creator, key: store.Key) -> tuple[RowMapping, RowMapping]:
    with reading(creator.engine) as connection:
        order, row = orders.find(connection, *key), store.find(connection, key)
    if order is None or row is None:
        raise NotFound("no such order")
    if row["state"] == "refused":
        raise Unprocessable(row["error"], code="provider_refused")
    return order, row
