"""Own what every command starts from: the settings, the runtime and the log."""

from __future__ import annotations

import getpass
import os
import sys
from functools import cached_property

import click

from config.logs import setup
from config.settings import Settings, load
from relay.bootstrap import Runtime, build
from relay.core.actors import Actor
from relay.errors import Unavailable
from relay.store.revisions import revision_state


class Shell:
    """What the commands of one call share; each part is made when the first command asks for it."""

    @cached_property
    def settings(self) -> Settings:
        """The settings of the environment; ConfigError when they cannot be used."""
        settings = load(os.environ)
        # Standard output is the command's answer, and often read by a program.
        setup("WARNING", settings.log_format, stream=sys.stderr)
        return settings

    @cached_property
    def unchecked(self) -> Runtime:
        """The runtime of this process, whatever state the database is in."""
        runtime = build(self.settings)
        click.get_current_context().find_root().call_on_close(runtime.engine.dispose)
        return runtime

    @cached_property
    def runtime(self) -> Runtime:
        """The runtime of this process over a database that has our tables."""
        state = revision_state(self.unchecked.engine)
        if state in ("empty", "behind"):
            raise Unavailable(f"the database is {state}; run: python -m relay migrate")
        return self.unchecked

    @property
    def person(self) -> Actor:
        """Whoever sits at this shell, for the audit; who can start commands here may do anything."""
        user = _os_user()
        return Actor(id=f"cli:{user}", name=user, roles=frozenset({"admin"}))


pass_shell = click.make_pass_decorator(Shell, ensure=True)


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return str(os.getuid())
