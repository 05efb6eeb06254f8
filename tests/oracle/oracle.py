"""A second judge of orders, slow and plain, written from docs/finance.md and not from the reconciler's code.

It reads whole rows, one order at a time, and sums in Python. Where it and
the reconciler disagree, one of them, or the page, is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Table, select

from relay.core.chains import Chain
from relay.core.sources import Source
from relay.store.engine import reading
from relay.store.rows import (
    callbacks,
    chains,
    deliveries,
    endpoints,
    events,
    matches,
    named_transactions,
    orders,
    provider_facts,
    testimonies,
    transfers,
)

SOON, AHEAD, LONGEST_FINAL = timedelta(seconds=45), timedelta(minutes=10), timedelta(minutes=30)
_OWED = {"pending", "sending", "paused"}
WAITING = {"creating", "created", "pending", "expired", "failed"}
# The classes that it knows by the rules of the page; a run may find others, which it leaves alone.
KNOWN = frozenset(
    {
        "missing_callback",
        "paid_unannounced",
        "callback_unconfirmed",
        "status_conflict",
        "phantom_credit",
        "amount_mismatch",
        "underpaid",
        "overpaid",
        "late_payment",
        "tx_mismatch",
        "delivery_gap",
        "rejected_callback_paid",
        "unfinal_credit",
        "clock_anomaly",
        "wrong_token",
        "reverted_tx",
    }
)
Row = dict[str, Any]


@dataclass
class Opinion:
    """How an order stands by the rules; `waits` are the classes of money that only time keeps from being breaks."""

    verdict: str = ""
    breaks: dict[str, int | None] = field(default_factory=dict)
    waits: set[str] = field(default_factory=set)
    flags: set[str] = field(default_factory=set)
    credited: int = 0
    told: int = 0
    provider: int = 0
    chain: int = 0


class Case:
    """Everything that is stored of one order, row by row."""

    def __init__(self, engine: Engine, orderid: str) -> None:
        def rows(table: Table) -> list[Row]:
            query = select(table).where(table.c.orderid == orderid)
            return [dict(row) for row in connection.execute(query).mappings()]

        with reading(engine) as connection:
            (self.order,) = rows(orders)
            heard = rows(callbacks)
            self.callbacks = [row for row in heard if row["verdict"] == "accepted"]
            self.refused = [row for row in heard if row["verdict"] == "rejected"]
            self.words = rows(provider_facts)
            self.events = rows(events)
            moved = {
                tuple(row[name] for name in ("chain", "tx_hash", "log_index")): dict(row)
                for row in _all(connection, transfers)
            }
            mine = {tuple(row[name] for name in ("chain", "tx_hash", "log_index")): row for row in rows(matches)}
            told = {row["sequence"] for row in self.events}
            self.receipts = {row["tx_hash"]: row["said"] for row in _all(connection, named_transactions)}
            self.is_confirmed = any(row["state"] == "confirmed" for row in rows(testimonies))
            self.read_until: Any = max((row["final_time"] for row in _all(connection, chains)), default=None)
            alive = {row["id"] for row in _all(connection, endpoints) if row["deleted_at"] is None}
            self.owed = [
                dict(row)
                for row in _all(connection, deliveries)
                if row["event_sequence"] in told and row["endpoint_id"] in alive
            ]
        self.moves = [
            moved[key] | {"known_at": match["final_at"] or match["matched_at"]}
            for key, match in mine.items()
            if match["reversed_at"] is None and moved[key]["orphaned_at"] is None
        ]

    def is_missed(self, since: datetime) -> bool:
        """Whether a transfer is known to be missing: the chain was read past its time, and nodes say so."""
        return self.read_until is not None and self.read_until >= since and self.is_confirmed

    def gap_since(self, within: timedelta) -> datetime | None:
        """From when on a service is behind: at once where it was given up, else when its time is over."""
        if any(row["state"] == "dead" for row in self.owed):
            return datetime.fromisoformat(str(self.order["created_at"]))
        late: list[datetime] = [row["owed_since"] or row["created_at"] for row in self.owed if row["state"] in _OWED]
        return min(late) + within if late else None

    @property
    def credited(self) -> int:
        """The net of what was announced: a credit, and what was changed about it."""
        return sum(row["delta_micros"] or 0 for row in self.events)


def _all(connection: Any, table: Table) -> list[Any]:
    return list(connection.execute(select(table)).mappings())


class Oracle:
    """The rules of the page for the orders of one source."""

    def __init__(self, engine: Engine, source: Source, chain: Chain | None) -> None:
        self.engine, self.source, self.chain = engine, source, chain

    @property
    def _grace(self) -> timedelta:
        """What a witness may lag."""
        return timedelta(seconds=self.source.grace_s)

    @property
    def _final(self) -> timedelta:
        """How long a transfer may take to be final: half an hour, or what its chain takes."""
        return LONGEST_FINAL if self.chain is None else min(LONGEST_FINAL, timedelta(seconds=self.chain.window_s))

    def judge(self, orderid: str, now: datetime) -> Opinion:
        """Say how one order stands at a moment."""
        case = Case(self.engine, orderid)
        told = Told(case, self.source)
        opinion = Opinion(
            credited=case.credited, told=told.callback or 0, provider=told.provider or 0, chain=told.final or 0
        )
        for kind, since, micros in self._found(case, told):
            if since <= now and (kind != "phantom_credit" or case.is_missed(told.first_heard + self._grace)):
                opinion.breaks[kind] = micros
            elif kind != "delivery_gap":
                opinion.waits.add(kind)
        opinion.verdict = self._verdict(case, told, opinion)
        opinion.flags = _flags(case, told)
        return opinion

    def _verdict(self, case: Case, told: Told, opinion: Opinion) -> str:
        if opinion.breaks:
            return "break"
        if opinion.waits or told.is_moving or case.order["state"] in {"confirming", "held"}:
            return "pending"
        somebody = (told.callback, told.provider, told.final)
        return "matched" if case.credited or any(one is not None for one in somebody) else "unpaid"

    def _found(self, case: Case, told: Told) -> Iterator[tuple[str, datetime, int | None]]:
        """Each class with the moment from which on it is a break."""
        grace = self._grace
        if told.callback is None and not case.credited and case.order["state"] in WAITING:
            yield from self._owed(case, told, grace)
        if case.credited:
            yield from self._unbacked(case, told, grace)
        asked_since = told.callback is not None and told.word is not None and told.asked_at > told.callback_at
        if asked_since and told.word in {"pending", "unknown"}:
            yield "callback_unconfirmed", told.callback_at + grace, told.callback
        if told.callback is not None and told.provider is not None:
            apart = abs(told.callback - told.provider)
            if apart >= told.unit:
                yield "amount_mismatch", max(told.callback_at, told.word_at), apart
        yield from self._sums(told, grace)
        yield from self._named(case, told, grace)
        if told.ahead > AHEAD:
            yield "clock_anomaly", told.callback_at, told.callback
        if gap := case.gap_since(timedelta(seconds=self.source.deliver_within_s)):
            yield "delivery_gap", gap, case.credited or None

    def _owed(self, case: Case, told: Told, grace: timedelta) -> Iterator[tuple[str, datetime, int | None]]:
        by_chain_alone = self.source.recover == "chain" and case.order["registered"] and told.final is not None
        agreed_at = max(one for one in (told.word_at, told.final_at, case.order["created_at"]) if one is not None)
        if told.provider is not None or by_chain_alone:
            wait = min(SOON, grace) if self._can_recover(case, told) else grace
            yield "missing_callback", agreed_at + wait, told.said or told.final
        elif told.final is not None:
            yield "paid_unannounced", told.final_at + grace, told.final
        if told.provider is not None and case.refused:
            yield "rejected_callback_paid", agreed_at + grace, told.provider
        if told.final is not None and told.is_late:
            yield "late_payment", told.paid_at, told.final

    def _unbacked(self, case: Case, told: Told, grace: timedelta) -> Iterator[tuple[str, datetime, int | None]]:
        if told.word in {"failed", "expired", "refunded"}:
            yield "status_conflict", told.word_at, case.credited
        if self.chain is not None and case.order["address"] and not case.moves:
            yield "phantom_credit", told.first_heard + LONGEST_FINAL + grace, case.credited
        if case.moves and told.final is None:
            yield "unfinal_credit", told.paid_at + self._final + grace, case.credited

    def _can_recover(self, case: Case, told: Told) -> bool:
        """Those that `recover` names agree; money that came too late waits for a person where the chain alone decides."""
        match self.source.recover:
            case "provider":
                return told.provider is not None
            case "provider+chain":
                agreed = told.provider is not None and told.final is not None
                return agreed and abs((told.provider or 0) - (told.final or 0)) < told.unit
            case "chain":
                return told.final is not None and bool(case.order["registered"]) and not told.is_late
        return False

    def _sums(self, told: Told, grace: timedelta) -> Iterator[tuple[str, datetime, int | None]]:
        if told.said is not None and told.final is not None:
            short = told.said - told.final
            if short >= told.unit and short > self.source.tolerance_micros:
                yield "underpaid", told.final_at + grace, short
            if -short >= told.unit:
                yield "overpaid", told.final_at, -short
        if told.named_tx and told.final is not None and told.named_tx not in told.txs and len(told.txs) <= 2:
            yield "tx_mismatch", told.final_at + grace, None

    def _named(self, case: Case, told: Told, grace: timedelta) -> Iterator[tuple[str, datetime, int | None]]:
        """The transaction that is named brought the order nothing, and nodes say why."""
        is_believed = bool(case.credited) or told.said is not None
        if self.chain is None or case.moves or not told.named_tx or not is_believed:
            return
        kind = {"reverted": "reverted_tx", "foreign": "wrong_token"}.get(case.receipts.get(told.named_tx, ""))
        if kind is not None:
            yield kind, told.first_heard + (timedelta(0) if case.order["state"] == "held" else grace), told.said


class Told:
    """What each witness of a case says, summed; None where one is silent."""

    def __init__(self, case: Case, source: Source) -> None:
        paid = [row for row in case.callbacks if row["status"] == "succeeded"]
        self.callback = sum(row["amount_micros"] for row in paid) if paid else None
        self.callback_at: Any = min((row["received_at"] for row in paid), default=None)
        ahead = (row["occurred_at"] - row["received_at"] for row in paid if row["occurred_at"] is not None)
        self.ahead = max(ahead, default=timedelta(0))
        word = case.words[0] if case.words else None
        self.word = None if word is None else word["status"] or "unknown"
        self.word_at: Any = word and word["changed_at"]
        self.asked_at: Any = word and word["checked_at"]
        self.named_tx = word and word["tx_hash"]
        self.provider = word["amount_micros"] if word and self.word == "succeeded" else None
        final = [row for row in case.moves if row["is_final"]]
        self.is_moving = len(final) < len(case.moves)
        self.final = sum(row["amount_micros"] for row in final) if final else None
        self.count, self.txs = len(final), {row["tx_hash"] for row in final}
        self.final_at: Any = max((row["known_at"] for row in case.moves), default=None)
        self.paid_at: Any = min((row["block_time"] for row in case.moves), default=None)
        ends = case.order["expires_at"]
        self.is_late = bool(ends and self.paid_at and self.paid_at > ends)
        self.unit = max(source.adapter.unit_micros, word["unit_micros"] if word else 1)
        self.first_heard: Any = self.callback_at or self.word_at or case.order["created_at"]

    @property
    def said(self) -> int | None:
        """What was said to be paid: the provider's answer, else the callback's."""
        return self.callback if self.provider is None else self.provider


def _flags(case: Case, told: Told) -> set[str]:
    flags = set(case.order["flags"].split()) & {"late", "partial", "conflict", "recovered", "clock"}
    if told.is_late:
        flags.add("late")
    if told.count > 1:
        flags.add("split")
    if told.said is not None and told.final is not None and abs(told.said - told.final) >= told.unit:
        flags.add("partial" if told.final < told.said else "over")
    return flags
