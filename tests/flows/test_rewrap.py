"""A new SECRET_KEY takes over whatever older ones have wrapped: everything is read without them afterwards."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Engine, select, update

from relay.core.actors import Actor
from relay.edge.vault import Vault
from relay.flows.rewrap import Rewrapped, rewrap
from relay.store.engine import make_engine, reading, writing
from relay.store.rows import audit, endpoints, idempotency_keys, seal_keys
from relay.store.wrapped import PLACES
from tests.builders import NOON
from tests.rows import add, an_endpoint

OLD, NEW = "o" * 40, "n" * 40
ADA = Actor(id="cli:ada", name="ada", roles=frozenset({"admin"}))


@pytest.fixture
def house(engine: Engine) -> Engine:
    """A database in which an old key has wrapped one of everything, and more endpoints than a page has."""
    fill(engine)
    return engine


def fill(engine: Engine) -> None:
    """Store what an old key has wrapped."""
    wrap = Vault([OLD]).encrypt
    entries = [{"secret": wrap(f"whsec_{number}"), "expires_at": None} for number in range(2)]
    for number in range(3):
        an_endpoint(engine, id=f"ep_{number}", secrets=json.dumps(entries), headers=json.dumps({"X-Key": wrap("own")}))
    an_endpoint(engine, id="ep_plain", secrets="[]")
    add(engine, seal_keys, id="k1", public="p", private=wrap("seed"), created_at=NOON)
    add(engine, seal_keys, id="k2", public="p", private=None, created_at=NOON)
    times = {"fingerprint": "f", "started_at": NOON, "expires_at": NOON}
    add(engine, idempotency_keys, owner="key_1", key="a", answer=wrap("{}"), **times)


def again(engine: Engine, *keys: str) -> Rewrapped:
    """Rewrap with these keys."""
    return rewrap(engine, Vault(keys).renew, actor=ADA, now=NOON)


def opened(engine: Engine, *keys: str) -> list[str]:
    """Everything that is stored wrapped, as these keys read it."""
    vault, found = Vault(keys), list[str]()

    def note(one: str) -> str:
        found.append(vault.decrypt(one))
        return one

    with reading(engine) as connection:
        for place in PLACES:
            for value in connection.scalars(select(place.column).where(place.column.is_not(None))):
                place.renewed(value, note)
    return found


def test_everything_is_read_by_the_new_key_alone(house: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pages; a second time there is nothing to do, and each time is an act."""
    monkeypatch.setattr("relay.flows.rewrap.PAGE", 2)
    before = opened(house, OLD)
    assert again(house, NEW, OLD) == Rewrapped(seen=9, renewed=8, unreadable=[])
    assert opened(house, NEW) == before
    assert again(house, NEW) == Rewrapped(seen=9, renewed=0, unreadable=[])
    with reading(house) as connection:
        assert connection.scalars(select(audit.c.act)).all() == ["secrets.rewrap"] * 2


def test_what_no_key_opens_is_named_and_left(house: Engine) -> None:
    """All others are wrapped anew."""
    lost = Vault(["x" * 40]).encrypt("gone")
    with writing(house) as connection:
        connection.execute(update(seal_keys).where(seal_keys.c.id == "k1").values(private=lost))
    assert again(house, NEW, OLD).unreadable == ["seal keys of k1"]
    with reading(house) as connection:
        assert connection.scalar(select(seal_keys.c.private).where(seal_keys.c.id == "k1")) == lost


def test_a_secret_that_is_rotated_meanwhile_stays(postgres_url: str) -> None:
    """Whoever rotated it wrapped it by the new key already."""
    engine = make_engine(postgres_url)
    fill(engine)
    vault, rotated = Vault([NEW, OLD]), json.dumps([{"secret": Vault([NEW]).encrypt("newer"), "expires_at": None}])

    def renew(one: str) -> str:
        with engine.connect() as other, other.begin():
            other.execute(update(endpoints).where(endpoints.c.secrets != rotated).values(secrets=rotated))
        return vault.renew(one)

    rewrap(engine, renew, actor=ADA, now=NOON)
    with reading(engine) as connection:
        assert set(connection.scalars(select(endpoints.c.secrets))) == {rotated}
    engine.dispose()
