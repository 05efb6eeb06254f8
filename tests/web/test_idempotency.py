"""A POST with an Idempotency-Key is done once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from flask_openapi3 import OpenAPI
from sqlalchemy import Engine, func, select

from relay.bootstrap import Runtime
from relay.errors import Conflict
from relay.flows.idempotency import KEPT, LONGEST, Repeatable, begin, finish
from relay.store import idempotency, rows
from relay.store.engine import reading, writing
from tests.builders import NOON
from tests.rows import a_key
from tests.web.conftest import ADMIN_KEY

URL = "https://shop.example/hooks/recharge"


def post(app: OpenAPI, body: Any, key: str, *, path: str = "/v1/endpoints", holder: str = ADMIN_KEY) -> Any:
    """Send a POST with a key of the sender's."""
    headers = {"Authorization": f"Bearer {holder}", "Idempotency-Key": key}
    return app.test_client().post(path, json=body, headers=headers)


def count(engine: Engine) -> int:
    """How many endpoints there are."""
    with reading(engine) as connection:
        return connection.scalar(select(func.count()).select_from(rows.endpoints)) or 0


def test_a_repeat_is_answered_alike_and_does_nothing(runtime: Runtime, app: OpenAPI) -> None:
    """Status, body with its secret, and location; the answer is stored wrapped."""
    first, again = (post(app, {"url": URL}, "one") for _ in range(2))
    assert (first.status_code, again.status_code, count(runtime.engine)) == (201, 201, 1)
    assert first.get_data() == again.get_data()
    assert (first.headers["Location"], first.content_type) == (again.headers["Location"], again.content_type)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    with reading(runtime.engine) as connection:
        stored = str(connection.scalar(select(rows.idempotency_keys.c.answer)))
    assert first.get_json()["secret"] not in stored
    assert "whsec_" in runtime.vault.decrypt(stored)


def test_quotes_around_a_key_are_not_part_of_it(runtime: Runtime, app: OpenAPI) -> None:
    """Both spellings of the header are in use."""
    post(app, {"url": URL}, '"one"')
    post(app, {"url": URL}, "one")
    assert count(runtime.engine) == 1


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/endpoints", {"url": URL, "description": "other"}), ("/v1/endpoints/ep_1/test", {})]
)
def test_a_key_belongs_to_one_request(runtime: Runtime, app: OpenAPI, path: str, body: Any) -> None:
    """Another body or path under it is 422, and nothing is done."""
    post(app, {"url": URL}, "one")
    answer = post(app, body, "one", path=path)
    assert (answer.status_code, answer.get_json()["code"]) == (422, "idempotency_key_reused")
    assert count(runtime.engine) == 1


def test_keys_of_different_senders_do_not_meet(runtime: Runtime, app: OpenAPI) -> None:
    """Each has a name space of its own."""
    post(app, {"url": URL}, "one")
    assert post(app, {"url": URL}, "one", holder=a_key(runtime.engine, "service")).status_code == 201
    assert count(runtime.engine) == 2


def test_what_failed_may_be_mended_under_the_same_key(runtime: Runtime, app: OpenAPI) -> None:
    """A 4xx has changed nothing, so its key is free again."""
    assert post(app, {"url": "nonsense"}, "one").status_code == 422
    assert post(app, {"url": URL}, "one").status_code == 201
    assert count(runtime.engine) == 1


def test_a_stranger_uses_up_no_key(runtime: Runtime, app: OpenAPI) -> None:
    """The guard stands before it."""
    assert post(app, {"url": URL}, "one", holder="rly_unknown").status_code == 401
    with reading(runtime.engine) as connection:
        assert connection.scalar(select(func.count()).select_from(rows.idempotency_keys)) == 0


@pytest.mark.parametrize("key", ["", "x" * 256, 'a"b', "a\tb", "käse"])
def test_a_key_is_short_and_plain(runtime: Runtime, app: OpenAPI, key: str) -> None:
    """Anything else is 422."""
    assert post(app, {"url": URL}, key).status_code == 422
    assert count(runtime.engine) == 0


def a_request(**changes: Any) -> Repeatable:
    """A request that begins at noon."""
    return Repeatable(**{"owner": "key_1", "key": "one", "fingerprint": "f", "begun": NOON, **changes})


def test_while_the_first_is_answered_a_second_waits(engine: Engine) -> None:
    """409 until the answer is kept; after two minutes nobody is answering any more."""
    first = a_request()
    assert begin(engine, first) is None
    with pytest.raises(Conflict) as caught:
        begin(engine, a_request(begun=NOON + LONGEST))
    assert caught.value.code == "idempotency_key_in_flight"
    second = a_request(begun=NOON + LONGEST + timedelta(seconds=1))
    assert begin(engine, second) is None
    finish(engine, first, "too late")
    finish(engine, second, "answer")
    assert begin(engine, a_request(begun=NOON + timedelta(hours=1))) == "answer"


def test_a_day_later_a_key_is_new(engine: Engine) -> None:
    """For another request too; what expired is let go of."""
    begin(engine, a_request())
    finish(engine, a_request(), "answer")
    assert begin(engine, a_request(fingerprint="g", begun=NOON + KEPT)) is None
    with writing(engine) as connection:
        assert idempotency.prune(connection, now=NOON + 2 * KEPT) == 1


def test_a_path_that_leads_nowhere_is_not_found(app: OpenAPI) -> None:
    """Nobody's key is known there, and it is not our fault."""
    assert post(app, {}, "one", path="/v1/deliveries/-1/retry").status_code == 404
