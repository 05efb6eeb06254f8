"""What is true of people: names that cannot be confused, passwords that are stored safely, guesses that wait."""

from __future__ import annotations

from datetime import timedelta

import pytest

from relay.core.people import NOBODY, check_password, checked_name, checked_roles, hashed, verifies, wait_after
from relay.errors import Unprocessable

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(("given", "name"), [("pat", "pat"), (" L.Chen ", "l.chen"), ("a", "a"), ("x" * 40, "x" * 40)])
def test_a_name_is_stored_in_one_spelling(given: str, name: str) -> None:
    """Case and spaces around it do not make another person."""
    assert checked_name(given) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "a b", "p\u0430t", "x" * 41, "a\0b", "user:a", "a/b"])
def test_a_name_that_could_be_confused_is_refused(name: str) -> None:
    """Other scripts, spaces, and what the audit uses itself."""
    with pytest.raises(Unprocessable):
        checked_name(name)


def test_roles_have_one_order_and_are_those_of_people() -> None:
    """A service is no person."""
    assert checked_roles(["admin", "preparer", "admin"]) == ("preparer", "admin")
    for wrong in ([], ["service"], ["root"]):
        with pytest.raises(Unprocessable):
            checked_roles(wrong)


@pytest.mark.parametrize(
    "password", ["short", "x" * 11, "x" * 201, "aaaaaaaaaaaaaa", "l.chenl.chenl.chen", "l.chen2026!!"]
)
def test_what_is_guessed_first_is_no_password(password: str) -> None:
    """Too short, too long for our patience, one letter, one's own name."""
    with pytest.raises(Unprocessable):
        check_password(password, "l.chen")


def test_a_password_verifies_by_what_is_stored_of_it() -> None:
    """In any script; the same password twice is stored differently."""
    check_password("пароль на сегодня", "l.chen")
    stored = hashed("пароль на сегодня", b"1" * 16)
    assert "пароль" not in stored
    assert verifies("пароль на сегодня", stored)
    assert not verifies("пароль на завтра!", stored)
    assert stored != hashed("пароль на сегодня", b"2" * 16)


def test_a_password_of_strange_characters_is_only_wrong() -> None:
    """A lone surrogate has no UTF-8; the place of nobody takes it too, and opens to nothing."""
    assert not verifies("\ud800", NOBODY)


def test_guesses_wait_twice_as_long_each_time() -> None:
    """The first ones are free, and there is a longest wait, whatever the number."""
    waits = [int(wait_after(number, free=3, longest=MINUTE).total_seconds()) for number in range(1, 12)]
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert wait_after(10**9, free=3, longest=MINUTE) == MINUTE
