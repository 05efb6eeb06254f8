"""Own what every page for people has in common: how it is rendered, and what its browser may do with it."""

from __future__ import annotations

from flask import Response, render_template

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
