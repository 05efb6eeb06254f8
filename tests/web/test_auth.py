"""A route is closed until it says who may call it, and a key opens only what its roles say."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask_openapi3 import OpenAPI

from relay.bootstrap import Runtime
from relay.core.actors import FINANCE, ROLES
from relay.core.people import ROLES as PEOPLE
from relay.store import keys
from relay.store.engine import make_engine, writing
from relay.web import create_app
from relay.web.auth import access_of, public, role
from tests.builders import NOON
from tests.rows import a_key, a_session
from tests.web.conftest import ADMIN_KEY, Caller, Visitor

# What CONTRACT and README promise: who may call which route. `None` is anyone, `any` every key of ours.
SERVICE, OPERATOR = ("service",), ("operator",)
PROMISED: dict[tuple[str, str], Any] = {
    ("GET", "/static/<path:filename>"): None,
    ("GET", "/callbacks/<source>/verify-order"): None,
    ("POST", "/callbacks/<source>/verify-order"): None,
    ("GET", "/livez"): None,
    ("GET", "/healthz"): None,
    ("GET", "/readyz"): None,
    ("GET", "/version"): None,
    ("GET", "/openapi.json"): None,
    ("GET", "/.well-known/relay-seal-keys.json"): None,
    ("GET", "/metrics"): ROLES,
    ("GET", "/v1/events"): SERVICE,
    ("GET", "/v1/events/<id>"): SERVICE,
    ("GET", "/v1/deliveries"): SERVICE,
    ("GET", "/v1/deliveries/<int:id>"): SERVICE,
    ("POST", "/v1/deliveries/<int:id>/retry"): SERVICE,
    ("GET", "/v1/endpoints"): SERVICE,
    ("POST", "/v1/endpoints"): SERVICE,
    ("GET", "/v1/endpoints/<id>"): SERVICE,
    ("PATCH", "/v1/endpoints/<id>"): SERVICE,
    ("DELETE", "/v1/endpoints/<id>"): SERVICE,
    ("POST", "/v1/endpoints/<id>/disable"): SERVICE,
    ("POST", "/v1/endpoints/<id>/pause"): SERVICE,
    ("POST", "/v1/endpoints/<id>/enable"): SERVICE,
    ("POST", "/v1/endpoints/<id>/rotate-secret"): SERVICE,
    ("POST", "/v1/endpoints/<id>/test"): SERVICE,
    ("GET", "/v1/callbacks"): OPERATOR,
    ("GET", "/v1/callbacks/<int:id>"): OPERATOR,
    ("POST", "/v1/callbacks/<int:id>/reprocess"): OPERATOR,
    ("POST", "/v1/callbacks/reprocess"): OPERATOR,
    ("GET", "/v1/orders"): SERVICE + FINANCE,
    ("GET", "/v1/orders/<source>/<path:orderid>"): SERVICE + FINANCE,
    ("POST", "/v1/orders/<source>/<path:orderid>/release"): ("approver",),
    ("POST", "/v1/orders"): SERVICE,
    ("POST", "/v1/orders/import"): SERVICE,
    ("POST", "/v1/addresses/import"): SERVICE,
    ("GET", "/v1/addresses"): SERVICE + FINANCE,
    ("GET", "/v1/reconciliation"): FINANCE,
    ("GET", "/v1/reconciliation/runs"): FINANCE,
    ("GET", "/v1/reconciliation/runs/<int:id>"): FINANCE,
    ("POST", "/v1/reconciliation/runs"): ("preparer",),
    ("GET", "/v1/reconciliation/breaks"): FINANCE,
    ("GET", "/v1/reconciliation/breaks/<id>"): FINANCE,
    ("POST", "/v1/reconciliation/breaks/<id>/resolve"): ("preparer",),
    ("POST", "/v1/reconciliation/breaks/<id>/accept"): ("preparer",),
    ("POST", "/v1/reconciliation/breaks/<id>/assign"): ("preparer",),
    ("POST", "/v1/reconciliation/breaks/<id>/note"): ("preparer",),
    ("POST", "/v1/reconciliation/breaks/<id>/propose"): ("preparer",),
    ("POST", "/v1/reconciliation/breaks/<id>/release"): ("approver",),
    ("GET", "/v1/reconciliation/brakes"): FINANCE,
    ("POST", "/v1/reconciliation/brakes/<source>/release"): ("approver",),
    ("POST", "/v1/reconciliation/brakes/<source>/refuse"): ("approver",),
    ("GET", "/v1/reconciliation/days/<day>"): FINANCE,
    ("GET", "/v1/sources"): OPERATOR,
    ("POST", "/v1/sources/<source>/pause"): OPERATOR,
    ("POST", "/v1/sources/<source>/resume"): OPERATOR,
    ("GET", "/v1/balances"): FINANCE,
    ("GET", "/v1/explain/<tx>"): SERVICE + OPERATOR + FINANCE,
    ("GET", "/v1/audit"): ("auditor",),
    ("POST", "/v1/replays"): SERVICE,
    ("GET", "/v1/replays"): SERVICE,
    ("GET", "/v1/replays/<id>"): SERVICE,
    ("POST", "/v1/replays/<id>/cancel"): SERVICE,
    ("POST", "/v1/events/<id>/replay"): SERVICE,
    ("POST", "/v1/endpoints/<id>/replay"): SERVICE,
    ("GET", "/docs"): None,
    ("GET", "/events/catalogue"): None,
    ("GET", "/problems/<code>"): None,
}

# The pages: who may open which, or press what is on it, in a session.
READERS = ("preparer", "approver", "operator")
PAGES: dict[tuple[str, str], Any] = {
    ("GET", "/"): None,
    ("GET", "/sign-in"): None,
    ("POST", "/sign-in"): None,
    ("POST", "/sign-out"): None,
    ("GET", "/setup"): None,
    ("POST", "/setup"): None,
    ("GET", "/account"): PEOPLE,
    ("POST", "/account"): PEOPLE,
    ("GET", "/console"): READERS,
    ("GET", "/console/search"): READERS,
    ("GET", "/console/transactions/<tx>"): READERS,
    ("GET", "/console/events"): READERS,
    ("GET", "/console/events/<id>"): READERS,
    ("POST", "/console/events/<id>/replay"): OPERATOR,
    ("GET", "/console/deliveries"): READERS,
    ("GET", "/console/deliveries/<id>"): READERS,
    ("POST", "/console/deliveries/<id>/retry"): OPERATOR,
    ("GET", "/console/dead"): READERS,
    ("GET", "/console/replays"): READERS,
    ("POST", "/console/replays"): OPERATOR,
    ("GET", "/console/replays/new"): OPERATOR,
    ("GET", "/console/replays/<id>"): READERS,
    ("POST", "/console/replays/<id>/cancel"): OPERATOR,
    ("GET", "/console/endpoints"): READERS,
    ("GET", "/console/endpoints/<id>"): READERS,
    ("POST", "/console/endpoints/<id>/<any(pause, disable):how>"): OPERATOR,
    ("POST", "/console/endpoints/<id>/enable"): OPERATOR,
    ("POST", "/console/endpoints/<id>/test"): OPERATOR,
    ("GET", "/console/callbacks"): OPERATOR,
    ("GET", "/console/callbacks/<id>"): OPERATOR,
    ("POST", "/console/callbacks/<id>/reprocess"): OPERATOR,
    ("GET", "/console/callbacks/rejected"): OPERATOR,
    ("POST", "/console/callbacks/rejected"): OPERATOR,
    ("POST", "/console/sources/<source>/pause"): OPERATOR,
    ("POST", "/console/sources/<source>/resume"): OPERATOR,
    ("GET", "/finance"): READERS,
    ("GET", "/finance/<day>"): READERS,
    ("GET", "/finance/<day>/orders"): READERS,
    ("POST", "/finance/<day>/prepare"): ("preparer",),
    ("POST", "/finance/<day>/approve"): ("approver",),
    ("POST", "/finance/<day>/ask-reopen"): ("preparer", "approver"),
    ("POST", "/finance/<day>/reopen"): ("approver",),
    ("GET", "/finance/<day>/evidence.zip"): ("preparer", "approver"),
    ("GET", "/finance/<day>/manifest.json"): READERS,
    ("GET", "/finance/<day>/<name>.csv"): READERS,
    ("GET", "/finance/<day>/statement.xlsx"): READERS,
    ("GET", "/finance/<day>/workbooks/<id>"): READERS,
    ("GET", "/finance/<day>/cash"): READERS,
    ("GET", "/finance/audit"): READERS,
    ("GET", "/finance/breaks"): READERS,
    ("GET", "/finance/breaks/<id>"): READERS,
    ("GET", "/finance/brakes"): READERS,
    ("POST", "/finance/brakes/<source>/ask"): ("preparer", "approver"),
    ("POST", "/finance/asked/<id>/agree"): ("approver",),
    ("POST", "/finance/asked/<id>/decline"): ("preparer", "approver"),
    ("GET", "/finance/month"): READERS,
    ("GET", "/finance/trend"): READERS,
    ("POST", "/finance/<month>/approve-month"): ("approver",),
    ("GET", "/finance/<month>/approval.json"): READERS,
    ("GET", "/finance/recovered"): READERS,
    ("GET", "/finance/runs"): READERS,
    ("GET", "/finance/runs/<id>"): READERS,
    ("POST", "/finance/breaks/<id>/assign"): ("preparer",),
    ("POST", "/finance/breaks/<id>/propose"): ("preparer",),
    ("POST", "/finance/breaks/<id>/note"): ("preparer",),
    ("POST", "/finance/breaks/<id>/resolve"): ("preparer",),
    ("POST", "/finance/breaks/<id>/accept"): ("preparer",),
    ("GET", "/finance/orders"): READERS,
    ("GET", "/finance/orders/<source>/<path:orderid>"): READERS,
    ("POST", "/finance/orders/<source>/<path:orderid>/ask"): ("preparer", "approver"),
    ("POST", "/finance/orders/<source>/<path:orderid>/take"): ("preparer",),
}
VALUES = {
    "<path:orderid>": "sh-1",
    "<int:id>": "1",
    "<id>": "1",
    "<day>": "2026-11-23",
    "<name>": "orders",
    "<source>": "x",
    "<tx>": "ab" * 32,
    "<any(pause, disable):how>": "pause",
}


def filled(rule: str) -> str:
    """A path that a rule matches."""
    for place, value in VALUES.items():
        rule = rule.replace(place, value)
    return rule


def rules(app: OpenAPI) -> set[tuple[str, str]]:
    """Every route by method and rule, without the answers that Flask makes itself."""
    return {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def test_the_routes_are_those_we_promise(app: OpenAPI) -> None:
    """A new route has to be added here, with its roles."""
    assert rules(app) == set(PROMISED) | set(PAGES)


def test_every_route_declares_its_roles(app: OpenAPI) -> None:
    """As promised: the table and the declarations are the same."""
    declared, pages = {}, set()
    for rule in app.url_map.iter_rules():
        access = access_of(app, rule.endpoint)
        assert access is not None, rule.rule
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            declared[method, rule.rule] = None if access.public else access.roles
            pages |= {(method, rule.rule)} if access.page else set()
    assert declared == {route: roles and frozenset(roles) for route, roles in (PROMISED | PAGES).items()}
    assert pages == set(PAGES)


@pytest.mark.parametrize("held", ROLES)
def test_a_key_opens_what_its_role_says(runtime: Runtime, app: OpenAPI, held: str) -> None:
    """Every role against every route: 403 or anything else."""
    caller = Caller(app.test_client(), a_key(runtime.engine, held))
    for (method, rule), roles in PROMISED.items():
        if roles is None:
            continue
        opens = held in roles or held == "admin" or (held == "auditor" and method == "GET")
        assert (caller(method, filled(rule)).status_code != 403) is opens, (method, rule)


@pytest.mark.parametrize("held", PEOPLE)
def test_a_person_opens_what_their_role_says(runtime: Runtime, app: OpenAPI, held: str) -> None:
    """Every role of people against every page; and no route of the API opens to a session, no page to a key."""
    visitor = Visitor(app.test_client(), a_session(runtime.engine, "pat", held))
    for (method, rule), roles in PAGES.items():
        if roles is None:
            continue
        answer = visitor.get(filled(rule)) if method == "GET" else visitor.post(filled(rule))
        opens = held in roles or held == "admin" or (held == "auditor" and method == "GET")
        assert (answer.status_code != 403) is opens, (method, rule, answer.status_code)
    for (method, rule), roles in PROMISED.items():
        if roles is not None:
            assert visitor.client.open(filled(rule), method=method).status_code == 401, rule


def test_pages_know_no_keys_and_send_strangers_to_the_door(app: OpenAPI, admin: Caller) -> None:
    """A browser without a session is sent to sign in, with the way back; so is whoever sends a key."""
    for (method, rule), roles in PAGES.items():
        if roles is None:
            continue
        for answer in (
            admin(method, filled(rule), headers={"Origin": "https://relay.example"}),
            Visitor(app.test_client()).get("/console"),
        ):
            assert answer.status_code == 303
            assert answer.location.startswith("/sign-in?next=/")


def test_a_name_that_no_database_holds_is_nothing(runtime: Runtime, app: OpenAPI) -> None:
    """404 on every page, on either database; in a field of a query or a form it is refused, at the door for people as well."""
    visitor = Visitor(app.test_client(), a_session(runtime.engine, "pat", "admin"))
    for _, rule in [route for route in PAGES if route[0] == "GET" and "<" in route[1]]:
        answer = visitor.get(filled(re.sub("<[^>]+>", "a%00b", rule, count=1)))
        assert answer.status_code == 404, rule
    for method, rule in PAGES:
        call = visitor.get if method == "GET" else visitor.post
        assert call(filled(rule), owner="a\0b", name="a\0b").status_code == 422, rule


OTHERS: list[dict[str, str]] = [
    {},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "https://["},
    {"Origin": "https://relay.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://relay.example", "Sec-Fetch-Site": "same-site"},
]


def test_no_other_site_can_press_a_button(runtime: Runtime, app: OpenAPI) -> None:
    """Whatever the browser sends along by itself: 403, and the session stays."""
    visitor = Visitor(app.test_client(), a_session(runtime.engine, "pat", "admin"))
    for headers in OTHERS:
        for method, rule in PAGES:
            if method == "POST":
                assert visitor.client.post(filled(rule), data={"x": "y"}, headers=headers).status_code == 403, rule
    assert visitor.get("/console").status_code == 200


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Bearer rly_unknown", f"Basic {ADMIN_KEY}", ADMIN_KEY, f"Bearer {ADMIN_KEY}x"],
)
def test_without_a_key_of_ours_there_is_nothing(app: OpenAPI, header: str | None) -> None:
    """401, whatever was sent instead."""
    headers = {} if header is None else {"Authorization": header}
    assert app.test_client().get("/metrics", headers=headers).status_code == 401


def test_a_key_of_strange_bytes_is_only_unknown(app: OpenAPI) -> None:
    """A header may hold any Latin-1."""
    assert app.test_client().get("/metrics", headers={"Authorization": "Bearer \xff\xe9"}).status_code == 401


def test_a_revoked_key_opens_nothing_at_once(runtime: Runtime, app: OpenAPI) -> None:
    """Nothing is remembered between two requests."""
    caller = Caller(app.test_client(), a_key(runtime.engine, "operator"))
    assert caller("GET", "/metrics").status_code == 200
    with writing(runtime.engine) as connection:
        (key,) = keys.page(connection, after=None, limit=1).rows
        keys.revoke(connection, key["id"], now=NOON)
    assert caller("GET", "/metrics").status_code == 401


def test_a_route_that_forgot_its_roles_is_closed(app: OpenAPI, admin: Caller) -> None:
    """Even to an admin."""
    app.route("/forgotten")(lambda: "open")
    assert admin("GET", "/forgotten").status_code == 403


def test_an_unknown_role_cannot_be_declared() -> None:
    """A slip of the pen must not close a route to everybody."""
    with pytest.raises(ValueError, match="operater"):
        role("operater")


def test_no_input_is_read_before_the_role_is_checked(runtime: Runtime, app: OpenAPI) -> None:
    """Whoever may not call does not learn what a body should look like."""

    @app.post("/closed")
    @role("admin")
    def view() -> str:
        return "read"

    caller = Caller(app.test_client(), a_key(runtime.engine, *FINANCE))
    assert caller("POST", "/closed", data="{").status_code == 403


def test_creating_the_application_touches_nothing(runtime: Runtime) -> None:
    """It is made before the fork, and while the database may be away."""
    create_app(
        Runtime(**{**vars(runtime), "engine": make_engine("postgresql://postgres@127.0.0.1:1/none")}),
    )


def test_a_public_route_needs_no_key(app: OpenAPI) -> None:
    """It says why instead."""
    app.route("/open")(public("a test")(lambda: "open"))
    assert app.test_client().get("/open").text == "open"
