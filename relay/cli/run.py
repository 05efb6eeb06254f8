"""Own `relay run`: everything on this machine from one command, with the sandbox or on configured sources."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import click

from relay.cli.embedded import EmbeddedRedis
from relay.cli.supervisor import TICK_S, Program, Supervisor, run_once

# Two seconds more than the web process gives its requests.
PATIENCE_S = 22.0
FIRST_PORT = 8000
ANSWERS_WITHIN_S = 60.0
BACKLOG = 1024
SETTINGS = "settings.json"
# What a sandbox consists of, whatever is set elsewhere.
OWN_PARTS = ("RELAY_SANDBOX", "RELAY_SOURCES", "RELAY_CHAINS", "CHAIN_SANDBOX_RPC_URLS", "PUBLIC_URL")

_ROOT = Path(__file__).resolve().parents[2]


@click.command()
@click.option(
    "--sandbox", is_flag=True, help="Bring a chain, a provider, three subscribers and traffic, and show the live board."
)
@click.option(
    "--var",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("var"),
    show_default=True,
    help="Where data and logs are kept.",
)
def run(*, sandbox: bool, var: Path) -> None:
    """Start web, worker and clock, with an embedded Redis where none is configured; Ctrl-C ends them."""
    # Before anything starts: a Ctrl-C meanwhile is counted, not raised, and ends what was started.
    interrupts = Interrupts()
    with only_one(var):
        plan = _Plan.of(var, sandbox=sandbox)
        supervisor = Supervisor(var / "children.json", say=_say)
        try:
            failure = _start(supervisor, plan, interrupts)
            while failure is None and not interrupts.count:
                supervisor.tick()
                time.sleep(TICK_S)
        finally:
            if interrupts.count:
                _say("ending; what is under way is finished first, once more Ctrl-C ends it now")
            supervisor.stop(patience_s=PATIENCE_S, hurried=lambda: interrupts.count > 1)
            plan.settings.unlink(missing_ok=True)
            plan.listener.close()
    if failure is not None:
        raise click.ClickException(failure)
    _say("all ended. Data and logs are kept in " + f"{var}/")


class Interrupts:
    """Counts the requests to end: the first is patient, the second is not."""

    def __init__(self) -> None:
        self.count = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        self.count += 1


@dataclass(frozen=True, slots=True)
class _Plan:
    """What this run consists of: where it keeps things, whose environment it passes on, and where it listens.

    The listening socket is taken once, here, and handed to each web process: no other server can come in between, and
    who calls while the web process is started again waits instead of being refused.
    """

    var: Path
    sandbox: bool
    environment: dict[str, str]
    listener: socket.socket

    @classmethod
    def of(cls, var: Path, *, sandbox: bool) -> _Plan:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        _default(environment, "DATABASE_URL", f"sqlite:///{var.resolve() / 'relay.db'}")
        if sandbox:
            # One person looks: more of each would only start later.
            for name in ("WEB_CONCURRENCY", "RELAY_DELIVERERS"):
                _default(environment, name, "1")
        given = environment.get("PORT") or str(FIRST_PORT)
        # One that is no port is a fault which the settings will name, together with all others.
        port = int(given) if given.isascii() and given.isdigit() and len(given) <= 5 and int(given) < 65_536 else 0
        return cls(var, sandbox, environment, _local_listener(port) if sandbox else _listener(port))

    @property
    def settings(self) -> Path:
        """Where the settings of the running sandbox lie, for commands beside it."""
        return self.var / SETTINGS

    @property
    def port(self) -> int:
        """Where the web process answers."""
        return int(self.listener.getsockname()[1])

    def python(self, name: str, *arguments: str | Path, log: bool = True, rank: int = 1) -> Program:
        """A program of ours, started by its module's name."""
        return Program(
            name=name,
            command=(sys.executable, "-m", *map(str, arguments)),
            environment=self.environment,
            log=self.var / "log" / f"{name}.log" if log else None,
            rank=rank,
        )

    @property
    def facts(self) -> tuple[str, Path]:
        """How a process of the sandbox is told where the sandbox's plan is."""
        return ("--plan", self.var.resolve() / "sandbox.json")


def _start(supervisor: Supervisor, plan: _Plan, interrupts: Interrupts) -> str | None:
    """Start everything in the order in which it leans on each other; return why it cannot go on, if so."""
    if plan.sandbox:
        if not _prepare_sandbox(plan):
            return "the sandbox could not be prepared"
        # First of all: an EVM takes a while to load.
        chain = ("--port", plan.environment["CHAIN_SANDBOX_RPC_URLS"].rpartition(":")[2])
        kept = ("--keep", plan.var.resolve() / "sandbox-chain.db")
        supervisor.add(plan.python("chain", "relay.sandbox.chain", *chain, *kept, rank=2))
    if not _is_set(plan.environment, "REDIS_URL", "REDIS_TLS_URL") and not _start_redis(supervisor, plan):
        return f"the embedded Redis does not start; see {plan.var}/log/redis.log"
    if run_once(plan.python("migrate", "relay", "migrate")).returncode:
        return "the database could not be migrated"
    if plan.sandbox and not _start_counterparts(supervisor, plan):
        return "the sandbox's endpoints could not be registered"
    supervisor.add(_web(plan))
    if plan.sandbox:
        # Behind the web process, which has settled the port.
        _note_settings(plan)
    supervisor.add(plan.python("worker", "jobs.worker"))
    supervisor.add(plan.python("clock", "jobs.clock"))
    url = f"http://127.0.0.1:{plan.port}"
    is_up = _await(supervisor, f"{url}/livez", "alive", interrupts)
    if interrupts.count:
        return None
    if not is_up:
        _say("the web process does not answer yet; its log will say why")
    _greet(plan, url)
    if plan.sandbox and _await(supervisor, f"{url}/readyz", "ready", interrupts):
        supervisor.add(plan.python("traffic", "relay.sandbox.traffic", *plan.facts, rank=0))
        story = (*plan.facts, "--children", plan.var.resolve() / "children.json")
        supervisor.add(plan.python("story", "relay.sandbox.story", *story, log=False, rank=0))
    return None


def _prepare_sandbox(plan: _Plan) -> bool:
    """Take over the sandbox's keys and settings; what is set in the environment stays, but for what the sandbox consists of."""
    made = run_once(
        plan.python("prepare", "relay.sandbox.plan", *plan.facts, "--relay", f"http://127.0.0.1:{plan.port}")
    )
    if made.returncode:
        return False
    for name, value in json.loads(made.stdout).items():
        if name in OWN_PARTS:
            plan.environment.pop(f"{name}_FILE", None)
            plan.environment[name] = value
        elif name == "RELAY_ENDPOINT_ALLOW_CIDRS":
            plan.environment[name] = ",".join(filter(None, (plan.environment.get(name), value)))
        else:
            _default(plan.environment, name, value)
    return True


def _start_redis(supervisor: Supervisor, plan: _Plan) -> bool:
    redis = EmbeddedRedis(plan.var / "redis")
    supervisor.add(Program("redis", redis.command, plan.environment, plan.var / "log" / "redis.log", rank=3))
    plan.environment["REDIS_URL"] = redis.url
    return redis.await_ready()


def _start_counterparts(supervisor: Supervisor, plan: _Plan) -> bool:
    """Give a fresh database some days, which no subscriber is told of; register the three, then start them and the provider."""
    if run_once(plan.python("past", "relay.sandbox.past", *plan.facts)).returncode:
        return False
    if run_once(plan.python("register", "relay.sandbox.register", *plan.facts)).returncode:
        return False
    supervisor.add(plan.python("subscribers", "relay.sandbox.subscribers", *plan.facts, rank=2))
    supervisor.add(plan.python("provider", "relay.sandbox.watch", *plan.facts, rank=0))
    return True


def _web(plan: _Plan) -> Program:
    plan.environment["PORT"] = str(plan.port)
    taken = plan.listener.fileno()
    app = "wsgi:app"
    if plan.sandbox:
        app = f"relay.sandbox.wsgi:make_app({str(plan.facts[1])!r}, {str(plan.var.resolve() / 'children.json')!r})"
    web = plan.python("web", "gunicorn", "-c", _ROOT / "config" / "gunicorn.conf.py", "--bind", f"fd://{taken}", app)
    return replace(web, inherits=(taken,))


def _note_settings(plan: _Plan) -> None:
    """Leave what this run has set for commands beside it, readable by its owner alone."""
    ours = {name: value for name, value in plan.environment.items() if os.environ.get(name) != value}
    # A file that is there already would keep its mode, and whoever has it open.
    plan.settings.unlink(missing_ok=True)
    with os.fdopen(os.open(plan.settings, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(ours, file)


def _await(supervisor: Supervisor, url: str, word: str, interrupts: Interrupts) -> bool:
    """Wait until a health route says the word; False when it does not in time, or when the run is to end."""
    opener = build_opener(ProxyHandler({}))
    deadline = time.monotonic() + ANSWERS_WITHIN_S
    while time.monotonic() < deadline and not interrupts.count:
        supervisor.tick()
        with suppress(OSError, HTTPException, ValueError), opener.open(url, timeout=1) as answer:
            if json.load(answer)["status"] == word:
                return True
        time.sleep(TICK_S)
    return False


def _greet(plan: _Plan, url: str) -> None:
    rows = [("logs", f"{plan.var}/log/")]
    if plan.sandbox:
        key = plan.environment.get("RELAY_ADMIN_KEY", "the one in RELAY_ADMIN_KEY_FILE")
        people = plan.environment.get("RELAY_SANDBOX_PEOPLE", "")
        rows = [
            ("board", f"{url}/"),
            ("finance", f"{url}/finance  {people}"),
            ("API", f"{url}/openapi.json"),
            ("demo key", f"{key}  (every role)"),
            *rows,
        ]
    else:
        rows = [("console", f"{url}/"), ("callbacks", f"{url}/callbacks/<source>"), *rows]
    _say("\nRecharge Relay is up. Ctrl-C ends it.\n")
    for name, value in rows:
        _say(f"  {name:<10}{value}")
    _say("")


@contextmanager
def only_one(var: Path) -> Iterator[None]:
    """Hold the folder for this run; a second one on the same data is refused."""
    var.mkdir(parents=True, exist_ok=True)
    with (var / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise click.ClickException(f"another run is using {var}/") from error
        yield


def _is_set(environment: Mapping[str, str], *names: str) -> bool:
    """Whether one of the settings is given, as itself or as a file."""
    return any(environment.get(name) or environment.get(f"{name}_FILE") for name in names)


def _default(environment: dict[str, str], name: str, value: str) -> None:
    if not _is_set(environment, name):
        environment[name] = value


def _local_listener(port: int) -> socket.socket:
    """Take the first free port from this one on, for this machine alone."""
    while port < 65_536:
        with suppress(OSError):
            return socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        port += 1
    raise click.ClickException("no free port")


def _listener(port: int) -> socket.socket:
    """Take this port on all addresses, of both families where the machine has IPv6."""
    try:
        with suppress(OSError):
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
        return socket.create_server(("", port), backlog=BACKLOG)
    except OSError as error:
        raise click.ClickException(f"port {port} cannot be used: {error.strerror}") from error


def _say(text: str) -> None:
    # A terminal that went away must not keep the children from being ended.
    try:
        click.echo(text)
    except OSError:
        return


if __name__ == "__main__":
    run()
