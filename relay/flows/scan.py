"""Own one scan of one chain: reorgs found, new blocks read without a hole, new addresses filled in, yesterday read again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine

from relay.core.chains import Chain
from relay.core.finality import final_block
from relay.core.logs import Header
from relay.core.ranges import Range, covered_to, grown, shrunk
from relay.errors import NodeFault, RelayError
from relay.flows.chain_reading import Found, Reader, Tips, TooMuch, Watched
from relay.ports import Node
from relay.store import chain as store
from relay.store import chain_findings as findings
from relay.store import leases
from relay.store.engine import reading, writing

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
# Questions about ranges in one scan: the next one goes on, and a scan stays far below the time a job may take.
BUDGET = 40
# Answers that did not come in time, after each of which fewer blocks are asked for.
PATIENCE = 2
# As long as a job may take: who has held it for longer was ended.
LEASE_S = 300
# New addresses of one transaction: a book of a hundred thousand may come at once.
PAGE = 5_000
LOOK_BACK_EVERY = timedelta(days=1)
LOOK_BACK_S = 2 * 86_400
# An address may be in use a little before we are told of it.
EARLIER_S = 900
REST_S, LONGEST_REST_S = 5, 300


class DeepReorg(RelayError):
    """A node's chain parts from ours below the last final block."""

    code = "deep_reorg"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the reading stands: its start, its end, the blocks that are not final, and what is."""

    start: int
    end: Range | None
    blocks: dict[int, Header]
    final: int
    final_hash: str | None

    @property
    def tip(self) -> int:
        """The last block that was read without a hole before it."""
        return self.start - 1 if self.end is None else self.end.last


def scan(
    engine: Engine, chain: Chain, nodes: Sequence[Node], *, owner: str, clock: Clock, jitter: Callable[[], float]
) -> str:
    """Scan a chain once, from the first node that bears it; return `scanned`, `busy`, `stopped` or `degraded`.

    `jitter` returns a number from 0 to 1. A node that fails is left alone for
    a while. The chain stops, and says why, when all usable nodes contradict
    its configuration or what was final.
    """
    lease = f"scan:{chain.name}"
    with writing(engine) as connection:
        if leases.take(connection, lease, owner=owner, now=clock(), ttl_s=LEASE_S) is None:
            return "busy"
        state = store.state_of(connection, chain)
    try:
        # What differs from the configuration may fit by now and is tried each time; a deep reorg waits for a person.
        return "stopped" if state["stopped"] == DeepReorg.code else _try_nodes(engine, chain, nodes, clock, jitter)
    finally:
        with writing(engine) as connection:
            leases.release(connection, lease, owner=owner, now=clock())


def _try_nodes(engine: Engine, chain: Chain, nodes: Sequence[Node], clock: Clock, jitter: Callable[[], float]) -> str:
    with reading(engine) as connection:
        known = findings.nodes_of(connection, chain.name)
    refusals: list[str] = []
    for node in nodes:
        before = known.get(node.name)
        if before is not None and before["closed_until"] is not None and before["closed_until"] > clock():
            refusals.append(before["error"] or "resting")
            continue
        try:
            told = Scan(engine, chain, node, clock).run()
        except (NodeFault, DeepReorg) as error:
            refusals.append(error.code)
            failures = 1 + (before["failures"] if before is not None else 0)
            _leave_alone(engine, chain, node, error, failures=failures, now=clock(), jitter=jitter())
            continue
        with writing(engine) as connection:
            findings.note_node(connection, chain.name, node.name, now=clock(), head_number=told["head_number"])
            store.note(connection, chain.name, stopped=None, stopped_at=None, scanned_at=clock(), **told)
        return "scanned"
    return _refused(engine, chain, refusals, now=clock())


def _leave_alone(
    engine: Engine, chain: Chain, node: Node, error: RelayError, *, failures: int, now: datetime, jitter: float
) -> None:
    log.warning("node_failed", extra={"chain": chain.name, "node": node.name, "error": error.code})
    rest_s = min(LONGEST_REST_S, REST_S * 2 ** min(failures - 1, 10)) * (0.5 + jitter / 2)
    until = now + timedelta(seconds=rest_s)
    with writing(engine) as connection:
        findings.note_node(
            connection, chain.name, node.name, now=now, failures=failures, closed_until=until, error=error.code
        )


def _refused(engine: Engine, chain: Chain, refusals: list[str], *, now: datetime) -> str:
    """Stop a chain whose nodes all contradict us; one that only does not answer is degraded."""
    contradictions = {DeepReorg.code, "wrong_chain", "wrong_token"}
    stops = bool(refusals) and set(refusals) <= contradictions
    why = refusals[0] if refusals else "off"
    with writing(engine) as connection:
        if stops:
            log.error("chain_stopped", extra={"chain": chain.name, "error": why})
            store.note(connection, chain.name, stopped=why, stopped_at=now, trouble=why)
        else:
            store.note(connection, chain.name, trouble=why)
    return "stopped" if stops else "degraded"


class Scan:
    """One scan from one node. Every transaction leaves the ledger whole, so that it may end anywhere."""

    def __init__(self, engine: Engine, chain: Chain, node: Node, clock: Clock) -> None:
        self._engine = engine
        self._chain = chain
        self._reader = Reader(chain, node)
        self._clock = clock
        self._left, self._patience = BUDGET, PATIENCE
        self._trouble: str | None = None

    def run(self) -> dict[str, Any]:
        """Scan; return what is to be noted of the chain then, its `head_number` among it."""
        with reading(self._engine) as connection:
            state = store.states(connection)[self._chain.name]
        self._most = self._chain.span
        self._span = min(state["span"], self._most)
        place = self._place()
        asked = {place.tip, place.final} if place and place.end else set()
        tips, fault = self._reader.tips({number for number in asked if number >= 0})
        self._identify(fault)
        final = self._final(tips, place)
        if place is None:
            place = self._begin(tips.head.number if final is None else final)
        elif place.end is not None:
            place = self._on_one_branch(place, tips)
        self._enrol(place)
        with reading(self._engine) as connection:
            few = findings.watched(connection, self._chain.name, most=self._chain.filter_above)
        self._watched: Watched = self._among if few is None else few
        self._go_on(place, tips, place.start - 1 if final is None else final)
        self._fill_in()
        self._look_back(state["looked_back_at"], state["lookback_next"])
        seen = {"head_number": tips.head.number, "head_time": tips.head.time}
        return seen | {"identified_at": self._clock(), "span": self._span, "trouble": self._trouble}

    def _among(self, named: Collection[str]) -> frozenset[str]:
        with reading(self._engine) as connection:
            return findings.watched_among(connection, self._chain.name, named)

    def _final(self, tips: Tips, place: Place | None) -> int | None:
        tagged = None if tips.final is None else tips.final.number
        before = None if place is None else place.final
        return final_block(self._chain, head=tips.head.number, tagged=tagged, before=before)

    def _place(self) -> Place | None:
        with reading(self._engine) as connection:
            state = store.states(connection)[self._chain.name]
            ranges = store.ranges_of(connection, self._chain.name)
            blocks = store.unfinal_blocks(connection, self._chain.name)
        start = state["first_block"]
        if start is None:
            return None
        reached = covered_to(ranges, start)
        end = next((one for one in ranges if one.last == reached), None)
        final = start - 1 if state["final_number"] is None else state["final_number"]
        return Place(start, end, blocks, final, state["final_hash"])

    def _begin(self, first: int) -> Place:
        """Earlier history is not claimed: reading begins with the block that is final now."""
        now = self._clock()
        self._note(first_block=first, reading_since=now, looked_back_at=now)
        return Place(first, None, {}, first - 1, None)

    def _identify(self, fault: str | None) -> None:
        """Stop where the tokens differ from the configuration, each time: it may have changed since, and then every amount is wrong."""
        if fault is not None:
            log.error("token_mismatch", extra={"chain": self._chain.name, "detail": fault})
            raise NodeFault(fault, code="wrong_token")

    def _on_one_branch(self, place: Place, tips: Tips) -> Place:
        """Compare the end of what was read with the node's chain; take back what stands on another branch."""
        anchor = tips.asked.get(place.final)
        if place.final_hash is not None and anchor is not None and anchor.hash != place.final_hash:
            raise DeepReorg(f"{self._chain.name}: block {place.final} was final and is another one now")
        seen, end = tips.asked.get(place.tip), place.end
        if end is None or (seen is not None and seen.hash == end.last_hash):
            return place
        if seen is None:
            kept = {place.final: place.final_hash} | {number: block.hash for number, block in place.blocks.items()}
            if tips.head.number < place.final or kept.get(tips.head.number) == tips.head.hash:
                raise NodeFault("the node's head is behind what was read", code="lagging")
        ancestor = self._ancestor(place, tips.head.number)
        with writing(self._engine) as connection:
            lost = store.take_back(connection, self._chain.name, ancestor, now=self._clock())
        log.warning("reorg_found", extra={"chain": self._chain.name, "block": ancestor.last, "count": lost})
        found = self._place()
        return place if found is None else found

    def _ancestor(self, place: Place, head: int) -> Range:
        numbers = [number for number in place.blocks if number <= head]
        theirs = {one.number: one.hash for one in self._reader.headers(numbers)}
        common = [number for number in numbers if place.blocks[number].hash == theirs[number]]
        if common:
            return Range(place.start, common[-1], theirs[common[-1]])
        if place.final_hash is None:
            if not numbers:
                raise NodeFault("the node has none of the blocks that were read", code="lagging")
            # Nothing that was read was final: all of it is read again.
            return Range(place.start, place.start - 1)
        return Range(place.start, place.final, place.final_hash)

    def _enrol(self, place: Place) -> None:
        while self._enrol_some(place):
            pass

    def _enrol_some(self, place: Place) -> bool:
        with writing(self._engine) as connection:
            new = findings.unread(connection, self._chain.name, limit=PAGE)
            now = self._clock()
            first = {
                row["address"]: max(
                    place.start,
                    place.tip
                    + 1
                    - self._chain.blocks_in(EARLIER_S + max(0, int((now - row["created_at"]).total_seconds()))),
                )
                for row in new
            }
            findings.enrol(connection, self._chain.name, first, until=place.tip)
        return len(new) == PAGE

    def _go_on(self, place: Place, tips: Tips, final: int) -> None:
        """Read from the end of what was read to the head: final blocks by range, the others by hash."""
        end = self._confirm(place, tips, min(final, place.tip))
        end = self._read_final(place.start, end, final)
        tip = place.start - 1 if end is None else end.last
        if tips.head.number > final + self._chain.window:
            # Blocks beyond the window wait for finality to go on: said aloud, since a halt looks like a quiet chain.
            self._trouble = "finality_stalled" if tip >= final else "catching_up"
        if tip >= final:
            self._read_unfinal(place, end, final, min(tips.head.number, final + self._chain.window))

    def _confirm(self, place: Place, tips: Tips, final: int) -> Range | None:
        """Mark what has become final among the blocks that were read."""
        if place.end is None or final <= place.final:
            return place.end
        block = (tips.asked | place.blocks).get(final)
        if block is None or (tips.final and tips.final.number == final and tips.final.hash != block.hash):
            raise NodeFault("the final block is on another branch than the head", code="moved")
        with writing(self._engine) as connection:
            store.make_final(connection, self._chain.name, block)
        return place.end

    def _read_final(self, start: int, end: Range | None, final: int) -> Range | None:
        at = start if end is None else end.last + 1
        while at <= final and self._left:
            found, last = self._stretch(at, final)
            read = Range(at, last, found.tail.hash)
            with writing(self._engine) as connection:
                self._keep(connection, found, last)
                end = store.extend(connection, self._chain.name, read, start=start, after=end, now=self._clock())
                store.make_final(connection, self._chain.name, found.tail)
            at = end.last + 1
        return end

    def _read_unfinal(self, place: Place, end: Range | None, final: int, head: int) -> None:
        first = place.start if end is None else end.last + 1
        if first > head:
            return
        before = place.blocks.get(first - 1)
        if before is None and end is not None:
            # A final block is kept no longer; its hash, which is all that is compared, is the end of what was read.
            before = Header(number=end.last, hash=end.last_hash, parent_hash="", time=self._clock())
        headers = self._reader.linked(before, head, first)
        found = self._reader.read_blocks(headers, self._watched)
        read = Range(first, head, found.tail.hash)
        with writing(self._engine) as connection:
            self._keep(connection, found, final)
            store.keep_blocks(connection, self._chain.name, headers)
            store.extend(connection, self._chain.name, read, start=place.start, after=end, now=self._clock())

    def _stretch(self, first: int, most: int) -> tuple[Found, int]:
        """Read pieces until something is found: what is empty needs no transaction of its own."""
        found, last = self._piece(first, most)
        while not (found.transfers or found.events) and last < most and self._left:
            try:
                found, last = self._piece(last + 1, most)
            except NodeFault:
                # What was read counts; whoever goes on from there hears the fault again, or does not.
                break
        return found, last

    def _piece(self, first: int, most: int, watched: Watched | None = None) -> tuple[Found, int]:
        """Read from `first` on as many blocks as the node bears, up to `most`; return them and the last one."""
        while True:
            last = min(first + self._span - 1, most)
            self._left = max(0, self._left - 1)
            try:
                found = self._reader.read_range(first, last, self._watched if watched is None else watched)
            except NodeFault as error:
                if last == first or not self._may_ask_for_less(error):
                    raise
                # Nor is it probed again in this scan: every other question would be refused.
                self._span = self._most = shrunk(last - first + 1, error.detail, first=first)
                # At once, not at the end: a scan that fails later would ask for the same range again, for ever.
                self._note(span=self._span)
                continue
            self._span = grown(self._span, found=found.logs, bearable=self._chain.results, most=self._most)
            return found, last

    def _may_ask_for_less(self, error: NodeFault) -> bool:
        """Tell whether fewer blocks may be answered: after a refusal, and twice after silence, which may have other reasons."""
        if error.code == "timeout" and self._patience:
            self._patience -= 1
            return True
        return isinstance(error, TooMuch)

    def _fill_in(self) -> None:
        """Read earlier blocks for addresses that are new."""
        while self._left:
            with reading(self._engine) as connection:
                behind = findings.to_fill(connection, self._chain.name, most=self._chain.filter_above)
            place = self._place()
            if behind is None or place is None:
                return
            group = self._among if behind.addresses is None else behind.addresses
            first, most = behind.first, behind.last
            if first <= place.final:
                found, last = self._piece(first, min(most, place.final), group)
            else:
                blocks = [header for number, header in place.blocks.items() if first <= number <= most]
                found, last = self._reader.read_blocks(blocks, group), most
                self._left -= 1
            with writing(self._engine) as connection:
                self._keep(connection, found, place.final)
                findings.filled(connection, self._chain.name, through=last)

    def _look_back(self, before: datetime | None, next_block: int | None) -> None:
        """Read the last days again, once a day: a node may have left something out."""
        place, now = self._place(), self._clock()
        if place is None or before is None or (next_block is None and now - before < LOOK_BACK_EVERY):
            return
        at = max(place.start, place.final - self._chain.blocks_in(LOOK_BACK_S)) if next_block is None else next_block
        while at <= place.final and self._left:
            found, last = self._piece(at, place.final)
            with writing(self._engine) as connection:
                known = findings.known_keys(connection, self._chain.name, at, last)
                missed = {(one.tx_hash, one.log_index) for one in found.transfers} - known
                self._keep(connection, found, last)
            if missed:
                log.error("transfers_were_missed", extra={"chain": self._chain.name, "count": len(missed)})
            at = last + 1
        self._note(lookback_next=at if at <= place.final else None, looked_back_at=now)

    def _keep(self, connection: Connection, found: Found, final: int) -> None:
        findings.keep(connection, found.transfers, found.events, final=final, now=self._clock())

    def _note(self, **values: object) -> None:
        with writing(self._engine) as connection:
            store.note(connection, self._chain.name, **values)
