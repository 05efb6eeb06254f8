"""Own the four stations of an order's way: what each says of it, and how it is marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from relay.sandbox.book import UNIT_MICROS, V1, V2, Entry
from relay.store.board import BoardDelivery, BoardOrder, BoardTransfer

HELD_BECAUSE = {
    "above_limit": "above the limit of 1,000",
    "conflict": "two callbacks disagree",
    "source_paused": "the source is paused",
    "too_old": "older than allowed",
    "unknown_order": "nobody registered it",
    "below_minimum": "below the minimum",
}
# What the relay answers to a callback that it has stored: 202 is SHKeeper's.
ACKED = (200, 202)
# An order in one of these was made, and nobody was told of money yet.
UNDECIDED = ("creating", "created", "pending", "confirming")


class Mark(StrEnum):
    """How a station looks; the word beside it always says the same."""

    SEEN = "seen"
    AWAIT = "await"
    LOST = "lost"
    REFUSED = "refused"
    RECOVERED = "recovered"
    HELD = "held"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Station:
    """One stop of an order: a mark, a few words, and a detail below them."""

    mark: Mark
    text: str
    detail: str = ""


def at_provider(entry: Entry, order: BoardOrder | None) -> Station:
    """What the provider made, saw, and sent."""
    if entry.forged_from:
        return Station(Mark.REFUSED, "forged: a digit moved", f"signature of {entry.forged_from}")
    if entry.lost:
        return Station(Mark.LOST, "callback never came", "lost by the provider")
    if not entry.sent:
        return _before_the_callback(entry, order)
    first = entry.sent[0]
    if not any(sent.status in ACKED for sent in entry.sent):
        return Station(Mark.LOST, "called back in vain", f"answer {first.status or first.answer}")
    if len(entry.sent) > 1:
        return Station(Mark.SEEN, f"called back {len(entry.sent)} times", "same callback")
    if entry.scaled:
        return Station(
            Mark.SEEN,
            f"called back: {usdt(entry.amount * 10 * UNIT_MICROS)}",
            f"paid {usdt(entry.amount * UNIT_MICROS)}",
        )
    return Station(Mark.SEEN, "called back", f"{_spoken(entry)}, {clock(datetime.fromtimestamp(first.at_s, UTC))}")


def _before_the_callback(entry: Entry, order: BoardOrder | None) -> Station:
    if order is not None and not is_undecided(order):
        return Station(Mark.SEEN, "called back")
    if entry.payment is None:
        return Station(Mark.AWAIT, "order made", f"{_spoken(entry)}, waits for money")
    return Station(Mark.AWAIT, "saw the payment", "callback is due")


def at_chain(entry: Entry, transfer: BoardTransfer | None) -> Station:
    """Where the payment stands, as far as the relay has read the chain."""
    if entry.forged_from:
        return Station(Mark.NONE, "nobody paid")
    if transfer is None:
        return Station(Mark.AWAIT, "not read yet" if entry.payment else "nothing arrived")
    if transfer.is_gone:
        return Station(Mark.LOST, f"block {transfer.block_number:,}", "was replaced")
    counted = count(transfer.confirmations, "confirmation")
    return Station(Mark.SEEN, f"block {transfer.block_number:,}", f"{counted}, final" if transfer.is_final else counted)


def at_relay(entry: Entry, order: BoardOrder | None, deliveries: Sequence[BoardDelivery]) -> Station:
    """What the relay believes."""
    if entry.forged_from:
        answer = entry.sent[0].answer.replace("_", " ") if entry.sent else ""
        return Station(Mark.REFUSED, "refused, kept", answer)
    if order is None:
        return Station(Mark.AWAIT, "nothing arrived")
    if is_undecided(order):
        return Station(Mark.AWAIT, "order known", "no callback yet")
    if order.state == "held":
        return Station(
            Mark.HELD, "held for a person", HELD_BECAUSE.get(order.held_reason or "", order.held_reason or "")
        )
    if order.state == "reversed":
        return Station(Mark.REFUSED, "taken back", "the payment is gone")
    if "recovered" in order.flags:
        return Station(Mark.RECOVERED, "recovered", _lateness(entry, deliveries))
    acked = [sent for sent in entry.sent if sent.status in ACKED]
    if len(acked) > 1:
        return Station(Mark.SEEN, "stored once", count(len(acked) - 1, "duplicate"))
    return Station(Mark.SEEN, "verified, stored", f"acked in {acked[0].latency_ms:.0f} ms" if acked else "")


def _lateness(entry: Entry, deliveries: Sequence[BoardDelivery]) -> str:
    if entry.payment is None or not deliveries:
        return ""
    return f"{deliveries[0].announced_at.timestamp() - entry.payment.at_s:.0f} s after payment"


def at_services(entry: Entry, order: BoardOrder | None, deliveries: Sequence[BoardDelivery], now: datetime) -> Station:
    """Who was told."""
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
    return Station(Mark.SEEN, text, f"once each, in {told_in_ms(deliveries):,} ms")


def is_undecided(order: BoardOrder | None) -> bool:
    """Whether the relay has neither credited nor held an order, nor ended it in another way."""
    return order is None or order.state in UNDECIDED


def told_in_ms(deliveries: Sequence[BoardDelivery]) -> int:
    """Milliseconds from the commit of an event to the last service that took it."""
    took = [one.finished_at - one.announced_at for one in deliveries if one.finished_at]
    return max(0, round(max(took, default=timedelta()).total_seconds() * 1000))


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


def _spoken(entry: Entry) -> str:
    """The dialect, as people call it."""
    return {V1: "V1", V2: "V2"}.get(entry.dialect, entry.dialect)


def _outlook(delivery: BoardDelivery, now: datetime) -> str:
    """Say what happens next with a delivery that has not been taken."""
    if delivery.state in ("dead", "paused", "held"):
        return {"dead": "given up", "paused": "endpoint paused", "held": "held back"}[delivery.state]
    wait = delivery.due_at - now
    if delivery.state == "sending" or wait <= timedelta():
        return f"try {max(1, delivery.attempts + (delivery.state == 'pending'))} now"
    return f"try {delivery.attempts + 1} in {in_words(wait)}"


def in_words(wait: timedelta) -> str:
    """Spell a time to wait."""
    seconds = int(wait.total_seconds()) + 1
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
