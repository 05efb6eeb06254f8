"""Own how a person comes to a page in a real browser, and how the page is tried for those who hear or tab it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page
from werkzeug.serving import make_server

from config.settings import load
from relay.bootstrap import Runtime, build
from relay.store.migrate import upgrade
from relay.web import create_app
from tests.web.conftest import ENVIRONMENT

PASSWORD = "nine of clubs"
VIOLATIONS = """
    options => axe.run(options).then(told => told.violations.map(one => [one.id, one.nodes[0].html]))
"""
# What a page says and how it is built is the same in both; only the rules about colours can tell them apart.
COLOURS = ["color-contrast", "link-in-text-block"]
LOOKS: dict[Literal["dark", "light"], dict[str, Any]] = {
    "dark": {"resultTypes": ["violations"], "runOnly": {"type": "rule", "values": COLOURS}},
    "light": {"resultTypes": ["violations"]},
}
WIDTHS = (1440, 375)


def a_runtime(path: Path) -> Runtime:
    """The application on a database of its own, and no Redis."""
    nowhere = {"DATABASE_URL": f"sqlite:///{path}", "REDIS_URL": "redis://127.0.0.1:1/0", "TRUSTED_PROXY_HOPS": "0"}
    runtime = build(load({**ENVIRONMENT, **nowhere, "PUBLIC_URL": "", "BUSINESS_TIMEZONE": "Asia/Hong_Kong"}))
    upgrade(runtime.engine)
    return runtime


@contextmanager
def served(runtime: Runtime) -> Iterator[str]:
    """The application over HTTP."""
    server = make_server("127.0.0.1", 0, create_app(runtime), threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
    runtime.engine.dispose()


def signed_in(chromium: Browser, url: str, name: str, width: int = 1440, scheme: str = "light") -> Page:
    """A page of a browser in which somebody has signed in, on their way to `url`."""
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]  # one of the two
    page = context.new_page()
    page.goto(url)
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("button.first")
    assert page.url == url
    return page


def heard_and_fitting(page: Page, url: str, widths: tuple[int, ...] = WIDTHS) -> list[tuple[str, ...]]:
    """What is wrong with a page: see `wrong_with`."""
    page.goto(url)
    return wrong_with(page, widths)


def wrong_with(page: Page, widths: tuple[int, ...] = WIDTHS) -> list[tuple[str, ...]]:
    """What axe-core finds on the page that is open, and of its colours in the dark, at each width; and whether it scrolls sideways."""
    page.evaluate(AXE_SCRIPT)
    found: list[tuple[str, ...]] = []
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme, options in LOOKS.items():
            page.emulate_media(color_scheme=scheme)
            found += [(page.url, str(width), scheme, *one) for one in page.evaluate(VIOLATIONS, options)]
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            found.append((page.url, str(width), "too wide"))
    return found
