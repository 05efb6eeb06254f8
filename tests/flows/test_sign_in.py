"""Getting in: sessions that end, guesses that are counted before they are judged, changes that hold at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine

from relay.core.actors import hash_of
from relay.core.people import hashed
from relay.errors import Conflict, NotFound, TooMany, Unauthorized, Unprocessable
from relay.flows import people as flow
from relay.flows import sign_in as door
from relay.store import audit, people, sign_ins
from relay.store.engine import reading, writing
from tests.builders import NOON
from tests.rows import a_person

PASSWORD = "nine of clubs"
STORED = hashed(PASSWORD, b"s" * 16)
ADMIN = people.person("ada", ["admin"])


def enter(
    engine: Engine, name: str = "pat", password: str = PASSWORD, *, token: str = "t1", now: datetime = NOON
) -> str:
    door.sign_in(engine, name, password, address="203.0.113.7", token=token, before="", now=now)
    return token


def who(engine: Engine, token: str, now: datetime = NOON) -> str | None:
    found = door.identify(engine, token, now=now)
    return None if found is None else f"{found.id} {','.join(sorted(found.roles))}"


def acts(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        assert audit.verify(connection) is None
        return [row["act"] for row in reversed(audit.page(connection, after=None, limit=50).rows)]


def test_a_session_lives_while_it_is_used_and_not_longer_than_a_day(engine: Engine) -> None:
    """An hour without use ends it; so do twelve hours with."""
    a_person(engine, "pat", "preparer", password=STORED)
    token = enter(engine, " Pat ")
    assert who(engine, token, NOON + timedelta(minutes=59)) == "user:pat preparer"
    assert who(engine, token, NOON + timedelta(minutes=118)) == "user:pat preparer"
    assert who(engine, token, NOON + timedelta(minutes=179)) is None
    used = enter(engine, token="t2")
    for minutes in range(30, 720, 30):
        assert who(engine, used, NOON + timedelta(minutes=minutes))
    assert who(engine, used, NOON + timedelta(hours=12)) is None
    assert who(engine, "") is None
    assert acts(engine) == ["user.sign_in"] * 2


def test_signing_in_again_ends_the_session_before(engine: Engine) -> None:
    """A cookie that somebody planted or copied is worth nothing afterwards; and so is one that was signed out."""
    a_person(engine, "pat", "preparer", password=STORED)
    enter(engine, token="planted")
    door.sign_in(engine, "pat", PASSWORD, address="203.0.113.7", token="fresh", before="planted", now=NOON)
    assert (who(engine, "planted"), who(engine, "fresh")) == (None, "user:pat preparer")
    door.sign_out(engine, "fresh")
    assert who(engine, "fresh") is None


def test_one_answer_for_whatever_is_wrong(engine: Engine) -> None:
    """Nobody learns which names exist."""
    a_person(engine, "pat", "preparer", password=STORED)
    a_person(engine, "gone", "preparer", password=STORED)
    flow.revoke(engine, "gone", actor=ADMIN, now=NOON)
    for name, password in (("pat", "wrong password"), ("nobody", PASSWORD), ("gone", PASSWORD), ("", "")):
        with pytest.raises(Unauthorized, match="the name or the password is not right"):
            enter(engine, name, password)
        assert who(engine, "t1") is None


def test_guesses_at_a_name_wait_and_its_owner_gets_in_again(engine: Engine) -> None:
    """Wherever they come from; a refused guess is not counted, so that the wait does not grow by itself."""
    a_person(engine, "pat", "preparer", password=STORED)
    for number in range(5):
        door.count(engine, "pat", f"203.0.113.{number}", now=NOON)
    for _ in range(3):
        with pytest.raises(TooMany) as refused:
            door.count(engine, "pat", "198.51.100.9", now=NOON)
        assert refused.value.retry_after_s == 2
    with pytest.raises(TooMany):
        enter(engine)
    later = NOON + timedelta(seconds=2)
    assert who(engine, enter(engine, now=later), later)
    for _ in range(4):
        door.count(engine, "pat", "203.0.113.7", now=later)


def test_guesses_from_an_address_wait_whatever_names_they_try(engine: Engine) -> None:
    """A right one in between takes only itself back."""
    for number in range(20):
        door.count(engine, f"name{number}", "203.0.113.7", now=NOON)
    with pytest.raises(TooMany):
        door.count(engine, "another", "203.0.113.7", now=NOON)
    door.count(engine, "another", "203.0.113.8", now=NOON)
    later = NOON + timedelta(seconds=1)
    door.count(engine, "right", "203.0.113.7", now=later)
    with writing(engine) as connection:
        door.forgive(connection, "right", "203.0.113.7", now=later)
    door.count(engine, "again", "203.0.113.7", now=later)
    with pytest.raises(TooMany):
        door.count(engine, "again", "203.0.113.7", now=later)
    with writing(engine) as connection:
        assert sign_ins.prune(connection, now=NOON + timedelta(hours=3)) > 20


def test_guesses_at_once_gain_nothing(engine: Engine) -> None:
    """Each is counted before it is judged: of twenty, five are."""

    def guess(_: int) -> bool:
        try:
            door.count(engine, "pat", "203.0.113.7", now=NOON)
        except TooMany:
            return False
        return True

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(guess, range(20))) == 5


def test_what_is_changed_holds_at_once(engine: Engine) -> None:
    """Roles are read anew at each request; another password ends every session, one's own change all others."""
    a_person(engine, "pat", "preparer", password=STORED)
    enter(engine, token="a")
    enter(engine, token="b")
    flow.set_roles(engine, "pat", ["auditor"], actor=ADMIN, now=NOON)
    assert who(engine, "a") == "user:pat auditor"
    pat = people.person("pat", ["auditor"])
    with pytest.raises(Unprocessable, match="present password"):
        flow.change_password(
            engine, "not it at all", "ten of hearts", salt=b"x", session=hash_of("a"), actor=pat, now=NOON
        )
    flow.change_password(engine, PASSWORD, "ten of hearts", salt=b"x", session=hash_of("a"), actor=pat, now=NOON)
    assert (who(engine, "a"), who(engine, "b")) == ("user:pat auditor", None)
    flow.reset_password(engine, "pat", "two of spades", salt=b"y", actor=ADMIN, now=NOON)
    assert who(engine, "a") is None
    enter(engine, password="two of spades", token="c")
    flow.revoke(engine, "pat", actor=ADMIN, now=NOON)
    assert who(engine, "c") is None
    for act in (
        lambda: flow.revoke(engine, "pat", actor=ADMIN, now=NOON),
        lambda: flow.set_roles(engine, "x", ["admin"], actor=ADMIN, now=NOON),
    ):
        with pytest.raises(NotFound):
            act()
    assert acts(engine)[2:] == ["user.roles", "user.password", "user.password", "user.sign_in", "user.revoke"]


def test_a_name_is_given_once(engine: Engine) -> None:
    """The audit speaks of it for ever."""
    newcomer = flow.Newcomer("Pat", ["preparer"], PASSWORD, b"s" * 16)
    assert flow.create(engine, newcomer, actor=ADMIN, now=NOON) == "pat"
    flow.revoke(engine, "pat", actor=ADMIN, now=NOON)
    with pytest.raises(Conflict):
        flow.create(engine, newcomer, actor=ADMIN, now=NOON)


def test_the_set_up_works_once_and_wholly(engine: Engine) -> None:
    """One of the first people is an admin, none is made beside a faulty one, and of two set-ups at once one wins."""
    ada, pat = (
        flow.Newcomer(name, [role], PASSWORD, b"s" * 16) for name, role in (("ada", "admin"), ("pat", "preparer"))
    )
    short = flow.Newcomer("al", ["approver"], "short", b"s" * 16)
    for wrong in ([pat], [ada, short], [ada, ada], []):
        with pytest.raises(Unprocessable):
            flow.set_up(engine, wrong, actor=ADMIN, now=NOON)
    assert acts(engine) == []

    def try_it(_: int) -> bool:
        try:
            flow.set_up(engine, [ada, pat], actor=ADMIN, now=NOON)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(try_it, range(2))) == [False, True]
    assert acts(engine) == ["user.create", "user.create"]
