"""Own `relay users`: who may sign in to the pages."""

from __future__ import annotations

import os
import sys

import click

from relay.bootstrap import now
from relay.cli.output import as_json, names, or_json, say, show
from relay.cli.shell import Shell, pass_shell
from relay.core.people import ROLES, SALT_BYTES
from relay.flows import people as flow
from relay.store import people as store
from relay.store.engine import reading

roles_option = click.option("--roles", callback=names, required=True, help=f"Comma-separated: {', '.join(ROLES)}.")


@click.group()
def users() -> None:
    """Who may sign in to the pages."""


@users.command()
@click.argument("name")
@roles_option
@or_json
@pass_shell
def create(shell: Shell, *, name: str, roles: list[str]) -> None:
    """Let a person in; the password is asked for, or read from the first line of standard input."""
    newcomer = flow.Newcomer(name, roles, _password(), os.urandom(SALT_BYTES))
    made = flow.create(shell.runtime.engine, newcomer, actor=shell.person, now=now())
    say(f"{made} can sign in at {shell.settings.public_url}/sign-in", name=made)


@users.command(name="list")
@as_json
@pass_shell
def list_users(shell: Shell, *, as_json: bool) -> None:
    """List people by name, the revoked ones too."""
    with reading(shell.runtime.engine) as connection:
        found = store.listed(connection)
    show(found, ("name", "roles", "created_at", "changed_at", "revoked_at"), as_json=as_json)


@users.command()
@click.argument("name")
@roles_option
@or_json
@pass_shell
def role(shell: Shell, name: str, *, roles: list[str]) -> None:
    """Give a person other roles, at once."""
    flow.set_roles(shell.runtime.engine, name, roles, actor=shell.person, now=now())
    say(f"{name} is {', '.join(roles)}", name=name, roles=roles)


@users.command()
@click.argument("name")
@or_json
@pass_shell
def revoke(shell: Shell, name: str) -> None:
    """Let a person in no more, and end their sessions; the name stays taken."""
    flow.revoke(shell.runtime.engine, name, actor=shell.person, now=now())
    say(f"{name} can sign in no more", name=name)


@users.command(name="reset-password")
@click.argument("name")
@or_json
@pass_shell
def reset_password(shell: Shell, name: str) -> None:
    """Give a person another password, and end their sessions."""
    flow.reset_password(
        shell.runtime.engine, name, _password(), salt=os.urandom(SALT_BYTES), actor=shell.person, now=now()
    )
    say(f"{name} has another password", name=name)


def _password() -> str:
    """Never an argument: those are seen by everybody on the machine."""
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")
