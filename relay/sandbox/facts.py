"""Own the gathering of what the board and the story are made of: the relay's rows, the provider's book, the ledgers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from relay.sandbox.book import Entry
from relay.sandbox.loopback import ask
from relay.sandbox.plan import SOURCE, Plan
from relay.store import board as store
from relay.store.board import BoardDelivery, BoardOrder, BoardTotals, BoardTransfer
from relay.store.engine import reading

NEWEST = 30
_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The provider's own view: entries newest first, what is armed, and sums since its start in micro-USDT."""

    started_at: datetime
    entries: tuple[Entry, ...]
    armed: Mapping[str, int]
    orders: int
    paid_micros: int
    lost: int
    forged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledgers:
    """What the three subscribers say of themselves, summed; `credited` is by name, then by orderid."""

    credited: Mapping[str, Mapping[str, int]]
    repeats: int
    twice: int
    altered: int
    refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One process of the supervisor; `starts` counts how often it was started, `pid` is None while it is down."""

    name: str
    pid: int | None
    starts: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything at one moment. A part that does not answer is None; the rest is shown without it."""

    now: datetime
    book: Book | None = None
    ledgers: Ledgers | None = None
    orders: Mapping[str, BoardOrder] = field(default_factory=dict)
    deliveries: Mapping[str, Sequence[BoardDelivery]] = field(default_factory=dict)
    transfers: Mapping[str, BoardTransfer] = field(default_factory=dict)
    totals: BoardTotals = field(default_factory=BoardTotals)
    children: tuple[Child, ...] = ()


def gather(engine: Engine, plan: Plan, *, children: Path, now: datetime) -> Facts:
    """Ask everybody once. Raises Unavailable when the database does not answer."""
    # Before the transaction, which would stay open while the two are waited for.
    book = _book(ask(f"{plan.provider_url}/book"))
    ledgers = _ledgers(ask(f"{plan.subscribers_url}/ledgers"))
    with reading(engine) as connection:
        known = [entry.orderid for entry in book.entries] if book else None
        orderids = store.newest(connection, SOURCE, limit=NEWEST) if known is None else known
        return Facts(
            now=now,
            book=book,
            ledgers=ledgers,
            orders=store.board_orders(connection, SOURCE, orderids),
            deliveries=store.board_deliveries(connection, SOURCE, orderids),
            transfers=store.board_transfers(connection, SOURCE, orderids),
            totals=store.board_totals(connection, SOURCE, since=book.started_at if book else _LONG_AGO),
            children=read_children(children),
        )


def read_children(path: Path) -> tuple[Child, ...]:
    """Read the supervisor's list of its children; none when there is no supervisor."""
    try:
        listed = json.loads(path.read_text())
    except (OSError, ValueError):
        return ()
    return tuple(
        Child(name=name, pid=one["pid"], starts=one["starts"], since=_moment(one["since_s"]))
        for name, one in listed.items()
    )


def _book(answer: Any) -> Book | None:
    if answer is None:
        return None
    totals = answer["totals"]
    return Book(
        started_at=_moment(answer["started_at_s"]),
        entries=tuple(map(Entry.of, answer["entries"])),
        armed=answer["armed"],
        orders=totals["orders"],
        paid_micros=totals["micros"],
        lost=totals["lost"],
        forged=totals["forged"],
    )


def _ledgers(answer: Any) -> Ledgers | None:
    if answer is None:
        return None
    sums = {name: sum(one[name] for one in answer.values()) for name in ("repeats", "twice", "altered", "refused")}
    return Ledgers(credited={name: one["credited"] for name, one in answer.items()}, **sums)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
