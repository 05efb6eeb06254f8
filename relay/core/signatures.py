"""Own how providers sign: one declarative scheme, and the two acts that read it, `sign` and `verify`.

What a scheme can say was gathered from the documents and sources of about
twenty payment providers; almost all of them are the same few choices.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from relay.core.canonical import SPELLINGS
from relay.core.public_keys import holds
from relay.errors import CallbackRejected, Unprocessable

# The old digests are here because providers use them. A signature of MD5 is no evidence by itself: config/witnesses.py says so at start.
# Hosts in FIPS mode make MD5 only for who says that security does not rest on it.
HASHES: Mapping[str, Callable[[bytes], hashlib._Hash]] = {
    "md5": partial(hashlib.md5, usedforsecurity=False),
    "sha1": partial(hashlib.sha1, usedforsecurity=False),
    "sha256": hashlib.sha256,
}
HMACS = {"hmac-sha1": "sha1", "hmac-sha256": "sha256", "hmac-sha512": "sha512"}
# The provider's public key stands in place of a secret: what it signed can be checked, and never be signed again.
PUBLIC_KEYED = ("rsa-sha256",)
DIGESTS = (*HMACS, *HASHES, *PUBLIC_KEYED)
ENCODINGS: Mapping[str, Callable[[bytes], str]] = {
    "hex-lower": bytes.hex,
    "hex-upper": lambda digest: digest.hex().upper(),
    "base64": lambda digest: base64.b64encode(digest).decode(),
}
DECODINGS: Mapping[str, Callable[[str], bytes]] = {
    "hex-lower": bytes.fromhex,
    "hex-upper": bytes.fromhex,
    "base64": partial(base64.b64decode, validate=True),
}
LOCATIONS = ("body", "header")
ENVELOPES = ("fields", "body", "timestamp.body", "text", *SPELLINGS)
ORDERS = ("name", "pair", "received")
PAIRS: Mapping[str, Callable[[str, str], str]] = {
    "k=v": lambda name, value: f"{name}={value}",
    "kv": lambda name, value: name + value,
    "v": lambda _, value: value,
}
EMPTIES = ("keep", "drop")
PLACES = ("prefix", "suffix", "key")
# What the text of envelope "text" may name in braces: parts of the request, and of the header that bears the signature.
PLACEHOLDER = re.compile(
    r"\{(method|url|timestamp|body|header:[A-Za-z0-9-]+|part:[a-z0-9]+|headers:[a-z0-9]+)\}", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Secret:
    """A signing secret and the short id that callbacks store in its stead."""

    id: str
    value: str = field(repr=False)

    @classmethod
    def of(cls, value: str) -> Self:
        """Give a secret its id: 12 hex digits that only its holder can compute."""
        return cls(hmac.digest(value.encode(), b"recharge-relay secret id", "sha256").hex()[:12], value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """What is signed, how, and where the signature is found.

    `name` is the body field or header that bears the signature. `envelope`
    tells what is signed: the fields, the raw body, timestamp "." body with
    the timestamp from the header `timestamp`, the `text` with its
    placeholders filled (PLACEHOLDER), or the body in one of SPELLINGS. The
    next five speak of fields only: `fields` lists the signed ones, all but
    the signature when empty. `place` puts the secret before or behind the
    text, with `place_text` between them, or only into the HMAC's key.
    `label` stands before the digest. `part` names the signature inside a
    header such as `t=1,v1=abc`. A `timestamp` that is more than `window_s`
    seconds from now is refused, unless that is 0.
    """

    name: str
    digest: str
    location: str = "body"
    envelope: str = "fields"
    timestamp: str = ""
    fields: frozenset[str] = frozenset()
    empty: str = "keep"
    order: str = "name"
    pair: str = "k=v"
    joiner: str = "&"
    place: str = "key"
    place_text: str = ""
    encoding: str = "hex-lower"
    label: str = ""
    text: str = ""
    part: str = ""
    window_s: int = 0

    def signs(self, name: str) -> bool:
        """Tell whether the signature covers this body field."""
        if self.location == "body" and name == self.name:
            return False
        return self.envelope != "fields" or not self.fields or name in self.fields

    def headers(self, given: str | None) -> frozenset[str]:
        """Return the headers, in lower case, without which a request could not verify; `given` is the signature's."""
        names = {self.timestamp, self.name if self.location == "header" else ""}
        for placeholder in PLACEHOLDER.findall(self.text):
            kind, _, name = placeholder.partition(":")
            names |= {name} if kind == "header" else set()
            names |= set(parts_of(given or "").get(name, "").split()) if kind == "headers" else set()
        return frozenset(name.lower() for name in names if name)


def nowhere(placeholder: str) -> str:
    """Fill a placeholder of a scheme that is used without a request."""
    return ""


def sign(
    scheme: Scheme,
    secret: str,
    fields: Mapping[str, str],
    *,
    body: bytes = b"",
    timestamp: str = "",
    fill: Callable[[str], str] = nowhere,
) -> str:
    """Return the signature as the provider would write it.

    `body` and `timestamp` matter to schemes that sign them; `fill` gives the
    text for a placeholder of the request, such as "url" or "header:X-Client".
    Raises CallbackRejected when the body is not JSON and has to be, and
    Unprocessable where only the provider has the key that signs.
    """
    if scheme.digest in PUBLIC_KEYED:
        raise Unprocessable(f"{scheme.digest}: only the provider can sign")
    return _digest(scheme, secret, _signed_bytes(scheme, fields, body, timestamp, fill))


def verify(
    scheme: Scheme,
    secrets: Sequence[Secret],
    given: str | None,
    fields: Mapping[str, str],
    *,
    body: bytes = b"",
    timestamp: str = "",
    fill: Callable[[str], str] = nowhere,
) -> str:
    """Return the id of the secret that made the signature `given`.

    Raises CallbackRejected `bad_signature`, 401, for every other text. Every
    secret is tried, also behind the one that matched, so that the time taken
    tells nothing; the case of hex digits must be the scheme's.
    """
    if not given or not given.isascii():
        raise CallbackRejected(f"{scheme.name}: missing, empty or not ASCII", code="bad_signature", http_status=401)
    signed = _signed_bytes(scheme, fields, body, timestamp, fill)
    matched = [secret.id for secret in secrets if _fits(scheme, secret.value, signed, given)]
    if not matched:
        raise CallbackRejected(f"{scheme.name}: does not match", code="bad_signature", http_status=401)
    return matched[0]


def parts_of(header: str) -> dict[str, str]:
    """Return the parts of a header such as `t=1,v1=abc`; of a name that is there twice, none."""
    pairs = [pair.strip().partition("=")[::2] for pair in header.split(",")]
    # Counted once: a header that a stranger repeats has half a million parts.
    count = Counter(name for name, _ in pairs)
    return {name: value for name, value in pairs if count[name] == 1}


def signed_pairs(scheme: Scheme, fields: Mapping[str, str]) -> list[str]:
    """Return the pairs in the order in which they are joined and signed."""
    names = [name for name in fields if scheme.signs(name)]
    if scheme.empty == "drop":
        names = [name for name in names if fields[name]]
    if scheme.order == "name":
        # Order by code point is also the order of the UTF-8 bytes.
        names.sort()
    write = PAIRS[scheme.pair]
    pairs = [write(name, fields[name]) for name in names]
    return sorted(pairs) if scheme.order == "pair" else pairs


def _signed_bytes(
    scheme: Scheme, fields: Mapping[str, str], body: bytes, timestamp: str, fill: Callable[[str], str]
) -> bytes:
    match scheme.envelope:
        case "fields":
            return _bytes(scheme.joiner.join(signed_pairs(scheme, fields)))
        case "body":
            return body
        case "timestamp.body":
            return _bytes(timestamp) + b"." + body
        case "text":
            known = {"timestamp": _bytes(timestamp), "body": body}
            # The odd pieces are the placeholders' names.
            pieces = enumerate(PLACEHOLDER.split(scheme.text))
            return b"".join(known.get(it) or _bytes(fill(it)) if odd % 2 else _bytes(it) for odd, it in pieces)
        case spelling:
            return SPELLINGS[spelling](body, scheme.name if scheme.location == "body" else "")


def _fits(scheme: Scheme, secret: str, signed: bytes, given: str) -> bool:
    if scheme.digest not in PUBLIC_KEYED:
        return hmac.compare_digest(_digest(scheme, secret, signed).encode(), given.encode())
    try:
        signature = DECODINGS[scheme.encoding](given.removeprefix(scheme.label))
    except ValueError:
        return False
    # One signature has one spelling, or the same callback could come again as another one.
    is_plain = scheme.label + ENCODINGS[scheme.encoding](signature) == given
    return is_plain and holds(secret, signed, signature)


def _digest(scheme: Scheme, secret: str, signed: bytes) -> str:
    key = secret.encode()
    if scheme.place == "suffix":
        signed = signed + scheme.place_text.encode() + key
    elif scheme.place == "prefix":
        signed = key + scheme.place_text.encode() + signed
    hashed = HMACS.get(scheme.digest)
    digest = hmac.digest(key, signed, hashed) if hashed else HASHES[scheme.digest](signed).digest()
    return scheme.label + ENCODINGS[scheme.encoding](digest)


def _bytes(text: str) -> bytes:
    # Half a surrogate pair has no UTF-8 form, and JSON can smuggle one in: it must fail as a signature, not as a crash.
    return text.encode("utf-8", "surrogatepass")
