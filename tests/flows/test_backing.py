"""No transfer is credited twice: a callback that names its transaction takes what is free of it, or is held; on both databases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from relay.core.releases import wish_of
from relay.errors import Conflict
from relay.flows import asked_acts as flow
from relay.flows.break_release import release_break
from relay.flows.confirmation import reconsider
from relay.flows.matching import match
from relay.flows.releases import release
from relay.flows.surroundings import Surroundings
from relay.store.engine import make_engine, reading, writing
from relay.store.rows import asked_acts, breaks, chains, events, matches, transfers
from tests.builders import a_callback
from tests.flows.test_asked_acts import AL, PAT, till
from tests.flows.test_explaining import ON
from tests.flows.test_reconcile import LATER
from tests.flows.test_strays import HERE, THERE, Treasury, an_order_for
from tests.flows.test_unordered import CREDIT, SOURCE, an_orphan, propose
from tests.rows import a_match, a_provider_fact, a_stored_transfer, add, an_address

TX = f"{1:064x}"
AUTO = f"auto-ethereum-0x{TX}-0"
SUCCEEDED = "recharge.succeeded"


def call_back(house: Treasury, orderid: str = "sh-1", **changes: Any) -> str:
    """A signed callback that names the transaction, as a provider of TRON would spell it."""
    usual = {"orderid": orderid, "signature": orderid, "user_ref": "12", "tx_hash": TX}
    return house.door.accept(a_callback(**usual | changes), house.source)


def credited_of(engine: Engine) -> list[tuple[str, int]]:
    """Who has the transfers, by log."""
    with reading(engine) as connection:
        rows = connection.execute(select(matches.c.orderid, matches.c.log_index).order_by(matches.c.log_index))
        return [(row.orderid, row.log_index) for row in rows]


def an_orphan_read(engine: Engine) -> tuple[Treasury, str]:
    """A house whose chain has read money without an order; the break's id."""
    add(engine, chains, name="ethereum", chain_id=1, scanned_at=LATER, head_number=10)
    return an_orphan(engine)


def a_credited_orphan(engine: Engine) -> Treasury:
    """A house whose orphan two persons have credited to its owner."""
    house, break_id = an_orphan_read(engine)
    propose(house, break_id)
    release_break(till(house), break_id, CREDIT, actor=AL, now=LATER)
    return house


def test_a_callback_that_names_credited_money_is_held(engine: Engine) -> None:
    """It is kept and acked, nothing is credited, and the break names who has the money; a run finds the same one."""
    house = a_credited_orphan(engine)
    assert call_back(house) == "accepted"
    order = house.order("sh-1")
    assert (order["state"], order["held_reason"], order["credited_micros"]) == ("held", "double_claim", 0)
    assert [house.count(events, type=SUCCEEDED), house.count(events, type="recharge.held")] == [1, 1]
    row = house.row("double_claim")
    assert (row["orderid"], row["severity"]) == ("sh-1", 1)
    assert row["evidence"] == {"tx_hash": f"0x{TX}", "orders": AUTO}
    with reading(engine) as connection:
        ids = set(connection.scalars(select(breaks.c.id).where(breaks.c.kind == "double_claim")))
    house.bench = replace(house.bench, chains={"ethereum": ON})
    house.go()
    assert ids == {house.row("double_claim")["id"]}
    assert house.row("double_claim")["state"] == "open"


def test_a_callback_without_a_name_may_be_the_word_of_credited_money(engine: Engine) -> None:
    """The first of the same user and sum is held, and a run says so too; the next one is another payment, as is another sum."""
    house = a_credited_orphan(engine)
    for orderid, changes in (("sh-0", {"amount_micros": 3_100_000}), ("sh-1", {}), ("sh-2", {})):
        assert call_back(house, orderid, tx_hash=None, **changes) == "accepted"
    stand = {orderid: house.order(orderid)["state"] for orderid in ("sh-0", "sh-1", "sh-2")}
    assert stand == {"sh-0": "succeeded", "sh-1": "held", "sh-2": "succeeded"}
    assert "double_claim" in house.go()
    row = house.row("double_claim")
    assert (row["orderid"], row["evidence"]) == ("sh-1", {"credited_before": AUTO, "names": "no transaction"})


@pytest.mark.parametrize(("act", "state"), [("credit", "succeeded"), ("discard", "failed")])
def test_a_person_says_whether_it_was_its_word(engine: Engine, act: str, state: str) -> None:
    """What was money of its own leaves the credit unexplained, and the next one is held for it."""
    house = a_credited_orphan(engine)
    call_back(house, "sh-1", tx_hash=None)
    release(
        engine,
        house.bench.sources,
        "crossing",
        "sh-1",
        wish_of(act, "seen", None),
        actor=AL,
        now=LATER,
        new_id=house.new_id,
    )
    call_back(house, "sh-2", tx_hash=None)
    assert house.order("sh-1")["state"] == state
    assert house.order("sh-2")["state"] == ("held" if act == "credit" else "succeeded")
    assert "double_claim" in house.go() if act == "credit" else house.go() <= {"delivery_gap"}


def test_money_of_its_own_ends_the_doubt_by_itself(engine: Engine) -> None:
    """Its transfer was read later: it is credited, what people asked for is over, and the next callback may be the word instead."""
    house = a_credited_orphan(engine)
    call_back(house, "sh-1", tx_hash=None)
    wish = wish_of("discard", "it is the same", None)
    flow.ask_release(engine, house.bench.sources, "crossing", "sh-1", wish, actor=PAT, now=LATER, act_id="ask_2")
    assert "double_claim" in house.go()
    a_stored_transfer(engine, 2, HERE, amount_micros=3_000_000, is_final=False, look_at=None)
    a_match(engine, f"0x{2:064x}", "sh-1", final_at=None)
    look_again: dict[str, Any] = {"now": LATER, "new_id": house.new_id}
    assert reconsider(engine, house.bench.sources, [("crossing", "sh-1")], **look_again) == 0
    with writing(engine) as connection:
        connection.execute(update(transfers).values(is_final=True))
    match(engine, house.bench.sources, **look_again)
    order = house.order("sh-1")
    assert (order["state"], order["held_reason"], order["credited_micros"]) == ("succeeded", None, 3_000_000)
    assert "double_claim" not in house.go()
    with reading(engine) as connection:
        asked = connection.execute(
            select(asked_acts.c.state, asked_acts.c.decided_by).where(asked_acts.c.id == "ask_2")
        )
        assert asked.one() == ("withdrawn", "reconciler")
    call_back(house, "sh-2", tx_hash=None)
    assert house.order("sh-2")["held_reason"] == "double_claim"


def test_old_credits_and_other_users_hold_nobody(engine: Engine) -> None:
    """A day and an hour later a callback is money of its own; so is one that names another transaction at once."""
    house = a_credited_orphan(engine)
    call_back(house, "sh-1", tx_hash=None, user_ref="13")
    call_back(house, "sh-2", tx_hash="0x" + "7" * 64)
    house.at = LATER + timedelta(hours=25)
    call_back(house, "sh-3", tx_hash=None)
    assert {house.order(one)["state"] for one in ("sh-1", "sh-2", "sh-3")} == {"succeeded"}


def test_money_of_a_credited_order_is_not_credited_without_one(engine: Engine) -> None:
    """A callback that came first, named nothing and found no transfer is its word; whoever proposes it is told which."""
    house, break_id = an_orphan_read(engine)
    act_id = propose(house, break_id)
    call_back(house, tx_hash=None)
    with pytest.raises(Conflict, match="sh-1: credited already to this user"):
        flow.agree(till(house), act_id, actor=AL, now=LATER)
    assert house.count(events, type=SUCCEEDED) == 1


def test_a_credited_callback_takes_its_transfer(engine: Engine) -> None:
    """The orphan ends by it, and nobody can credit it to its owner any more."""
    house, break_id = an_orphan_read(engine)
    act_id = propose(house, break_id)
    call_back(house, amount_micros=3_000_000)
    assert credited_of(engine) == [("sh-1", 0)]
    with pytest.raises(Conflict):
        flow.agree(till(house), act_id, actor=AL, now=LATER)
    assert house.go() <= {"overpaid"}
    assert house.count(events, type=SUCCEEDED) == 1


def test_one_transaction_pays_several_orders_by_several_logs(engine: Engine) -> None:
    """Each takes its own; who comes when all are gone is held."""
    house = a_credited_orphan(engine)
    an_address(engine, THERE, owner="13", namespace="crossing")
    a_stored_transfer(engine, 1, THERE, log_index=1)
    assert call_back(house, "sh-2", user_ref="13") == "accepted"
    assert call_back(house, "sh-3", user_ref="14") == "accepted"
    assert credited_of(engine) == [(AUTO, 0), ("sh-2", 1)]
    assert [house.order(orderid)["state"] for orderid in ("sh-2", "sh-3")] == ["succeeded", "held"]


def test_an_order_takes_what_came_to_its_own_address(engine: Engine) -> None:
    """That another log of the transaction is free is no help."""
    house = a_credited_orphan(engine)
    an_address(engine, THERE, namespace="crossing")
    a_stored_transfer(engine, 1, THERE, log_index=1)
    an_order_for(engine, "sh-1", HERE)
    call_back(house, "sh-1")
    assert house.order("sh-1")["state"] == "held"
    an_order_for(engine, "sh-2", THERE, user_ref="13")
    call_back(house, "sh-2", user_ref="13")
    assert credited_of(engine) == [(AUTO, 0), ("sh-2", 1)]


def test_a_source_without_chains_sees_those_of_its_namespace(engine: Engine) -> None:
    """Its callback names money that was credited as another's order."""
    house = a_credited_orphan(engine)
    house.source = replace(SOURCE, name="beside", chains=(), is_beside_chains=True)
    call_back(house, source="beside")
    assert house.order("sh-1")["state"] == "held"


def test_nobody_waits_for_a_chain_that_has_not_read_it_yet(engine: Engine) -> None:
    """The callback is credited at once, and the transfer finds it by its name."""
    add(engine, chains, name="ethereum", chain_id=1, scanned_at=LATER, head_number=10)
    house = Treasury(engine, SOURCE)
    call_back(house)
    assert house.order("sh-1")["state"] == "succeeded"
    a_stored_transfer(engine, 1, HERE)
    house.go()
    assert credited_of(engine) == [("sh-1", 0)]


def test_what_credited_orders_name_is_not_credited_to_its_owner(engine: Engine) -> None:
    """Two logs fit the callback and none is its own yet; until that is settled neither is anybody else's."""
    house, break_id = an_orphan_read(engine)
    a_stored_transfer(engine, 1, HERE, log_index=1, amount_micros=3_000_055, look_at=None)
    act_id = propose(house, break_id)
    call_back(house)
    assert (house.order("sh-1")["state"], credited_of(engine)) == ("succeeded", [])
    with pytest.raises(Conflict, match="sh-1: credited already"):
        flow.agree(till(house), act_id, actor=AL, now=LATER)


def test_the_name_that_only_the_provider_knows_counts_too(engine: Engine) -> None:
    """A callback without a transaction stands on the one that the provider told of."""
    house = a_credited_orphan(engine)
    a_provider_fact(engine, "sh-1", tx_hash=TX.upper())
    call_back(house, tx_hash=None)
    assert house.order("sh-1")["held_reason"] == "double_claim"


def test_evidence_that_comes_later_credits_no_taken_money(engine: Engine) -> None:
    """An order that awaited its provider is judged by the same rule."""
    house = a_credited_orphan(engine)
    asking = replace(SOURCE, evidence=frozenset({"signature", "provider"}))
    house.door.accept(a_callback(user_ref="12", tx_hash=TX), asking)
    assert house.order("sh-1")["state"] == "confirming"
    a_provider_fact(engine, "sh-1")
    reconsider(engine, {"crossing": asking}, [("crossing", "sh-1")], now=LATER, new_id=house.new_id)
    assert house.order("sh-1")["held_reason"] == "double_claim"


def at_once(*acts: Callable[[], object]) -> list[Conflict]:
    """Do things in threads of their own; return who met a conflict."""
    failed: list[Conflict] = []
    gate = threading.Barrier(len(acts))

    def do(act: Callable[[], object]) -> None:
        gate.wait(60)
        try:
            act()
        except Conflict as error:
            failed.append(error)

    threads = [threading.Thread(target=do, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return failed


@pytest.mark.parametrize("round_", range(5))
def test_a_person_and_a_callback_at_once_credit_once(engine: Engine, round_: int) -> None:
    """Whoever comes first: there is one credit, and the transfer is its."""
    house, break_id = an_orphan_read(engine)
    act_id = propose(house, break_id)
    acts = [lambda: flow.agree(till(house), act_id, actor=AL, now=LATER), lambda: call_back(house)]
    at_once(*acts[:: 1 if round_ % 2 else -1])
    assert house.count(events, type=SUCCEEDED) == 1
    (owner,) = [orderid for orderid, _ in credited_of(engine)]
    assert house.order("sh-1")["state"] == ("succeeded" if owner == "sh-1" else "held")


def test_who_takes_it_between_look_and_commit_is_met_by_the_constraint(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch looks again, sees whose it is, and holds. SQLite has one writer, so nobody comes between."""
    engine = make_engine(postgres_url)
    house, _ = an_orphan_read(engine)
    read, comes_between = Surroundings.read_facts, [lambda: a_match(engine, f"0x{TX}", "other")]

    def read_slowly(self: Surroundings, asked: Any) -> None:
        read(self, asked)
        while comes_between:
            comes_between.pop()()

    monkeypatch.setattr(Surroundings, "read_facts", read_slowly)
    assert call_back(house) == "accepted"
    assert (house.order("sh-1")["held_reason"], credited_of(engine)) == ("double_claim", [("other", 0)])
    engine.dispose()


def test_matching_and_callbacks_at_once_give_a_transfer_to_one(engine: Engine) -> None:
    """The ladder finds it by its address while a callback names it."""
    house, _ = an_orphan_read(engine)
    an_order_for(engine, "by-address", HERE)
    later = LATER.replace(hour=20)
    failed = at_once(
        lambda: match(engine, {"crossing": SOURCE}, now=later, new_id=house.new_id), lambda: call_back(house)
    )
    assert failed == []
    ((owner, _),) = credited_of(engine)
    assert house.order("sh-1")["state"] == ("succeeded" if owner == "sh-1" else "held")


def test_two_that_name_it_in_one_batch_share_nothing(engine: Engine) -> None:
    """The second of a page sees what the first took."""
    house, _ = an_orphan_read(engine)
    asking = replace(SOURCE, evidence=frozenset({"signature", "provider"}))
    for orderid in ("sh-1", "sh-2"):
        house.door.accept(a_callback(orderid=orderid, signature=orderid, user_ref="12", tx_hash=TX), asking)
        a_provider_fact(engine, orderid)
    keys = [("crossing", "sh-1"), ("crossing", "sh-2")]
    reconsider(engine, {"crossing": asking}, keys, now=LATER, new_id=house.new_id)
    assert [house.order(orderid)["state"] for _, orderid in keys] == ["succeeded", "held"]
    assert credited_of(engine) == [("sh-1", 0)]
