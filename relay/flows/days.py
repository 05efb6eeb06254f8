"""Own how the statement of a day is put together: every figure from one snapshot, and what was not looked at by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime

from sqlalchemy import Connection, RowMapping

from relay.core.chains import Chain
from relay.core.days import ONE, Calendar, Day
from relay.core.sources import Source
from relay.core.statement import ChainDay, Statement, Sum, Summary, judge
from relay.core.statement_lines import Figure, figures
from relay.flows.day_sums import DaySums, computed
from relay.store import chain as chain_store
from relay.store import closes, cuts, day_facts, day_figures, day_proofs, heartbeats, runs, trends


def statement_of(
    connection: Connection,
    day: Day,
    sources: Mapping[str, Source],
    chains: Mapping[str, Chain],
    *,
    now: datetime,
    sums: DaySums | None = None,
) -> Statement:
    """Return the statement of a day, as the connection's transaction sees it; with `sums` those are not computed anew."""
    sums = sums or computed(connection, day)
    opened, resolved = day_figures.turned(connection, day)
    states = chain_store.states(connection)
    ends = cuts.at(connection, day.end)
    cash = day_proofs.totals(connection, day)
    open_breaks = day_figures.open_breaks(connection, day)
    return Statement(
        day=day,
        bridges=sums.bridges,
        answered=sums.answered,
        chain_alone=sums.chain_alone,
        chains=[
            _chain(chain, states.get(name), sums.moved.get(name, {}), ends.get(name)) for name, chain in chains.items()
        ],
        cash=[total for total, _ in cash],
        cash_at=min((at for _, at in cash), default=None),
        summary=_summary(connection, day, sums, open_breaks),
        accounts=sums.accounts if len({source.appid for source in sources.values()}) > 1 else {},
        open_breaks=open_breaks,
        opened=opened,
        resolved=resolved,
        pending=day_figures.pending(connection, day),
        ages=day_figures.ages(connection, day, now),
        needs=day_figures.needs(connection, day),
        late=sums.late,
        faults=list(_faults(connection, day, states, chains, now)),
        gaps=list(_gaps(sources, chains)),
    )


def figures_of(connection: Connection, told: Statement, calendar: Calendar, now: datetime) -> Iterator[Figure]:
    """Return every figure of a statement, with those that only the present day has."""
    today = calendar.day_at(now)
    turning = day_figures.turning(connection, today.start, today.end)
    checked_at = runs.last_complete(connection)
    return figures(told, judge(told, now, today.date), turning=turning, checked_at=checked_at)


def day_named(connection: Connection, calendar: Calendar, of: date) -> Day:
    """Return a day by its date. What is closed keeps its bounds, and an open day begins and ends at its closed neighbours.

    So a change of the zone or of the cut-off binds from the first open day on, and leaves neither a hole nor an overlap.
    """
    near = {row["day"]: row for row in closes.between(connection, (of - ONE).isoformat(), (of + 2 * ONE).isoformat())}
    mine, before, after = (near.get((of + step * ONE).isoformat()) for step in (0, -1, 1))
    if mine is not None:
        return Day(of, mine["starts_at"], mine["ends_at"], mine["zone"])
    day = calendar.day(of)
    start = day.start if before is None else before["ends_at"]
    return Day(of, start, day.end if after is None else after["starts_at"], day.zone)


def first_day(connection: Connection, calendar: Calendar, now: datetime) -> Day:
    """Return the day of the first event, or today when nothing ever happened."""
    return calendar.day_at(day_facts.first_moment(connection) or now)


def _chain(chain: Chain, state: RowMapping | None, moved: Mapping[str, object], end: RowMapping | None) -> ChainDay:
    trouble = "" if state is None else state["stopped"] or state["trouble"] or ""
    read_at = None if state is None else state["scanned_at"]
    last = {} if end is None else {"block": end["number"], "block_hash": end["hash"], "is_cut": True}
    told = {"chain": chain.name, "is_on": chain.is_on, "trouble": trouble, "read_at": read_at, **moved, **last}
    return ChainDay(**told)


def _summary(connection: Connection, day: Day, sums: DaySums, open_breaks: Mapping[int, Sum]) -> Summary:
    recovered, wait_s = trends.recovered(connection, day)
    return Summary(
        whole=sums.whole,
        agreeing=sums.agreeing,
        credited=sum((bridge.relay for bridge in sums.bridges.values()), Sum()),
        recovered=recovered,
        wait_s=wait_s,
        open_breaks=sum(open_breaks.values(), Sum()),
        oldest=day_figures.oldest(connection, day),
        orphaned=day_figures.orphaned(connection, day),
        held=day_figures.held(connection, day),
    )


def _faults(
    connection: Connection, day: Day, states: Mapping[str, RowMapping], chains: Mapping[str, Chain], now: datetime
) -> Iterator[str]:
    """Name what makes a day incomplete: a witness that is on and has not been read to the day's end."""
    for name, chain in chains.items():
        state = states.get(name)
        if not chain.is_on:
            continue
        if state is None or state["final_number"] is None:
            yield f"the chain {name} was not read yet"
        elif state["stopped"]:
            yield f"the chain {name} is stopped: {state['stopped']}"
        elif day.end <= now and (state["scanned_at"] is None or state["scanned_at"] < day.end):
            yield f"the chain {name} was not read since the day's end"
    if day.end <= now and runs.complete_since(connection, day.end) is False:
        yield "no run of the reconciler was complete since the day's end"
    seen = heartbeats.last_seen(connection)
    for kind in ("worker", "clock"):
        if day.has(now) and (kind not in seen or now - seen[kind] > heartbeats.SILENT_AFTER):
            yield f"no {kind} is alive"


def _gaps(sources: Mapping[str, Source], chains: Mapping[str, Chain]) -> Iterator[str]:
    """Name what is not looked at at all, by its configuration: stated, not hidden."""
    for name, source in sources.items():
        if source.adapter.query is None and source.statement is None:
            yield f"{name}: the provider cannot be asked and no statement is configured; its callbacks are its only word"
    for name, chain in chains.items():
        if not chain.is_on:
            yield f"chain {name} not checked: no node is configured"
