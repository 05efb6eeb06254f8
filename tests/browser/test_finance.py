"""Finance in a real browser: a day from sign-in to a verified seal, and every page for those who hear or tab it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route

from relay.core.people import hashed
from relay.store import rows
from tests.browser.visits import PASSWORD, a_runtime, heard_and_fitting, served, signed_in, wrong_with
from tests.builders import NOON
from tests.rows import a_break, a_heartbeat, a_person, a_stored_order, add
from tests.store.test_day_facts import called, stories
from tests.web.conftest import ADMIN_KEY

pytestmark = pytest.mark.browser

DAY = "/finance/2026-11-23"
HOSTILE = "<img src=x onerror=alert(1)>\u202e=1+1" + "x" * 10_000
RUN = {
    "rules": 1,
    "cut": {"callback": 12, "event": 9, "chains": {"tron": {"block": 77_120_431, "hash": "0x" + "9e" * 32}}},
    "judged": {"matched": 3, "break": 1},
    "micros": {"credited": 27_000_000},
    "opened": 1,
    "cleared": 0,
    "open": {"amount_mismatch": {"count": 1, "micros": 20_000_000}},
    "orders_sha256": "a" * 64,
}
PAGES = (
    DAY,
    f"{DAY}/orders",
    f"{DAY}/orders?reason=held",
    f"{DAY}/cash",
    f"{DAY}/workbooks/exp_1",
    "/finance/breaks",
    "/finance/breaks?state=all&severity=1",
    "/finance/recovered?from=2026-11-20&to=2026-11-24",
    "/finance/breaks/b1",
    "/finance/orders",
    "/finance/orders?state=held",
    "/finance/runs",
    "/finance/runs?day=2026-11-23",
    "/finance/runs/1",
    "/finance/brakes",
    "/finance/month",
    "/finance/trend",
    "/finance/2026-11",
    "/finance/orders/crossing/held",
    "/finance/audit?verify=1",
    "/console",
    "/account",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The application with a day of stories, two people and hostile text."""
    runtime = a_runtime(tmp_path_factory.mktemp("finance") / "relay.db")
    for name, role in (("pat", "preparer"), ("al", "approver")):
        a_person(runtime.engine, name, role, password=hashed(PASSWORD, b"s" * 16))
    for kind in ("worker", "clock"):
        a_heartbeat(runtime.engine, kind, datetime.now(UTC))
    stories(runtime.engine)
    a_stored_order(
        runtime.engine, HOSTILE, user_ref=HOSTILE, state="held", held_reason="above_limit", credited_micros=0
    )
    a_break(runtime.engine, "b1", orderid="held", severity=1, amount_micros=20_000_000, evidence='{"why": "10 times"}')
    add(
        runtime.engine,
        rows.recoveries,
        namespace="crossing",
        orderid="lost",
        source="crossing",
        state="stopped",
        amount_micros=9_000_000,
        evidence='{"provider": "succeeded 9.000000"}',
        found_at=NOON,
    )
    told = {"namespace": "crossing", "source": "crossing", "state": "applied", "found_at": NOON, "applied_at": NOON}
    add(
        runtime.engine, rows.recoveries, orderid=HOSTILE, evidence=json.dumps({"why": HOSTILE}), amount_micros=1, **told
    )
    add(
        runtime.engine,
        rows.runs,
        kind="incremental",
        state="complete",
        manifest=json.dumps(RUN),
        manifest_hash="5" * 64,
        fence=1,
        finished_at=datetime.now(UTC),
        last_checked=datetime.now(UTC),
    )
    add(
        runtime.engine, rows.hold_notes, namespace="crossing", orderid=HOSTILE, owner="pat", note=HOSTILE, noted_at=NOON
    )
    a_stored_order(runtime.engine, "waits", state="held", held_reason="above_limit", credited_micros=0)
    a_stored_order(runtime.engine, "large", state="held", held_reason="above_limit", credited_micros=0)
    called(runtime.engine, "large", 3_000_000)
    add(runtime.engine, rows.workbooks, id="exp_1", day="2026-11-23", asked_by="user:al", asked_at=datetime.now(UTC))
    with served(runtime) as url:
        yield url


@pytest.fixture
def fresh_site(tmp_path: Path) -> Iterator[str]:
    """The application before anybody signed in."""
    with served(a_runtime(tmp_path / "relay.db")) as url:
        yield url


def test_every_page_can_be_heard_and_fits(chromium: Browser, site: str) -> None:
    """axe-core finds nothing, light or dark, nothing scrolls sideways, on a desk or a phone, no script of a stranger runs, the console is silent."""
    page = signed_in(chromium, site + DAY, "al")
    complaints: list[str] = []
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
    page.route("**/workbooks/*", without_refresh)
    assert [one for path in PAGES for one in heard_and_fitting(page, site + path)] == []
    assert complaints == []
    page.context.close()


def without_refresh(route: Route) -> None:
    """A page that loads itself anew is looked at in peace."""
    answer = route.fetch()
    route.fulfill(response=answer, headers={name: value for name, value in answer.headers.items() if name != "refresh"})


def test_the_pages_of_a_first_start_can_be_heard_too(chromium: Browser, fresh_site: str) -> None:
    """The set-up while there is nobody yet, what it says when it is done, the sign-in, and a page that is none."""
    page = chromium.new_page()
    assert [
        one for path in ("/setup", "/sign-in", "/nowhere") for one in heard_and_fitting(page, fresh_site + path)
    ] == []
    page.goto(f"{fresh_site}/setup")
    page.fill("#key", ADMIN_KEY)
    page.fill("#admin_name", "ada")
    page.fill("#admin_password", PASSWORD)
    page.click("text=Make them")
    assert "1 person can sign in now: ada." in page.inner_text("h1")
    assert wrong_with(page) == []
    page.close()


def test_money_is_moved_by_two(chromium: Browser, site: str) -> None:
    """The preparer asks for a credit and is told to wait; the approver finds it on the day's page, and does it."""
    pat, al = (signed_in(chromium, site + DAY, name) for name in ("pat", "al"))
    pat.goto(f"{site}/finance/orders/crossing/large")
    pat.select_option("#act", "credit")
    pat.fill("#reason", "the provider has confirmed it")
    pat.click("text=Ask for it")
    assert "Another person has to do it." in pat.inner_text("main")
    al.goto(site + DAY)
    al.click("text=waits for a second person")
    al.click("button:has-text('Credit')")
    assert al.url == f"{site}/finance/orders/crossing/large"
    assert "so much is credited" in al.inner_text("h1")
    for page in (pat, al):
        page.context.close()


def test_a_day_is_closed_from_sign_in_to_verified_seal(chromium: Browser, site: str, tmp_path: Path) -> None:
    """Filtered, drilled into, assigned and noted, prepared by one, approved by another, printed, taken away, verified."""
    pat = signed_in(chromium, site + DAY, "pat")
    pat.click("text=Held: a person decides")
    pat.click("a.id")
    assert "above the limit" in pat.inner_text("main")
    pat.goto(f"{site}/finance/breaks?severity=1")
    pat.click("table.story a:has-text('amount mismatch')")
    pat.select_option("#owner", "pat")
    pat.click("text=Assign")
    pat.fill("#note", "the provider looks into it")
    pat.click("button:has-text('Note')")
    pat.goto(site + DAY)
    assert "Held of crossing/waits needs an owner, a reason." in pat.inner_text("#close")
    pat.goto(f"{site}/finance/orders/crossing/waits")
    pat.fill("#note", "the user proves where it is from")
    pat.click("text=Write it down")
    pat.goto(site + DAY)
    pat.click("text=Prepare the close")
    assert pat.get_by_text("Approve and seal").count() == 0
    al = signed_in(chromium, site + DAY, "al")
    al.check("input[name=accept]")
    al.click("text=Approve and seal")
    assert "Sealed." in al.inner_text("#close")
    # A4, landscape: 297 mm are 841.9 points.
    assert b"/MediaBox [0 0 841.9" in al.pdf(prefer_css_page_size=True)
    with al.expect_download() as download:
        al.click("text=Evidence")
    download.value.save_as(tmp_path / "evidence.zip")
    with zipfile.ZipFile(tmp_path / "evidence.zip") as archive:
        archive.extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "verify.py", "."], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == "The evidence holds.", done.stdout + done.stderr
