"""What a provider's answer means, from plain ones to nonsense."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.answers import Absent, Busy, Made, Refused, Unclear, read_fact, read_made
from relay.core.callbacks import Status
from relay.core.calls import Call
from relay.core.facts import ProviderFact
from tests.core.calling import a_called_source
from tests.core.examples import preset

ADAPTER = a_called_source().adapter
CREATE = ADAPTER.creates["recharge"]
OPEN_CREATE = replace(CREATE, ok="", ok_values=frozenset(), answers={"provider_order_id": "Ordersn", "orderid": "id"})
GOOD = {"status": 1, "data": {"msg": "ok", "ordersn": "cz-1"}}


def body(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("status", "answer", "meaning"),
    [
        (200, body(GOOD), Made({"provider_order_id": "cz-1"})),
        (200, body({"status": "1"}), Made({})),
        (200, body({"status": 0, "err": "address in use"}), Refused("address in use")),
        (200, body({"status": 0}), Refused("status is 0")),
        (400, body({"err": "bad sign"}), Refused("bad sign")),
        (403, b"<html>", Refused("HTTP 403")),
        (429, b"", Busy()),
        (200, b"<html>gateway</html>", Unclear("the answer does not say whether it worked")),
        (200, b"", Unclear("the answer does not say whether it worked")),
        (200, b'{"status": NaN}', Unclear("the answer does not say whether it worked")),
        (200, body({"status": [1]}), Unclear("the answer does not say whether it worked")),
        (200, body({"status": 1, "data": {"ordersn": "x" * 300}}), Unclear("the answer cannot be read")),
        (302, b"", Unclear("HTTP 302")),
        (409, body({"err": "exists"}), Unclear("HTTP 409")),
        (502, body(GOOD), Unclear("HTTP 502")),
    ],
)
def test_what_became_of_an_order(status: int, answer: bytes, meaning: object) -> None:
    """Only a plain yes is one, only a plain no is one."""
    assert read_made(CREATE, "sh-1", status, answer) == meaning


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (body({"Ordersn": "cz-1", "id": "sh-1"}), Made({"provider_order_id": "cz-1", "orderid": "sh-1"})),
        (body({"Ordersn": "cz-1", "id": "sh-2"}), Unclear("the answer is about another order")),
        (body({"err": "no"}), Refused("no")),
        (body({}), Unclear("the answer cannot be read")),
        (body([]), Unclear("the answer cannot be read")),
    ],
)
def test_a_call_without_a_condition_needs_a_number(answer: bytes, meaning: object) -> None:
    """The provider's own number is the proof that it made one."""
    assert read_made(OPEN_CREATE, "sh-1", 200, answer) == meaning


def asked(status: int, answer: bytes) -> object:
    assert isinstance(ADAPTER.query, Call)
    return read_fact(ADAPTER.query, source="crossing", namespace="ns", orderid="sh-1", status=status, body=answer)


def told(**data: Any) -> bytes:
    return body({"status": 1, "data": {"orderid": "sh-1", "status": 1, "amount": "3.50", "t": 1700000000, **data}})


def test_a_paid_order_becomes_a_fact() -> None:
    """Numbers stay as they were written."""
    assert asked(200, told(txid="ab", ordersn="cz-1").replace(b'"3.50"', b"3.50")) == ProviderFact(
        source="crossing",
        namespace="ns",
        orderid="sh-1",
        via="query",
        raw_status="1",
        status=Status.SUCCEEDED,
        amount_micros=3_500_000,
        amount_raw="3.50",
        unit_micros=1,
        provider_order_id="cz-1",
        tx_hash="ab",
        occurred_at=datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
    )


def test_a_word_that_nobody_mapped_is_kept() -> None:
    """It is shown and acted upon by nobody."""
    fact = asked(200, told(status="frozen", amount=None))
    assert isinstance(fact, ProviderFact)
    assert (fact.status, fact.raw_status, fact.amount_micros) == (None, "frozen", None)


@pytest.mark.parametrize(
    ("status", "answer", "meaning"),
    [
        (404, b"", Absent()),
        (200, body({"status": 0, "err": "no such order"}), Absent()),
        (200, body({"status": 0, "err": "bad sign"}), Unclear("bad sign")),
        (429, b"", Busy()),
        (500, told(), Unclear("HTTP 500")),
        (301, told(), Unclear("HTTP 301")),
        (200, told(orderid="sh-2"), Unclear("the answer is about another order")),
        (200, told(status=None), Unclear("the answer names no status")),
        (200, told(amount="1e9"), Unclear("amount must be a plain decimal number such as 30.5")),
        (200, b"[" * 100_000, Unclear("the answer is no success")),
    ],
)
def test_what_is_no_fact_says_why(status: int, answer: bytes, meaning: object) -> None:
    """Nothing is guessed from half an answer."""
    assert asked(status, answer) == meaning


SHKEEPER, BTCPAY = preset("shkeeper").query, preset("btcpay").query
NONE_LISTED = "the answer does not list one order"


@pytest.mark.parametrize(
    ("call", "answer", "meaning"),
    [
        (SHKEEPER, {"status": "success", "invoices": [{"external_id": "sh-1", "status": "PAID"}]}, Status.SUCCEEDED),
        (SHKEEPER, {"status": "success", "invoices": [{"external_id": "sh-1", "status": "PARTIAL"}]}, Status.PENDING),
        (SHKEEPER, {"status": "success", "invoices": []}, Absent()),
        (SHKEEPER, {"status": "success"}, Unclear(NONE_LISTED)),
        (SHKEEPER, {"status": "success", "invoices": [{}, {}]}, Unclear(NONE_LISTED)),
        (SHKEEPER, {"status": "error", "message": "no key"}, Unclear("no key")),
        (BTCPAY, [{"id": "X1", "status": "Settled", "metadata": {"orderId": "sh-1"}}], Status.SUCCEEDED),
        (
            BTCPAY,
            [{"id": "X1", "status": "Settled", "metadata": {"orderId": "sh-2"}}],
            Unclear("the answer is about another order"),
        ),
        (BTCPAY, [], Absent()),
        (BTCPAY, {"code": "unauthorized"}, Unclear(NONE_LISTED)),
    ],
)
def test_a_provider_may_answer_with_a_list(call: Call, answer: Any, meaning: object) -> None:
    """An empty list is no such order, and of two orders neither is it."""
    said = read_fact(call, source="s", namespace="n", orderid="sh-1", status=200, body=body(answer))
    assert (said.status if isinstance(said, ProviderFact) else said) == meaning


@given(st.integers(100, 599), st.binary(max_size=200))
def test_no_bytes_break_the_reader(status: int, answer: bytes) -> None:
    """An answer is a stranger's."""
    assert asked(status, answer) is not None
    assert read_made(CREATE, "sh-1", status, answer) is not None


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["status", "data", "err", "ordersn", "amount"]), inner)
        ),
    )
)
def test_no_json_breaks_the_reader(value: Any) -> None:
    """Nor do odd shapes in the right places."""
    assert asked(200, body(value)) is not None
    assert read_made(CREATE, "sh-1", 200, body(value)) is not None
