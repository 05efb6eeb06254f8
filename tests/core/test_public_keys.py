"""A provider that signs with a private key is believed by its public one, and nobody signs in its stead."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from config.sources import parse_sources
from relay.core.public_keys import holds, read_public_key
from relay.core.signatures import Scheme, Secret, sign, verify
from relay.errors import CallbackRejected, Unprocessable

PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
BODY = b'{"uuid":"1","value_coin":3}'
SCHEME = Scheme(name="x-ca-signature", digest="rsa-sha256", location="header", envelope="body", encoding="base64")


def pem_of(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


PUBLIC = pem_of(PRIVATE.public_key())
SIGNED = base64.b64encode(PRIVATE.sign(BODY, PKCS1v15(), SHA256())).decode()
SECRETS = (Secret.of("an older one that is no key"), Secret.of(PUBLIC))


def test_what_the_provider_signed_verifies() -> None:
    """By the key that fits, whose id is kept."""
    assert verify(SCHEME, SECRETS, SIGNED, {}, body=BODY) == SECRETS[1].id
    spelled = replace(SCHEME, encoding="hex-lower", label="rsa=")
    assert verify(spelled, SECRETS, "rsa=" + base64.b64decode(SIGNED).hex(), {}, body=BODY) == SECRETS[1].id


@pytest.mark.parametrize(
    "offered", [SIGNED[:-4], SIGNED + "\n", SIGNED.lower(), "%%%", base64.b64encode(b"x").decode()]
)
def test_any_other_text_is_refused(offered: str) -> None:
    """Also the right bytes in another spelling."""
    with pytest.raises(CallbackRejected, match="does not match"):
        verify(SCHEME, SECRETS, offered, {}, body=BODY)


@given(st.binary(max_size=64), st.binary(max_size=300))
def test_nothing_else_holds(signed: bytes, signature: bytes) -> None:
    """Total on any bytes."""
    assert not holds(PUBLIC, signed, signature)


def test_nobody_signs_in_the_providers_stead() -> None:
    """A public key cannot."""
    with pytest.raises(Unprocessable):
        sign(SCHEME, PUBLIC, {}, body=BODY)


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", PUBLIC.replace("M", "N"), pem_of(ec.generate_private_key(ec.SECP256R1()).public_key())],
    ids=["nothing", "no PEM", "bent", "another kind"],
)
def test_what_is_no_key_of_this_kind_is_refused(text: str) -> None:
    """With a reason, for whoever wrote it into the configuration."""
    with pytest.raises(ValueError, match="is not"):
        read_public_key(text)


SOURCE = """
[sources.vault]
secrets = ["${KEY}"]
body = "json"
status = "succeeded"
amount = { form = "decimal" }
fields.orderid = { pattern = "[a-z0-9-]{1,64}" }
fields.amount = { pattern = "[0-9.]{1,20}" }
signature = { name = "x-ca-signature", location = "header", envelope = "body", digest = "rsa-sha256", encoding = "base64" }
"""


@pytest.mark.parametrize(
    ("key", "fault"), [(PUBLIC, []), ("no key at all", ["sources.vault.secrets: is not a public key in PEM"])]
)
def test_a_source_names_the_public_key_as_its_secret(key: str, fault: list[str]) -> None:
    """What is none stops the start."""
    faults: list[str] = []
    parse_sources(SOURCE, {"KEY": key}.get, faults)  # type: ignore[arg-type] # a plain mapping
    assert faults == fault
