"""Own the outgoing signature: Standard Webhooks 1.0, symmetric.

Source: standard-webhooks/spec/standard-webhooks.md. Signed are the bytes
`{id}.{timestamp}.{body}`; every live secret adds a signature to the list.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"


def new_secret(random: bytes) -> str:
    """Spell 24 to 64 random bytes as a secret that receivers can paste."""
    return PREFIX + base64.b64encode(random).decode()


def key_of(secret: str) -> bytes:
    """Return the key that a `whsec_…` secret spells."""
    return base64.b64decode(secret.removeprefix(PREFIX))


def signed_headers(event_id: str, body: bytes, keys: Sequence[bytes], *, timestamp: int) -> dict[str, str]:
    """Return the headers of one attempt; `timestamp` is this attempt's, in unix seconds."""
    content = b"%b.%d.%b" % (event_id.encode(), timestamp, body)
    signatures = (base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys)
    return {
        "content-type": "application/json",
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
