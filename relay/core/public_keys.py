"""Own signatures that a provider makes with its private key: RSA, PKCS #1 v1.5 over SHA-256 (RFC 8017, as CryptAPI signs)."""

from __future__ import annotations

from functools import lru_cache

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

# CryptAPI's own key has 1024 bits; less is no key.
SHORTEST_BITS = 1024


@lru_cache(maxsize=32)
def read_public_key(pem: str) -> RSAPublicKey:
    """Return the key that a PEM text holds; ValueError for every other text, and for a key that is too short."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("is not a public key in PEM") from None
    if not isinstance(key, RSAPublicKey) or key.key_size < SHORTEST_BITS:
        raise ValueError(f"is not an RSA key of {SHORTEST_BITS} bits or more")
    return key


def holds(pem: str, signed: bytes, signature: bytes) -> bool:
    """Tell whether the holder of the private key signed these bytes."""
    try:
        read_public_key(pem).verify(signature, signed, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True
