"""Rows of a day on which everything agrees are changed behind our back: the next run over everything names what is wrong."""

from __future__ import annotations

from sqlalchemy import Engine, select, text

from relay.core.breaks import DERIVED, OF_CHAINS
from relay.store import reconciling
from relay.store.engine import reading, writing
from relay.store.rows import breaks
from tests.nodes.scripted import STRANGER
from tests.oracle.test_stories import differences, opinions_of
from tests.oracle.world import Stage, World

NUMBERS = {"one": 1, "two": 2, "three": 3}
HASH = {orderid: f"0x{number:064x}" for orderid, number in NUMBERS.items()}
# Of the order that is meant: its own transfer, and what is done to its rows.
MINE = "tx_hash = '{tx}'"
NO_CREDIT = (
    "DELETE FROM callbacks WHERE {order}",
    "DELETE FROM events WHERE {order}",
    "UPDATE orders SET state = 'created', credited_micros = 0 WHERE {order}",
)
NO_TRANSFER = (f"DELETE FROM transfers WHERE {MINE}", "DELETE FROM matches WHERE {order}")
NO_MATCH = "DELETE FROM matches WHERE {order}"
SAID = "INSERT INTO named_transactions (tx_hash, said, contract) VALUES ('{tx}', '%s', '')"
# What is done, by the class that names it.
CORRUPTIONS = {
    "missing_callback": NO_CREDIT,
    "paid_unannounced": (*NO_CREDIT, "DELETE FROM provider_facts WHERE {order}"),
    "late_payment": (*NO_CREDIT, "UPDATE orders SET expires_at = '2026-01-01 00:00:00' WHERE {order}"),
    "rejected_callback_paid": (
        "UPDATE callbacks SET verdict = 'rejected', reason = 'bad_signature' WHERE {order}",
        *NO_CREDIT[1:],
    ),
    "callback_unconfirmed": ("UPDATE provider_facts SET status = 'pending' WHERE {order}",),
    "status_conflict": ("UPDATE provider_facts SET status = 'failed' WHERE {order}",),
    "amount_mismatch": ("UPDATE callbacks SET amount_micros = 9000000 WHERE {order}",),
    "tx_mismatch": (f"UPDATE provider_facts SET tx_hash = '0x{'f' * 64}' WHERE {{order}}",),
    "phantom_credit": NO_TRANSFER,
    "overpaid": (f"UPDATE transfers SET amount_micros = 9000000 WHERE {MINE}",),
    "underpaid": (f"UPDATE transfers SET amount_micros = 1000000 WHERE {MINE}",),
    "unfinal_credit": (f"UPDATE transfers SET is_final = (1 = 0) WHERE {MINE}",),
    "clock_anomaly": ("UPDATE callbacks SET occurred_at = '2027-01-01 00:00:00' WHERE {order}",),
    "delivery_gap": (
        "UPDATE deliveries SET state = 'dead' WHERE event_sequence IN (SELECT sequence FROM events WHERE {order})",
    ),
    "double_claim": (*NO_TRANSFER, f"UPDATE provider_facts SET tx_hash = '{HASH['three']}' WHERE {{order}}"),
    "asset_or_network_mismatch": (NO_MATCH, "UPDATE orders SET chain = 'tron' WHERE {order}"),
    "wrong_token": (*NO_TRANSFER, SAID % "foreign"),
    "reverted_tx": (*NO_TRANSFER, SAID % "reverted"),
    "orphan_transfer": (NO_MATCH, f"UPDATE transfers SET unmatched = 'nobody' WHERE {MINE}"),
    "ambiguous_match": (NO_MATCH, f"UPDATE transfers SET unmatched = 'ambiguous' WHERE {MINE}"),
    "dust_or_poison": (
        NO_MATCH,
        f"UPDATE transfers SET unmatched = 'nobody', amount_micros = 0, rest = 5 WHERE {MINE}",
    ),
    "unexplained_outflow": (
        NO_MATCH,
        f"UPDATE transfers SET unmatched = 'outgoing', sender = recipient, recipient = '{STRANGER}' WHERE {MINE}",
    ),
}
# Whose rows are balances: a story of its own removes a log behind them, tests.flows.test_strays.
OF_BALANCES = {"balance_gap", "non_transfer_move"}


def a_good_day(stage: Stage) -> World:
    """Each order paid, called back, confirmed by its provider, and looked at."""
    world = World(stage, recover="off", reads_chain=True, lifetime_s=None)
    for orderid, number in NUMBERS.items():
        world.pay(orderid, 3_000_000)
        world.finalise()
        world.call(orderid, 3_000_000)
        world.wait(1)
        world.answer(orderid, "succeeded", 3_000_000, tx=number)
    world.wait(4_000)
    world.round()
    return world


def corrupt(world: World, orderid: str, kind: str) -> None:
    """Change an order's rows, as in a copy that was restored: past the triggers."""
    about = {"order": f"orderid = '{orderid}'", "tx": HASH[orderid]}
    with writing(world.engine) as connection:
        for statement in CORRUPTIONS[kind]:
            connection.execute(text(statement.format(**about)))
        reconciling.mark_all(connection)


def named(world: World, orderid: str) -> set[str]:
    """The classes that are open about an order, or about its transfer."""
    about = (breaks.c.orderid == orderid) | (breaks.c.tx_hash == HASH[orderid]) | (breaks.c.kind == "dust_or_poison")
    with reading(world.engine) as connection:
        return set(connection.scalars(select(breaks.c.kind).where(breaks.c.state == "open", about)))


def test_each_corruption_is_named_and_nothing_else(engine: Engine) -> None:
    """By the class that its row belongs to, on the order that it belongs to; the oracle says the same. Two a day, and one order stays whole."""
    assert CORRUPTIONS.keys() == DERIVED | OF_CHAINS - OF_BALANCES
    stage = Stage(engine)
    todo = list(CORRUPTIONS)
    for kinds in zip(todo[::2], todo[1::2], strict=True):
        world = a_good_day(stage)
        assert [world.stand(one).breaks for one in NUMBERS] == [{}, {}, {}]
        for orderid, kind in zip(("one", "two"), kinds, strict=True):
            corrupt(world, orderid, kind)
        world.wait(4_000)
        world.round()
        for orderid, kind in zip(("one", "two"), kinds, strict=True):
            assert kind in named(world, orderid), kind
        assert differences(world, opinions_of(world)) == {}, kinds
        assert world.stand("three").breaks == {}, kinds
