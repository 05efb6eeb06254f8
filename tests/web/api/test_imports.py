"""Orders and addresses that were made elsewhere, over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relay.bootstrap import Runtime
from relay.web.api.imports import MOST_BYTES, MOST_REFUSALS
from tests.rows import a_key
from tests.web.conftest import Caller

TRON = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
TRON_HEX = "0xa614f803b6fd780986a42c78ec9c7f77e6ded13c"
ORDER = {"source": "crossing", "orderid": "sh-1", "amount": "3", "chain": "tron", "address": TRON, "user_ref": "1"}


def send(caller: Caller, path: str, body: str, content_type: str, status: int = 200) -> Any:
    """Post a body of a type."""
    found = caller("POST", path, data=body.encode(), content_type=content_type)
    assert found.status_code == status, found.get_data(as_text=True)
    return found.get_json()


def sums(found: Any) -> tuple[int, int, int]:
    """How many were accepted, unchanged and refused."""
    return found["accepted"], found["unchanged"], found["refused"]


def test_one_order_is_a_json_object(admin: Caller) -> None:
    """And is seen with everything that was said, the address as its chain spells it."""
    assert sums(admin.post("/v1/orders/import", ORDER)) == (1, 0, 0)
    assert sums(admin.post("/v1/orders/import", ORDER)) == (0, 1, 0)
    seen = admin.get("/v1/orders/crossing/sh-1")
    assert (seen["state"], seen["expected_amount"], seen["address"], seen["registered"]) == (
        "created",
        "3.000000",
        TRON,
        True,
    )
    for spelled in (TRON, TRON_HEX, f"41{TRON_HEX[2:]}"):
        assert [one["orderid"] for one in admin.get("/v1/orders", address=spelled)["data"]] == ["sh-1"]


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/jsonl; charset=utf-8"])
def test_many_orders_are_json_lines(admin: Caller, content_type: str) -> None:
    """Each refused line is told with its reason; the others are in."""
    body = "\n".join(json.dumps({"orderid": f"sh-{n}", "amount": "1" if n else "x"}) for n in range(3))
    found = send(admin, "/v1/orders/import?source=crossing", body, content_type)
    assert sums(found) == (2, 0, 1)
    assert found["refusals"] == [
        {"line": 1, "name": "sh-0", "reason": "amount must be a plain decimal number such as 30.5"}
    ]


@pytest.mark.parametrize("path", ["/v1/orders/import", "/v1/orders"])
def test_a_body_that_was_compressed_is_not_read_as_if_it_were_not(admin: Caller, path: str) -> None:
    """Nobody opens it, so what is wrong with it would be told of its bytes."""
    refused = admin("POST", path, json=ORDER, headers={"Content-Encoding": "gzip"})
    assert (refused.status_code, refused.get_json()["code"]) == (415, "unsupported_media_type")


def test_many_orders_are_csv(admin: Caller) -> None:
    """With a header line; of many refusals the first are listed, all are counted."""
    bad = "\n".join(f"sh-{n},x" for n in range(MOST_REFUSALS + 5))
    found = send(admin, "/v1/orders/import?source=crossing", f"orderid,amount\nsh-1,3\n{bad}", "text/csv")
    assert sums(found) == (1, 0, MOST_REFUSALS + 5)
    assert len(found["refusals"]) == MOST_REFUSALS


@pytest.mark.parametrize(
    ("body", "content_type", "query", "status"),
    [
        ("orderid\nsh-1", "text/plain", "", 415),
        ("orderid,colour\nsh-1,red", "text/csv", "?source=crossing", 422),
        ("", "text/csv", "?source=crossing", 422),
        ("orderid\nsh-1", "text/csv", "?source=nobody", 422),
        ("orderid\nsh-1", "text/csv", "?colour=red", 422),
        ("x" * (MOST_BYTES + 1), "text/csv", "", 413),
    ],
)
def test_a_body_without_sense_is_refused_whole(
    admin: Caller, body: str, content_type: str, query: str, status: int
) -> None:
    """Before anything of it is taken."""
    send(admin, f"/v1/orders/import{query}", body, content_type, status)
    assert admin.get("/v1/orders")["data"] == []


def test_a_file_may_be_larger_than_other_bodies(admin: Caller) -> None:
    """A megabyte is enough elsewhere."""
    rows = "\n".join(f"sh-1,{'1' * 200}" for _ in range(6_000))
    assert sums(send(admin, "/v1/orders/import?source=crossing", f"orderid,user_ref\n{rows}", "text/csv"))[2] == 6_000


def test_addresses_are_entered_and_listed(admin: Caller) -> None:
    """In the spelling of their chain, by role, owner, chain and address."""
    body = f"chain,address,role,owner\ntron,{TRON},deposit,1\nbsc,{TRON_HEX},collection,\ntron,T1,deposit,2"
    found = send(admin, "/v1/addresses/import?source=crossing", body, "text/csv")
    assert sums(found) == (2, 0, 1)
    listed = sorted(admin.get("/v1/addresses")["data"], key=lambda one: str(one["chain"]))
    assert [(one["chain"], one["role"], one["owner"], one["namespace"]) for one in listed] == [
        ("bsc", "collection", None, "crossing"),
        ("tron", "deposit", "1", "crossing"),
    ]
    assert listed[0]["address"].lower() == TRON_HEX
    for query in ({"role": "deposit"}, {"owner": "1"}, {"chain": "tron"}, {"address": TRON, "chain": "tron"}):
        assert [one["address"] for one in admin.get("/v1/addresses", **query)["data"]] == [TRON]


def test_a_dedicated_address_has_one_user(admin: Caller) -> None:
    """Whether the other one comes with an order or with the book."""
    admin.post("/v1/orders/import", ORDER)
    found = admin.post("/v1/orders/import", ORDER | {"orderid": "sh-2", "user_ref": "2"})
    assert [one["reason"] for one in found["refusals"]] == ["address belongs to another user"]
    entry = {"chain": "tron", "address": TRON_HEX, "role": "deposit", "owner": "2"}
    assert sums(admin.post("/v1/addresses/import", entry)) == (0, 0, 1)


def test_a_scoped_key_sees_and_enters_only_its_own(runtime: Runtime, app: Any, admin: Caller) -> None:
    """Another source's does not exist for it; an address of no source is nobody's to enter."""
    admin.post("/v1/orders/import", ORDER)
    shop = Caller(app.test_client(), a_key(runtime.engine, "service", sources={"another"}))
    assert shop.get("/v1/addresses")["data"] == []
    (refusal,) = shop.post("/v1/orders/import", ORDER | {"orderid": "sh-2"})["refusals"]
    assert refusal["reason"] == "source: no such source"
    entry = {"chain": "tron", "address": "TEazPvZwDjDtFeJupyo7QunvnrnUjPH8ED", "role": "external"}
    assert sums(shop.post("/v1/addresses/import", entry)) == (0, 0, 1)


def test_who_only_looks_may_not_import(runtime: Runtime, app: Any) -> None:
    """The book is money's map: an auditor reads it."""
    auditor = Caller(app.test_client(), a_key(runtime.engine, "auditor"))
    assert auditor.get("/v1/addresses")["data"] == []
    auditor.post("/v1/addresses/import", {}, status=403)
    auditor.post("/v1/orders/import", {}, status=403)
