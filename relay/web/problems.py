"""Own what a caller reads when something went wrong: one shape, RFC 9457, with codes that stay; people read a page.

Nothing of an unexpected error reaches the caller; the log has it, under the
request id that the answer names as `instance`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, g, request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from relay.errors import RelayError, TooMany, Unavailable, Unprocessable
from relay.web.auth import is_page
from relay.web.pages import page
from relay.web.problem_codes import CODES

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


def handle_errors(app: Flask) -> None:
    """Let every error of the application answer as a problem."""
    app.register_error_handler(RelayError, _of_ours)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(Exception, _of_nobody)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, str]] = (),
) -> Response:
    """Return the answer; `errors` lists `{"pointer", "detail"}`, the pointer being a JSON pointer (RFC 6901) into the input."""
    body: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "instance": g.get("request_id"),
    }
    if errors:
        body["errors"] = list(errors)
    return Response(json.dumps(body), status, headers, content_type=MEDIA_TYPE)


def invalid_input(error: ValidationError) -> Response:
    """Return the problem of a body, query or path that does not fit its model."""
    if _is_no_object(error):
        return problem(400, "malformed", "send one JSON object, as application/json")
    errors = [
        {"pointer": pointer(one["loc"]), "detail": one["msg"]}
        for one in error.errors(include_url=False, include_input=False)
    ]
    return problem(422, Unprocessable.code, f"{errors[0]['pointer']}: {errors[0]['detail']}", errors=errors)


def _is_no_object(error: ValidationError) -> bool:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return first["loc"] == () and first["type"] in ("model_type", "json_invalid")


def pointer(location: Sequence[int | str]) -> str:
    """Return the JSON pointer (RFC 6901) to a place in the input."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in location)


def _of_ours(error: RelayError) -> Response:
    if error.http_status == 500:
        return _of_nobody(error)
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, Unavailable | TooMany) else {}
    if error.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    errors = [{"pointer": error.pointer, "detail": error.detail}] if isinstance(error, Unprocessable) else []
    return _answer(error.http_status, error.code, error.detail, headers=headers, errors=errors)


def _of_http(error: HTTPException) -> Response:
    """Werkzeug's own: no such path, method not allowed, body too large. Their headers (Allow) are kept."""
    status = error.code or 500
    headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
    return _answer(status, _code_of(status), error.description or "", headers=headers)


def _code_of(status: int) -> str:
    # Python renames a phrase now and then; a code stays, and has a page: what nobody has explained is a bad request.
    code = {413: "too_large"}.get(status) or HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_")
    return code if code in CODES else "bad_request"


def _of_nobody(error: Exception) -> Response:
    log.error("request_failed", exc_info=error, extra={"method": request.method, "endpoint": request.endpoint})
    return _answer(500, RelayError.code, "this is our fault; the log has it under the request id")


def _answer(
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, str]] = (),
) -> Response:
    if not is_page(current_app):
        return problem(status, code, detail, headers=headers, errors=errors)
    shown = page(
        "problem.html", status, code=code, detail=detail, explained=code in CODES, instance=g.get("request_id")
    )
    shown.headers.extend(headers or {})
    return shown
