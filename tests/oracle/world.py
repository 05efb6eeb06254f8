"""A small world in which a story is told: a provider that calls back and answers, a chain, and the rounds of our jobs.

Everything goes the way it goes in production: bytes through the door, facts
through the stores that the poller and the scanner write by, then the jobs.
"""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, and_, delete, select, update

from relay.core.actors import Actor
from relay.core.callbacks import Status
from relay.core.chains import NodeURL
from relay.core.facts import ProviderFact, Transfer
from relay.core.logs import Header
from relay.core.ranges import Range
from relay.core.signatures import Secret
from relay.errors import CallbackRejected
from relay.flows.claims import ask_nodes
from relay.flows.committer import Committer
from relay.flows.confirmation import end_grace, reconsider
from relay.flows.expiry import expire
from relay.flows.intake import Intake, Request
from relay.flows.lines import Line
from relay.flows.matching import match
from relay.flows.reconcile import Bench, reconcile
from relay.flows.recovery import recover
from relay.flows.register import Registry, register_orders
from relay.flows.reversals import Court, judge_reorgs
from relay.store import chain as chain_states
from relay.store import chain_findings, provider_facts, reconciling, testimonies
from relay.store.engine import reading, writing
from relay.store.rows import breaks, callbacks, deliveries, dirty, events, match_states
from relay.store.rows import provider_facts as provider_facts_rows
from relay.store.tables.base import metadata
from tests.builders import NOON, a_source
from tests.core.examples import APPID, KEY, form, preset, signed
from tests.fakes import FakeMemory, numbered_ids
from tests.flows.test_explaining import ReceiptNode, logs
from tests.nodes.scripted import COUNTERFEIT, STRANGER, USDT, a_chain
from tests.rows import an_endpoint

ORDERS = ("one", "two", "three")
# How old a chain's last final block usually is.
LAG = timedelta(minutes=1)
_ADDRESSES = {orderid: "0x" + f"{number:040x}" for number, orderid in enumerate(ORDERS, 0xB00)}


@dataclass(frozen=True)
class Stand:
    """How the reconciler left one order: what `tests.oracle.oracle` has an opinion about."""

    verdict: str
    breaks: dict[str, int | None]
    flags: set[str]


class Gone:
    """A node that knows no transaction any more."""

    name = "1:gone"

    def ask(self, calls: Any) -> list[object]:
        """Answer that there is nothing."""
        return [None for _ in calls]


class Receipts:
    """A node that tells what became of transactions which brought nobody anything that counts; it knows no others."""

    name = "1:receipts"

    def __init__(self) -> None:
        self.known: dict[str, dict[str, Any]] = {}

    def ask(self, calls: Any) -> list[object]:
        """Answer about the one transaction of a batch."""
        (receipt,) = [self.known.get(given[0]) for method, given in calls if method == "eth_getTransactionReceipt"]
        return ReceiptNode(receipt=receipt, transaction=receipt and {}).ask(calls)


class Stage:
    """A database, the one committer that writes its callbacks, and the time of both; one story after the other is told on it."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.at, self.new_id = engine, NOON, numbered_ids()
        self.committer = Committer(engine, FakeMemory(lie="knows nothing"), clock=lambda: self.at, new_id=self.new_id)


class World:
    """One source, three orders, one chain; their time is that of the stage."""

    def __init__(self, stage: Stage, *, recover: str, reads_chain: bool, lifetime_s: int | None) -> None:
        _wipe(stage.engine)
        self.stage, self.engine = stage, stage.engine
        self.stage.at = NOON
        self.chain = a_chain(grace_s=1_200, nodes=(NodeURL(name="one", url="https://node.example"),))
        self.source = replace(
            a_source(recover=recover, chains=("ethereum",)),
            secrets=(Secret.of(KEY),),
            appid=APPID,
            unknown_orders="accept",
        )
        sources = {"crossing": self.source}
        self.new_id = stage.new_id
        self.bench = Bench(
            engine=self.engine,
            sources=sources,
            chains={"ethereum": self.chain} if reads_chain else {},
            new_id=self.new_id,
            owner="me",
        )
        self.door = Intake(sources, stage.committer, clock=lambda: self.at)
        self.height = self.final = 100
        self.numbers = itertools.count(1)
        self.moved: list[Transfer] = []
        self.receipts = Receipts()
        self.credited: set[str] = set()
        self.stalled: set[str] = set()
        an_endpoint(self.engine)
        self._begin(lifetime_s)

    @property
    def at(self) -> datetime:
        """What time it is."""
        return self.stage.at

    def _begin(self, lifetime_s: int | None) -> None:
        ends = {} if lifetime_s is None else {"expires_at": (NOON + timedelta(seconds=lifetime_s)).isoformat()}
        asked = {"amount": "3", "chain": "ethereum", "user_ref": "1"}
        registry = Registry(
            engine=self.engine,
            sources=self.bench.sources,
            allow_cidrs=(),
            actor=Actor(id="key_1", name="a test", roles=frozenset({"service"})),
            clock=lambda: self.at,
            source="crossing",
        )
        lines = [
            Line(number, {"orderid": one, "address": _ADDRESSES[one], **asked, **ends})
            for number, one in enumerate(ORDERS, 1)
        ]
        results = list(register_orders(registry, lines))
        assert {one.outcome for one in results} == {"accepted"}, results
        with writing(self.engine) as connection:
            chain_states.state_of(connection, self.chain)
        self.scan()

    def call(self, orderid: str, micros: int, *, key: str = KEY, skew_s: int = 0) -> None:
        """Let the provider call back with a signed body; what is refused is only kept."""
        told_at = str(int((self.at + timedelta(seconds=skew_s)).timestamp()))
        fields = {"orderid": orderid, "localusermark": "1", "amount": str(micros // 100), "appid": APPID, "t": told_at}
        raw = form(signed(preset(), fields, key=key))
        with suppress(CallbackRejected):
            self.door.receive(Request(source="crossing", raw=raw, address="203.0.113.7", request_id=None))

    def answer(self, orderid: str, status: str, micros: int | None, *, tx: int | None = None, skew_s: int = 0) -> None:
        """Let the provider answer when it is asked, and judge what awaits it, as the poller does."""
        fact = ProviderFact(
            source="crossing",
            namespace="crossing",
            orderid=orderid,
            via="query",
            raw_status=status,
            status=None if status == "unmapped" else Status(status),
            amount_micros=micros,
            unit_micros=100,
            tx_hash=None if tx is None else _hash(tx),
            occurred_at=self.at + timedelta(seconds=skew_s),
        )
        with writing(self.engine) as connection:
            new = provider_facts.record(connection, [fact], now=self.at)
        reconsider(self.engine, self.bench.sources, new, now=self.at, new_id=self.new_id)

    def pay(self, orderid: str, micros: int, *, skew_s: int = 0) -> None:
        """Let a user pay, in a block of its own that is not final yet."""
        number = next(self.numbers)
        self.height += 1
        self.moved.append(
            Transfer(
                chain="ethereum",
                tx_hash=_hash(number),
                log_index=0,
                block_number=self.height,
                block_hash=_hash(10_000 + self.height),
                block_time=self.at + timedelta(seconds=skew_s),
                contract=USDT,
                sender=STRANGER,
                recipient=_ADDRESSES[orderid],
                amount_micros=micros,
            )
        )
        self._keep(self.moved[-1:])

    def pay_wrong(self, orderid: str, *, fails: bool) -> None:
        """Let a user pay with a token that does not count, or with a transaction that fails: no scan sees either."""
        sent = logs((STRANGER, _ADDRESSES[orderid], 3_000_000), contract=COUNTERFEIT)
        failed = {"status": "0x0", "blockNumber": "0x3", "logs": []}
        self.receipts.known[_hash(next(self.numbers))] = failed if fails else sent

    def finalise(self) -> None:
        """Let the chain call its head final."""
        self.final = self.height
        block = Header(number=self.final, hash=_hash(10_000 + self.final), parent_hash="", time=self.at)
        with writing(self.engine) as connection:
            chain_states.make_final(connection, "ethereum", block)

    def reorg(self) -> None:
        """Replace what is not final by a branch without our transfers."""
        with writing(self.engine) as connection:
            chain_states.take_back(connection, "ethereum", Range(0, self.final, "anchor"), now=self.at)
        self.height += 1

    def mine_again(self) -> None:
        """Let the last transfer stand again, in another block."""
        if self.moved and self.moved[-1].block_number > self.final:
            self.height += 1
            self.moved[-1] = replace(self.moved[-1], block_number=self.height, block_hash=_hash(20_000 + self.height))
            self._keep(self.moved[-1:])

    def _keep(self, moved: list[Transfer]) -> None:
        with writing(self.engine) as connection:
            chain_findings.keep(connection, moved, [], final=self.final, now=self.at)

    def die(self, orderid: str) -> None:
        """Let the deliveries of an order fail for good."""
        self._deliver(orderid, "dead")

    def arrive(self, orderid: str) -> None:
        """Let the deliveries of an order arrive."""
        self._deliver(orderid, "delivered")

    def _deliver(self, orderid: str, state: str) -> None:
        told = select(events.c.sequence).where(events.c.orderid == orderid)
        self._settle(deliveries.c.event_sequence.in_(told), state)

    def _settle(self, which: ColumnElement[bool], state: str) -> None:
        with writing(self.engine) as connection:
            connection.execute(update(deliveries).where(which).values(state=state, finished_at=self.at))

    def stall(self, orderid: str) -> None:
        """Let the service that is told of an order answer nothing until it is let go."""
        self.stalled.add(orderid)

    def let_go(self, orderid: str) -> None:
        """Let it answer again."""
        self.stalled.discard(orderid)

    def _tell(self) -> None:
        """Let services acknowledge what they are told, those that are not stalled."""
        stalled = select(events.c.sequence).where(events.c.orderid.in_(sorted(self.stalled)))
        self._settle(
            and_(deliveries.c.state == "pending", deliveries.c.event_sequence.not_in(stalled)),
            "delivered",
        )

    def scan(self) -> None:
        """Note that the chain was read just now, and that what is final is nearly as new."""
        with writing(self.engine) as connection:
            chain_states.note(
                connection, "ethereum", scanned_at=self.at, head_number=self.height, final_time=self.at - LAG
            )

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.stage.at += timedelta(seconds=seconds)

    def round(self, *, outage: bool = False) -> str:
        """Do what the jobs of one round do, and say how the run ended; in an outage no node answers."""
        if not outage:
            self.scan()
        self._tell()
        match(self.engine, self.bench.sources, now=self.at, new_id=self.new_id)
        chains = {"ethereum": self.chain}
        court = Court(engine=self.engine, chains=chains, nodes_of=lambda _: [Gone()], new_id=self.new_id)
        judge_reorgs(court, now=self.at)
        if not outage:
            ask_nodes(self.engine, self.bench.chains, lambda _: [self.receipts], now=self.at)
        expire(self.engine, self.bench.sources, now=self.at, new_id=self.new_id)
        end_grace(self.engine, self.bench.sources, now=self.at, new_id=self.new_id)
        ended = reconcile(self.bench, now=self.at)
        if not outage and self._confirm():
            ended = reconcile(self.bench, now=self.at)
        if recover(self.bench, self.door, now=self.at):
            ended = reconcile(self.bench, now=self.at)
        # What a run held is no service's fault any more; the next run says so.
        return reconcile(self.bench, now=self.at) if self.rows(dirty) else ended

    def _confirm(self) -> bool:
        """Let two nodes confirm what is doubted: that nothing came. What the reader missed is no part of these stories."""
        with writing(self.engine) as connection:
            due = testimonies.due(connection, now=self.at, limit=10)
            keys = [(row["namespace"], row["orderid"]) for row in due]
            for key in keys:
                testimonies.note(
                    connection, key, state="confirmed", agree=2, first_block=1, last_block=self.final, look_at=None
                )
            if keys:
                reconciling.mark(connection, keys)
        return bool(keys)

    def stand(self, orderid: str) -> Stand:
        """Read how the reconciler left an order."""
        with reading(self.engine) as connection:
            state = connection.execute(select(match_states).where(match_states.c.orderid == orderid)).mappings().one()
            mine = select(breaks).where(breaks.c.orderid == orderid, breaks.c.state == "open")
            found = {row["kind"]: row["amount_micros"] for row in connection.execute(mine).mappings()}
        return Stand(state["verdict"], found, set(state["flags"].split()))

    def rows(self, table: Any, **columns: Any) -> list[Any]:
        """Read rows of a table."""
        query = select(table).where(*(table.c[name] == value for name, value in columns.items()))
        with reading(self.engine) as connection:
            return list(connection.execute(query).mappings())

    def unbacked(self) -> set[str]:
        """Name the orders that were credited since the last look though no witness that may ask for it speaks for it."""
        credited = {row["orderid"] for row in self.rows(events, type="recharge.succeeded")}
        fresh, self.credited = credited - self.credited, credited
        return {one for one in fresh if not (self._was_called(one) or self._may_recover(one))}

    def _was_called(self, orderid: str) -> bool:
        return bool(self.rows(callbacks, orderid=orderid, verdict="accepted", status="succeeded", origin="callback"))

    def _may_recover(self, orderid: str) -> bool:
        provider = any(row["status"] == "succeeded" for row in self.rows(provider_facts_rows, orderid=orderid))
        paid = any(one.recipient == _ADDRESSES[orderid] and one.block_number <= self.final for one in self.moved)
        needed = {"off": [False], "provider": [provider], "chain": [paid], "provider+chain": [provider, paid]}
        return all(needed[self.source.recover])


def _wipe(engine: Engine) -> None:
    with writing(engine) as connection:
        for table in reversed(metadata.sorted_tables):
            if table.name not in {"alembic_version", "keys"}:
                connection.execute(delete(table))


def _hash(number: int) -> str:
    return f"0x{number:064x}"
