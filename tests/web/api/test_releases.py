"""The release of a held order over HTTP: who may, what is asked, what is answered."""

from __future__ import annotations

from typing import Any

import pytest
from flask_openapi3 import OpenAPI

from relay.bootstrap import Runtime
from tests.rows import a_key, a_stored_order
from tests.web.conftest import Caller

PATH = "/v1/orders/crossing/sh-1/release"
CREDIT = {"act": "credit", "reason": "the provider confirms it"}


@pytest.fixture
def approver(runtime: Runtime, app: OpenAPI) -> Caller:
    """A caller who may release; one order is held."""
    a_stored_order(runtime.engine, "sh-1", state="held", held_reason="above_limit", credited_micros=0)
    return Caller(app.test_client(), a_key(runtime.engine, "approver"))


def test_an_approver_ends_a_hold(approver: Caller) -> None:
    """The answer is the order; the feed has the event; a second word finds no hold."""
    found = approver.post(PATH, CREDIT)
    assert (found["state"], found["credited"], found["held_reason"], found["version"]) == (
        "succeeded",
        "3.000000",
        None,
        2,
    )
    assert approver.post(PATH, CREDIT, status=409)["code"] == "conflict"


def test_a_credit_that_nobody_holds_is_not_one_key_s_to_correct(runtime: Runtime, approver: Caller) -> None:
    """The answer says where two persons do it."""
    a_stored_order(runtime.engine, "sh-2")
    wish = {"act": "adjust", "reason": "too much", "amount": "-1"}
    assert "by two persons" in approver.post(PATH.replace("sh-1", "sh-2"), wish, status=409)["detail"]


def test_an_amount_may_be_named(approver: Caller) -> None:
    """It is USDT as text."""
    assert approver.post(PATH, CREDIT | {"amount": "2.5"})["credited_micros"] == 2_500_000


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"act": "credit", "reason": " "}, "/reason"),
        ({"act": "credit", "reason": "x", "amount": "1e3"}, "/amount"),
        ({"act": "credit", "reason": "x", "amount": "-1"}, "/amount"),
        ({"act": "discard", "reason": "x", "amount": "1"}, "/amount"),
        ({"act": "free", "reason": "x"}, "/act"),
        ({"act": "credit"}, "/reason"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_place(approver: Caller, body: dict[str, Any], pointer: str) -> None:
    """Nothing is changed."""
    found = approver.post(PATH, body, status=422)
    assert pointer in {error["pointer"] for error in found["errors"]}


def test_only_approvers_release(runtime: Runtime, app: OpenAPI, approver: Caller) -> None:
    """Neither who created the order, nor who prepares, nor who operates."""
    for role in ("service", "operator", "preparer", "auditor"):
        caller = Caller(app.test_client(), a_key(runtime.engine, role))
        assert caller("POST", PATH, json=CREDIT).status_code == 403
    assert approver.post("/v1/orders/crossing/sh-9/release", CREDIT, status=404)["code"] == "not_found"
