"""The console in a real browser: from a sentence of a user to the button that helps, and every page for those who hear or tab it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser

from relay.core.people import hashed
from relay.store import rows
from tests.browser.visits import PASSWORD, a_runtime, heard_and_fitting, served, signed_in
from tests.rows import (
    a_delivery,
    a_heartbeat,
    a_person,
    a_stored_callback,
    a_stored_order,
    add,
    an_endpoint,
    an_event,
)

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)>\u202e" + "x" * 400
PAGES = (
    "/console",
    "/console/search",
    "/console/search?q=nobody",
    "/console/search?q=3",
    "/console/transactions/" + "ab" * 32,
    "/console/events",
    "/console/events/evt_1",
    "/console/deliveries",
    "/console/deliveries/1",
    "/console/dead",
    "/console/endpoints",
    "/console/endpoints/ep_1",
    "/console/replays",
    "/console/replays/rpl_1",
    "/console/replays/new?only=failed",
    "/console/callbacks",
    "/console/callbacks/rejected",
    "/console/callbacks/1?probe=1",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A relay with something of everything: it waits, was given up, is stopped, was refused; and hostile text."""
    runtime = a_runtime(tmp_path_factory.mktemp("console") / "relay.db")
    engine, moment = runtime.engine, datetime.now(UTC)
    a_person(engine, "op", "operator", password=hashed(PASSWORD, b"s" * 16))
    a_heartbeat(engine, "worker", moment)
    a_heartbeat(engine, "clock", moment - timedelta(minutes=5))
    an_endpoint(engine, id="ep_1", url="https://wallet.example/hook", description=HOSTILE)
    an_endpoint(engine, id="ep_2", url=f"https://ledger.example/{HOSTILE}", state="paused", state_reason="by op")
    for number, orderid in enumerate(("sh-1", "sh-2", HOSTILE), start=1):
        a_stored_order(engine, orderid, user_ref=HOSTILE if number == 3 else "vip-1")
        an_event(engine, number, id=f"evt_{number}", orderid=orderid, body=json.dumps({"data": {"orderid": orderid}}))
        ended = {"attempts": 2, "last_status": 503, "finished_at": moment}
        a_delivery(engine, number, "ep_1", id=number, state="dead" if number == 1 else "delivered", **ended)
        a_delivery(engine, number, "ep_2", id=10 + number, state="paused")
        for tried in (1, 2):
            began = moment - timedelta(hours=2 * number + tried)
            outcome = "delivered" if tried == 2 and number > 1 else "failed"
            told = {"outcome": outcome, "status": 503, "latency_ms": 40 * number, "answer": HOSTILE}
            add(engine, rows.attempts, delivery_id=number, number=tried, started_at=began, finished_at=began, **told)
    a_stored_callback(engine, id=1, body=f"orderid=1&sign={'A' * 40}&x={HOSTILE}".encode())
    a_stored_callback(engine, source=HOSTILE, reason="unknown_source")
    running = {"since": moment, "until": moment, "created_at": moment, "moved_at": moment, "cursor": 1, "last": 3}
    add(engine, rows.replays, id="rpl_1", created_by="user:op", which="failed", rate=100, state="running", **running)
    with served(runtime) as url:
        yield url


def test_every_page_can_be_heard_and_fits(chromium: Browser, site: str) -> None:
    """axe-core finds nothing, light or dark, nothing scrolls sideways, on a phone or a desk, no script of a stranger runs, the console is silent."""
    page = signed_in(chromium, f"{site}/console", "op")
    complaints: list[str] = []
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
    assert [one for path in PAGES for one in heard_and_fitting(page, site + path)] == []
    assert complaints == []
    page.context.close()


TURNED = """
    () => [...document.querySelectorAll("main .state, main small")].flatMap(one => {
        const text = [...one.childNodes].find(node => node.nodeType === 3 && /^[a-z ]{4,}$/.test(node.data.trim()));
        if (!text) return [];
        const at = place => { const range = document.createRange();
            range.setStart(text, place); range.setEnd(text, place + 1); return range.getBoundingClientRect().left; };
        const begin = text.data.search(/[a-z]/);
        return at(begin) < at(begin + 2) ? [] : [text.data];
    })
"""


@pytest.mark.parametrize("path", ["/console/deliveries/1", "/console/callbacks/rejected", "/console/endpoints"])
def test_a_name_that_turns_the_text_around_turns_no_word_of_ours(chromium: Browser, site: str, path: str) -> None:
    """The word of a state is read from left to right, whatever stands before it."""
    page = signed_in(chromium, f"{site}/console", "op")
    page.goto(site + path)
    assert page.evaluate(TURNED) == []
    page.context.close()


def test_from_a_users_words_to_the_button_that_helps(chromium: Browser, site: str) -> None:
    """Found by the user, told to whom it never came, sent again; by keyboard alone up to the order's page."""
    page = signed_in(chromium, f"{site}/console", "op")
    assert "No clock has been heard of" in page.inner_text("main")
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.type("sh-1")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site}/finance/orders/crossing/sh-1")
    assert "0 of 2 messages were acknowledged" in page.inner_text("main")
    page.click("a:has-text('recharge.succeeded') >> nth=0")
    assert "It was given up after 2 attempts; the last answer was 503." in page.inner_text("h1")
    page.click("text=Send it now")
    assert "It is tried again now" in page.inner_text("h1")
    page.goto(f"{site}/console/endpoints/ep_2")
    page.click("button:has-text('Enable and send 3')")
    assert "enabled" in page.inner_text("main")
    page.context.close()
