"""Own the breaks of money that is no order's: what changed about it is judged, and their breaks open, change and clear."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from relay.core.balances import Proof, may_explain
from relay.core.breaks import OF_CHAINS
from relay.core.chains import Chain
from relay.core.logs import TokenEvent
from relay.core.orders import Finding, Spot
from relay.core.sources import Source
from relay.core.strays import Bounds, Interval, Stray, class_of, due_at, evidence_of_gap, evidence_of_stray
from relay.flows.settling import Settled, finding, settle
from relay.store import balances, matching
from relay.store import strays as store

PAGE = 200
GAPS = ("balance_gap", "non_transfer_move")
_OF_MOVES = tuple(sorted(OF_CHAINS - {*GAPS, "dust_or_poison"}))
# An address of which earlier blocks are still read is looked at again after so long.
UNFILLED = timedelta(minutes=1)
MOST_ORDERS, MOST_GAPS = 5, 200


def judge_page(
    connection: Connection, sources: Mapping[str, Source], chains: Mapping[str, Chain], *, now: datetime
) -> tuple[int, Settled]:
    """Judge a page of what changed, and the gaps that are open; return how much had changed, and what that settled.

    All in the caller's transaction, so that what was taken from the log is judged or stays there.
    """
    changed = store.take(connection, now=now, limit=PAGE)
    points = {store.point_key(one.chain, one.key) for one in changed if one.kind == "balance"}
    points |= set(store.open_gaps(connection, GAPS, limit=MOST_GAPS))
    keys = set(_moves(connection, changed))
    if not keys and not points:
        return len(changed), Settled()
    desk = _Desk(connection, sources, chains, now)
    desk.judge_moves(store.strays(connection, keys) if keys else [])
    desk.judge_points(points)
    store.come_back(connection, desk.later)
    known = store.known(connection, desk.looked_at)
    return len(changed), settle(connection, desk.found, known, derived=OF_CHAINS, now=now)


def _moves(connection: Connection, changed: Iterable[store.Changed]) -> Iterator[store.MoveKey]:
    for one in changed:
        if one.kind == "transfer":
            yield store.move_key(one.chain, one.key)
        elif one.kind == "address":
            yield from store.moves_to(connection, one.chain, one.key)


class _Desk:
    """One page: what is found, the ids of all breaks that could have been, and what is looked at later."""

    def __init__(
        self, connection: Connection, sources: Mapping[str, Source], chains: Mapping[str, Chain], now: datetime
    ) -> None:
        self._connection, self._sources, self._chains, self._now = connection, sources, chains, now
        self.found: list[Finding] = []
        self.looked_at: set[str] = set()
        self.later: list[tuple[store.Changed, datetime]] = []

    def judge_moves(self, strays: Sequence[Stray]) -> None:
        """Judge transfers: an order, a person or the book may have settled them meanwhile."""
        fitting = self._fitting([one for one in strays if class_of(one) == "ambiguous_match"])
        for one in strays:
            moved, kind = one.transfer, class_of(one)
            spot = Spot(moved.chain, f"{moved.tx_hash}/{moved.log_index}", moved.recipient, moved.tx_hash)
            self._look_at(spot, _OF_MOVES)
            namespace = one.sender_namespace if one.left_us else one.namespace
            moment = None if kind is None else due_at(one, kind, _bounds(self._sources, namespace))
            if kind is None or moment is None:
                continue
            if moment > self._now:
                self.later.append((store.Changed("transfer", moved.chain, spot.name), moment))
            elif kind == "dust_or_poison":
                self._find_dust(one)
            else:
                evidence = evidence_of_stray(one, fitting.get(moved.key, ()))
                self._find(kind, spot, namespace, moved.amount_micros, evidence)

    def judge_points(self, keys: Iterable[store.PointKey]) -> None:
        """Judge measured balances by the ones before them."""
        known = {key for key in keys if key[0] in self._chains and self._chains[key[0]].token(key[1]) is not None}
        for row in store.intervals(self._connection, known) if known else ():
            spot = Spot(row["chain"], f"{row['contract']}/{row['address']}/{row['first_block']}", row["address"])
            if not row["is_filled"]:
                self.later.append((store.Changed("balance", spot.chain, spot.name), self._now + UNFILLED))
                continue
            self._look_at(spot, GAPS)
            self._judge_interval(spot, _interval(row, self._chains[spot.chain]))

    def _judge_interval(self, spot: Spot, interval: Interval) -> None:
        if not interval.gap:
            return
        events = self._events(interval)
        token = self._chains[spot.chain].token(interval.contract)
        micros = None if token is None else token.split(abs(interval.gap))[0]
        kind = "non_transfer_move" if events else "balance_gap"
        self._find(kind, spot, None, micros, evidence_of_gap(interval, events))

    def _events(self, interval: Interval) -> list[TokenEvent]:
        line = Proof(chain=interval.chain, contract=interval.contract, address=interval.address, role="")
        seen = balances.events(self._connection, interval.chain, after=interval.low_block)
        return [one for one in seen if one.block_number <= interval.high_block and may_explain(one, line)]

    def _find_dust(self, stray: Stray) -> None:
        """Worthless transfers to an address are one break, however many there are."""
        moved = stray.transfer
        spot = Spot(moved.chain, moved.recipient, moved.recipient)
        self._look_at(spot, ("dust_or_poison",))
        if all(one.spot != spot for one in self.found):
            seen = store.dust(self._connection, moved.chain, moved.recipient)
            told = evidence_of_stray(stray) | {"transfers": str(seen["count"]), "tx_hash": seen["tx_hash"]}
            self._find("dust_or_poison", spot, stray.namespace, None, told)

    def _fitting(self, strays: Sequence[Stray]) -> dict[store.MoveKey, list[str]]:
        """The orders that fit each of these transfers, the newest first."""
        if not strays:
            return {}
        found, orders = matching.around(self._connection, [one.transfer for one in strays])
        return {
            one.transfer.key: [
                orders[number]["orderid"] for number in sorted(one.named | one.near, reverse=True) if number in orders
            ][:MOST_ORDERS]
            for one in found
        }

    def _look_at(self, spot: Spot, kinds: Iterable[str]) -> None:
        self.looked_at |= {_finding(kind, spot).id for kind in kinds}

    def _find(
        self, kind: str, spot: Spot, namespace: str | None, micros: int | None, evidence: Mapping[str, str]
    ) -> None:
        self.found.append(_finding(kind, spot, namespace, micros, evidence))


def _finding(
    kind: str,
    spot: Spot,
    namespace: str | None = None,
    micros: int | None = None,
    evidence: Mapping[str, str] | None = None,
) -> Finding:
    return finding(
        kind,
        source=namespace,
        key=(namespace, None),
        amount_micros=micros,
        evidence=evidence or {},
        spot=spot,
    )


def _bounds(sources: Mapping[str, Source], namespace: str | None) -> Bounds:
    """What the sources of a namespace say; money of an address that belongs to none is judged by all of them."""
    mine = [one for one in sources.values() if namespace in (None, one.namespace)]
    if not mine:
        return Bounds()
    begun = [one.live_from for one in mine if one.live_from is not None]
    live_from = min(begun) if len(begun) == len(mine) else None
    return Bounds(grace_s=max(one.grace_s for one in mine), live_from=live_from)


def _interval(row: Mapping[Any, Any], chain: Chain) -> Interval:
    token = chain.token(row["contract"])
    assert token is not None  # noqa: S101  # the caller chose those of known tokens
    return Interval(
        chain=row["chain"],
        contract=row["contract"],
        address=row["address"],
        decimals=token.decimals,
        low_block=row["last_block"],
        high_block=row["first_block"],
        before=int(row["before"]),
        received=token.join(row["received_micros"], row["received_rest"]),
        sent=token.join(row["sent_micros"], row["sent_rest"]),
        after=int(row["after"]),
    )
