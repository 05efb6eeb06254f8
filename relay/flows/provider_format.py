"""Own the format `provider`: a credit said to an old handler in the words of its provider, and what its answer means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from relay.core.chain_addresses import family_of, show_address
from relay.core.rendering import ack_ok, render
from relay.core.signatures import PUBLIC_KEYED
from relay.core.sources import Source
from relay.errors import Unprocessable
from relay.ports import Answer
from relay.store.originals import Original
from relay.store.outbox import Claim


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request to an endpoint, and the source in whose words it is."""

    url: str
    headers: dict[str, str]
    body: bytes
    source: Source


def as_the_provider(
    claim: Claim, original: Original | None, sources: Mapping[str, Source], *, own_key: str, now: datetime
) -> Outgoing:
    """Return the request of an attempt: the first as the provider's came, the others the same fields, signed anew.

    With the source's first secret; where the endpoint signs with its own,
    always with `own_key`, the first attempt too, for its handler knows no
    other. What only the provider can sign goes out as it came each time.
    Raises Unprocessable when it cannot be said in the provider's words.
    """
    source = None if original is None else sources.get(original.callback.source)
    if original is None or source is None:
        raise Unprocessable("the callback of this credit, or its source, is not there")
    goes_as_it_came = claim.number == 1 or source.adapter.scheme.digest in PUBLIC_KEYED
    if goes_as_it_came and claim.signing == "source" and _says_the_same(original):
        return _as_it_came(claim, original, source)
    return _anew(claim, original, source, key=own_key if claim.signing == "own" else source.secrets[0].value, now=now)


def _says_the_same(original: Original) -> bool:
    """Where payments add up, no callback says the sum."""
    came = original.body is not None and (original.body or original.query)
    return bool(came) and original.callback.amount_micros == original.amount_micros


def _as_it_came(claim: Claim, original: Original, source: Source) -> Outgoing:
    scheme = source.adapter.scheme
    names = scheme.headers(original.headers.get(scheme.name.lower()))
    headers = {name: value for name, value in original.headers.items() if name in names}
    return _outgoing(
        claim,
        source,
        query=original.query,
        body=original.body or b"",
        content_type=original.content_type,
        headers=headers,
    )


def _anew(claim: Claim, original: Original, source: Source, *, key: str, now: datetime) -> Outgoing:
    callback = replace(original.callback, amount_micros=original.amount_micros)
    address = show_address(original.address, family_of(original.chain or "")) if original.address else ""
    body, content_type, headers = render(source.adapter, key, callback, now, address=address, url=claim.url)
    if source.adapter.body == "query":
        return _outgoing(claim, source, query=body.decode(), content_type=content_type, headers=headers)
    return _outgoing(claim, source, body=body, content_type=content_type, headers=headers)


def _outgoing(
    claim: Claim, source: Source, *, query: str = "", body: bytes = b"", content_type: str, headers: Mapping[str, str]
) -> Outgoing:
    """The event's id goes along, for handlers that learn to look at it."""
    url = f"{claim.url}{'&' if '?' in claim.url else '?'}{query}" if query else claim.url
    typed = {"content-type": content_type} if content_type else {}
    return Outgoing(url, {**headers, **typed, "webhook-id": claim.event_id}, body, source)


def as_judged(answer: Answer, source: Source) -> Answer:
    """Return an answer as the provider would take it: a success that does not acknowledge is none."""
    if answer.status is None or not 200 <= answer.status < 300:
        return answer
    taken = ack_ok(replace(source.adapter, ack=source.ack), answer.status, answer.body.encode())
    return answer if taken else replace(answer, error="not_acknowledged")
