"""Own `sandbox`: what one does beside a running sandbox. Its code is started by name, and is never part of this process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

_VAR = click.option(
    "--var",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var"),
    show_default=True,
    help="Where the running sandbox keeps its data.",
)


@click.group()
def sandbox() -> None:
    """Order, or make trouble, while `run --sandbox` runs."""


@sandbox.command()
@_VAR
@click.argument("dialect")
def order(dialect: str, var: Path) -> None:
    """Make one order in a dialect (crossing, crossing-v2, epusdt, shkeeper, btcpay), and pay it on the chain."""
    _start("relay.sandbox.shop", var, dialect)


@sandbox.command()
@_VAR
@click.argument("trouble")
def make(trouble: str, var: Path) -> None:
    """Let something go wrong that ends in one class of break, such as missing_callback; an unknown word lists them."""
    _start("relay.sandbox.make", var, trouble)


def _start(module: str, var: Path, word: str) -> None:
    plan = var / "sandbox.json"
    if not plan.exists():
        raise click.ClickException(f"no sandbox keeps its data in {var}/; `make run` starts one")
    command = (sys.executable, "-m", module, "--plan", str(plan), "--", word)
    sys.exit(subprocess.run(command, check=False).returncode)
