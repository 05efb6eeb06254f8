"""Bodies: fields out of nested JSON by their paths."""

from __future__ import annotations

import pytest

from relay.core.bodies import read_flat, read_nested
from relay.errors import CallbackRejected

INVOICE = (
    b'{"invoice": {"amount": 1.50, "paid": true, "note": null, "tags": ["a", "b"]}, "a.b": "literal",'
    b' "tx": [{"id": "old", "new": false}, {"id": "last", "new": true}]}'
)
PLACES = {
    "invoice.amount": "1.50",
    "invoice.paid": "true",
    "invoice.note": "",
    "invoice.tags.1": "b",
    "tx[new].id": "last",
    "tx.0.id": "old",
}
NOWHERE = ["invoice.tags.2", "invoice.amount.x", "invoice.tags.x", "tx[old].id", "invoice[new].id", "a.b", "x"]


@pytest.mark.parametrize(("path", "text"), PLACES.items())
def test_a_path_leads_to_a_text(path: str, text: str) -> None:
    """Numbers as they were sent, truth in words, nothing as the empty text."""
    assert read_nested(INVOICE, [path]) == {path: text}


def test_a_path_that_leads_nowhere_is_left_out() -> None:
    """Whether that is allowed is the adapter's to say."""
    assert read_nested(INVOICE, NOWHERE) == {}


@pytest.mark.parametrize(
    ("body", "path", "code"),
    [
        (b'{"tx": [{"new": true}, {"new": true}]}', "tx[new].id", "duplicate_field"),
        (b'{"invoice": {"amount": {}}}', "invoice.amount", "malformed"),
        (b'{"invoice": {"amount": "\\u0000"}}', "invoice.amount", "malformed"),
        (b'{"invoice": {"a": 1, "a": 1}}', "invoice.a", "duplicate_field"),
        (b"[]", "a", "malformed"),
    ],
)
def test_what_has_two_answers_or_none_is_refused(body: bytes, path: str, code: str) -> None:
    """Two payments marked as the new one, an object in place of a text."""
    with pytest.raises(CallbackRejected) as refused:
        read_nested(body, [path])
    assert refused.value.code == code


def test_numbers_may_be_spelled_as_go_does() -> None:
    """Texts stay as they are, also those that look like numbers."""
    assert read_flat(b'{"a": 100.0, "b": "100.0", "c": 7}', "go") == {"a": "100", "b": "100.0", "c": "7"}
