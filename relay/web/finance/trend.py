"""Own the page of the last thirty days: three pictures, and the same figures as tables."""

from __future__ import annotations

from flask import Blueprint, Response

from relay.bootstrap import desk_of, now
from relay.core.charts import bars, middle
from relay.flows import trend as flow
from relay.store import day_figures
from relay.store.engine import reading
from relay.web.auth import person
from relay.web.console.frame import READERS, framed
from relay.web.context import runtime

routes = Blueprint("trend", __name__)


@routes.get("/finance/trend")
@person(*READERS)
def shown() -> Response:
    """Show paid beside credited, open breaks by age, and what was recovered, day by day."""
    moment, calendar = now(), desk_of(runtime()).calendar
    with reading(runtime().engine) as connection:
        lines = flow.trend(connection, calendar, now=moment)
        ages = day_figures.ages(connection, calendar.day_at(moment), moment)
    known = [line.row for line in lines if line.row is not None]
    figures = {
        name: [line.row[name] if line.row is not None else 0 for line in lines]
        for name in ("paid_micros", "credited_micros", "recovered_count")
    }
    return framed(
        "trend.html",
        "month",
        lines=lines,
        ages=ages,
        credited=sum(row["credited_count"] for row in known),
        recovered=sum(row["recovered_count"] for row in known),
        money=bars([figures["paid_micros"], figures["credited_micros"]], places=flow.DAYS),
        old=bars([[one.count for _, one in ages]], places=len(ages)),
        lost=bars([figures["recovered_count"]], places=flow.DAYS),
        days=[(middle(place, places=flow.DAYS), line.name[8:]) for place, line in enumerate(lines)],
        buckets=[(middle(place, places=len(ages)), name) for place, (name, _) in enumerate(ages)],
        now=moment,
    )
