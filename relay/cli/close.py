"""Own `relay close`: a day prepared, approved, opened again and verified from a shell; a month approved."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click

from relay.bootstrap import desk_of, now, sealer_of
from relay.cli.failures import FAILED
from relay.cli.output import as_json, or_json, say, show
from relay.cli.shell import Shell, pass_shell
from relay.core.amounts import format_micros
from relay.core.days import Day, read_day
from relay.errors import NotFound
from relay.flows import close as flow
from relay.flows import day_files, month_close, months
from relay.flows.days import day_named, first_day
from relay.store import closes
from relay.store.engine import reading, snapshot


class DayType(click.ParamType[str]):
    """A day, read as its name."""

    name = "DAY"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the day's name, or end the command."""
        try:
            return read_day(value).isoformat()
        except ValueError as error:
            self.fail(str(error), param, ctx)


day_option = click.option("--day", type=DayType(), required=True, help="Such as 2026-11-23.")


@click.group()
def close() -> None:
    """The close of a day, by two persons, and of a month."""


@close.command()
@day_option
@click.option("--around", default="", help="Close it although a witness was not read, because; the seal says so.")
@or_json
@pass_shell
def prepare(shell: Shell, *, day: str, around: str) -> None:
    """Prepare a day; tells everything that stands in its way."""
    flow.prepare(desk_of(shell.runtime), _day(shell, day), actor=shell.person, now=now(), around=around)
    say(f"{day} is prepared; another person approves it", day=day)


@close.command()
@day_option
@click.option("--manifest", required=True, help="The SHA-256 of the manifest that was read.")
@click.option("--accept", multiple=True, help="The id of an open P1 that is carried on; once for each.")
@or_json
@pass_shell
def approve(shell: Shell, *, day: str, manifest: str, accept: tuple[str, ...]) -> None:
    """Approve and seal a day that another person, or the clock, has prepared."""
    sealer, runtime = sealer_of(shell.runtime), shell.runtime
    flow.approve(
        desk_of(runtime),
        _day(shell, day),
        manifest_hash=manifest,
        accepted=accept,
        sign=sealer.sign,
        key_id=sealer.id,
        actor=shell.person,
        now=now(),
    )
    runtime.memory.ring()
    say(f"{day} is sealed by key {sealer.id}", day=day, key_id=sealer.id)


@close.command()
@click.argument("name", metavar="YYYY-MM")
@click.option("--manifest", help="Approve it: the SHA-256 of the manifest that was read.")
@or_json
@pass_shell
def month(shell: Shell, *, name: str, manifest: str | None) -> None:
    """Show how a month stands, from opening to closing; with --manifest approve it."""
    if not months.is_month(name):
        raise click.BadParameter("a month is named as 2026-11", param_hint="YYYY-MM")
    desk, moment = desk_of(shell.runtime), now()
    if manifest is not None:
        sealer = sealer_of(shell.runtime)
        sign, key_id = sealer.sign, sealer.id
        month_close.approve(
            desk, name, manifest_hash=manifest, sign=sign, key_id=key_id, actor=shell.person, now=moment
        )
    with reading(desk.engine) as connection:
        told = months.month_of(connection, name, desk.calendar, first_day(connection, desk.calendar, moment), moment)
        made = month_close.draft(connection, told, desk.calendar.day_at(moment).date)
    obstacles = [] if made.is_approved else list(made.obstacles)
    opening, closing = format_micros(made.opening), format_micros(made.closing)
    stands = "approved" if made.is_approved else f"not approved: {'; '.join(obstacles) or 'nothing is in the way'}"
    say(
        f"{told.sealed} of {len(told.days)} days sealed\n"
        f"opening {opening}, closing {closing} USDT paid and not credited\n"
        f"manifest {made.hash}\n{stands}",
        month=name,
        sealed=told.sealed,
        opening=opening,
        closing=closing,
        manifest=made.hash,
        approved=made.is_approved,
        obstacles=obstacles,
    )


@close.command(name="list")
@day_option
@as_json
@pass_shell
def list_versions(shell: Shell, *, day: str, as_json: bool) -> None:
    """List the versions of a day, the newest first."""
    with reading(shell.runtime.engine) as connection:
        found = closes.versions(connection, day)
    columns = ("day", "version", "state", "prepared_by", "approved_by", "manifest_hash", "key_id")
    show([{name: row[name] for name in columns} for row in found], columns, as_json=as_json)


@close.command()
@day_option
@click.option("--reason", help="Ask for it, with a reason; without one, agree to what another person asked.")
@or_json
@pass_shell
def reopen(shell: Shell, *, day: str, reason: str | None) -> None:
    """Open a sealed day again: one person asks, another agrees."""
    desk = desk_of(shell.runtime)
    if reason is None:
        flow.reopen(desk, _day(shell, day), actor=shell.person, now=now())
        say(f"{day} is open again; the sealed version stays readable", day=day)
        return
    flow.ask_to_reopen(desk, _day(shell, day), reason, actor=shell.person, now=now())
    say(f"asked to open {day} again; another person agrees", day=day)


@close.command()
@day_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("evidence.zip"), show_default=True)
@or_json
@pass_shell
def export(shell: Shell, *, day: str, out: Path) -> None:
    """Write the evidence of a sealed day; `python -I verify.py` in it needs nothing of ours."""
    _evidence(shell, day, out)
    say(f"{out}: unpack it and run python -I verify.py .", day=day, file=str(out))


@close.command()
@day_option
@click.option("--rpc", multiple=True, metavar="[CHAIN=]URL", help="Read each transfer again from this node.")
@or_json
@click.pass_context
@pass_shell
def verify(shell: Shell, context: click.Context, *, day: str, rpc: tuple[str, ...]) -> None:
    """Verify the evidence of a sealed day as an auditor would; exit 1 when something does not hold."""
    with tempfile.TemporaryDirectory() as place:
        archive = Path(place) / "evidence.zip"
        _evidence(shell, day, archive)
        # In a process of its own, with the standard library alone: as an auditor runs it, and not by the code that made the evidence.
        program = Path(day_files.__file__).parents[1] / "evidence" / "verify.py"
        nodes = [part for one in rpc for part in ("--rpc", one)]
        done = subprocess.run(
            [sys.executable, "-I", str(program), str(archive), *nodes], capture_output=True, text=True, check=False
        )
    say(done.stdout.rstrip(), day=day, holds=not done.returncode)
    if done.returncode:
        context.exit(FAILED)


def _evidence(shell: Shell, day: str, out: Path) -> None:
    with snapshot(shell.runtime.engine) as connection:
        row = closes.current(connection, day)
        if row is None or row["seal"] is None:
            raise NotFound("this day is not sealed")
        with out.open("wb") as target:
            day_files.evidence(target, row, closes.files(connection, day, row["version"]), closes.keys(connection))


def _day(shell: Shell, name: str) -> Day:
    with reading(shell.runtime.engine) as connection:
        return day_named(connection, desk_of(shell.runtime).calendar, read_day(name))
