"""The API explains itself: every operation, every shape, every error."""

from __future__ import annotations

import ast
import re
from datetime import timedelta
from typing import Any

import pytest
from flask_openapi3 import OpenAPI

from relay.core.address_book import ROLES
from relay.core.retries import SCHEDULE_S
from relay.web.problem_codes import CODES
from tests.test_structure import MODULES, tree_of

# What these raise is read by jobs and the command line only.
INTERNAL = (
    "relay.edge.",
    "relay.flows.balance_reading",
    "relay.flows.balances",
    "relay.flows.chain_reading",
    "relay.flows.cuts",
    "relay.flows.scan",
    "relay.core.logs",
)
INTERNAL_CODES = {"bad_configuration", "node_fault", "invariant_broken"}


def text(app: OpenAPI, path: str) -> str:
    """A page that anyone may read."""
    answer = app.test_client().get(path)
    assert answer.status_code == 200
    return str(answer.get_data(as_text=True))


def document(app: OpenAPI) -> Any:
    """The OpenAPI document."""
    return app.test_client().get("/openapi.json").get_json()


def operations(doc: Any) -> list[tuple[str, str, Any]]:
    """Path, method and description of each operation."""
    return [(path, method, one) for path, methods in doc["paths"].items() for method, one in methods.items()]


def test_every_operation_and_shape_is_on_the_page(app: OpenAPI) -> None:
    """And every link within it leads somewhere."""
    page, doc = text(app, "/docs"), document(app)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert {one["operationId"] for _, _, one in operations(doc)} | set(doc["components"]["schemas"]) <= set(ids)
    assert "EventList" in ids, "a page of a list is named as people say it"
    assert "<code>after</code> is the <code>sequence</code> of the last one that was read" in page
    assert "`" not in page
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_what_the_page_says_is_what_the_rules_say(app: OpenAPI) -> None:
    """For how long a delivery is tried, and which roles an address may have."""
    page = text(app, "/docs")
    assert timedelta(seconds=sum(SCHEDULE_S)).days == 3
    assert "tried again, at once at first and then over three days" in page
    assert f"role ({', '.join(ROLES)})" in page


def test_the_page_loads_nothing_from_elsewhere_and_no_script(app: OpenAPI) -> None:
    """Its policy would not let it either."""
    answer = app.test_client().get("/docs")
    assert not re.search(r"<script|<style|style=|https?://", answer.get_data(as_text=True))
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_every_operation_names_its_roles_its_errors_and_its_key(app: OpenAPI) -> None:
    """Said once for all of them, so none can forget."""
    doc = document(app)
    ids = [one["operationId"] for _, _, one in operations(doc)]
    assert len(ids) == len(set(ids))
    for path, method, one in operations(doc):
        assert one["x-roles"], path
        assert one["summary"], path
        assert one["responses"]["default"] == {"$ref": "#/components/responses/Problem"}
        keyed = {"$ref": "#/components/parameters/IdempotencyKey"} in one.get("parameters", [])
        assert keyed == (method == "post" and not path.endswith("/import")), path


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_has_a_page(app: OpenAPI, code: str) -> None:
    """What happened, and what helps."""
    page = text(app, f"/problems/{code}")
    assert str(CODES[code].status) in page
    assert code in text(app, "/docs")


def test_a_change_has_no_defaults_and_a_new_endpoint_has(app: OpenAPI) -> None:
    """What a change leaves out stays as it is: a client that sent the defaults along would undo what was set."""
    shapes = document(app)["components"]["schemas"]
    assert [name for name, one in shapes["EndpointWishes"]["properties"].items() if "default" in one] == []
    assert shapes["NewEndpoint"]["properties"]["concurrency"]["default"] == 32


def test_no_page_for_a_code_that_is_none(app: OpenAPI) -> None:
    """404."""
    assert app.test_client().get("/problems/nonsense").status_code == 404


def test_every_code_that_is_raised_is_explained() -> None:
    """By the literals in our own source."""
    raised = {
        keyword.value.value
        for module, path in MODULES.items()
        if not module.startswith(INTERNAL)
        for node in ast.walk(tree_of(path))
        for keyword in getattr(node, "keywords", ())
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str)
    }
    classes = {
        node.value.value
        for node in ast.walk(tree_of(MODULES["relay.errors"]))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    assert "order_exists" in raised
    assert "conflict" in classes
    assert sorted((raised | classes) - INTERNAL_CODES - set(CODES)) == []


def test_a_page_names_the_status_that_is_answered() -> None:
    """A caller who looks it up would else look for another fault."""
    raised = {
        (str(given["code"]), given["http_status"])
        for module, path in MODULES.items()
        if not module.startswith(INTERNAL)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        for given in [{one.arg: one.value.value for one in node.keywords if isinstance(one.value, ast.Constant)}]
        if {"code", "http_status"} <= given.keys()
    }
    assert ("wrong_appid", 401) in raised
    assert sorted((code, status) for code, status in raised if CODES[code].status != status) == []
