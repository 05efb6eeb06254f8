"""Own the terminal's story: one line for each order once its outcome is known, and a summary every half minute."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from config.settings import load
from relay.errors import Unavailable
from relay.sandbox.book import UNIT_MICROS, Entry
from relay.sandbox.facts import Facts, gather
from relay.sandbox.model import Totals, totals
from relay.sandbox.plan import Plan
from relay.sandbox.stations import ACKED, is_undecided, told_in_ms, usdt
from relay.store.board import BoardDelivery, BoardOrder
from relay.store.engine import make_engine

POLL_S = 0.4
SUMMARY_S = 30.0


def lines(facts: Facts, told: set[tuple[str, str]]) -> Iterator[str]:
    """Yield what has become known of each order, oldest first; `told` remembers what was already said."""
    for entry in reversed(facts.book.entries if facts.book else ()):
        order, deliveries = facts.orders.get(entry.orderid), facts.deliveries.get(entry.orderid, ())
        chapter, text = _chapter(entry, order, list(deliveries))
        if chapter and (entry.orderid, chapter) not in told:
            told.add((entry.orderid, chapter))
            yield f"{entry.orderid:<10}{usdt(entry.amount * UNIT_MICROS):>10} USDT  {text}"


def summary(sums: Totals) -> str:
    """Return the line that sums up."""
    twice = "?" if sums.twice is None else f"{sums.twice:,}"
    return (
        f"{'':<10}paid {usdt(sums.paid_micros)}, credited {usdt(sums.credited_micros)}, held {usdt(sums.held_micros)}, "
        f"unexplained {usdt(sums.unexplained_micros)}, twice {twice}, recovered {sums.recovered:,}"
    )


def _chapter(entry: Entry, order: BoardOrder | None, deliveries: list[BoardDelivery]) -> tuple[str, str]:
    """Return the latest chapter of an order and its words; two empty texts while nothing is decided."""
    if entry.forged_from:
        return ("refused", _refusal(entry)) if entry.sent else ("", "")
    if order is None or is_undecided(order):
        return _without_credit(entry)
    if not deliveries or any(one.state != "delivered" for one in deliveries):
        return "", ""
    if order.state == "held":
        return "held", f"HELD for a person: {(order.held_reason or '').replace('_', ' ')}"
    return "done", _credited(entry, order, deliveries)


def _refusal(entry: Entry) -> str:
    status = entry.sent[0].status
    return f"forged with the signature of {entry.forged_from}, {'ACCEPTED' if status == 200 else 'refused'} ({status})"


def _without_credit(entry: Entry) -> tuple[str, str]:
    if entry.lost:
        return "lost", "LOST by the provider"
    if entry.sent and not any(sent.status in ACKED for sent in entry.sent):
        first = entry.sent[0]
        return "lost", f"LOST: not acknowledged ({first.status or first.answer}), and the provider does not repeat"
    return "", ""


def _credited(entry: Entry, order: BoardOrder, deliveries: list[BoardDelivery]) -> str:
    told = f"{len(deliveries)} of {len(deliveries)} told"
    took = told_in_ms(deliveries)
    if "recovered" in order.flags:
        return f"RECOVERED, {told} in {took:,} ms"
    retried = next((one for one in deliveries if one.attempts > 1), None)
    if retried is not None:
        return f"{retried.service} down, retried, delivered after {took / 1000:.1f} s"
    if len(entry.sent) > 1:
        times = {2: "twice", 3: "three times"}.get(len(entry.sent), f"{len(entry.sent)} times")
        return f"same callback {times}, credited once, {told} in {took:,} ms"
    return f"callback ok, {told} in {took:,} ms"


def _gathered(engine: Engine, plan: Plan, children: Path) -> Facts:
    """The facts now; none while the database is away."""
    now = datetime.now(UTC)
    try:
        return gather(engine, plan, children=children, now=now)
    except Unavailable:
        return Facts(now=now)


def main() -> None:
    """Tell the story on standard output until the process is ended."""
    parser = argparse.ArgumentParser(description="Tell what happens, one line for each order.")
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--children", type=Path, required=True)
    given = parser.parse_args()
    engine, plan = make_engine(load(os.environ).database_url), Plan.read(given.plan)
    told: set[tuple[str, str]] = set()
    # What was decided before this start is no news.
    list(lines(_gathered(engine, plan, given.children), told))
    summed_at = time.monotonic()
    while True:
        facts = _gathered(engine, plan, given.children)
        for line in lines(facts, told):
            sys.stdout.write(line + "\n")
        if time.monotonic() - summed_at >= SUMMARY_S and facts.book:
            summed_at = time.monotonic()
            sys.stdout.write(summary(totals(facts)) + "\n")
        sys.stdout.flush()
        time.sleep(POLL_S)


if __name__ == "__main__":
    main()
