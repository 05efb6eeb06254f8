"""Own the sandbox's three endpoints and two people: there after every start, with the secrets the plan holds."""

from __future__ import annotations

import argparse
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, insert, update

from config.settings import load
from relay.core.people import SALT_BYTES, hashed
from relay.edge.vault import Vault
from relay.sandbox.plan import PEOPLE, SUBSCRIBERS, Plan
from relay.store import people
from relay.store.engine import make_engine, writing
from relay.store.rows import endpoints


def register(engine: Engine, vault: Vault, plan: Plan, *, now: datetime) -> None:
    """Make or renew the endpoints, whose ids let a second start find them and their open deliveries; and let the people in."""
    with writing(engine) as connection:
        for name in SUBSCRIBERS:
            key = {"id": f"ep_sandbox_{name}"}
            entry = {"secret": vault.encrypt(plan.endpoint_secrets[name]), "expires_at": None}
            known = {"url": f"{plan.subscribers_url}/hooks/{name}", "secrets": json.dumps([entry])}
            renewed = (
                update(endpoints).where(endpoints.c.id == key["id"]).values(**known, state="enabled", deleted_at=None)
            )
            if not connection.execute(renewed).rowcount:
                rest = {"description": name, "format": "standard", "state": "enabled", "concurrency": 32}
                connection.execute(insert(endpoints).values(**key, **known, **rest, created_at=now))
        for name, role in PEOPLE.items():
            if people.find(connection, name) is None:
                people.add(connection, name, [role], hashed(plan.password, os.urandom(SALT_BYTES)), now=now)


def main() -> None:
    """Register them in the configured database."""
    parser = argparse.ArgumentParser(description="Register the sandbox's subscribers.")
    parser.add_argument("--plan", type=Path, required=True)
    settings, plan = load(os.environ), Plan.read(parser.parse_args().plan)
    register(make_engine(settings.database_url), Vault(settings.secret_keys), plan, now=datetime.now(UTC))


if __name__ == "__main__":
    main()
