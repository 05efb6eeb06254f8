"""One row of a day on which everything agrees is changed behind our back: the next run over everything names what is wrong."""

from __future__ import annotations

from sqlalchemy import Engine, text

from relay.store import reconciling
from relay.store.engine import writing
from tests.oracle.test_stories import differences, opinions_of
from tests.oracle.world import Stage, World

MINE = "SELECT tx_hash FROM matches WHERE orderid = 'one'"
# What is done to the rows of order `one`, and the class that names it.
CORRUPTIONS = {
    "a credit is deleted": (
        [
            "DELETE FROM callbacks WHERE orderid = 'one'",
            "DELETE FROM events WHERE orderid = 'one'",
            "UPDATE orders SET state = 'created', credited_micros = 0 WHERE orderid = 'one'",
        ],
        "missing_callback",
    ),
    "a callback's amount is altered": (
        ["UPDATE callbacks SET amount_micros = 9000000 WHERE orderid = 'one'"],
        "amount_mismatch",
    ),
    "a provider's word is altered": (
        ["UPDATE provider_facts SET status = 'failed' WHERE orderid = 'one'"],
        "status_conflict",
    ),
    "a provider's transaction is altered": (
        [f"UPDATE provider_facts SET tx_hash = '0x{'f' * 64}' WHERE orderid = 'one'"],
        "tx_mismatch",
    ),
    "a transfer is removed": (
        [
            f"DELETE FROM transfers WHERE tx_hash IN ({MINE})",
            "DELETE FROM matches WHERE orderid = 'one'",
        ],
        "phantom_credit",
    ),
    "a transfer grew": (
        [f"UPDATE transfers SET amount_micros = 9000000 WHERE tx_hash IN ({MINE})"],
        "overpaid",
    ),
    "a transfer shrank": (
        [f"UPDATE transfers SET amount_micros = 1000000 WHERE tx_hash IN ({MINE})"],
        "underpaid",
    ),
    "a delivery is lost": (["UPDATE deliveries SET state = 'dead'"], "delivery_gap"),
}


def a_good_day(engine: Engine) -> World:
    """Each order paid, called back, confirmed by its provider, and looked at."""
    world = World(Stage(engine), recover="off", reads_chain=True, lifetime_s=None)
    for number, orderid in enumerate(("one", "two", "three"), 1):
        world.pay(orderid, 3_000_000)
        world.finalise()
        world.call(orderid, 3_000_000)
        world.wait(1)
        world.answer(orderid, "succeeded", 3_000_000, tx=number)
    world.wait(4_000)
    world.round()
    return world


def test_each_corruption_is_named_and_nothing_else(engine: Engine) -> None:
    """By the class that its row belongs to, on the order that it belongs to; the oracle says the same."""
    for what, (statements, kind) in CORRUPTIONS.items():
        world = a_good_day(engine)
        assert {one: world.stand(one).breaks for one in ("one", "two", "three")} == {"one": {}, "two": {}, "three": {}}
        with writing(engine) as connection:
            for statement in statements:
                connection.execute(text(statement))
            # As after a restored copy, whose rows came past the triggers.
            reconciling.mark_all(connection)
        world.wait(4_000)
        world.round()
        assert kind in world.stand("one").breaks, what
        assert differences(world, opinions_of(world)) == {}, what
        others = set() if kind == "delivery_gap" else set(world.stand("two").breaks) | set(world.stand("three").breaks)
        assert others == set(), what
