"""Own the page of one order, and the way to it from any name that a person has of it."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from relay.bootstrap import new_act_id, now
from relay.core.orders import State
from relay.core.releases import CORRECTABLE, Act, wish_of
from relay.errors import Unprocessable
from relay.flows import asked_acts, holds, order_story
from relay.flows.timeline import namespace_of
from relay.store import asked_acts as acts_store
from relay.store import holds as holds_store
from relay.store import orders, people
from relay.store.engine import reading
from relay.web.auth import person
from relay.web.console.frame import READERS, framed, number_of
from relay.web.context import actor, runtime
from relay.web.finance.breaks import views
from relay.web.pages import path_of

routes = Blueprint("finance_orders", __name__)

PER_PAGE = 50


@routes.get("/finance/orders")
@person(*READERS)
def listed() -> Response:
    """List orders, or those in a state, newest first."""
    state = request.args.get("state") or None
    if state is not None and state not in set(State):
        raise Unprocessable("no such state", pointer="/state")
    after = number_of(request.args.get("after", ""))
    with reading(runtime().engine) as connection:
        page = orders.page(connection, scope=None, after=after, limit=PER_PAGE, state=state)
    return framed(
        "orders.html", "orders", rows=page.rows, state=state, states=list(State), next=page.next, views=views()
    )


@routes.get("/finance/orders/<source>/<path:orderid>")
@person(*READERS)
def order(source: str, orderid: str) -> Response:
    """Show the difference first, then the witnesses beside each other, then everything that happened."""
    told = order_story.story(runtime().engine, runtime().sources, source, orderid, actor=actor())
    with reading(runtime().engine) as connection:
        asked = acts_store.open_one(connection, f"{told.order['namespace']}/{orderid}")
        taken = holds_store.find(connection, told.order["namespace"], orderid)
        owners = [row["name"] for row in people.listed(connection) if row["revoked_at"] is None]
    path = path_of(source, orderid)
    return framed(
        "order.html",
        "orders",
        story=told,
        asked=asked,
        acts=list(Act),
        correctable=CORRECTABLE,
        path=path,
        taken=taken,
        owners=owners,
    )


@routes.post("/finance/orders/<source>/<path:orderid>/take")
@person("preparer")
def take(source: str, orderid: str) -> AnyResponse:
    """Say who looks after a held order, and why it is held on."""
    namespace = namespace_of(runtime().sources, source)
    owner, note = request.form.get("owner", ""), request.form.get("note", "")
    holds.take(runtime().engine, namespace, orderid, owner, note, actor=actor(), now=now())
    return redirect(path_of(source, orderid), code=303)


@routes.post("/finance/orders/<source>/<path:orderid>/ask")
@person("preparer", "approver")
def ask(source: str, orderid: str) -> AnyResponse:
    """Ask for the end of an order's hold, or the correction of its credit; another person does it."""
    act, amount = request.form.get("act", ""), request.form.get("amount", "").strip()
    if act not in set(Act):
        raise Unprocessable("choose what becomes of it", pointer="/act")
    wish, moment = wish_of(act, request.form.get("reason", ""), amount or None), now()
    asked_acts.ask_release(
        runtime().engine,
        runtime().sources,
        source,
        orderid,
        wish,
        actor=actor(),
        now=moment,
        act_id=new_act_id(moment),
    )
    return redirect(path_of(source, orderid), code=303)
