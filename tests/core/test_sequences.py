"""Whatever comes in whatever order: one credit, sums that foot, versions that grow, consumers that end up right."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from relay.core import rules
from relay.core.callbacks import Callback, Status
from relay.core.evidence import Facts
from relay.core.facts import ProviderFact
from relay.core.orders import Order, Ruling, Verdict
from relay.core.policies import with_part
from relay.core.releases import Act, Announced, Release, release
from relay.core.rules import Moment
from relay.core.sources import Source
from relay.errors import Conflict, Unprocessable
from tests.builders import NOON, a_callback, a_source
from tests.core.examples import preset

INCREMENTS = replace(preset(), amount_counts="increment")
SOURCES = st.builds(
    lambda policy, increments, evidence: a_source(
        amount_policy=policy,
        tolerance_micros=50_000,
        evidence=frozenset({"signature", *evidence}),
        hold_above_micros=8_000_000,
        adapter=INCREMENTS if increments else preset(),
    ),
    st.sampled_from(["as_received", "exact", "tolerance", "accumulate"]),
    st.booleans(),
    st.sampled_from([(), ("provider",)]),
)
AMOUNTS = st.sampled_from([0, 300, 1_000_000, 2_000_000, 3_000_000, 3_000_050, 9_000_000])
CALLBACKS = st.builds(
    lambda status, micros, tx, user, number: a_callback(
        status=status,
        raw_status=status.value,
        amount_micros=micros,
        amount_raw=str(micros),
        tx_hash=tx,
        user_ref=user,
        signature=f"s{number}-{status}-{micros}-{tx}-{user}",
        # As in the schemes we know: a signature belongs to one set of fields.
        occurred_at=NOON,
    ),
    st.sampled_from([*Status, Status.SUCCEEDED, Status.SUCCEEDED]),
    AMOUNTS,
    st.sampled_from([None, "0xa", "0xb", "0xc"]),
    st.sampled_from(["1", "1", "1", None, "2"]),
    st.integers(0, 3),
)
FACTS = st.builds(
    lambda status, micros: ProviderFact(
        source="crossing",
        namespace="crossing",
        orderid="sh-1",
        via="query",
        raw_status="word",
        status=status,
        amount_micros=micros,
    ),
    st.sampled_from([*Status, None]),
    AMOUNTS,
)
RELEASES = st.builds(
    lambda act, micros: Release(act=act, reason="asked", micros=micros),
    st.sampled_from(list(Act)),
    st.sampled_from([None, None, 1_000_000, -1_000_000, -3_000_000]),
)
STEPS = st.lists(st.one_of(CALLBACKS, CALLBACKS, FACTS, RELEASES, st.sampled_from(["grace", "expiry"])), max_size=12)
Step = Callback | ProviderFact | Release | str


@dataclass
class Model:
    """What the flows keep, in memory: the order, its callbacks, the events."""

    source: Source
    order: Order | None
    known: list[Callback] = field(default_factory=list)
    facts: Facts = field(default_factory=Facts)
    events: list[tuple[str, int, int, int | None]] = field(default_factory=list)

    def step(self, what: Step) -> None:
        """Take one step; a refused release changes nothing."""
        at = Moment(now=NOON, facts=self.facts)
        if isinstance(what, Callback):
            self._receive(with_part(what, self.source), at)
        elif self.order is None:
            return
        elif isinstance(what, ProviderFact):
            self.facts = Facts(provider=(what,))
            at = Moment(now=NOON, facts=self.facts)
            self._follow(rules.reconsider(self.order, self.source, known=self.known, at=at))
        elif isinstance(what, Release):
            try:
                self._follow(release(self.order, what, self._announced()))
            except (Conflict, Unprocessable):
                return
        elif what == "grace":
            self._follow(rules.end_grace(self.order, self.source, known=self.known, at=at))
        else:
            self._follow(rules.expire(self.order, NOON + timedelta(days=1)))

    def _receive(self, callback: Callback, at: Moment) -> None:
        ruling = rules.rule(callback, self.source, order=self.order, known=self.known, at=at)
        if ruling.verdict in (Verdict.FORGERY, Verdict.DUPLICATE):
            assert ruling.order is None
            return
        if ruling.verdict is Verdict.CONFLICT:
            callback = replace(callback, flags=callback.flags | {"conflict"})
        else:
            # What the database holds by a unique index.
            accepted = [one for one in self.known if "conflict" not in one.flags]
            assert (callback.status, callback.part) not in {(one.status, one.part) for one in accepted}
        self.known.append(callback)
        self._follow(ruling)

    def _follow(self, ruling: Ruling) -> None:
        before, after = self.order, ruling.order
        if after is None:
            assert ruling.announce is None
            return
        assert after.credited_micros >= 0
        if before is not None and (before.state, before.credited_micros) != (after.state, after.credited_micros):
            assert after.version == before.version + 1
        self.order = after
        if ruling.announce is not None:
            delta = ruling.change.delta_micros if ruling.change else None
            self.events.append((ruling.announce, after.version, after.credited_micros, delta))

    def _announced(self) -> Announced:
        types = [one[0] for one in self.events]
        crediting = {"recharge.succeeded", "recharge.adjusted", "recharge.reversed"}
        return Announced(credit=bool(crediting & set(types)), reversals=types.count("recharge.reversed"))


def an_open_order(expected: int | None) -> Order | None:
    """An order as it is registered; None for one that nobody registered."""
    if expected is None:
        return None
    return Order(
        namespace="crossing",
        orderid="sh-1",
        source="crossing",
        state="created",
        registered=True,
        expected_micros=expected,
        expires_at=NOON + timedelta(hours=1),
    )


@given(SOURCES, st.sampled_from([None, 3_000_000]), STEPS)
def test_money_foots_whatever_comes(source: Source, expected: int | None, steps: list[Step]) -> None:
    """At most one credit; the net equals the credit and all deltas; each event has a higher version than the one before."""
    model = Model(source, an_open_order(expected))
    for step in steps:
        model.step(step)
    events = model.events
    assert [one[0] for one in events].count("recharge.succeeded") <= 1
    net = 0
    for event_type, _, credited, delta in events:
        net += credited if event_type == "recharge.succeeded" else delta or 0
        assert credited == net
    assert net == (model.order.credited_micros if model.order else 0)
    versions = [one[1] for one in events]
    assert versions == sorted(set(versions))


@given(SOURCES, st.sampled_from([None, 3_000_000]), STEPS, st.randoms(use_true_random=False))
def test_a_consumer_that_follows_versions_is_right(
    source: Source, expected: int | None, steps: list[Step], chance: random.Random
) -> None:
    """In any order, each event any number of times: it ignores older versions and sets its credit."""
    model = Model(source, an_open_order(expected))
    for step in steps:
        model.step(step)
    deliveries = model.events * 2
    chance.shuffle(deliveries)
    newest, credit = 0, 0
    for _, version, credited, _ in deliveries:
        if version > newest:
            newest, credit = version, credited
    assert credit == (model.order.credited_micros if model.order else 0)


@given(SOURCES, STEPS)
def test_nothing_that_was_paid_is_forgotten(source: Source, steps: list[Step]) -> None:
    """A credible payment leaves its order credited, awaiting evidence or the rest, or before a person; never silently open."""
    model = Model(source, an_open_order(3_000_000))
    for step in steps:
        if not isinstance(step, Release):
            model.step(step)
    order = model.order
    assert order is not None
    if any(one.status is Status.SUCCEEDED for one in model.known):
        assert order.state not in ("creating", "created", "failed", "expired")
        assert order.state != "pending" or "partial" in order.flags
