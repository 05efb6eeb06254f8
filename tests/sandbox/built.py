"""Facts that were never measured: one board with every kind of row, and the small parts it is made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from relay.sandbox.book import UNIT_MICROS, Entry, Payment, Sent
from relay.sandbox.facts import Book, Child, Facts, Ledgers
from relay.sandbox.provider import Provider
from relay.store.board import BoardDelivery, BoardOrder, BoardTotals, BoardTransfer

NOW = datetime(2026, 11, 23, 10, 4, 40, tzinfo=UTC)
SERVICES = ("wallet", "ledger", "billing")
TX_HASH = "0x" + "ab" * 32

CHILDREN = (
    Child(name="web", pid=11, starts=1, since=NOW - timedelta(seconds=61)),
    Child(name="worker", pid=14, starts=2, since=NOW - timedelta(seconds=9)),
    Child(name="clock", pid=13, starts=1, since=NOW - timedelta(seconds=61)),
    Child(name="redis", pid=None, starts=1, since=NOW - timedelta(seconds=1)),
    Child(name="chain", pid=15, starts=1, since=NOW - timedelta(seconds=61)),
    Child(name="traffic", pid=16, starts=1, since=NOW - timedelta(seconds=61)),
)


def pay(provider: Provider, order: Entry) -> Entry:
    """Let a provider take an order, see it paid as asked, and call back; the entry shows what came of it."""
    placed = provider.place(order)
    assert placed is not None
    provider.pay(placed.address, placed.amount * UNIT_MICROS, TX_HASH)
    provider.call_back(placed.orderid)
    return placed


def entry(
    orderid: str, amount: int = 640_000, *, ago_s: float = 20, copies: int = 1, status: int | None = 200, **known: Any
) -> Entry:
    """A line of the provider's book, paid when it was made; `amount` in ten-thousandths of a USDT."""
    at_s = NOW.timestamp() - ago_s
    answer = "success" if status == 200 else "bad_signature"
    usual = {"payment": Payment(TX_HASH, at_s), "sent": [Sent(at_s + 0.22, status, answer, 4.2)] * copies}
    return Entry(orderid, "12", amount, at_s, **{**usual, **known})


def order(
    line: Entry, *, state: str = "succeeded", flags: str = "", held_reason: str | None = None, late_s: float = 0.224
) -> BoardOrder:
    """What the relay made of a line."""
    micros = line.amount * UNIT_MICROS
    return BoardOrder(
        orderid=line.orderid,
        user_ref=line.user,
        state=state,
        amount_micros=micros,
        credited_micros=micros if state == "succeeded" else 0,
        flags=frozenset(flags.split()),
        held_reason=held_reason,
        created_at=datetime.fromtimestamp(line.placed_at_s + late_s, UTC),
    )


def told(
    known: BoardOrder, *, in_ms: int = 12, attempts: int = 1, refusal: int | None = None, **last: Any
) -> list[BoardDelivery]:
    """The deliveries of an order's event; `last` changes the third, billing."""
    done = {
        "state": "delivered",
        "attempts": 1,
        "refusal": None,
        "finished_at": known.created_at + timedelta(milliseconds=in_ms),
    }
    billing = {**done, "attempts": attempts, "refusal": refusal, **last}
    return [
        BoardDelivery(
            orderid=known.orderid,
            event_type="recharge.succeeded",
            announced_at=known.created_at,
            service=name,
            due_at=NOW + timedelta(seconds=4),
            **values,
        )
        for name, values in zip(SERVICES, (done, done, billing), strict=True)
    ]


def seen(block: int, *, confirmations: int, is_final: bool = True) -> BoardTransfer:
    """A payment as the relay read it on the chain."""
    return BoardTransfer(
        block_number=block,
        block_hash="0xb",
        tx_hash=TX_HASH,
        confirmations=confirmations,
        is_final=is_final,
        is_gone=False,
    )


def board() -> Facts:
    """One moment of a sandbox in which everything has happened once."""
    ordered = entry("sh-0020", 880_000, ago_s=0.1, copies=0, payment=None)
    fresh = entry("sh-0019", 200_000, ago_s=0.4, copies=0)
    plain, retrying = (
        entry("sh-0018", 640_000, ago_s=2.3, dialect="shkeeper", status=202),
        entry("sh-0017", 307_500, ago_s=4.1),
    )
    forged = entry("7sh-0016", 990_000, ago_s=7, status=401, payment=None, forged_from="sh-0016")
    ok, thrice = (
        entry("sh-0016", 990_000, ago_s=8, dialect="crossing-v2"),
        entry("sh-0015", 125_000, ago_s=11, copies=3),
    )
    large = entry("sh-0014", 12_000_000, ago_s=14)
    lost, recovered = (
        entry("sh-0013", 500_000, ago_s=17, copies=0, lost=True),
        entry("sh-0012", 1_000_000, ago_s=40, copies=0, lost=True),
    )
    healed = entry("sh-0011", 1_482_500, ago_s=46)
    lines = (ordered, fresh, plain, retrying, forged, ok, thrice, large, lost, recovered, healed)
    orders = [order(line) for line in (plain, retrying, ok, thrice, healed)]
    waiting = [order(line, state="created", late_s=0) for line in (ordered, fresh, lost)]
    orders += [order(large, state="held", held_reason="above_limit"), order(recovered, flags="recovered", late_s=17.4)]
    deliveries = {one.orderid: told(one) for one in orders}
    deliveries["sh-0017"] = told(orders[1], attempts=1, state="pending", refusal=503, finished_at=None)
    deliveries["sh-0011"] = told(orders[4], attempts=2, refusal=503, in_ms=5_214)
    return Facts(
        now=NOW,
        book=Book(
            started_at=NOW - timedelta(seconds=60),
            entries=lines,
            armed={"lose": 1, "repeat": 0, "scale": 0},
            orders=9,
            paid_micros=sum(line.amount for line in lines if line.payment) * UNIT_MICROS,
            lost=2,
            forged=1,
        ),
        ledgers=Ledgers(credited={name: {} for name in SERVICES}, repeats=0, twice=0, altered=0, refused=0),
        orders={one.orderid: one for one in (*orders, *waiting)},
        deliveries=deliveries,
        transfers={
            "sh-0019": seen(1_241, confirmations=1, is_final=False),
            "sh-0017": seen(1_237, confirmations=5, is_final=False),
            **{line.orderid: seen(1_220, confirmations=22) for line in (ok, thrice, large, lost, recovered, healed)},
        },
        totals=BoardTotals(
            credited=6,
            credited_micros=sum(one.credited_micros for one in orders),
            held=1,
            held_micros=large.amount * UNIT_MICROS,
            recovered=1,
        ),
        children=CHILDREN,
    )
