"""Own what the facts mean to a reader: the rows, figures and sentence of the board, as values without a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from relay.sandbox.facts import NEWEST, Child, Facts
from relay.sandbox.plan import GRACE_S
from relay.sandbox.provider import UNIT_MICROS, Entry
from relay.store.board import BoardDelivery, BoardOrder

WATCHED = ("web", "worker", "clock", "redis")
HELD_BECAUSE = {
    "above_limit": "above the limit of 1,000",
    "conflict": "two callbacks disagree",
    "source_paused": "the source is paused",
    "too_old": "older than allowed",
    "unknown_order": "nobody registered it",
    "below_minimum": "below the minimum",
}


class Mark(StrEnum):
    """How a station looks; the word beside it always says the same."""

    SEEN = "seen"
    AWAIT = "await"
    LOST = "lost"
    REFUSED = "refused"
    RECOVERED = "recovered"
    HELD = "held"
    NONE = "none"


REACHED = (Mark.SEEN, Mark.RECOVERED, Mark.HELD, Mark.REFUSED)


@dataclass(frozen=True, slots=True)
class Station:
    """One stop of an order: a mark, a few words, and a detail below them."""

    mark: Mark
    text: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One order on its way. `tone` is good, wait, held or bad; `word` says it."""

    orderid: str
    amount: str
    placed_at: datetime
    provider: Station
    chain: Station
    relay: Station
    services: Station
    tone: str
    word: str

    @property
    def stations(self) -> tuple[tuple[str, Station], ...]:
        """The four stops with their names, in the order of the way."""
        return (("Provider", self.provider), ("Chain", self.chain), ("Relay", self.relay), ("Services", self.services))

    @property
    def passed(self) -> int:
        """How many legs of the way lie behind the order: those before the last stop it reached."""
        reached = [place for place, (_, station) in enumerate(self.stations) if station.mark in REACHED]
        return max(reached, default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The sums of the board; micro-USDT, `twice` None when the subscribers cannot be asked.

    `unexplained` is paid minus credited, held and on the way: money of which
    nobody can say yet where it is.
    """

    paid: int
    paid_micros: int
    credited: int
    credited_micros: int
    held: int
    held_micros: int
    on_the_way: int
    on_the_way_micros: int
    twice: int | None
    recovered: int

    @property
    def unexplained(self) -> int:
        """Orders that were paid and neither credited, held nor young enough to be waited for."""
        return max(0, self.paid - self.credited - self.held - self.on_the_way)

    @property
    def unexplained_micros(self) -> int:
        """The same in micro-USDT; negative when more was credited than paid."""
        return self.paid_micros - self.credited_micros - self.held_micros - self.on_the_way_micros


@dataclass(frozen=True, slots=True)
class Figure:
    """One total: its name, the figure, what to think of it, and a few words below."""

    name: str
    value: str
    tone: str = ""
    note: str = ""


def rows(facts: Facts) -> list[Row]:
    """Return the newest orders, each with its four stations."""
    if facts.book is None:
        known = sorted(facts.orders.values(), key=lambda order: order.created_at, reverse=True)
        return [_row(_entry_of(order), facts) for order in known[:NEWEST]]
    return [_row(entry, facts) for entry in facts.book.entries[:NEWEST]]


def totals(facts: Facts) -> Totals:
    """Return the sums since the provider started."""
    entries = facts.book.entries if facts.book else ()
    waiting = [
        entry
        for entry in entries
        if not entry.forged_from and entry.orderid not in facts.orders and _is_young(entry, facts.now)
    ]
    ours = facts.totals
    known = facts.book is not None
    return Totals(
        paid=facts.book.orders if facts.book else ours.credited + ours.held,
        paid_micros=facts.book.paid_micros if facts.book else ours.credited_micros + ours.held_micros,
        credited=ours.credited,
        credited_micros=ours.credited_micros,
        held=ours.held,
        held_micros=ours.held_micros,
        on_the_way=len(waiting) if known else 0,
        on_the_way_micros=sum(entry.amount for entry in waiting) * UNIT_MICROS,
        twice=facts.ledgers.twice if facts.ledgers else None,
        recovered=ours.recovered,
    )


def headline(sums: Totals) -> str:
    """Return the sentence that answers what one came to ask: is all the money where it belongs?"""
    if not sums.paid:
        return "Waiting for the first payment"
    parts = [f"{count(sums.paid, 'order')} paid", f"{sums.credited:,} credited"]
    for number, word in ((sums.held, "held"), (sums.on_the_way, "on the way"), (sums.unexplained, "unexplained")):
        if number:
            parts.append(f"{number:,} {word}")
    parts.append({None: "services not answering", 0: "none twice"}.get(sums.twice, f"{sums.twice} twice"))
    return ", ".join(parts)


def figures(sums: Totals) -> list[Figure]:
    """Return the six totals of the board."""
    off = sums.unexplained_micros != 0
    return [
        Figure("Paid", usdt(sums.paid_micros), note=count(sums.paid, "order")),
        Figure("Credited", usdt(sums.credited_micros), note=count(sums.credited, "order")),
        Figure(
            "Held",
            usdt(sums.held_micros),
            "held" if sums.held else "",
            "for a person to look at" if sums.held else "nothing waits for a person",
        ),
        Figure(
            "Unexplained",
            usdt(sums.unexplained_micros),
            "bad" if off else "good",
            _why_unexplained(sums) if off else "every payment is accounted for",
        ),
        Figure(
            "Credited twice",
            "?" if sums.twice is None else f"{sums.twice:,}",
            "bad" if sums.twice else "good" if sums.twice == 0 else "wait",
            "by the services' own ledgers",
        ),
        Figure("Recovered", f"{sums.recovered:,}", note="after a lost callback"),
    ]


def usdt(micros: int) -> str:
    """Spell micro-USDT for a reader: two places, more only when they are needed; negatives in parentheses."""
    whole, fraction = divmod(abs(micros), 1_000_000)
    digits = f"{fraction:06d}"
    text = f"{whole:,}.{digits[:2]}{digits[2:].rstrip('0')}"
    return f"({text})" if micros < 0 else text


def clock(moment: datetime) -> str:
    """Spell the time of day in UTC to the millisecond."""
    return moment.astimezone(UTC).strftime("%H:%M:%S.%f")[:-3]


def count(number: int, noun: str) -> str:
    """Spell a number of things."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _why_unexplained(sums: Totals) -> str:
    return f"{count(sums.unexplained, 'callback')} never came" if sums.unexplained else "credited is not what was paid"


def _entry_of(order: BoardOrder) -> Entry:
    """Stand in for the provider's line while the provider cannot be asked."""
    return Entry(order.orderid, order.user_ref or "", order.amount_micros // UNIT_MICROS, order.created_at.timestamp())


def _is_young(entry: Entry, now: datetime) -> bool:
    return now.timestamp() - entry.placed_at_s < GRACE_S


def _row(entry: Entry, facts: Facts) -> Row:
    order, deliveries = facts.orders.get(entry.orderid), facts.deliveries.get(entry.orderid, ())
    tone, word = _state(entry, order, facts.now)
    return Row(
        orderid=entry.orderid,
        amount=usdt(entry.amount * UNIT_MICROS),
        placed_at=datetime.fromtimestamp(entry.placed_at_s, UTC),
        provider=_at_provider(entry, order),
        chain=Station(Mark.NONE, "no chain yet"),
        relay=_at_relay(entry, order),
        services=_at_services(entry, order, deliveries, facts.now),
        tone=tone,
        word=word,
    )


def _state(entry: Entry, order: BoardOrder | None, now: datetime) -> tuple[str, str]:
    if entry.forged_from:
        return "bad", "refused"
    if order is None:
        return ("wait", "awaited") if _is_young(entry, now) else ("bad", "not credited")
    if order.state == "succeeded":
        return "good", "credited"
    if order.state == "held":
        return "held", "held"
    return "wait", order.state


def _at_provider(entry: Entry, order: BoardOrder | None) -> Station:
    if entry.forged_from:
        return Station(Mark.REFUSED, "forged: a digit moved", f"signature of {entry.forged_from}")
    if entry.lost:
        return Station(Mark.LOST, "callback never came", "lost by the provider")
    if not entry.sent:
        return Station(Mark.SEEN, "called back") if order else Station(Mark.AWAIT, "paid", "callback is due")
    first = entry.sent[0]
    if not any(sent.status == 200 for sent in entry.sent):
        return Station(Mark.LOST, "called back in vain", f"answer {first.status or first.answer}")
    if len(entry.sent) > 1:
        return Station(Mark.SEEN, f"called back {len(entry.sent)} times", "same callback")
    if entry.scaled:
        return Station(
            Mark.SEEN,
            f"called back: {usdt(entry.amount * 10 * UNIT_MICROS)}",
            f"paid {usdt(entry.amount * UNIT_MICROS)}",
        )
    return Station(Mark.SEEN, "called back", clock(datetime.fromtimestamp(first.at_s, UTC)))


def _at_relay(entry: Entry, order: BoardOrder | None) -> Station:
    if entry.forged_from:
        answer = entry.sent[0].answer.replace("_", " ") if entry.sent else ""
        return Station(Mark.REFUSED, "refused, kept", answer)
    if order is None:
        return Station(Mark.AWAIT, "nothing arrived")
    if order.state == "held":
        return Station(
            Mark.HELD, "held for a person", HELD_BECAUSE.get(order.held_reason or "", order.held_reason or "")
        )
    if "recovered" in order.flags:
        late = order.created_at.timestamp() - entry.placed_at_s
        return Station(Mark.RECOVERED, "recovered", f"{late:.0f} s after payment")
    acked = [sent for sent in entry.sent if sent.status == 200]
    if len(acked) > 1:
        return Station(Mark.SEEN, "stored once", count(len(acked) - 1, "duplicate"))
    return Station(Mark.SEEN, "verified, stored", f"acked in {acked[0].latency_ms:.0f} ms" if acked else "")


def _at_services(entry: Entry, order: BoardOrder | None, deliveries: Sequence[BoardDelivery], now: datetime) -> Station:
    if entry.forged_from:
        return Station(Mark.NONE, "nobody told")
    if order is None or not deliveries:
        return Station(Mark.AWAIT, "nobody told yet")
    told = [one for one in deliveries if one.state == "delivered"]
    text = f"{len(told)} of {len(deliveries)} told"
    if len(told) < len(deliveries):
        missing = next(one for one in deliveries if one.state != "delivered")
        return Station(
            Mark.LOST if missing.state == "dead" else Mark.AWAIT, text, f"{missing.service}: {_outlook(missing, now)}"
        )
    if order.state == "held":
        return Station(Mark.SEEN, text, "that it is held")
    retried = next((one for one in told if one.attempts > 1), None)
    if retried is not None:
        return Station(Mark.SEEN, text, f"{retried.service}: {retried.refusal or 'no answer'}, then took it")
    return Station(Mark.SEEN, text, f"once each, in {told_in_ms(deliveries, order):,} ms")


def _outlook(delivery: BoardDelivery, now: datetime) -> str:
    """Say what happens next with a delivery that has not been taken."""
    if delivery.state in ("dead", "paused", "held"):
        return {"dead": "given up", "paused": "endpoint paused", "held": "held back"}[delivery.state]
    wait = delivery.due_at - now
    if delivery.state == "sending" or wait <= timedelta():
        return f"try {max(1, delivery.attempts + (delivery.state == 'pending'))} now"
    return f"try {delivery.attempts + 1} in {_in(wait)}"


def _in(wait: timedelta) -> str:
    seconds = int(wait.total_seconds()) + 1
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"


def told_in_ms(deliveries: Sequence[BoardDelivery], order: BoardOrder) -> int:
    """Milliseconds from the order's first callback to the last service that took the event."""
    last = max((one.finished_at for one in deliveries if one.finished_at), default=order.created_at)
    return max(0, round((last - order.created_at).total_seconds() * 1000))


def processes(facts: Facts) -> list[tuple[str, str, str]]:
    """Return tone, name and a few words for each of the supervisor's processes that a reader should know."""
    return [_process(child, facts.now) for child in facts.children if child.name in WATCHED]


def _process(child: Child, now: datetime) -> tuple[str, str, str]:
    if child.pid is None:
        return "bad", child.name, "is down"
    if child.starts > 1:
        return "good", child.name, f"restarted {_in(now - child.since)} ago"
    return "good", child.name, ""
