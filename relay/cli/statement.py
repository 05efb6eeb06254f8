"""Own `relay statement`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import asdict
from typing import IO

import click

from relay.bootstrap import new_event_id, now
from relay.cli.failures import FAILED
from relay.cli.output import as_json, show_one
from relay.cli.shell import Shell, pass_shell
from relay.core.amounts import parse_usdt
from relay.flows.statements import Importer, StatementRefused, import_statement


class Usdt(click.ParamType[int]):
    """An amount of USDT, read as micros."""

    name = "USDT"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the micros, or end the command."""
        try:
            return parse_usdt(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group()
def statement() -> None:
    """What a provider lists in its back office."""


@statement.command(name="import")
@click.argument("file", type=click.File("rb"))
@click.option("--source", required=True, help="Whose statement it is.")
@click.option("--count", type=click.IntRange(min=0), help="How many orders it must have.")
@click.option("--total", type=Usdt(), help="What its amounts must come to.")
@as_json
@pass_shell
def import_(shell: Shell, file: IO[bytes], source: str, count: int | None, total: int | None, *, as_json: bool) -> None:
    """Keep what FILE (CSV; - is standard input) says of orders; its columns are named in [sources.X.statement].

    All or nothing: with one bad row, or other totals than given here or in
    the file, nothing is kept. Nothing is credited by it alone. The same file again changes nothing.
    """
    runtime = shell.runtime
    with tempfile.TemporaryFile() as copy:
        # What is judged must be what is kept, whoever writes to the file meanwhile; and a pipe can be read once only.
        shutil.copyfileobj(file, copy)
        with click.progressbar(
            length=2 * os.fstat(copy.fileno()).st_size,
            label="importing",
            file=sys.stderr,
            hidden=not sys.stderr.isatty(),
        ) as bar:
            importer = Importer(
                engine=runtime.engine,
                sources=runtime.sources,
                actor=shell.person,
                clock=now,
                new_id=new_event_id,
                tell=bar.update,
            )
            try:
                found = import_statement(importer, copy, source, rows=count, micros=total)
            except StatementRefused as refused:
                for fault in refused.faults:
                    click.echo(fault, err=True)
                raise SystemExit(FAILED) from None
    if found.changed:
        runtime.memory.ring()
    show_one(asdict(found), as_json=as_json, note="imported before; nothing changed" if found.repeated else "")
