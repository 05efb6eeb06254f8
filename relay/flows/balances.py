"""Own how balances are measured at final blocks, and how each address's money is proven over a day."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, RowMapping

from relay.core.balances import Point, Proof, Window, prove, window_of
from relay.core.chain_addresses import family_of
from relay.core.chains import Chain
from relay.core.days import ONE, Calendar, Day
from relay.core.logs import Header
from relay.errors import NodeFault
from relay.flows.balance_reading import NoState, read_latest, read_pinned, read_solid
from relay.flows.chain_reading import Reader
from relay.flows.cuts import last_before
from relay.flows.days import day_named
from relay.ports import Node, SolidState
from relay.store import balances as store
from relay.store import chain as chain_store
from relay.store import chain_findings as findings
from relay.store import cuts, leases
from relay.store.engine import reading, writing

log = logging.getLogger(__name__)

# As long as a job may take: who has held it for longer was ended.
LEASE_S = 300
# Addresses of one run: fifty questions with a Multicall3, ten without. A hundred thousand are measured within an hour of a cut.
MOST, MOST_SINGLY = 10_000, 400
# Days whose last block is looked for, so that an outage leaves none without.
DAYS_BACK = 7
PAGE = 500


def measure(
    engine: Engine,
    chain: Chain,
    nodes: Sequence[Node],
    calendar: Calendar,
    *,
    owner: str,
    now: datetime,
    services: Sequence[SolidState] = (),
) -> str:
    """Measure the balances that are due, from the first node that tells them; return `measured`, `busy`, `waiting` or `unread`.

    Each run does a part, so that scans go on meanwhile; the next one goes on.
    `services` are TRON's, which tell confirmed balances where its nodes tell those of their head.
    """
    lease = f"balances:{chain.name}"
    with writing(engine) as connection:
        if leases.take(connection, lease, owner=owner, now=now, ttl_s=LEASE_S) is None:
            return "busy"
        state = chain_store.states(connection).get(chain.name)
        resting = findings.nodes_of(connection, chain.name)
    try:
        if state is None or state["stopped"] or state["final_hash"] is None:
            return "waiting"
        for node in nodes:
            if not _rests(resting.get(node.name), now):
                one = Round(
                    engine=engine,
                    chain=chain,
                    reader=Reader(chain, node),
                    services=services,
                    state=state,
                    calendar=calendar,
                    now=now,
                )
                if _runs(one, node.name):
                    return "measured"
        return "unread"
    finally:
        with writing(engine) as connection:
            leases.release(connection, lease, owner=owner, now=now)


def _rests(seen: RowMapping | None, now: datetime) -> bool:
    return seen is not None and seen["closed_until"] is not None and seen["closed_until"] > now


def _runs(one: Round, node: str) -> bool:
    try:
        one.run()
    except NodeFault as error:
        log.warning("balances_unread", extra={"chain": one.chain.name, "node": node, "error": error.code})
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round of measuring a chain by one node; `state` is how far the chain was read when it began."""

    engine: Engine
    chain: Chain
    reader: Reader
    services: Sequence[SolidState]
    state: RowMapping
    calendar: Calendar
    now: datetime

    def run(self) -> None:
        """Believe what has become final, find the blocks of cut-offs, measure what is due. Raises NodeFault."""
        self._settle()
        self._cut()
        self._weigh()

    def _settle(self) -> None:
        """Believe the readings whose block is final by now and still the same; forget the others."""
        chain, final = self.chain.name, self.state["final_number"]
        with reading(self.engine) as connection:
            held = store.held(connection, chain, final=final)
        if not held:
            return
        # Our own final block is asked for as well: by it the node is known to be on our branch.
        headers = {one.number: one for one in self._final_headers(sorted({*held, final}))}
        with writing(self.engine) as connection:
            for number, by_hash in sorted(held.items()):
                for units in (units for told, units in by_hash.items() if told == headers[number].hash):
                    store.keep(connection, chain, headers[number], units, now=self.now)
            store.release(connection, chain, final=final)

    def _cut(self) -> None:
        """Find the last block before each of the last days' cut-offs, once it is final."""
        chain, first, final = self.chain.name, self.state["first_block"], self.state["final_number"]
        today = self.calendar.day_at(self.now).date
        with reading(self.engine) as connection:
            days = [day_named(connection, self.calendar, today - ONE * back) for back in reversed(range(DAYS_BACK))]
            moments = [day.start for day in days]
            known = cuts.known(connection, chain, moments)
        missing = [moment for moment in moments if moment not in known]
        if not missing or first >= final:
            return
        low, high = self._final_headers([first, final])
        for moment in missing:
            if low.time < moment <= high.time:
                found = last_before(self.reader, moment, low, high)
                with writing(self.engine) as connection:
                    cuts.keep(connection, chain, moment, found)

    def _final_headers(self, numbers: Sequence[int]) -> list[Header]:
        """Return headers of final blocks, of a node whose last final block is ours."""
        found = self.reader.headers(numbers)
        if found[-1].hash != self.state["final_hash"]:
            raise NodeFault("the final block is another one there", code="moved")
        return found

    def _weigh(self) -> None:
        final = (self.state["final_number"], self.state["final_hash"])
        with reading(self.engine) as connection:
            wanted = _due(connection, self.chain, final[0], self.now)
        if not wanted:
            return
        # java-tron takes a block number for an error, and a block's object for the head, silently.
        if family_of(self.chain.name) != "tron":
            try:
                told = read_pinned(self.reader, self.chain, final, wanted)
            except NoState:
                log.info("state_is_pruned", extra={"chain": self.chain.name})
            else:
                with writing(self.engine) as connection:
                    store.keep(connection, self.chain.name, told.block, told.units, now=self.now)
                return
        solid = read_solid(self.reader, self.services, self.chain, wanted) if self.services else None
        for told in solid or read_latest(self.reader, self.chain, wanted):
            with writing(self.engine) as connection:
                store.hold(connection, self.chain.name, told.block, told.units, now=self.now)


def _due(connection: Connection, chain: Chain, final: int, now: datetime) -> list[tuple[str, str]]:
    cut = cuts.newest(connection, chain.name)
    bounds = {"final": final, "cut": -1 if cut is None else cut, "before": now - timedelta(seconds=chain.measure_s)}
    wanted: list[tuple[str, str]] = []
    for token in chain.tokens:
        left = (MOST if chain.multicall else MOST_SINGLY) - len(wanted)
        found = store.due(connection, chain.name, token.contract, limit=left, **bounds)  # type: ignore[arg-type]  # each bound has its type
        wanted += [(token.contract, address) for address in found]
    return wanted


def proofs_of(
    connection: Connection,
    chains: Mapping[str, Chain],
    day: Day,
    *,
    now: datetime,
    after: int = 0,
    limit: int = PAGE,
    address: str | None = None,
) -> tuple[list[Proof], int | None]:
    """Return the proofs of some addresses over a day, a line for each address and token, and the cursor of the next ones.

    Only the merchant's own addresses; a day that still runs is proven as far as was measured.
    """
    rows = store.lines(connection, list(chains), after=after, limit=limit + 1, address=address)
    by_chain: dict[str, list[RowMapping]] = defaultdict(list)
    for row in rows[:limit]:
        by_chain[row["chain"]].append(row)
    found: dict[tuple[str, str], list[Proof]] = defaultdict(list)
    for name, mine in by_chain.items():
        for proof in _prove(connection, chains[name], day, mine, now):
            found[name, proof.address].append(proof)
    ordered = [proof for row in rows[:limit] for proof in found[row["chain"], row["address"]]]
    return ordered, rows[limit - 1]["id"] if len(rows) > limit else None


def all_proofs(connection: Connection, chains: Mapping[str, Chain], day: Day, *, now: datetime) -> Iterator[Proof]:
    """Yield every line of a day, some hundred addresses at a time."""
    after: int | None = 0
    while after is not None:
        found, after = proofs_of(connection, chains, day, now=now, after=after)
        yield from found


def _prove(
    connection: Connection, chain: Chain, day: Day, rows: Sequence[RowMapping], now: datetime
) -> Iterator[Proof]:
    start, end, why = _bounds(connection, chain, day, now)
    lines = {
        (token.contract, row["address"]): Proof(
            chain=chain.name, contract=token.contract, address=row["address"], role=row["role"], why=why
        )
        for row in rows
        for token in chain.tokens
    }
    if why:
        yield from lines.values()
        return
    filled = {row["address"]: bool(row["is_filled"]) for row in rows}
    points = store.points(connection, chain.name, lines, start=-1 if start is None else start, end=end)
    windows = {key: _window(points.get(key), start, end, is_filled=filled[key[1]]) for key in lines}
    moved = store.moved(connection, chain.name, windows, {token.contract: token for token in chain.tokens})
    lows = [window.low.block for window in windows.values() if window.low]
    events = store.events(connection, chain.name, after=min(lows)) if lows else []
    for key, line in lines.items():
        window = windows[key]
        yield prove(line, window, moved[key], [one for one in events if _is_between(one.block_number, window)])


def _is_between(number: int, window: Window) -> bool:
    return window.low is not None and window.high is not None and window.low.block < number <= window.high.block


def _window(
    points: tuple[Point | None, Point | None] | None, start: int | None, end: int | None, *, is_filled: bool
) -> Window:
    low, high = points or (None, None)
    return window_of(low, high, start=start, end=end, is_filled=is_filled)


def _bounds(connection: Connection, chain: Chain, day: Day, now: datetime) -> tuple[int | None, int | None, str]:
    """Return the last blocks before the day and before its end, or why they are not known.

    A chain that was not read before the day has no first; a day that still runs has no last.
    """
    known = cuts.known(connection, chain.name, [day.start, day.end])
    start, end = known.get(day.start), known.get(day.end)
    if start is None and cuts.is_after_one(connection, chain.name, day.start):
        return None, None, "cut_not_found"
    if end is None and day.end <= now:
        return None, None, "cut_not_found_yet"
    return start, end, ""
