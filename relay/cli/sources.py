"""Own `relay sources`."""

from __future__ import annotations

from dataclasses import asdict

import click

from relay.bootstrap import now
from relay.cli.output import as_json, or_json, say, show
from relay.cli.shell import Shell, pass_shell
from relay.flows import sources as flow
from relay.flows.namespaces import move_source


@click.group()
def sources() -> None:
    """The configured providers."""


@sources.command(name="list")
@as_json
@pass_shell
def list_sources(shell: Shell, *, as_json: bool) -> None:
    """List sources with the URL that each provider has to call."""
    runtime = shell.runtime
    found = flow.overview(runtime.engine, runtime.sources, public_url=runtime.settings.public_url)
    show(map(asdict, found), ("name", "namespace", "adapter", "mode", "callback_url", "paused_at"), as_json=as_json)


@sources.command()
@click.argument("name")
@or_json
@pass_shell
def pause(shell: Shell, name: str) -> None:
    """Hold everything that a source sends from now on."""
    flow.pause(shell.runtime.engine, shell.runtime.sources, name, actor=shell.person, now=now())
    say(f"{name} is paused; what comes is stored, acknowledged and held", source=name)


@sources.command()
@click.argument("name")
@or_json
@pass_shell
def resume(shell: Shell, name: str) -> None:
    """Let a source credit again."""
    flow.resume(shell.runtime.engine, shell.runtime.sources, name, actor=shell.person, now=now())
    say(f"{name} goes on; what was held waits for a release", source=name)


@sources.command()
@click.argument("former")
@click.argument("name")
@or_json
@pass_shell
def move(shell: Shell, former: str, name: str) -> None:
    """Give the history of the source FORMER to the configured source NAME, in its namespace; all processes are stopped.

    For a source that was renamed, or (both names being one) whose namespace was changed.
    """
    runtime = shell.runtime
    move_source(runtime.engine, runtime.sources, former, name, actor=shell.person, now=now())
    namespace = runtime.sources[name].namespace
    said = f"the history of {former} is that of {name}, under the namespace {namespace}"
    say(said, source=name, former=former, namespace=namespace)
