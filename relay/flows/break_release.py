"""Own the release of what a break is about: a held order ends its hold, a payment that a brake has stopped is credited or refused."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import RowMapping

from relay.core.actors import Actor
from relay.core.releases import Act, Release
from relay.errors import Conflict, NotFound, Unprocessable
from relay.flows import recovery
from relay.flows.asked_acts import Till, agree, asked_of
from relay.flows.releases import By, within
from relay.store import break_list, recoveries
from relay.store.engine import reading, writing


def release_break(till: Till, break_id: str, wish: Release, *, actor: Actor, now: datetime) -> None:
    """Do a named person's word about the order of an open break, or the credit of money without one that another has proposed.

    Raises NotFound and Conflict where there is nothing to release, and what
    `relay.core.releases` says of a wish that does not fit.
    """
    with reading(till.bench.engine) as connection:
        row = break_list.find(connection, break_id)
        if row is None:
            raise NotFound("no such break")
        if row["state"] != "open":
            raise Conflict("this break is resolved already")
        asked = asked_of(connection, break_id) if row["orderid"] is None else None
        key = (row["namespace"], row["orderid"])
        stopped = recoveries.find(connection, key, "stopped") if asked is None else None
    if asked is not None:
        _credit_asked(till, asked, wish, actor=actor, now=now)
        return
    if stopped is not None:
        _end_stop(till, stopped, wish, actor=actor, now=now)
        return
    bench = till.bench
    with writing(bench.engine) as connection:
        within(connection, bench.sources, key, wish, by=By(actor), now=now, new_id=bench.new_id)


def _credit_asked(till: Till, asked: RowMapping, wish: Release, *, actor: Actor, now: datetime) -> None:
    """Money without an order is its owner's or nobody's; who does not want that declines what was asked."""
    if wish.act is not Act.CREDIT or wish.micros is not None:
        raise Conflict("it is credited as it was proposed, or not at all")
    agree(till, asked["id"], actor=actor, now=now)


def _end_stop(till: Till, stopped: RowMapping, wish: Release, *, actor: Actor, now: datetime) -> None:
    if wish.act not in (Act.CREDIT, Act.DISCARD):
        raise Conflict("a brake has stopped it: credit or discard it")
    if wish.micros is not None:
        raise Unprocessable("what a brake has stopped is credited as its witnesses say", pointer="/amount")
    recovery.decide(
        till.bench,
        till.door,
        [stopped["orderid"]],
        release=wish.act is Act.CREDIT,
        source=stopped["source"],
        reason=wish.reason,
        actor=actor,
        now=now,
    )
