"""Own `relay reconcile`."""

from __future__ import annotations

import json

import click

from relay.bootstrap import bench_of, new_act_id, now
from relay.cli.output import as_json, or_json, say
from relay.cli.shell import Shell, pass_shell
from relay.core.amounts import format_micros
from relay.core.events import rfc3339
from relay.flows import asked_acts, recovery
from relay.flows import reconcile as flow
from relay.flows.asked_acts import Till
from relay.flows.rounds import run_now
from relay.store.engine import reading

FAILED, BREAKS_FOUND = 1, 3


@click.group()
def reconcile() -> None:
    """The join of callbacks, providers and chains."""


@reconcile.command()
@or_json
@pass_shell
def run(shell: Shell) -> None:
    """Judge what changed, recover what is missing; exit 3 when breaks are open, else 1 when it saw less than all or another process runs."""
    runtime = shell.runtime
    done = run_now(bench_of(runtime, shell.person.id), runtime.intake, actor=shell.person, clock=now)
    runtime.memory.ring()
    found = flow.status(runtime.engine)
    count = sum(one["count"] for one in found["open"].values())
    reason = found["run"]["reason"] if done.state == "incomplete" else ""
    said = f"{done.state}; {done.recovered} recovered; {count} breaks are open" + (f"\n{reason}" if reason else "")
    say(said, state=done.state, recovered=done.recovered, open=count, reason=reason)
    if count:
        raise SystemExit(BREAKS_FOUND)
    if done.state != "complete":
        raise SystemExit(FAILED)


@reconcile.command()
@as_json
@pass_shell
def status(shell: Shell, *, as_json: bool) -> None:
    """Show the last run, what is open, and what a brake has stopped."""
    found = flow.status(shell.runtime.engine)
    if as_json:
        run = found["run"]
        if run is not None:
            times = {name: rfc3339(run[name]) for name in ("finished_at", "last_checked")}
            found["run"] = run | times | {"manifest": json.loads(run["manifest"])}
        click.echo(json.dumps(found))
        return
    run = found["run"]
    if run is None:
        click.echo("no run yet")
    else:
        reason = f" ({run['reason']})" if run["reason"] else ""
        click.echo(
            f"{run['state']}{reason}, checked {rfc3339(run['last_checked'])}, manifest {run['manifest_hash'][:12]}"
        )
    for kind, one in found["open"].items():
        click.echo(f"{kind}: {one['count']}, {format_micros(one['micros'])} USDT")
    stopped = found["stopped"]
    if stopped["count"]:
        click.echo(f"a brake has stopped {stopped['count']}, {format_micros(stopped['micros'])} USDT")


@reconcile.command()
@click.argument("break_id", metavar="BREAK")
@click.option("--reason", required=True, help="Why; it stands in the audit.")
@or_json
@pass_shell
def propose(shell: Shell, break_id: str, *, reason: str) -> None:
    """Propose money that came without an order as its owner's credit; another person credits it."""
    moment, till = now(), _till(shell)
    asked_acts.ask_credit(till, break_id, reason, actor=shell.person, now=moment, act_id=new_act_id(moment))
    say("it is proposed; another person credits it", id=break_id)


@reconcile.command()
@click.argument("break_id", metavar="BREAK")
@or_json
@pass_shell
def credit(shell: Shell, break_id: str) -> None:
    """Credit money that came without an order, as another person has proposed."""
    runtime = shell.runtime
    with reading(runtime.engine) as connection:
        wish = asked_acts.asked_of(connection, break_id)
    asked_acts.agree(_till(shell), wish["id"], actor=shell.person, now=now())
    runtime.memory.ring()
    credited = format_micros(wish["micros"])
    say(f"{wish['orderid']} is credited with {credited} USDT", orderid=wish["orderid"], credited=credited)


def _till(shell: Shell) -> Till:
    return Till(bench_of(shell.runtime, shell.person.id), shell.runtime.intake)


@reconcile.command()
@click.argument("source")
@click.argument("orderids", nargs=-1)
@click.option("--refuse", is_flag=True, help="Do not credit them; they stay breaks.")
@click.option("--reason", default="", help="Why; it stands in the audit.")
@or_json
@pass_shell
def release(shell: Shell, source: str, orderids: tuple[str, ...], *, refuse: bool, reason: str) -> None:
    """Release what a source's brake has stopped: the orders named, or all of them."""
    bench = bench_of(shell.runtime, shell.person.id)
    count = recovery.decide(
        bench,
        shell.runtime.intake,
        orderids,
        release=not refuse,
        source=source,
        reason=reason,
        actor=shell.person,
        now=now(),
    )
    shell.runtime.memory.ring()
    say(f"{count} {'refused' if refuse else 'credited'}", count=count, refused=refuse)
