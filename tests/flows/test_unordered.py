"""Money that came without an order is its owner's credit when two persons say so: once, whoever else does what meanwhile."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, select, text, update

from relay.core.releases import wish_of
from relay.errors import Conflict
from relay.flows import asked_acts as flow
from relay.flows.break_release import release_break
from relay.store import audit
from relay.store.engine import reading, writing
from relay.store.rows import addresses, breaks, events, matches, orders
from tests.builders import a_source
from tests.flows.test_asked_acts import AL, PAT, till, what_became
from tests.flows.test_reconcile import LATER
from tests.flows.test_strays import HERE, Treasury, an_order_for
from tests.rows import a_stored_transfer

SOURCE = a_source(chains=("ethereum",))
CREDIT = wish_of("credit", "it is hers", None)


def an_orphan(engine: Engine, source: Any = SOURCE) -> tuple[Treasury, str]:
    """A house with an orphan transfer; the break's id."""
    house = Treasury(engine, source)
    a_stored_transfer(engine, 1, HERE, amount_micros=3_000_055)
    house.go()
    return house, str(house.row("orphan_transfer")["id"])


def propose(house: Treasury, break_id: str, act_id: str = "ask_1") -> str:
    flow.ask_credit(till(house), break_id, "it is hers", actor=PAT, now=LATER, act_id=act_id)
    return act_id


def test_one_proposes_and_another_credits(engine: Engine) -> None:
    """An order is made, credited in whole units and announced; the break ends, and the witnesses agree."""
    house, break_id = an_orphan(engine)
    with pytest.raises(Conflict, match="nobody has proposed"):
        release_break(till(house), break_id, CREDIT, actor=AL, now=LATER)
    act_id = propose(house, break_id)
    with pytest.raises(Conflict, match="second person"):
        flow.agree(till(house), act_id, actor=PAT, now=LATER)
    release_break(till(house), break_id, CREDIT, actor=AL, now=LATER)
    orderid = f"auto-ethereum-0x{1:064x}-0"
    order = house.order(orderid)
    assert (order["state"], order["user_ref"], order["flags"]) == ("succeeded", "12", "unordered")
    assert order["credited_micros"] == 3_000_000
    with reading(engine) as connection:
        body = json.loads(connection.scalar(select(events.c.body).where(events.c.type == "recharge.succeeded")) or "")
        acts = [row["act"] for row in audit.page(connection, after=None, limit=9).rows]
    told = body["data"]
    assert (told["origin"], told["flags"], told["transfer"]["log_index"]) == ("operator", ["unordered"], 0)
    assert sorted(acts) == ["money.ask", "transfer.credit"]
    assert what_became(engine) == ("done", "user:al")
    assert house.row("orphan_transfer")["resolved_by"] == "user:al"
    assert house.go() == set()


@pytest.mark.parametrize(
    ("words", "source", "change"),
    [
        ("owner", SOURCE, update(addresses).values(owner=None)),
        ("may credit", replace(SOURCE, live_from=LATER.replace(year=2030)), None),
        ("may credit", replace(SOURCE, mode="observe"), None),
        ("may credit", replace(SOURCE, chains=("tron",)), None),
        ("has an order", SOURCE, text("UPDATE transfers SET is_final = (1 = 0)")),
    ],
)
def test_what_cannot_be_credited_is_not_proposed(engine: Engine, words: str, source: Any, change: Any) -> None:
    """Nobody's, or somebody else's, or not there for good."""
    house, break_id = an_orphan(engine)
    house.bench = replace(house.bench, sources={"crossing": source})
    if change is not None:
        with writing(engine) as connection:
            connection.execute(change)
    with pytest.raises(Conflict, match=words):
        propose(house, break_id)
    assert house.count(orders) == 0


def test_an_order_that_came_meanwhile_has_it(engine: Engine) -> None:
    """What was proposed is judged again when it is done; a transfer is never credited twice."""
    house, break_id = an_orphan(engine)
    act_id = propose(house, break_id)
    an_order_for(engine, "sh-1")
    house.go(later=LATER - LATER.replace(hour=0))
    with pytest.raises(Conflict, match="meanwhile"):
        flow.agree(till(house), act_id, actor=AL, now=house.at)
    assert [house.count(matches), house.count(events, type="recharge.succeeded")] == [1, 0]
    assert what_became(engine) == ("asked", None)


def test_two_who_credit_at_once_credit_once(engine: Engine) -> None:
    """A constraint decides: the transfer belongs to one order."""
    house, break_id = an_orphan(engine)
    act_id = propose(house, break_id)
    failed: list[Exception] = []

    def agree() -> None:
        try:
            flow.agree(till(house), act_id, actor=AL, now=LATER)
        except Conflict as error:
            failed.append(error)

    threads = [threading.Thread(target=agree) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(failed) == 1
    assert [house.count(matches), house.count(events, type="recharge.succeeded")] == [1, 1]


def test_a_break_about_something_else_cannot_be_proposed(engine: Engine) -> None:
    """And a resolved one neither."""
    house, break_id = an_orphan(engine)
    with writing(engine) as connection:
        connection.execute(update(breaks).values(kind="unexplained_outflow"))
    with pytest.raises(Conflict, match="no open break"):
        propose(house, break_id)
