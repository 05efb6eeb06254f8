"""The way back: a credit in the provider's own shape, and the answers that count as received."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from relay.core.adapters import parse_adapter
from relay.core.rendering import ack_ok, render
from relay.errors import Unprocessable
from tests.core.examples import ADDRESS, HOUSE, KEY, SENT_AT, paid, preset


def test_a_recovered_credit_looks_like_the_providers_own() -> None:
    """epusdt: numbers are numbers, and the price is what was paid where nothing else is known."""
    body, content_type, headers = render(preset("epusdt"), KEY, paid(preset("epusdt")), SENT_AT, address=ADDRESS)
    assert (content_type, headers) == ("application/json", {})
    said = json.loads(body)
    assert len(said.pop("signature")) == 32
    assert said == {
        "amount": 30.5,
        "actual_amount": 30.5,
        "token": ADDRESS,
        "order_id": "o100",
        "status": 2,
        "trade_id": "5077125051",
        "block_transaction_id": "ab" * 32,
    }


def test_an_invoice_is_nested_again() -> None:
    """SHKeeper: the new payment is the marked one, and the signature is in the headers, over the moment of sending."""
    later = SENT_AT + timedelta(days=1)
    body, _, headers = render(preset("shkeeper"), KEY, paid(preset("shkeeper")), later, address=ADDRESS)
    assert headers["X-Shkeeper-Timestamp"] == str(int(later.timestamp()))
    assert json.loads(body)["transactions"] == [
        {"trigger": True, "crypto": "USDT", "amount_crypto": "30.5", "txid": "ab" * 32}
    ]


def test_what_nobody_knows_is_not_made_up() -> None:
    """A shape that needs the address is not written without it."""
    with pytest.raises(Unprocessable, match="needs token"):
        render(preset("epusdt"), KEY, paid(preset("epusdt")), SENT_AT)
    with pytest.raises(Unprocessable, match="needs localusermark"):
        render(preset(), KEY, paid(preset(), user_ref=None), SENT_AT)


def test_a_list_of_signed_headers_is_the_providers_alone() -> None:
    """We do not know which headers it would send."""
    table = {
        **HOUSE,
        "signature": {
            "name": "X-Sig",
            "location": "header",
            "part": "v1",
            "envelope": "text",
            "text": "{part:t}.{body}",
            "digest": "hmac-sha256",
        },
    }
    with pytest.raises(Unprocessable, match="headers"):
        render(parse_adapter("house", table), KEY, paid(preset()), SENT_AT)


ACKS = {
    "the very word": ("crossingpay-v1", 200, b"success", True),
    "the word and a line end": ("crossingpay-v1", 200, b" success\n", True),
    "another word": ("crossingpay-v1", 200, b"fail", False),
    "the word in the wrong case": ("crossingpay-v1", 200, b"SUCCESS", False),
    "the word with another status": ("crossingpay-v1", 201, b"success", False),
    "epusdt's own": ("epusdt", 200, b"ok", True),
    "another's": ("epusdt", 200, b"success", False),
    "the status alone": ("bepusdt", 200, b"fail", True),
    "SHKeeper's status": ("shkeeper", 202, b"", True),
    "not SHKeeper's status": ("shkeeper", 200, b"accepted", False),
    "a word inside": ("epay", 200, b"<p>success</p>", True),
    "no word inside": ("epay", 200, b"fail", False),
    "any 2xx": ("btcpay", 204, b"", True),
    "a redirection": ("btcpay", 302, b"", False),
    "bytes of no text": ("epusdt", 200, b"\xff", False),
}


@pytest.mark.parametrize(("name", "status", "body", "good"), ACKS.values(), ids=ACKS)
def test_an_answer_counts_as_the_provider_counts_it(name: str, status: int, body: bytes, *, good: bool) -> None:
    """Status, body, or both, as the adapter says."""
    assert ack_ok(preset(name), status, body) is good
