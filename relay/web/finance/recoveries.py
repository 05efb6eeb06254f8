"""Own the list of what was credited though its callback never came: by the day of the credit, within the grace or past it."""

from __future__ import annotations

import json

from flask import Blueprint, Response, request

from relay.bootstrap import desk_of, now
from relay.core.days import ONE
from relay.errors import Unprocessable
from relay.store import recoveries as store
from relay.store.engine import reading
from relay.web.auth import person
from relay.web.console.frame import READERS, framed
from relay.web.context import runtime
from relay.web.finance.breaks import views
from relay.web.finance.reading import day_in
from relay.web.pages import changed

routes = Blueprint("recoveries", __name__)

PER_PAGE = 50


@routes.get("/finance/recovered")
@person(*READERS)
def listed() -> Response:
    """List what was recovered on the days that the query names; on the last one when it names none."""
    query = {name: value for name, value in request.args.items() if value}
    calendar, moment = desk_of(runtime()).calendar, now()
    last = day_in(query, "to", calendar) or calendar.day_at(moment - ONE)
    first = day_in(query, "from", calendar) or last
    if first.date > last.date:
        raise Unprocessable("from lies behind to", pointer="/from")
    span = {"since": first.start, "until": last.end}
    with reading(runtime().engine) as connection:
        page = store.page(connection, **span, after=query.get("after"), limit=PER_PAGE)
        total = store.sum_of(connection, **span)
    return framed(
        "recovered.html",
        "breaks",
        rows=[{**row, "evidence": json.loads(row["evidence"])} for row in page.rows],
        total=total,
        first=first,
        last=last,
        views=views(),
        next_query=changed(query, after=str(page.next)) if page.next else None,
    )
