"""`relay secrets rewrap`, as a change of SECRET_KEY needs it."""

from __future__ import annotations

import json

from sqlalchemy import Engine, update

from relay.edge.vault import Vault
from relay.store.engine import writing
from relay.store.rows import endpoints
from tests.cli.conftest import CommandLine
from tests.cli.test_commands import acts
from tests.rows import an_endpoint


def test_the_old_key_is_dropped_after_a_rewrap(relay: CommandLine, engine: Engine) -> None:
    """Under the new key alone nothing is unreadable then; what nobody opens is named, and ends with 1."""
    old, new = relay.environment["SECRET_KEY"], "n" * 48
    an_endpoint(
        engine, id="ep_1", secrets=json.dumps([{"secret": Vault([old]).encrypt("whsec_x"), "expires_at": None}])
    )
    relay.environment["SECRET_KEY"] = f"{new},{old}"
    (done,) = relay.json("secrets", "rewrap", "--json")
    assert done == {"seen": 1, "renewed": 1, "unreadable": []}
    relay.environment["SECRET_KEY"] = new
    assert "can be dropped" in relay("secrets", "rewrap").stdout
    with writing(engine) as connection:
        lost = Vault(["x" * 48]).encrypt("gone")
        connection.execute(update(endpoints).values(secrets=json.dumps([{"secret": lost, "expires_at": None}])))
    assert "endpoint secrets of ep_1" in relay("secrets", "rewrap", code=1).stdout
    assert acts(engine) == [("secrets.rewrap", "cli")] * 3
