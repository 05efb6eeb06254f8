"""Own secrets at rest: subscribers' secrets are stored only as this vault wraps them."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from relay.errors import InvariantBroken


def derive(key: str, label: bytes) -> bytes:
    """Return 32 bytes for one purpose; two labels of one key tell nothing of each other (RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"recharge-relay " + label).derive(key.encode())


class Vault:
    """Wraps and unwraps short texts; the first key writes, all read."""

    def __init__(self, keys: Sequence[str]) -> None:
        fernets = [Fernet(base64.urlsafe_b64encode(derive(key, b"vault"))) for key in keys]
        self._first, self._fernet = fernets[0], MultiFernet(fernets)

    def encrypt(self, text: str) -> str:
        """Return the wrapped form, safe to store."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, wrapped: str) -> str:
        """Return the text; a value that none of our keys wrapped is InvariantBroken."""
        try:
            return self._fernet.decrypt(wrapped.encode()).decode()
        except InvalidToken as error:
            raise InvariantBroken(
                "a stored secret cannot be read with SECRET_KEY; was a key dropped before `secrets rewrap`?"
            ) from error

    def renew(self, wrapped: str) -> str:
        """Return what the first key has wrapped as it is, anything else wrapped by it anew; raises as `decrypt` does."""
        try:
            self._first.decrypt(wrapped.encode())
        except InvalidToken:
            return self.encrypt(self.decrypt(wrapped))
        return wrapped
