"""Own how a provider's question "is this order yours?" is read.

CrossingPay V2 lets merchants configure such an address, and documents no
shape for it; so every shape that names an order plainly is taken.
"""

from __future__ import annotations

from relay.core.bodies import read_flat, read_form
from relay.core.parsing import RawRequest
from relay.core.signatures import verify
from relay.core.sources import Source
from relay.errors import CallbackRejected

# Beside what the source's own callbacks call it.
USUAL_NAMES = ("order_id", "orderid", "OrderID")


def asked_order(source: Source, request: RawRequest, *, is_trusted: bool) -> str:
    """Return the number of the order that is asked about: a query, a form, or a flat JSON object names it.

    Unless the caller `is_trusted` by its address, the fields must bear the
    source's own signature, as its callbacks do. Raises CallbackRejected:
    bad_signature (401), missing_field and malformed (400).
    """
    scheme = source.adapter.scheme
    fields = _fields(request)
    given = fields.pop(scheme.name, None) if scheme.location == "body" else request.header(scheme.name)
    if not is_trusted:
        if scheme.envelope == "text" or (scheme.location == "header" and not request.body):
            raise _unsigned("this scheme signs no such question")
        timestamp = request.header(scheme.timestamp) or "" if scheme.timestamp else ""
        verify(scheme, source.secrets, given, fields, body=request.body, timestamp=timestamp)
    names = dict.fromkeys((source.adapter.names["orderid"], *USUAL_NAMES))
    asked = {fields[name] for name in names if fields.get(name) and (is_trusted or scheme.signs(name))}
    if len(asked) != 1:
        raise CallbackRejected(f"name one order, as {', '.join(names)}", code="missing_field")
    return asked.pop()


def _unsigned(detail: str) -> CallbackRejected:
    return CallbackRejected(detail, code="bad_signature", http_status=401)


def _fields(request: RawRequest) -> dict[str, str]:
    if request.body and request.query:
        raise CallbackRejected("ask by a query or by a body, not by both")
    if not request.body:
        return read_form(request.query.encode("utf-8", "surrogatepass"))
    if request.content_type.partition(";")[0].strip().lower() == "application/json":
        return read_flat(request.body)
    return read_form(request.body)
