"""Own the seal: Ed25519 signatures (RFC 8032) by a key of their own, never one that follows from another secret."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


class Sealer:
    """Signs with one key; `id` is the beginning of the SHA-256 of its public half, and is printed on reports."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = b64encode(public).decode()
        self.id = sha256(public).hexdigest()[:16]

    def sign(self, text: str) -> str:
        """Return the signature of a text's UTF-8, in base64."""
        return b64encode(self._key.sign(text.encode())).decode()
