"""Own what every command starts from: the settings, the runtime, the log, and how a failure is told."""

from __future__ import annotations

import getpass
import os
import sys
from functools import cached_property
from typing import Any, NoReturn

import click
from sqlalchemy.exc import SQLAlchemyError

from config.logs import setup
from config.settings import Settings, load
from relay.bootstrap import Runtime, build
from relay.core.actors import Actor
from relay.errors import ConfigError, RelayError, Unavailable, Unprocessable
from relay.store.migrate import revision_state

FAILED, MISUSED = 1, 2


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


class Commands(click.Group):
    """A group whose commands fail in one line each fault, with the exit code of its kind and no traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; exit with 1 when it failed, with 2 when the call or the configuration is wrong."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            _end(MISUSED, *error.faults)
        except Unprocessable as error:
            _end(MISUSED, error.detail)
        except RelayError as error:
            _end(FAILED, told(error))
        except UnicodeEncodeError:
            # Bytes that are no UTF-8 come to us as surrogates, which neither a database nor a terminal takes.
            _end(MISUSED, "an argument is not UTF-8")
        except BrokenPipeError:
            # Whoever read us has seen enough; click ends us quietly.
            raise
        except (SQLAlchemyError, OSError) as error:
            _end(FAILED, _first_line(error))


def _end(code: int, *lines: str) -> NoReturn:
    for line in lines:
        click.echo(f"Error: {line}", err=True)
    raise SystemExit(code)


def told(error: Exception) -> str:
    """Say what failed, and what was behind it, in one line."""
    cause = error.__cause__
    return f"{error} ({_first_line(cause)})" if isinstance(cause, SQLAlchemyError | OSError) else str(error)


def _first_line(error: BaseException) -> str:
    # SQLAlchemy wraps the driver's words; the statement and its values below them are not for a terminal.
    words = str(getattr(error, "orig", None) or error).strip()
    return words.splitlines()[0] if words else type(error).__name__


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return str(os.getuid())
