"""Money takes two persons: one asks, another does it, and the database refuses one who is both."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, update
from sqlalchemy.exc import IntegrityError

from relay.core.releases import Release, wish_of
from relay.core.sources import Brake
from relay.errors import Conflict, NotFound, Unprocessable
from relay.flows import asked_acts as flow
from relay.flows import releases
from relay.flows.asked_acts import Till
from relay.store import asked_acts, audit, people, rows
from relay.store.engine import reading, writing
from tests.builders import NOON
from tests.flows.test_reconcile import LIVE, House, a_lost_callback
from tests.rows import a_stored_order

PAT, AL = (people.person(name, [role]) for name, role in (("pat", "preparer"), ("al", "approver")))
CREDIT = wish_of("credit", "the chain has it", None)


def a_held_order(house: House, orderid: str = "sh-1") -> str:
    a_stored_order(house.engine, orderid, state="held", held_reason="above_limit", credited_micros=0)
    return orderid


def asked(house: House, wish: Release = CREDIT, *, by: Any = PAT, orderid: str = "sh-1", act_id: str = "ask_1") -> str:
    sources = house.bench.sources
    flow.ask_release(house.engine, sources, "crossing", orderid, wish, actor=by, now=NOON, act_id=act_id)
    return act_id


def till(house: House) -> Till:
    return Till(house.bench, house.door)


def what_became(engine: Engine, act_id: str = "ask_1") -> tuple[str, str | None]:
    with reading(engine) as connection:
        row = asked_acts.find(connection, act_id)
        assert audit.verify(connection) is None
    assert row is not None
    return row["state"], row["decided_by"]


def test_one_asks_and_another_credits(engine: Engine) -> None:
    """Whoever asked cannot do it; the act names both; it is done once."""
    house = House(engine)
    orderid = a_held_order(house)
    act_id = asked(house, by=AL)
    with pytest.raises(Conflict, match="second person"):
        flow.agree(till(house), act_id, actor=AL, now=NOON)
    assert house.order(orderid)["state"] == "held"
    flow.agree(till(house), act_id, actor=PAT, now=NOON)
    assert (house.order(orderid)["state"], house.order(orderid)["credited_micros"]) == ("succeeded", 3_000_000)
    assert what_became(engine) == ("done", "user:pat")
    with reading(engine) as connection:
        *_, act = audit.of_subject(connection, "crossing/sh-1", most=9)
    assert (act["act"], act["actor"], json.loads(act["detail"])["asked_by"]) == ("order.release", "user:pat", "user:al")
    with pytest.raises(Conflict, match="ended"):
        flow.agree(till(house), act_id, actor=PAT, now=NOON)


def test_the_database_itself_refuses_one_person_in_both_places(engine: Engine) -> None:
    """And a second wish about the same order, whatever the code says."""
    house = House(engine)
    asked(house, orderid=a_held_order(house))
    for wrong in ({"state": "done", "decided_by": PAT.id}, {"state": "done"}):
        with pytest.raises(IntegrityError), writing(engine) as connection:
            connection.execute(update(rows.asked_acts).values(wrong))
    with reading(engine) as connection:
        row = dict(asked_acts.find(connection, "ask_1") or {})
    with pytest.raises(IntegrityError), writing(engine) as connection:
        asked_acts.ask(connection, row | {"id": "ask_2"})


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        (wish_of("adjust", "too much", "-1"), Conflict),
        (wish_of("credit", "all", "0"), Unprocessable),
        (Release(act=CREDIT.act, reason=" "), Unprocessable),
    ],
)
def test_what_could_not_be_done_is_not_asked(engine: Engine, wish: Release, error: type[Exception]) -> None:
    """It is said at once, and nothing is written."""
    house = House(engine)
    a_held_order(house)
    with pytest.raises(error):
        asked(house, wish)
    with pytest.raises(NotFound):
        asked(house, orderid="sh-9")
    assert house.count(rows.asked_acts) == 0
    with pytest.raises(NotFound):
        flow.agree(till(house), "ask_1", actor=AL, now=NOON)


def test_a_wish_is_withdrawn_declined_or_overtaken(engine: Engine) -> None:
    """Only one waits at a time; then the next may be asked for."""
    house = House(engine)
    a_held_order(house)
    asked(house)
    with pytest.raises(Conflict, match="user:pat has asked"):
        asked(house, act_id="ask_2")
    flow.decline(engine, "ask_1", actor=PAT, now=NOON)
    assert what_became(engine) == ("withdrawn", "user:pat")
    flow.decline(engine, asked(house, act_id="ask_2"), actor=AL, now=NOON)
    assert what_became(engine, "ask_2") == ("declined", "user:al")
    asked(house, act_id="ask_3")
    releases.release(
        engine, house.bench.sources, "crossing", "sh-1", CREDIT, actor=AL, now=NOON, new_id=house.bench.new_id
    )
    assert what_became(engine, "ask_3") == ("withdrawn", "user:al")


def test_a_wish_that_is_being_done_can_be_withdrawn_no_more(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked hears that it has ended: money that moved was never a wish that was withdrawn."""
    house = House(engine)
    a_held_order(house)
    act_id, release = asked(house), releases.within
    with ThreadPoolExecutor(1) as beside:
        told: list[Future[Any]] = []

        def while_somebody_declines(*given: Any, **named: Any) -> None:
            told.append(beside.submit(flow.decline, engine, act_id, actor=PAT, now=NOON))
            wait(told, 0.3)
            release(*given, **named)

        monkeypatch.setattr(releases, "within", while_somebody_declines)
        flow.agree(till(house), act_id, actor=AL, now=NOON)
        with pytest.raises(Conflict, match="ended"):
            told[0].result()
    assert house.order("sh-1")["state"] == "succeeded"
    assert what_became(engine) == ("done", "user:al")


def test_of_two_who_ask_at_once_the_second_is_told_of_the_first(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a conflict of theirs, not a failure of ours."""
    house = House(engine, replace(LIVE, brake=Brake(count=0, micros=0, window_s=3600)))
    a_lost_callback(engine, 1)
    house.run()
    look = asked_acts.open_one

    def look_slowly(*given: Any) -> Any:
        found = look(*given)
        time.sleep(0.2)
        return found

    monkeypatch.setattr(asked_acts, "open_one", look_slowly)

    def ask(who: Any) -> str:
        try:
            about: dict[str, Any] = {"actor": who, "now": house.at, "act_id": f"ask_{who.name}"}
            flow.ask_brake(till(house), "crossing", (), "seen", release=True, **about)
        except Conflict as error:
            return error.detail
        return "asked"

    with ThreadPoolExecutor(2) as both:
        first, second = sorted(both.map(ask, (PAT, AL)))
    assert (first, second.split(maxsplit=1)[1]) == ("asked", "has asked for something already; decide that first")


def test_what_a_brake_has_stopped_takes_two_as_well(engine: Engine) -> None:
    """Some are credited, the rest refused; what was found after the wish is not part of it."""
    house = House(engine, replace(LIVE, brake=Brake(count=1, micros=100_000_000, window_s=3600)))
    lost = [a_lost_callback(engine, number) for number in (1, 2, 3)]
    house.run()
    about: dict[str, Any] = {"actor": PAT, "now": house.at}
    with pytest.raises(Unprocessable, match="lost-9"):
        flow.ask_brake(till(house), "crossing", ["lost-9"], "seen", release=True, act_id="ask_0", **about)
    flow.ask_brake(till(house), "crossing", lost[:2], "seen on the chain", release=True, act_id="ask_1", **about)
    with pytest.raises(Conflict, match="second person"):
        flow.agree(till(house), "ask_1", actor=PAT, now=house.at)
    flow.agree(till(house), "ask_1", actor=AL, now=house.at)
    assert [house.order(one)["credited_micros"] for one in lost] == [3_000_000, 3_000_000, 0]
    flow.ask_brake(till(house), "crossing", (), "not ours", release=False, act_id="ask_2", **about)
    flow.agree(till(house), "ask_2", actor=AL, now=house.at)
    assert house.count(rows.recoveries, state="refused", decided_by="user:al") == 1
    with reading(engine) as connection:
        acts = list(audit.of_subject(connection, "crossing", most=9))
    assert [(row["act"], json.loads(row["detail"])["asked_by"]) for row in acts] == [
        ("recovery.release", "user:pat"),
        ("recovery.refuse", "user:pat"),
    ]
    with pytest.raises(Unprocessable, match="anything"):
        flow.ask_brake(till(house), "crossing", (), "again", release=True, act_id="ask_3", **about)
