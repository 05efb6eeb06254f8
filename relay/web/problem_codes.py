"""Own what each error code means and what to do about it: the text of the pages at /problems/<code>."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Meaning:
    """What happened, and what helps."""

    status: int
    happened: str
    helps: str


CODES = {
    "bad_request": Meaning(400, "The request cannot be understood.", "The detail says what is wrong with it."),
    "malformed": Meaning(400, "The body is not what its content type says.", "Send one JSON object, encoded as UTF-8."),
    "unauthorized": Meaning(
        401,
        "No key came along, or it is unknown, or it was revoked.",
        "Send Authorization: Bearer rly_… with a key made by: python -m relay keys create.",
    ),
    "forbidden": Meaning(
        403,
        "The key is one of ours, but lacks the role or the source that this needs.",
        "The detail names the roles; an admin makes a key that has one.",
    ),
    "not_found": Meaning(
        404,
        "There is nothing by that name, or nothing that this key may see.",
        "Check the id, and whether the key owns it.",
    ),
    "unknown_source": Meaning(
        404,
        "No source by that name is configured.",
        "Compare the URL with the sources: python -m relay sources list. What was called back meanwhile is kept"
        " and can be reprocessed once the source is there.",
    ),
    "method_not_allowed": Meaning(
        405, "The path exists, but not for this method.", "The header Allow lists the methods."
    ),
    "conflict": Meaning(
        409, "The thing is in a state that forbids the act.", "The detail names the state; look at the thing again."
    ),
    "order_exists": Meaning(
        409,
        "The order is known with other fields, or was made elsewhere.",
        "Take another orderid, or ask with the fields it was made with.",
    ),
    "cannot_create": Meaning(
        409, "The source cannot make such orders.", "The detail names what its configuration lacks."
    ),
    "idempotency_key_in_flight": Meaning(
        409,
        "The first request with this Idempotency-Key is still being answered.",
        "Wait a second and send the same request again. Where its process died, that is possible after two minutes.",
    ),
    "idempotency_key_reused": Meaning(
        422,
        "This Idempotency-Key was sent within 24 hours with another path, query or body.",
        "Take a new key for a new request; a repeat is byte for byte the same.",
    ),
    "too_large": Meaning(413, "The body is larger than the route takes.", "Send less at once."),
    "unsupported_media_type": Meaning(
        415, "The route does not read this content type, or any content encoding.", "The detail lists what it reads."
    ),
    "invalid_field": Meaning(
        422,
        "A field holds what it must not, is missing, or is not known. Nothing was changed.",
        "errors lists each field by JSON pointer (RFC 6901) with its reason.",
    ),
    "provider_refused": Meaning(
        422,
        "The provider said no to this order; its own words are in the detail.",
        "The same again would be refused again: mend what the provider objects to, under a new orderid.",
    ),
    "statement_refused": Meaning(
        422,
        "A statement has rows that cannot be read, or its sums differ.",
        "Each bad row is listed; nothing was kept.",
    ),
    "too_many": Meaning(
        429,
        "This key called too often, or too many wrong passwords came.",
        "Wait as many seconds as the header Retry-After says; RateLimit tells before it comes to that.",
    ),
    "internal_error": Meaning(
        500,
        "Something of ours is broken; nothing was done half.",
        "The log has it under the request id, which the answer names as instance.",
    ),
    "unavailable": Meaning(
        503,
        "Something that we depend on does not answer; nothing was lost.",
        "Send the same request again after Retry-After seconds; with an Idempotency-Key that is safe.",
    ),
    # Why a callback, or a provider's question about an order, was refused: shown with the kept request.
    "bad_signature": Meaning(
        401,
        "The signature of a callback does not fit its fields.",
        "Check the source's secrets and adapter; python -m relay signatures probe finds how a provider signs.",
    ),
    "forgery": Meaning(401, "A signature that was seen before came with other fields.", "Nothing: somebody tried."),
    "stale_signature": Meaning(401, "The signed time lies too far from now.", "Check the clocks on both sides."),
    "address_not_allowed": Meaning(
        403,
        "The sender's address is not in the source's allow_ips.",
        "Check TRUSTED_PROXY_HOPS first, then the provider's list of addresses.",
    ),
    "duplicate_field": Meaning(400, "A field came twice; which one was signed cannot be told.", "Ask the provider."),
    "missing_field": Meaning(400, "A field that the adapter needs is missing.", "Compare with the adapter's fields."),
    "unknown_field": Meaning(400, "A field came that the adapter does not know.", "Add it to the adapter's fields."),
    "bad_field": Meaning(
        400, "A field does not have the form that the adapter expects.", "The detail names the field."
    ),
    "ambiguous": Meaning(
        400,
        "The signed text can be read as other fields too.",
        "Narrow the source's patterns until there is one reading.",
    ),
    "wrong_appid": Meaning(401, "The callback is for another application.", "Check the source's appid."),
}
