from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response
from playwright.sync_api import Browser, Page
from werkzeug.serving import make_server

from relay.sandbox import board
from relay.sandbox.facts import Facts
from tests.sandbox.built import NOW
from tests.sandbox.built import board as every_story

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
SAID = "The worker was killed."


def pages() -> Flask:
    """The board with every story, and the board of the first second, each as the sandbox renders it."""
    app = Flask("relay.web")
    # The blueprint brings its templates along; its own routes are tried elsewhere, with a relay behind them.
    nothing: Any = None
    app.register_blueprint(board.blueprint(nothing, nothing, children=Path("none")))
    app.add_url_rule("/full", "full", lambda: _render(every_story(), SAID))
    app.add_url_rule("/empty", "empty", lambda: _render(Facts(now=NOW), ""))
    alarm = replace(every_story(), ledgers=None)
    app.add_url_rule("/alarm", "alarm", lambda: _render(alarm, ""))
    return app


def _render(facts: Facts, said: str) -> Response:
    return board.render(facts, still=True, said=said)


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The pages over HTTP."""
    server = make_server("127.0.0.1", 0, pages(), threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of the width and scheme that the test is run with."""
    width, scheme = request.param
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    yield page
    page.close()


VIEWS = [(width, scheme) for width in (375, 820, 1440) for scheme in ("light", "dark")]
EVERY_VIEW = pytest.mark.parametrize("page", VIEWS, indirect=True, ids=[f"{width}-{scheme}" for width, scheme in VIEWS])


@EVERY_VIEW
@pytest.mark.parametrize("path", ["/full", "/empty", "/alarm"])
def test_the_board_fits_and_the_console_is_silent(page: Page, site: str, path: str, tmp_path: Path) -> None:
    """Nothing scrolls sideways, nothing is refused by the policy, nothing is missing."""
    complaints: list[str] = []
    page.on("console", lambda line: complaints.append(line.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("response", lambda answer: complaints.append(answer.url) if answer.status >= 400 else None)
    page.goto(site + path)
    page.screenshot(path=tmp_path / "board.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert complaints == []


@EVERY_VIEW
def test_every_fact_can_be_read(page: Page, site: str) -> None:
    """The sentence, the figures, each station's words, the states and what can be done; also on a phone."""
    page.goto(f"{site}/full")
    text = page.locator("main").inner_text()
    for words in (
        "9 orders paid, 6 credited, 1 held, 1 on the way, 1 unexplained, none twice",
        "1,724.50",
        "Lose the next callback armed",
        "Flush Redis",
        SAID,
        "forged: a digit moved",
        "5 confirmations",
        "22 confirmations, final",
        "held for a person",
        "billing: try 2 in 5 s",
        "not credited",
    ):
        assert words in re.sub(r"\s+", " ", text)


@pytest.mark.parametrize("page", [(375, "light"), (1440, "dark")], indirect=True)
def test_the_page_can_be_walked_with_the_keyboard(page: Page, site: str) -> None:
    """First to the content, then the bar, then the buttons; each is seen when it has the focus."""
    page.goto(f"{site}/full")
    names = []
    for _ in range(10):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.innerText.trim().split('\\n')[0]"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert names[0] == "To the content"
    assert names[-2:] == ["Kill the worker", "Flush Redis"]


@pytest.mark.parametrize("page", [(375, "light"), (1440, "light")], indirect=True)
def test_a_table_stays_a_table_to_those_who_hear_it(page: Page, site: str) -> None:
    """Cards are drawn from the same rows and cells."""
    page.goto(f"{site}/full")
    assert page.get_by_role("table").count() == 1
    assert page.get_by_role("row").count() == 12
    assert page.get_by_role("columnheader", name="Services").count() == 1
    assert page.get_by_role("heading", level=1).count() == 1


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_colour_of_text_can_be_read_on_paper_and_sheet(scheme: int) -> None:
    """4.5 to 1 at least (WCAG 2.2, 1.4.3)."""
    css = (ROOT / "relay/web/static/relay.css").read_text()
    named = {name: values.split(", ")[scheme] for name, values in re.findall(r"--(\w+): light-dark\(([^)]+)\)", css)}
    for ink in ("ink", "quiet", "accent", "good", "wait", "held", "bad"):
        for ground in ("paper", "sheet"):
            assert contrast(named[ink], named[ground]) >= 4.5, (ink, ground)


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
