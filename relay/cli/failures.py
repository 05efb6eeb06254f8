"""Own how a command fails: one line for each fault, the exit code of its kind, and no traceback."""

from __future__ import annotations

from typing import Any, NoReturn

import click

from relay.errors import ConfigError, RelayError, Unprocessable

FAILED, MISUSED = 1, 2


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
        except Exception as error:
            if not _is_of_the_world(error):
                raise
            _end(FAILED, _first_line(error))


def _end(code: int, *lines: str) -> NoReturn:
    for line in lines:
        click.echo(f"Error: {line}", err=True)
    raise SystemExit(code)


def told(error: Exception) -> str:
    """Say what failed, and what was behind it, in one line."""
    cause = error.__cause__
    return f"{error} ({_first_line(cause)})" if cause is not None and _is_of_the_world(cause) else str(error)


def _is_of_the_world(error: BaseException) -> bool:
    # SQLAlchemy's errors by name: a command that needs no database does not wait until its library is loaded.
    return isinstance(error, OSError) or any(kind.__module__ == "sqlalchemy.exc" for kind in type(error).__mro__)


def _first_line(error: BaseException) -> str:
    # SQLAlchemy wraps the driver's words; the statement and its values below them are not for a terminal.
    words = str(getattr(error, "orig", None) or error).strip()
    return words.splitlines()[0] if words else type(error).__name__
