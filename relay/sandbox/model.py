"""Own what the facts mean to a reader: the rows, figures and sentence of the board, as values without a page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from relay.sandbox.book import UNIT_MICROS, Entry
from relay.sandbox.facts import NEWEST, Child, Facts
from relay.sandbox.plan import GRACE_S
from relay.sandbox.stations import (
    Mark,
    Station,
    at_chain,
    at_provider,
    at_relay,
    at_services,
    count,
    in_words,
    is_undecided,
    usdt,
)
from relay.store.board import BoardOrder

WATCHED = ("web", "worker", "clock", "redis", "chain")
REACHED = (Mark.SEEN, Mark.RECOVERED, Mark.HELD, Mark.REFUSED)


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
        entry for entry in entries if is_undecided(facts.orders.get(entry.orderid)) and _is_young(entry, facts.now)
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


def _why_unexplained(sums: Totals) -> str:
    return (
        f"{count(sums.unexplained, 'order')} paid, not credited"
        if sums.unexplained
        else "credited is not what was paid"
    )


def _entry_of(order: BoardOrder) -> Entry:
    """Stand in for the provider's line while the provider cannot be asked."""
    return Entry(order.orderid, order.user_ref or "", order.amount_micros // UNIT_MICROS, order.created_at.timestamp())


def _is_young(entry: Entry, now: datetime) -> bool:
    """Whether an order was paid so lately that its callback may still come."""
    return entry.payment is not None and now.timestamp() - entry.payment.at_s < GRACE_S


def _row(entry: Entry, facts: Facts) -> Row:
    order, deliveries = facts.orders.get(entry.orderid), facts.deliveries.get(entry.orderid, ())
    tone, word = _state(entry, order, facts.now)
    return Row(
        orderid=entry.orderid,
        amount=usdt(entry.amount * UNIT_MICROS),
        placed_at=datetime.fromtimestamp(entry.placed_at_s, UTC),
        provider=at_provider(entry, order),
        chain=at_chain(entry, facts.transfers.get(entry.orderid)),
        relay=at_relay(entry, order, deliveries),
        services=at_services(entry, order, deliveries, facts.now),
        tone=tone,
        word=word,
    )


def _state(entry: Entry, order: BoardOrder | None, now: datetime) -> tuple[str, str]:
    if entry.forged_from:
        return "bad", "refused"
    if order is None or is_undecided(order):
        if entry.payment is None:
            return "wait", "to be paid"
        return ("wait", "awaited") if _is_young(entry, now) else ("bad", "not credited")
    if order.state == "succeeded":
        return "good", "credited"
    if order.state == "held":
        return "held", "held"
    return "bad" if order.state == "reversed" else "wait", order.state


def processes(facts: Facts) -> list[tuple[str, str, str]]:
    """Return tone, name and a few words for each of the supervisor's processes that a reader should know."""
    return [_process(child, facts.now) for child in facts.children if child.name in WATCHED]


def _process(child: Child, now: datetime) -> tuple[str, str, str]:
    if child.pid is None:
        return "bad", child.name, "is down"
    if child.starts > 1:
        return "good", child.name, f"restarted {in_words(now - child.since)} ago"
    return "good", child.name, ""
