"""Own `sandbox`: what one does beside a running sandbox. Its code is started by name, and is never part of this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click

from relay.cli.run import SETTINGS

_VAR = click.option(
    "--var",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var"),
    show_default=True,
    help="Where the running sandbox keeps its data.",
)


@click.group()
def sandbox() -> None:
    """Order, make trouble, and run commands, while `run --sandbox` runs."""


@sandbox.command()
@_VAR
@click.argument("dialect")
def order(dialect: str, var: Path) -> None:
    """Make one order in a dialect (crossing, crossing-v2, epusdt, shkeeper, btcpay), and pay it on the chain."""
    _play("relay.sandbox.shop", var, dialect)


@sandbox.command()
@_VAR
@click.argument("trouble")
def make(trouble: str, var: Path) -> None:
    """Let something go wrong that ends in one class of break, such as missing_callback; an unknown word lists them."""
    _play("relay.sandbox.make", var, trouble)


# Options behind the first word are the other command's.
@sandbox.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@_VAR
@click.argument("words", nargs=-1, required=True)
def do(words: tuple[str, ...], var: Path) -> None:
    """Run another command with the sandbox's settings: sandbox do orders list."""
    _start("relay", var, *words)


def _start(module: str, var: Path, *words: str) -> None:
    """End as the module ends, started with what the running sandbox has set over what is set here."""
    try:
        settings = json.loads((var / SETTINGS).read_text())
    except OSError as error:
        raise click.ClickException(f"no sandbox runs on {var}/; `make run` starts one") from error
    command = (sys.executable, "-m", module, *words)
    sys.exit(subprocess.run(command, env={**os.environ, **settings}, check=False).returncode)


def _play(module: str, var: Path, word: str) -> None:
    _start(module, var, "--plan", str(var / "sandbox.json"), "--", word)
