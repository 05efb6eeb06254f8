"""`relay users`: people are let in, changed and let out; a password is never an argument."""

from __future__ import annotations

from click.testing import CliRunner
from sqlalchemy import Engine

from relay.__main__ import main
from relay.flows import sign_in
from tests.builders import NOON
from tests.cli.conftest import CommandLine


def test_people_come_change_and_go(relay: CommandLine, engine: Engine) -> None:
    """From the shell, with everything audited."""

    def given(password: str, *arguments: str) -> int:
        return CliRunner().invoke(main, arguments, env=relay.environment, input=password + "\n").exit_code

    assert given("nine of clubs", "users", "create", "Pat", "--roles", "preparer") == 0
    assert given("nine of clubs", "users", "create", "pat", "--roles", "preparer") == 1
    assert given("short", "users", "create", "al", "--roles", "approver") == 2
    assert given("nine of clubs", "users", "create", "al", "--roles", "service") == 2
    relay("users", "role", "pat", "--roles", "preparer,auditor")
    assert given("ten of hearts", "users", "reset-password", "pat") == 0
    actor = sign_in.sign_in(engine, "pat", "ten of hearts", address="x", token="t", before="", now=NOON)
    assert actor.roles == {"preparer", "auditor"}
    (listed,) = relay.json("users", "list", "--json")
    assert (listed["name"], listed["roles"], "password" in listed) == ("pat", ["preparer", "auditor"], False)
    relay("users", "revoke", "pat")
    relay("users", "revoke", "pat", code=1)
    acts = [row["act"] for row in relay.json("audit", "list", "--json")]
    assert acts == ["user.revoke", "user.sign_in", "user.password", "user.roles", "user.create"]
