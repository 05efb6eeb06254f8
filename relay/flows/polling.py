"""Own the asking of providers: about orders that await their word, by turns, and no oftener than each account bears."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import RowMapping

from relay.core import creations as rules
from relay.core.answers import Absent, Busy, Unclear, read_fact
from relay.core.calls import Call, build
from relay.core.facts import ProviderFact
from relay.core.orders import State
from relay.core.sources import Source
from relay.flows import creation
from relay.flows.confirmation import reconsider
from relay.flows.creation import Creator
from relay.store import creations, orders, paces, polls, provider_answers, provider_facts, sources
from relay.store.engine import reading, writing

log = logging.getLogger(__name__)

EXCHANGE_S = 5.0
# How far a turn may be. Whoever makes an order takes one 3 s ahead at most, so the next free one is never farther than that and
# one more: what awaits an answer always gets its turn, however busy the shop.
TURN_WITHIN, URGENT_WITHIN = timedelta(seconds=1.5), creation.TURN_WITHIN + rules.APART
# Whoever has taken an order and says nothing for so long has died.
LOST_AFTER = timedelta(seconds=60)
# Nothing can be learnt any more of an order that stands elsewhere.
OPEN = frozenset({State.CREATING, State.CREATED, State.PENDING, State.CONFIRMING})
# Money that is there is asked about whatever the order's time says.
OWED = OPEN | {State.EXPIRED, State.FAILED}
# Seconds until the second question, and between the later ones at most. About money that is there it is asked so often for as long
# as it is asked at all, so that a late word is heard within the promise of two minutes.
_PACES = {"unpaid": (60, 3600), "transfer": (5, 30)}
_SOON = (5, 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Poller:
    """What asking works with: that of the maker of orders, whose accounts it shares, and `new_id` for events."""

    creator: Creator
    new_id: Callable[[datetime], str]


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a question: whether the answer could be used, and how many orders changed by it."""

    is_clear: bool
    changed: int


def poll(poller: Poller, *, for_s: float) -> int:
    """Ask what is due for `for_s` seconds at most; return how many orders changed by it.

    Each provider is asked in a thread of its own: one that answers slowly costs no other account its turns.
    """
    creator = poller.creator
    asked = [source for source in creator.sources.values() if source.adapter.query and source.base_url]
    for source in asked:
        with writing(creator.engine) as connection:
            polls.enrol(connection, source, now=creator.clock())
    end = creator.clock() + timedelta(seconds=for_s)
    # Fewer threads than providers would starve the last ones: who has much to ask goes on to the end of the round.
    with ThreadPoolExecutor(max(1, len(asked))) as threads:
        return sum(threads.map(lambda source: _poll_source(poller, source, end), asked))


def _poll_source(poller: Poller, source: Source, end: datetime) -> int:
    """Ask one provider until nothing is due or the round is over."""
    creator, changed = poller.creator, 0
    while creator.clock() < end and (taken := _turn(creator, source)) is not None:
        row, until = taken
        changed += ask(poller, source, (row["namespace"], row["orderid"])).changed
        _plan_next(creator, row, until)
    return changed


def _turn(creator: Creator, source: Source) -> tuple[RowMapping, datetime] | None:
    """Wait for the account's turn and take an order to ask about, until when; None when there is none, or the turn is far."""
    # Looked for before a turn is reserved: a turn in which nothing is asked would be lost to the account.
    with reading(creator.engine) as connection:
        is_urgent = polls.is_next_urgent(connection, source.name, now=creator.clock())
    within = URGENT_WITHIN if is_urgent else TURN_WITHIN
    if is_urgent is None or not wait_turn(creator, source, within=within):
        return None
    now = creator.clock()
    until = now + LOST_AFTER
    with writing(creator.engine) as connection:
        row = polls.take(connection, source.name, now=now, until=until)
    return None if row is None else (row, until)


def wait_turn(creator: Creator, source: Source, *, within: timedelta = TURN_WITHIN) -> bool:
    """Wait until a source's account may be called; False when that is farther than `within`."""
    now = creator.clock()
    with writing(creator.engine) as connection:
        turn = paces.reserve(connection, rules.pace_name(source), now=now, latest=now + within, apart=rules.APART)
    if turn is not None:
        creator.sleep((turn - now).total_seconds())
    return turn is not None


def ask(poller: Poller, source: Source, key: creations.Key) -> Asked:
    """Ask about one order, keep what is said, and let the order be judged again; the account's turn has come."""
    creator = poller.creator
    answer = _answer(creator, source, key)
    is_clear = not isinstance(answer, Busy | Unclear)
    if isinstance(answer, Busy | Unclear):
        reason = answer.reason if isinstance(answer, Unclear) else "too many requests"
        log.warning("provider_unclear", extra={"source": source.name, "orderid": key[1], "reason": reason})
    else:
        _settle_request(creator, source, key, answer)
    now, changed = creator.clock(), 0
    with writing(creator.engine) as connection:
        sources.note_answer(connection, source.name, is_clear=is_clear, now=now)
        provider_answers.heard(connection, source.name, key, *_told(answer), now=now)
    if isinstance(answer, ProviderFact):
        with writing(creator.engine) as connection:
            new = provider_facts.record(connection, [answer], now=now)
        changed = reconsider(creator.engine, creator.sources, new, now=now, new_id=poller.new_id)
    return Asked(is_clear, changed)


def _answer(creator: Creator, source: Source, key: creations.Key) -> ProviderFact | Absent | Busy | Unclear:
    call: Call | None = source.adapter.query
    with reading(creator.engine) as connection:
        order = orders.find(connection, *key)
    if call is None or order is None:
        return Unclear("there is nothing to ask about")
    words = {
        **source.own_words,
        "orderid": key[1],
        "provider_order_id": order["provider_order_id"] or "",
        "user_ref": order["user_ref"] or "",
        "now": str(int(creator.clock().timestamp())),
    }
    try:
        request = build(call, source.adapter.scheme, source.base_url, words)
    except ValueError as error:
        return Unclear(str(error))
    reply = creator.provider.exchange(request, deadline_s=EXCHANGE_S)
    if reply.status is None:
        return Unclear(reply.error or "")
    return read_fact(call, source=source.name, namespace=key[0], orderid=key[1], status=reply.status, body=reply.body)


def _told(answer: ProviderFact | Absent | Busy | Unclear) -> tuple[str, dict[str, object]]:
    """Return what kind of answer it was, and what it said."""
    match answer:
        case ProviderFact():
            names = ("raw_status", "amount_micros", "provider_order_id", "tx_hash")
            said = {name: getattr(answer, name) for name in names if getattr(answer, name) is not None}
            return "answer", {"status": answer.status and answer.status.value, **said}
        case Unclear():
            return "unclear", {"reason": answer.reason}
        case Absent():
            return "absent", {}
        case Busy():
            return "busy", {}


def _settle_request(creator: Creator, source: Source, key: creations.Key, answer: ProviderFact | Absent) -> None:
    """A request of unknown outcome is settled by whether the provider knows the order."""
    with reading(creator.engine) as connection:
        row = creations.find(connection, key)
    if row is None or row["state"] != "unknown":
        return
    told: Mapping[str, str] | None = None
    if isinstance(answer, ProviderFact):
        told = {"provider_order_id": answer.provider_order_id} if answer.provider_order_id else {}
    creation.settle_asked(creator, source, row, told)


def _plan_next(creator: Creator, row: RowMapping, until: datetime) -> None:
    """Plan the next question, unless somebody had a reason of his own to ask while this one was under way."""
    now = creator.clock()
    with writing(creator.engine) as connection:
        order = orders.find(connection, row["namespace"], row["orderid"])
        worth_it = OWED if row["reason"] == "transfer" else OPEN
        if order is None or order["state"] not in worth_it or now - row["created_at"] > polls.LONGEST:
            polls.drop(connection, row, until=until)
            return
        wait = timedelta(seconds=wait_s(row["reason"], row["tries"]))
        polls.put_off(connection, row, until=until, due_at=now + wait)


def wait_s(reason: str, tries: int) -> int:
    """Return the seconds until an order is asked about again, by why and how often it was."""
    first, most = _PACES.get(reason, _SOON)
    # Each pace has reached its most by then, and an order may be asked about thousands of times.
    return min(most, first << min(tries, 10))
