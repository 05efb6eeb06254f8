"""The first start, the door and the landing page, as a browser meets them."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask_openapi3 import OpenAPI

from relay.bootstrap import Runtime
from relay.core.chains import NodeURL
from relay.core.people import hashed
from relay.store import rows
from relay.store.engine import reading
from relay.web.console.setup import missing
from relay.web.console.sign_in import local
from relay.web.context import EXTENSION
from relay.web.pages import local as spelled_there
from relay.web.pages import moment, money
from tests.builders import NOON
from tests.flows.test_token_health import an_event
from tests.rows import a_heartbeat, a_person, a_session, a_stored_order, add, an_endpoint
from tests.web.conftest import ADMIN_KEY, Visitor

PASSWORD = "nine of clubs"
STORED = hashed(PASSWORD, b"s" * 16)


def test_the_first_start_makes_people_once(app: OpenAPI) -> None:
    """With the key of the environment; it tells what is missing and what to give the provider, then it closes."""
    visitor = Visitor(app.test_client())
    assert visitor.get("/").location == "/console"
    assert visitor.get("/console").location == "/sign-in?next=/console"
    assert visitor.get("/sign-in").location == "/setup"
    first = {"admin_name": "Ada", "admin_password": PASSWORD, "preparer_name": "pat", "preparer_password": PASSWORD}
    refused = visitor.post("/setup", key="rly_wrong", **first)
    assert (refused.status_code, "This is not the key in RELAY_ADMIN_KEY." in refused.text) == (401, True)
    assert 'value="Ada"' in refused.text
    assert PASSWORD not in refused.text
    weak = visitor.post("/setup", key=ADMIN_KEY, **{**first, "preparer_password": "short"})
    assert (weak.status_code, "A password has 12" in weak.text) == (422, True)
    done = visitor.post("/setup", key=ADMIN_KEY, **first)
    assert done.status_code == 200
    for words in (
        "2 people can sign in now: ada, pat.",
        "https://relay.example/callbacks/crossing",
        "No worker has been heard of yet",
    ):
        assert words in done.text
    assert visitor.get("/setup").location == "/sign-in"
    assert visitor.post("/setup", key=ADMIN_KEY, **first).location == "/sign-in"


def test_one_signs_in_and_out(runtime: Runtime, app: OpenAPI) -> None:
    """The cookie is for this host alone, is sent over TLS only, and no script reads it."""
    a_person(runtime.engine, "pat", "preparer", password=STORED)
    visitor = Visitor(app.test_client())
    wrong = visitor.post("/sign-in", name="pat", password="not this one")
    assert (wrong.status_code, "Set-Cookie" in wrong.headers, 'value="pat"' in wrong.text) == (401, False, True)
    inside = visitor.post("/sign-in", name="pat", password=PASSWORD, next="/account")
    assert (inside.status_code, inside.location) == (303, "/account")
    attributes = inside.headers["Set-Cookie"].split("; ")
    assert attributes[0].startswith("__Host-relay=")
    assert set(attributes[1:]) == {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"}
    assert "You are pat: preparer." in visitor.read("/account")
    visitor.post("/sign-out")
    assert visitor.get("/account").status_code == 303


def test_too_many_guesses_are_told_when_to_come_again(runtime: Runtime, app: OpenAPI) -> None:
    """In seconds, on the page and in the header."""
    visitor = Visitor(app.test_client())
    a_person(runtime.engine, "pat", "preparer", password="scrypt:2:8:1:AAAA:AAAA")
    answers = [visitor.post("/sign-in", name="pat", password="not this one") for _ in range(12)]
    assert answers[0].status_code == 401
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert "Too many tries" in answers[-1].text


def test_who_guesses_the_first_key_too_often_is_told_when_to_come_again(app: OpenAPI) -> None:
    """As who guesses a password is."""
    visitor = Visitor(app.test_client())
    answers = [visitor.post("/setup", key="rly_wrong") for _ in range(7)]
    assert (answers[0].status_code, answers[-1].status_code) == (401, 429)
    assert f"wait a little: {answers[-1].headers['Retry-After']} s." in answers[-1].text


@pytest.mark.parametrize(
    ("path", "leads"),
    [
        ("/finance/2026-11-23?class=1", "/finance/2026-11-23?class=1"),
        ("", "/console"),
        ("/", "/console"),
        ("//evil.example", "/console"),
        ("/\\evil.example", "/console"),
        ("///evil.example", "/console"),
        ("/\\/evil.example", "/console"),
        ("/\\[", "/console"),
        ("https://evil.example/", "/console"),
        ("javascript:alert(1)", "/console"),
        ("/x\r\nSet-Cookie: a=b", "/console"),
    ],
)
def test_signing_in_never_leads_elsewhere(path: str, leads: str) -> None:
    """The way back is a path of ours."""
    assert local(path, "/console") == leads


@pytest.mark.parametrize(
    ("role", "landing"), [("preparer", "/finance"), ("auditor", "/finance"), ("operator", "/console")]
)
def test_one_begins_where_ones_work_is(runtime: Runtime, app: OpenAPI, role: str, landing: str) -> None:
    """Unless one wanted to go somewhere."""
    a_person(runtime.engine, "pat", role, password=STORED)
    inside = Visitor(app.test_client()).post("/sign-in", name="pat", password=PASSWORD, next="")
    assert inside.location == landing


def test_the_landing_page_says_how_the_house_stands(runtime: Runtime, app: OpenAPI) -> None:
    """In one sentence first; a process that fell silent is named on every page."""
    visitor = Visitor(app.test_client(), a_session(runtime.engine, "pat", "operator"))
    a_heartbeat(runtime.engine, "worker", datetime.now(UTC))
    a_heartbeat(runtime.engine, "clock", datetime.now(UTC) - timedelta(minutes=5))
    text = visitor.read("/console")
    assert "Something stands still." in text
    assert re.search(r"No clock has been heard of for 3\d\d s", text)
    assert "No worker" not in text
    assert "No clock" in visitor.read("/account")


@pytest.mark.parametrize(("sandbox", "lacks"), [(False, True), (True, False)])
def test_who_is_called_from_this_machine_lacks_no_address(
    runtime: Runtime,
    app: OpenAPI,
    sandbox: bool,  # noqa: FBT001  # one of the table's two columns
    lacks: bool,  # noqa: FBT001  # the other
) -> None:
    """The sandbox's provider is here; any other needs a way in."""
    settings = replace(runtime.settings, public_url="http://127.0.0.1:8000", sandbox=sandbox)
    app.extensions[EXTENSION] = replace(runtime, settings=settings)
    with app.app_context(), reading(runtime.engine) as connection:
        told = list(missing(connection))
    assert ("PUBLIC_URL is not set: no provider can reach this machine." in told) is lacks


def test_a_token_that_is_paused_is_told_on_every_page(runtime: Runtime, app: OpenAPI) -> None:
    """Nobody can pay while it lasts, whatever else the page is about."""
    visitor = Visitor(app.test_client(), a_session(runtime.engine, "pat", "operator"))
    assert "is paused" not in visitor.read("/account")
    an_event(runtime.engine, 4, "Pause")
    for path in ("/console", "/finance/breaks", "/account"):
        assert "is paused since block 4: nobody can pay or collect" in visitor.read(path)


def test_what_waits_for_a_person_is_counted(runtime: Runtime, app: OpenAPI) -> None:
    """Held orders with their money, open breaks by severity."""
    visitor = Visitor(app.test_client(), a_session(runtime.engine, "pat", "operator"))
    for kind in ("worker", "clock"):
        a_heartbeat(runtime.engine, kind, datetime.now(UTC))
    assert "Everything runs, and nothing waits for a person." in visitor.read("/console")
    a_stored_order(runtime.engine, "sh-1", state="held", credited_micros=0, amount_micros=1_234_500_000)
    add(
        runtime.engine,
        rows.breaks,
        id="b1",
        kind="conflict",
        severity=1,
        state="open",
        evidence="{}",
        first_seen=NOON,
        last_seen=NOON,
    )
    text = visitor.read("/console")
    assert "Everything runs. 1 order is held, 1 break is open." in text
    assert "1,234.500000 USDT" in text
    assert "P1: 1" in text


def test_a_service_that_is_told_nothing_waits_for_a_person(runtime: Runtime, app: OpenAPI) -> None:
    """What waits for it is on no way, and it was not told everything either."""
    visitor = Visitor(app.test_client(), a_session(runtime.engine, "pat", "operator"))
    for kind in ("worker", "clock"):
        a_heartbeat(runtime.engine, kind, datetime.now(UTC))
    an_endpoint(runtime.engine)
    assert "Every service has been told everything." in visitor.read("/console")
    an_endpoint(runtime.engine, state="disabled")
    text = visitor.read("/console")
    assert "Everything runs. 1 service is told nothing." in text
    assert "told everything" not in text


def test_a_chain_that_stopped_stands_still(runtime: Runtime, app: OpenAPI) -> None:
    """It goes on only when a person has looked; one without nodes stands still on purpose."""
    visitor = Visitor(app.test_client(), a_session(runtime.engine, "pat", "operator"))
    for kind in ("worker", "clock"):
        a_heartbeat(runtime.engine, kind, datetime.now(UTC))
    add(runtime.engine, rows.chains, name="tron", chain_id=1, stopped="deep_reorg")
    assert "Everything runs" in visitor.read("/console")
    tron = replace(runtime.settings.chains["tron"], nodes=(NodeURL(name="1", url="http://127.0.0.1:1"),))
    app.extensions[EXTENSION] = replace(runtime, settings=replace(runtime.settings, chains={"tron": tron}))
    assert "Something stands still." in visitor.read("/console")


def test_a_password_is_changed_by_its_owner(runtime: Runtime, app: OpenAPI) -> None:
    """With the present one."""
    a_person(runtime.engine, "pat", "preparer", password=STORED)
    visitor = Visitor(app.test_client())
    visitor.post("/sign-in", name="pat", password=PASSWORD)
    assert visitor.post("/account", old="not this one", new="ten of hearts").status_code == 422
    assert "The password is changed" in visitor.post("/account", old=PASSWORD, new="ten of hearts").text
    assert visitor.get("/account").status_code == 200


def test_people_read_faults_as_a_page(runtime: Runtime, app: OpenAPI) -> None:
    """Programs go on reading problem+json."""
    visitor = Visitor(app.test_client(), a_session(runtime.engine, "pat", "auditor"))
    refused = visitor.post("/account", old="x", new="y")
    assert refused.content_type == "text/html; charset=utf-8"
    # What Firefox and Chromium send of themselves.
    for accepts in ("text/html,*/*;q=0.8", "text/html,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"):
        lost = visitor.client.get("/nowhere", headers={"Accept": accepts})
        assert (lost.status_code, lost.content_type) == (404, "text/html; charset=utf-8")
        assert 'href="/problems/not_found"' in lost.text
    assert visitor.client.get("/nowhere").content_type == "application/problem+json"


def test_pages_say_what_their_browser_may_do(app: OpenAPI) -> None:
    """No script, no frame, forms to us only; nothing is kept."""
    headers = app.test_client().get("/setup").headers
    assert "script" not in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("micros", "spelled"),
    [
        (0, "-"),
        (1, "0.000001"),
        (1_234_567_890_000_000, "1,234,567,890.000000"),
        (-20_000_000, "(20.000000)"),
        (None, "none"),
    ],
)
def test_money_is_spelled_as_in_a_report(micros: int | None, spelled: str) -> None:
    """Negative in parentheses, zero as a dash, absent is not zero."""
    assert money(micros) == spelled


def test_a_moment_is_spelled_with_its_zone() -> None:
    """Nobody has to guess."""
    assert moment(NOON) == "2026-11-23 12:00:00 UTC"
    assert moment(None) == "never"


def test_a_moment_of_another_day_there_is_spelled_with_its_date(runtime: Runtime, app: OpenAPI) -> None:
    """In the zone of the business day, beside UTC."""
    settings = replace(runtime.settings, business_timezone="Asia/Hong_Kong")
    app.extensions[EXTENSION] = replace(runtime, settings=settings)
    with app.app_context():
        told = [spelled_there(NOON + timedelta(hours=hours)) for hours in (0, 5)]
    assert told == ["20:00:00 HKT", "2026-11-24 01:00:00 HKT"]
