"""Own how programs read the statement of a business day."""

from __future__ import annotations

import json
from typing import Any

from relay.bootstrap import desk_of, now
from relay.core.actors import FINANCE
from relay.core.closing import manifest_of, sum_told
from relay.core.days import read_day
from relay.core.statement import judge
from relay.errors import NotFound
from relay.flows import day_sums
from relay.flows.close import open_items
from relay.flows.days import day_named, statement_of
from relay.store import closes, day_figures, runs
from relay.store.engine import snapshot
from relay.web.api.common import Input, Moment, Shape, Words, part, shown
from relay.web.auth import role
from relay.web.context import runtime

routes = part("days", "The statement of a business day, as finance closes it.")


class DayPath(Input):
    """A business day."""

    day: Words


class SumShape(Shape):
    """A number of things and their money."""

    count: int
    amount: str


class DayShape(Shape):
    """A day as it stands now, and how it was closed; amounts in USDT, six places. The sums of a day of many orders may be as old as `computed_at`."""

    day: str
    verdict: str
    sentence: str
    state: str
    version: int | None
    manifest_sha256: str | None
    computed_at: Moment | None
    ages: dict[str, SumShape]
    turning_today: SumShape
    last_complete_run: Moment | None
    figures: dict[str, Any]


@routes.get("/reconciliation/days/<day>", responses={200: DayShape})
@role(*FINANCE)
def show_day(path: DayPath) -> dict[str, Any]:
    """Tell the bridge, the chains, what is open and pending, and where the close stands; figures as a manifest names them."""
    moment, desk = now(), desk_of(runtime())
    try:
        of = read_day(path.day)
    except ValueError:
        raise NotFound("there is no such day; a day is named as 2026-11-23") from None
    with snapshot(runtime().engine) as connection:
        day = day_named(connection, desk.calendar, of)
        sums = day_sums.known(connection, day, now=moment)
        told = statement_of(connection, day, desk.sources, desk.chains, now=moment, sums=sums)
        items = open_items(connection, day, closes.items_of(connection, day))
        row = closes.current(connection, day.name)
        today = desk.calendar.day_at(moment)
        turning = day_figures.turning(connection, today.start, today.end)
        checked_at = runs.last_complete(connection)
    verdict = judge(told, moment, today.date)
    figures = manifest_of(told, items, version=0, files={}, previous=None, decisions=())
    left_out = ("version", "files", "previous", "decisions", "format", "day")
    answer = {
        "day": day.name,
        "verdict": verdict.tone,
        "sentence": verdict.sentence,
        "state": "open" if row is None else row["state"],
        "version": None if row is None else row["version"],
        "computed_at": sums.computed_at,
        "manifest_sha256": None if row is None else row["manifest_hash"],
        "ages": {name: sum_told(one) for name, one in told.ages},
        "turning_today": sum_told(turning),
        "last_complete_run": checked_at,
        "figures": {name: value for name, value in json.loads(figures).items() if name not in left_out},
    }
    return shown(DayShape, answer)
