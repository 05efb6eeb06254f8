from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from relay.sandbox.dialects import DIALECTS
from relay.sandbox.loopback import ask
from relay.sandbox.plan import SUBSCRIBERS, Plan
from relay.sandbox.shop import shop_of

ROOT = Path(__file__).parents[2]
# Only what a fresh machine has; whatever the tests' own environment says must not reach the run.
FRESH = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


class Run:
    """`python -m relay run` as a real process, and what it said so far."""

    def __init__(self, var: Path, *options: str, **environment: str) -> None:
        self.var = var
        command = (sys.executable, "-m", "relay", "run", "--var", str(var), *options)
        self.process = subprocess.Popen(
            command, cwd=ROOT, env={**FRESH, **environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0,
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            self.lines.extend(iter(output.readline, ""))

    @property
    def said(self) -> str:
        return "".join(self.lines)

    @property
    def url(self) -> str:
        found = re.search(r"(?:board|console) +(http://127\.0\.0\.1:\d+)/", self.said)
        assert found, self.said
        return found.group(1)

    def children(self) -> dict[str, dict[str, Any]]:
        listed: dict[str, dict[str, Any]] = json.loads((self.var / "children.json").read_text())
        return listed

    def plan(self) -> Plan:
        return Plan.read(self.var / "sandbox.json")

    def ledgers(self) -> dict[str, Any]:
        return ask(f"{self.plan().subscribers_url}/ledgers", timeout_s=5) or {}

    def page(self) -> str:
        with urllib.request.urlopen(self.url, timeout=10) as answer:
            return str(answer.read().decode())

    def order(self, source: str, orderid: str) -> dict[str, Any]:
        """An order as the relay's own API tells it."""
        headers = {"Authorization": f"Bearer {self.plan().admin_key}"}
        request = urllib.request.Request(f"{self.url}/v1/orders/{source}/{orderid}", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            told: dict[str, Any] = json.load(answer)
        return told

    def await_line(self, words: str, *, within_s: float = 60) -> str:
        until(lambda: words in self.said or self.process.poll() is not None, what=words, within_s=within_s)
        assert words in self.said, self.said
        return next(line for line in self.lines if words in line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """A test that failed leaves nothing running: the guard ends what the supervisor cannot any more."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(timeout=30)

    def end(self, number: int = signal.SIGINT, *, within_s: float = 27) -> int:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
        status = self.process.wait(timeout=within_s)
        self._reader.join(timeout=10)
        return status


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the relay, to its end."""
    command = (sys.executable, "-m", "relay", *arguments)
    return subprocess.run(command, cwd=ROOT, env=FRESH, text=True, capture_output=True, check=False, timeout=60)


def until(holds: Callable[[], bool], *, what: str, within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.1)


def processes_of(var: Path) -> list[str]:
    """Every process that still works for this run, known by the folder that its environment or command names."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            known = folder.joinpath("cmdline").read_bytes() + folder.joinpath("environ").read_bytes()
        except OSError:
            continue
        if str(var).encode() in known and int(folder.name) != os.getpid():
            found.append(folder.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One sandbox for the tests that only look at it."""
    with Run(tmp_path_factory.mktemp("run") / "var", "--sandbox") as run:
        run.await_line("demo key")
        yield run
        assert run.end() == 0, run.said


def press(run: Run, act: str) -> int:
    request = urllib.request.Request(f"{run.url}/sandbox/{act}", data=b"", headers={"Origin": run.url})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return int(answer.status)


def test_within_a_minute_the_story_is_told(sandbox: Run) -> None:
    """An order at three services, a forgery refused, a lost callback, a service that was down and was told again."""
    for words in (
        "callback ok, 3 of 3 told",
        "same callback three times, credited once, 3 of 3 told",
        "refused (401)",
        "LOST by the provider",
        "billing down, retried, delivered",
    ):
        sandbox.await_line(words)


def test_an_order_of_every_dialect_is_followed_to_its_credit(sandbox: Run) -> None:
    """Made through the relay or told to it, paid on the chain, called back, and credited with what was paid."""
    shop = shop_of(sandbox.var / "sandbox.json", sandbox.plan().environment())
    made = {dialect: shop.order(dialect, amount=307_500) for dialect in DIALECTS}
    for dialect, order in made.items():
        assert order is not None, dialect
        shop.pay(order)
    for dialect, order in made.items():
        assert order is not None
        until(lambda: sandbox.order(dialect, order.orderid)["state"] == "succeeded", what=f"a credit by {dialect}")  # noqa: B023 - it is called at once
        told = sandbox.order(dialect, order.orderid)
        assert (told["credited_micros"], told["address"].lower()) == (30_750_000, order.address)
        assert {"callback", "event"} < {step["what"] for step in told["timeline"]}


def test_trouble_is_made_and_orders_are_added_beside_it(sandbox: Run) -> None:
    """By commands that say what to look at."""
    var = ("--var", str(sandbox.var))
    made = ran("sandbox", "make", *var, "duplicate_conflict")
    assert made.returncode == 0, made.stderr
    orderid = made.stdout.split()[-1]
    until(lambda: sandbox.order("crossing", orderid)["state"] == "held", what="a conflict that is held")
    assert json.loads(ran("sandbox", "order", *var, "btcpay").stdout)["orderid"] > orderid
    assert orderid in ran("sandbox", "do", *var, "orders", "list", "--state", "held").stdout
    unknown = ran("sandbox", "make", *var, "everything")
    assert (unknown.returncode, "missing_callback" in unknown.stderr) == (2, True)


def test_without_a_sandbox_nothing_is_made(tmp_path: Path) -> None:
    """The way to start one is told."""
    for words in (("order", "--var", str(tmp_path), "crossing"), ("do", "--var", str(tmp_path), "doctor")):
        refused = ran("sandbox", *words)
        assert refused.returncode == 1
        assert "make run" in refused.stderr


def test_the_chain_is_read_and_shown(sandbox: Run) -> None:
    """Blocks, confirmations, and in the end that they are final."""
    assert "chain" in sandbox.children()
    until(lambda: "confirmations, final" in sandbox.page(), what="a final payment on the board")


def test_the_services_own_records_say_once(sandbox: Run) -> None:
    """Whatever was repeated, forged or retried."""
    sandbox.await_line("same callback three times")
    ledgers = sandbox.ledgers()
    assert set(ledgers) == set(SUBSCRIBERS)
    assert [(one["twice"], one["altered"], one["refused"]) for one in ledgers.values()] == [(0, 0, 0)] * 3
    assert all(one["orders"] for one in ledgers.values())


def test_the_board_is_on_this_machine_alone(sandbox: Run) -> None:
    """It has no sign-in, so no other address of the machine answers."""
    port = int(sandbox.url.rsplit(":", 1)[1])
    assert "paid" in sandbox.page()
    for address in ("127.0.0.2", "::1"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as probe:
            assert probe.connect_ex((address, port)) != 0


def test_a_killed_worker_is_healed(sandbox: Run) -> None:
    """Another is started, and what comes afterwards is told to everybody."""
    before = sandbox.children()["worker"]
    assert press(sandbox, "kill-worker") == 200
    until(lambda: sandbox.children()["worker"]["starts"] > before["starts"], what="another worker")
    last = sandbox.ledgers()["wallet"]["orders"]
    until(lambda: sandbox.ledgers()["wallet"]["orders"] > last + 1, what="orders after the worker died")


def test_a_flushed_and_killed_redis_loses_nothing(sandbox: Run) -> None:
    """First emptied, then killed outright; the supervisor brings it back and orders go on."""
    assert press(sandbox, "flush-redis") == 200
    os.killpg(sandbox.children()["redis"]["pid"], signal.SIGKILL)
    until(lambda: sandbox.children()["redis"]["starts"] == 2, what="another Redis")
    last = sandbox.ledgers()["wallet"]["orders"]
    until(lambda: sandbox.ledgers()["wallet"]["orders"] > last + 2, what="orders after Redis died")
    assert sum(one["twice"] for one in sandbox.ledgers().values()) == 0


def test_a_lost_callback_is_shown_as_unexplained(sandbox: Run) -> None:
    """It is stated, not hidden."""
    assert press(sandbox, "lose") == 200
    sandbox.await_line("LOST by the provider")
    until(lambda: "not credited" in sandbox.page(), what="a row that is not credited", within_s=40)


def test_keys_and_data_are_kept_for_their_owner(sandbox: Run) -> None:
    """What `run` makes under `var/` is readable by nobody else where it is secret."""
    for name in ("sandbox.json", "settings.json", "redis/server.conf"):
        assert stat.S_IMODE((sandbox.var / name).stat().st_mode) == 0o600
    assert sandbox.plan().admin_key in sandbox.await_line("demo key")
    logs = {path.name for path in (sandbox.var / "log").iterdir()}
    assert {"web.log", "worker.log", "clock.log", "redis.log"} <= logs


def test_a_second_run_on_the_same_data_is_refused(sandbox: Run) -> None:
    """Two would disturb each other."""
    with Run(sandbox.var, "--sandbox") as second:
        assert second.process.wait(timeout=20) == 1
    assert "another run is using" in second.said


def test_one_interrupt_ends_everything_and_a_second_start_goes_on(tmp_path: Path) -> None:
    """No process is left, the exit is clean, and the next start credits no old order again."""
    var = tmp_path / "var"
    numbers = []
    for _ in range(2):
        with Run(var, "--sandbox") as run:
            numbers.append(run.await_line("told in").split()[0])
            assert processes_of(var)
            began = time.monotonic()
            assert run.end() == 0, run.said
        assert time.monotonic() - began < 25
        assert "all ended" in run.said
        assert processes_of(var) == []
        assert not (var / "children.json").exists()
    assert numbers[1] > numbers[0]


def test_on_postgres_too_and_a_killed_supervisor_leaves_nobody(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    """The same story on servers that were given. SIGKILL cannot be caught; the guard sees the pipe close."""
    var = tmp_path / "var"
    with Run(var, "--sandbox", DATABASE_URL=postgres_url, REDIS_URL=redis_url) as run:
        run.await_line("3 of 3 told")
        assert "redis" not in run.children()
        assert not (var / "relay.db").exists()
    until(lambda: processes_of(var) == [], what="no process of the run", within_s=25)


def test_without_the_sandbox_it_runs_configured_sources(tmp_path: Path, postgres_url: str, redis_url: str) -> None:
    """On the Postgres and the Redis that it was given: no embedded server, no board, no sandbox."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {
        "DATABASE_URL": postgres_url, "REDIS_URL": redis_url, "PORT": port, "UPSTREAM_APPID": "A1",
        "UPSTREAM_SECRET": "a-secret-of-the-provider", "SECRET_KEY": "k" * 48, "WEB_CONCURRENCY": "2",
    }  # fmt: skip
    with Run(tmp_path / "var", **environment) as run:
        run.await_line("callbacks")
        assert set(run.children()) == {"web", "worker", "clock"}
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{run.url}/sandbox/lose", data=b"", timeout=10)
        with refused.value as answer:
            assert answer.code == 404
        assert not (tmp_path / "var" / "redis").exists()
        assert run.end(signal.SIGTERM) == 0, run.said


def test_a_port_in_use_is_said_at_once(tmp_path: Path) -> None:
    """Without the sandbox it is not changed: whoever calls back knows this port."""
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        Run(tmp_path / "var", PORT=str(other.getsockname()[1])) as run,
    ):
        assert run.process.wait(timeout=20) == 1
        assert "in use" in run.said


def test_the_port_stays_taken_while_the_web_process_is_started_again(sandbox: Run) -> None:
    """No other server can come in between, and who calls meanwhile waits for the answer."""
    before = sandbox.children()["web"]
    os.killpg(before["pid"], signal.SIGKILL)
    until(lambda: sandbox.children()["web"]["pid"] != before["pid"], what="the end of the web process")
    with (
        pytest.raises(OSError, match="in use"),
        socket.create_server(("127.0.0.1", int(sandbox.url.rsplit(":", 1)[1]))),
    ):
        pass
    with urllib.request.urlopen(f"{sandbox.url}/livez", timeout=20) as answer:
        assert answer.status == 200
    assert sandbox.children()["web"]["starts"] == before["starts"] + 1


def test_a_wrong_configuration_stops_the_start_and_names_every_fault(tmp_path: Path) -> None:
    """Nothing is left running, and the exit says that it failed."""
    with Run(tmp_path / "var", PORT="0", REDIS_URL="redis://127.0.0.1:1/0") as run:
        assert run.process.wait(timeout=30) != 0
    for name in ("SECRET_KEY", "PORT", "UPSTREAM_SECRET"):
        assert name in run.said
