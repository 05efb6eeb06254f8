"""Own how programs read breaks and work on them: what differs, what to do next, and each act with its row in the audit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema
from sqlalchemy import Connection

from relay.bootstrap import bench_of, new_act_id, new_event_id, now
from relay.core.actors import FINANCE
from relay.core.amounts import parse_usdt
from relay.core.events import rfc3339
from relay.core.releases import Act, wish_of
from relay.flows import breaks as flow
from relay.flows.asked_acts import Till, ask_credit
from relay.flows.break_release import release_break
from relay.flows.break_story import break_story, worded
from relay.store import break_list, lookup
from relay.store.break_list import Filters
from relay.store.engine import reading
from relay.store.lookup import Key
from relay.store.namespaces import known_namespaces
from relay.web.api.common import (
    Body,
    ById,
    GivenMoment,
    ListByIdQuery,
    Listed,
    Moment,
    Shape,
    Whole,
    Words,
    listed,
    part,
    shown,
    usdt,
)
from relay.web.api.orders import StepShape
from relay.web.auth import role
from relay.web.context import actor, runtime

routes = part("breaks", "Where witnesses disagree: what differs, what to do next, and what was done about it.")

Micros = Annotated[int, BeforeValidator(parse_usdt), WithJsonSchema({"type": "string"})]


class BreakQuery(ListByIdQuery):
    """Which breaks.

    `since` and `until` meet the first sight, half-open; `least` and `most`
    are in USDT; `q` is an order, a transaction or an address in any spelling,
    and finds its breaks in whatever state they are.
    """

    # A place in an order by more than the id, so it is no id itself.
    after: Words | None = None
    state: Literal["open", "resolved", "all"] = "open"
    severity: Whole | None = Field(None, ge=1, le=4)
    kind: Words | None = Field(None, alias="class")
    owner: Words | None = None
    namespace: Words | None = None
    chain: Words | None = None
    since: GivenMoment | None = None
    until: GivenMoment | None = None
    least: Micros | None = None
    most: Micros | None = None
    q: Words | None = None


class BreakShape(Shape):
    """A break. `why` says what differs, with both values; `rule` when its class opens; `next_step` what to do about it.

    One that is about no order has a `subject` on a `chain`: a transfer, a measured balance or an address, in machine spelling.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    id: str
    kind: str = Field(serialization_alias="class")
    heading: str
    severity: int
    state: Literal["open", "resolved"]
    namespace: str | None
    orderid: str | None
    chain: str | None
    subject: str | None
    tx_hash: str | None
    address: str | None
    amount: str | None
    why: str
    rule: str
    next_step: str
    evidence: dict[str, Any]
    owner: str | None
    note: str | None
    first_seen: Moment
    last_seen: Moment
    resolved_at: Moment | None
    resolved_by: str | None


class SideShape(Shape):
    """What one witness says of the order; `missing` says why it says nothing, `chain` where its transaction and address are."""

    name: str
    missing: str
    status: str | None
    amount: str | None
    tx_hash: str | None
    number: str | None
    user: str | None
    address: str | None
    at: Moment | None
    chain: str | None


class FieldShape(Shape):
    """One field over the sides, in their order; `differs` when two that speak of it do not say the same."""

    name: str
    label: str
    values: list[str | None]
    differs: bool


class BreakWithStory(BreakShape):
    """A break with its order's sides and fields beside each other, and everything that happened, the acts upon it too."""

    difference: str
    sides: list[SideShape]
    fields: list[FieldShape]
    timeline: list[StepShape]


class Reason(Body):
    """Why; it stands in the audit."""

    reason: Words


class Note(Body):
    """What was found."""

    note: Words


class Assignment(Body):
    """Whose it is: the name of a person who may sign in, "" for nobody."""

    owner: Words


class ReleaseWish(Body):
    """What becomes of the order, and why; of money without one `credit`, as another person has proposed it.

    Of a held order `credit`, `adjust` (with the signed `amount` in USDT),
    `reverse` or `discard`; of a payment that a brake has stopped `credit` or `discard`.
    """

    act: Annotated[Act, Field(strict=False)]
    reason: Words
    amount: Words | None = None


@routes.get("/reconciliation/breaks", responses={200: Listed[BreakShape]})
@role(*FINANCE)
def list_breaks(query: BreakQuery) -> dict[str, Any]:
    """List breaks: open ones the worst and oldest first, others the latest first."""
    with reading(runtime().engine) as connection:
        filters = Filters(
            state="all" if query.q else query.state,
            severity=query.severity,
            kind=query.kind,
            owner=query.owner,
            namespace=query.namespace,
            chain=query.chain,
            since=query.since,
            until=query.until,
            least_micros=query.least,
            most_micros=query.most,
            keys=_orders_by(connection, query.q) if query.q else None,
            spots=lookup.spots_named(query.q) if query.q else (),
        )
        page = break_list.page(connection, filters, after=query.after, limit=query.limit)
    return listed(BreakShape, map(_told, page.rows), page.next)


@routes.get("/reconciliation/breaks/<id>", responses={200: BreakWithStory})
@role(*FINANCE)
def show_break(path: ById) -> dict[str, Any]:
    """Show a break with the three sides, the fields that differ and their values, and the timeline."""
    story = break_story(runtime().engine, runtime().sources, path.id, actor=actor())
    return shown(
        BreakWithStory,
        _told(story.row),
        difference=story.difference,
        sides=[{**asdict(side), "amount": usdt(side.micros)} for side in story.sides],
        fields=[
            {
                "name": line.field,
                "label": line.label,
                "values": list(map(_spelled(line.field), line.cells)),
                "differs": line.differs,
            }
            for line in story.lines
        ],
        timeline=[asdict(step) for step in story.steps],
    )


@routes.post("/reconciliation/breaks/<id>/resolve", responses={200: BreakShape})
@role("preparer")
def resolve_break(path: ById, body: Reason) -> dict[str, Any]:
    """Close it: it was put right."""
    flow.resolve(runtime().engine, path.id, body.reason, actor=actor(), now=now(), new_id=new_event_id)
    return _now(path.id)


@routes.post("/reconciliation/breaks/<id>/accept", responses={200: BreakShape})
@role("preparer")
def accept_break(path: ById, body: Reason) -> dict[str, Any]:
    """Close it though the difference stays; the day's approver is shown it by name."""
    flow.accept(runtime().engine, path.id, body.reason, actor=actor(), now=now(), new_id=new_event_id)
    return _now(path.id)


@routes.post("/reconciliation/breaks/<id>/assign", responses={200: BreakShape})
@role("preparer")
def assign_break(path: ById, body: Assignment) -> dict[str, Any]:
    """Give it to a person."""
    flow.assign(runtime().engine, path.id, body.owner, actor=actor(), now=now())
    return _now(path.id)


@routes.post("/reconciliation/breaks/<id>/note", responses={200: BreakShape})
@role("preparer")
def note_break(path: ById, body: Note) -> dict[str, Any]:
    """Write down what was found."""
    flow.note(runtime().engine, path.id, body.note, actor=actor(), now=now())
    return _now(path.id)


@routes.post("/reconciliation/breaks/<id>/propose", responses={200: BreakShape})
@role("preparer")
def propose_from_break(path: ById, body: Reason) -> dict[str, Any]:
    """Propose money that came without an order as the credit of its address's owner; another person's `release` credits it."""
    moment = now()
    ask_credit(_till(), path.id, body.reason, actor=actor(), now=moment, act_id=new_act_id(moment))
    return _now(path.id)


@routes.post("/reconciliation/breaks/<id>/release", responses={200: BreakShape})
@role("approver")
def release_from_break(path: ById, body: ReleaseWish) -> dict[str, Any]:
    """End the hold of its order, or what a brake has stopped; subscribers are told what follows from the act."""
    wish = wish_of(body.act, body.reason, body.amount)
    release_break(_till(), path.id, wish, actor=actor(), now=now())
    runtime().memory.ring()
    return _now(path.id)


def _till() -> Till:
    return Till(bench_of(runtime(), actor().id), runtime().intake)


def _orders_by(connection: Connection, text: str) -> set[Key]:
    namespaces = known_namespaces(connection, runtime().sources)
    return lookup.orders_by(connection, text, namespaces=namespaces, chains=runtime().settings.chains)


def _now(break_id: str) -> dict[str, Any]:
    with reading(runtime().engine) as connection:
        row = break_list.find(connection, break_id)
    return shown(BreakShape, _told(row))


def _told(row: Any) -> dict[str, Any]:
    return {**(row if "why" in row else worded(row)), "amount": usdt(row["amount_micros"])}


def _spelled(field: str) -> Callable[[Any], str | None]:
    """How the cells of a field are spelled: amounts in USDT, times as everywhere."""
    return {"micros": usdt, "at": lambda cell: cell and rfc3339(cell)}.get(
        field, lambda cell: None if cell is None else str(cell)
    )
