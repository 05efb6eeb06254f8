from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Engine, select

from relay.core.people import verifies
from relay.edge.vault import Vault
from relay.sandbox.plan import SUBSCRIBERS, prepare
from relay.sandbox.register import register
from relay.store.engine import reading, writing
from relay.store.rows import endpoints, users
from tests.sandbox.built import NOW


def test_a_second_start_finds_the_same_endpoints_at_their_new_port(engine: Engine, tmp_path: Path) -> None:
    """Three, not six; with the subscribers' secrets, and enabled whatever was done to them. People stay as they are."""
    plan, vault = prepare(tmp_path / "plan.json"), Vault(["a key of the test, long enough to be one"])
    register(engine, vault, plan, now=NOW)
    with writing(engine) as connection:
        connection.execute(endpoints.update().values(state="disabled", deleted_at=NOW))
        connection.execute(users.update().values(roles="auditor"))
    moved = replace(plan, subscribers_port=4711)
    register(engine, vault, moved, now=NOW)
    with reading(engine) as connection:
        found = {row.description: row for row in connection.execute(select(endpoints))}
        people = {row.name: row for row in connection.execute(select(users))}
    assert set(found) == set(SUBSCRIBERS)
    for name, row in found.items():
        [entry] = json.loads(row.secrets)
        assert vault.decrypt(entry["secret"]) == plan.endpoint_secrets[name]
        assert (row.url, row.state, row.deleted_at) == (f"http://127.0.0.1:4711/hooks/{name}", "enabled", None)
    assert {name: row.roles for name, row in people.items()} == {"pat": "auditor", "alex": "auditor"}
    assert verifies(plan.password, people["pat"].password)
