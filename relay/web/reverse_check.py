"""Own the route where a provider asks whether an order is ours."""

from __future__ import annotations

from flask import Blueprint, Response, g, request

from relay.core.parsing import RawRequest
from relay.flows.reverse_check import is_ours
from relay.web.auth import public
from relay.web.context import runtime

routes = Blueprint("reverse_check", __name__)


@routes.route("/callbacks/<source>/verify-order", methods=["GET", "POST"])
@public("providers bear no key; the question is signed, or comes from allow_ips")
def verify_order(source: str) -> Response:
    """Answer `yes` or `no` as plain text."""
    asked = RawRequest(
        body=request.get_data(),
        content_type=request.content_type or "",
        query=request.query_string.decode("latin-1"),
        headers=dict(request.headers),
    )
    found = is_ours(runtime().engine, runtime().sources, source, asked, address=g.client_address)
    return Response("yes" if found else "no", mimetype="text/plain")
