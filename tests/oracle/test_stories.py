"""Stories of lost, doubled, late and forged callbacks, odd payments, reorgs and outages: the reconciler and the oracle agree."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from relay.store import reconciling
from relay.store.engine import writing
from relay.store.rows import events, runs
from tests.oracle.oracle import KNOWN, Opinion, Oracle
from tests.oracle.world import ORDERS, Stage, World

# What is tried here is tried deeply by `make fuzz`.
pytestmark = pytest.mark.hypothesis
SKEWS = st.sampled_from([0, 0, 0, -7_200, 7_200])
AMOUNTS = st.sampled_from([3_000_000, 3_000_000, 3_000_050, 2_000_000, 4_000_000])
WHO = st.sampled_from(ORDERS)
SAYS = st.sampled_from(["succeeded", "succeeded", "pending", "failed", "expired", "refunded", "unmapped"])


def step(name: str, *given: Any, **named: Any) -> st.SearchStrategy[tuple[Any, ...]]:
    """One thing that happens: the name of what the world does, and with what."""
    return st.tuples(st.just(name), st.tuples(*given), st.fixed_dictionaries(named))


STEPS = st.lists(
    st.one_of(
        step("call", WHO, AMOUNTS, skew_s=SKEWS),
        step("call", WHO, AMOUNTS, key=st.just("a-forger-s-secret")),
        step(
            "answer", WHO, SAYS, st.one_of(st.none(), AMOUNTS), tx=st.one_of(st.none(), st.integers(1, 4)), skew_s=SKEWS
        ),
        step("pay", WHO, AMOUNTS, skew_s=SKEWS),
        step("pay", WHO, AMOUNTS),
        step("pay_wrong", WHO, fails=st.booleans()),
        step("finalise"),
        step("reorg"),
        step("mine_again"),
        step("die", WHO),
        step("arrive", WHO),
        step("stall", WHO),
        step("let_go", WHO),
        step("wait", st.sampled_from([5, 50, 310, 2_200, 90_000])),
        step("round", outage=st.booleans()),
    ),
    min_size=3,
    max_size=16,
)
WORLDS = st.fixed_dictionaries(
    {
        "recover": st.sampled_from(["off", "provider", "chain", "provider+chain", "provider+chain"]),
        "reads_chain": st.booleans(),
        "lifetime_s": st.sampled_from([None, 600]),
    }
)

# What was found once is told first.
AHEAD: tuple[dict[str, Any], list[tuple[Any, ...]]] = (
    {"recover": "provider", "reads_chain": False, "lifetime_s": None},
    [("answer", ("one", "succeeded", 3_000_000), {"tx": None, "skew_s": 7_200})],
)
HELD: tuple[dict[str, Any], list[tuple[Any, ...]]] = (
    {"recover": "provider", "reads_chain": True, "lifetime_s": None},
    [("call", ("one", 3_000_000), {"skew_s": 0}), ("stall", ("one",), {})],
)


def told(world: World, steps: list[tuple[Any, ...]]) -> None:
    """Tell a story: one thing after the other, no two in one moment."""
    for name, plain, named in steps:
        world.wait(1)
        getattr(world, name)(*plain, **named)
        assert world.unbacked() == set()


def differences(world: World, opinions: dict[str, Opinion]) -> dict[str, Any]:
    """What the reconciler says of each order, beside the oracle's opinion, where they differ."""
    found = {}
    for orderid, opinion in opinions.items():
        stand = world.stand(orderid)
        mine = {kind: micros for kind, micros in stand.breaks.items() if kind in KNOWN}
        verdict = "break" if stand.verdict == "break" and not mine and not opinion.breaks else opinion.verdict
        if (stand.verdict, mine, stand.flags) != (verdict, opinion.breaks, opinion.flags):
            found[orderid] = (stand, opinion)
    return found


def test_the_reconciler_and_the_oracle_agree(engine: Engine) -> None:
    """Equal classes, amounts, flags and verdicts after each round, whatever happened and in whatever order."""
    stage = Stage(engine)

    # A story is some hundred transactions: a tenth of the examples that a pure function gets.
    @settings(max_examples=settings.default.max_examples // 10, suppress_health_check=list(HealthCheck))  # type: ignore[union-attr]  # a profile is loaded
    @given(WORLDS, STEPS)
    @example(*AHEAD)
    @example(*HELD)
    def try_it(terms: dict[str, Any], steps: list[tuple[Any, ...]]) -> None:
        world = World(stage, **terms)
        told(world, steps)
        # What waited for a chain to be read is looked at again within a minute.
        for seconds in (60, 4_000, 100_000):
            world.wait(seconds)
            world.round()
            opinions = opinions_of(world)
            assert differences(world, opinions) == {}
            assert world.unbacked() == set()
        check_totals(world, opinions)

    try_it()


def opinions_of(world: World) -> dict[str, Opinion]:
    """What the oracle thinks of each order."""
    oracle = Oracle(world.engine, world.source, world.bench.chains.get("ethereum"))
    return {orderid: oracle.judge(orderid, world.at) for orderid in ORDERS}


def check_totals(world: World, opinions: dict[str, Opinion]) -> None:
    """A run over everything has the sums of the oracle, and no order was credited twice."""
    with writing(world.engine) as connection:
        reconciling.mark_all(connection)
    world.round()
    # Rows come in no order: Postgres moves the one that was touched.
    manifest = json.loads(max(world.rows(runs), key=lambda run: run["id"])["manifest"])
    for name, field in (("credited", "credited"), ("callback", "told"), ("provider", "provider"), ("chain", "chain")):
        assert manifest["micros"][name] == sum(getattr(one, field) for one in opinions.values()), name
    assert manifest["judged"] == Counter(world.stand(orderid).verdict for orderid in ORDERS)
    credited = Counter(row["orderid"] for row in world.rows(events, type="recharge.succeeded"))
    assert max(credited.values(), default=0) <= 1


USUAL: dict[str, Any] = {"recover": "off", "reads_chain": True, "lifetime_s": 600}
PAID: list[tuple[Any, ...]] = [("pay", ("one", 3_000_000), {}), ("finalise", (), {}), ("round", (), {})]
CALLED: tuple[Any, ...] = ("call", ("one", 3_000_000), {})
SAID: tuple[Any, ...] = ("answer", ("one", "succeeded", 3_000_000), {})
OVER: tuple[Any, ...] = ("wait", (4_000,), {})
NAMED: list[tuple[Any, ...]] = [CALLED, ("answer", ("one", "succeeded", 3_000_000), {"tx": 1}), ("round", (), {})]
# A short story of each class that the oracle knows: neither of the two is blind.
CLASSES: dict[str, list[tuple[Any, ...]]] = {
    "missing_callback": [SAID],
    "paid_unannounced": PAID,
    "callback_unconfirmed": [CALLED, ("wait", (5,), {}), ("answer", ("one", "pending", None), {})],
    "status_conflict": [CALLED, ("answer", ("one", "refunded", 3_000_000), {})],
    "phantom_credit": [CALLED],
    "amount_mismatch": [CALLED, ("answer", ("one", "succeeded", 4_000_000), {})],
    "underpaid": [*PAID, ("call", ("one", 4_000_000), {})],
    "overpaid": [*PAID, ("call", ("one", 2_000_000), {})],
    "late_payment": [OVER, ("round", (), {}), *PAID],
    "tx_mismatch": [*PAID, CALLED, ("answer", ("one", "succeeded", 3_000_000), {"tx": 9})],
    "rejected_callback_paid": [("call", ("one", 3_000_000), {"key": "a-forger-s-secret"}), SAID],
    "unfinal_credit": [PAID[0], CALLED],
    "clock_anomaly": [("call", ("one", 3_000_000), {"skew_s": 7_200})],
    "delivery_gap": [*PAID, CALLED, ("stall", ("one",), {})],
    "wrong_token": [("pay_wrong", ("one",), {"fails": False}), *NAMED],
    "reverted_tx": [("pay_wrong", ("one",), {"fails": True}), *NAMED],
}


def test_both_see_each_class(engine: Engine) -> None:
    """And neither sees it in an order that nobody paid."""
    stage = Stage(engine)
    assert set(CLASSES) == KNOWN
    for kind, steps in CLASSES.items():
        world = World(stage, **USUAL)
        told(world, [*steps, OVER, ("round", (), {})])
        opinions = opinions_of(world)
        assert kind in opinions["one"].breaks, kind
        assert differences(world, opinions) == {}, kind
        assert opinions["two"].breaks == {}
