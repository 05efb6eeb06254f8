"""Own what every page for people has in common: how it is rendered, and what its browser may do with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flask import Response, render_template

from relay.core.amounts import format_micros

# Pages load one style sheet and pictures of ours, and post to us; there is no script to allow.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    # Without any referrer a browser also hides the origin of our own forms, by which we tell them from others'.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def page(template: str, /, status: int = 200, **context: object) -> Response:
    """Return a rendered template with the headers of a page."""
    return Response(render_template(template, **context), status, HEADERS, content_type="text/html; charset=utf-8")


def money(micros: int | None) -> str:
    """Spell an amount for a report: grouped, six places, negative in parentheses, zero as a dash, absent as "none"."""
    if micros is None:
        return "none"
    if not micros:
        return "-"
    whole, _, places = format_micros(abs(micros)).partition(".")
    spelled = f"{int(whole):,}.{places}"
    return f"({spelled})" if micros < 0 else spelled


def moment(at: datetime | None) -> str:
    """Spell a moment in UTC, to the second."""
    return "never" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


FILTERS: dict[str, Callable[..., Any]] = {"money": money, "moment": moment}
