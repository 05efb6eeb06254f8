"""The web server as production starts it: where it listens, whom it drops, what it logs."""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.system import free_port

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60
SECRET = "a-secret-key-of-more-than-thirty-two-characters"
BASE = {
    "PATH": os.environ["PATH"],
    "SECRET_KEY": SECRET,
    "RELAY_SOURCES": "",
    "UPSTREAM_APPID": "VunT0000h1l8",
    "UPSTREAM_SECRET": "canary-secret-of-the-provider",
    "LOG_FORMAT": "json",
    "WEB_CONCURRENCY": "1",
}


# Our file, but whoever closes a connection waits for its peer to hang up: the one thread that accepts must not be who does.
PATIENT = """
from pathlib import Path
from gunicorn import util

close = util.close_graceful
util.close_graceful = lambda sock, timeout=None: close(sock, timeout=3_600)
exec(Path("config/gunicorn.conf.py").read_text())
"""


def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Answer with who asks, and whether what starting has made is left out of looks for garbage."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Frozen", str(gc.get_freeze_count() > 0))])
    return [environ["REMOTE_ADDR"].encode()]


class Server:
    """A running gunicorn and what it has said."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, said: Path) -> None:
        self.process = process
        self.port = port
        self._said = said

    @property
    def said(self) -> str:
        return self._said.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in map(json.loads, self.said.splitlines()) if event["event"] == name]

    def connect(self, host: str = "127.0.0.1") -> socket.socket:
        # Far beyond what any answer takes: only a server that is stuck reaches it, not one on a busy machine.
        return socket.create_connection((host, self.port), timeout=PATIENCE_S)

    def get(self, target: str = "/", host: str = "127.0.0.1", *, header: str = "Accept: */*") -> bytes:
        with self.connect(host) as client:
            client.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{header}\r\n\r\n".encode())
            return b"".join(iter(lambda: client.recv(4096), b""))


@contextmanager
def serving(tmp_path: Path, *arguments: str, **environ: str) -> Iterator[Server]:
    """Run gunicorn with our file and the application above until the block ends; then it must end well."""
    port = free_port()
    said = tmp_path / "said"
    command = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", *arguments]
    database = f"sqlite:///{tmp_path}/relay.db"
    with (
        said.open("wb") as output,
        subprocess.Popen(
            [*command, "tests.config.test_gunicorn:app"],
            cwd=ROOT,
            env=BASE | {"PORT": str(port), "DATABASE_URL": database} | environ,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        server = Server(process, port, said)
        try:
            deadline = time.monotonic() + PATIENCE_S
            while process.poll() is None and time.monotonic() < deadline:
                with suppress(OSError):
                    server.connect().close()
                    break
                time.sleep(0.05)
            yield server
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)
        finally:
            process.kill()


def test_it_answers_on_both_families(tmp_path: Path) -> None:
    """Private networks of some platforms know IPv6 only; an IPv4 peer then has a mapped address."""
    with serving(tmp_path) as server:
        assert b"127.0.0.1\r\n" in server.get()
        if "[::]" in server.said:
            assert b"\r\n::1\r\n" in server.get(host="::1")
    assert server.process.returncode == 0


def test_the_sandbox_is_for_this_machine_only(tmp_path: Path) -> None:
    """It has no sign-in, so it listens on loopback alone; and nobody there may say where it is mounted."""
    with serving(tmp_path, RELAY_SANDBOX="1") as server:
        answer = server.get(header="SCRIPT_NAME: /elsewhere")
        assert b"200 OK" in answer
        assert b"X-Frozen: True" in answer
        assert f"http://127.0.0.1:{server.port}" in server.said
        assert "[::]" not in server.said
        assert "0.0.0.0" not in server.said


def test_every_line_is_an_event_and_no_query_is_logged(tmp_path: Path) -> None:
    """Providers sign in the query; the platform may switch the access log on by GUNICORN_CMD_ARGS."""
    with serving(tmp_path, GUNICORN_CMD_ARGS="--access-logfile -") as server:
        server.get("/callbacks/crossing?sign=canary-sign")
    (answered,) = server.events("request_answered")
    assert answered["path"] == "/callbacks/crossing"
    assert (answered["method"], answered["status"]) == ("GET", "200")
    assert "canary" not in server.said


def test_no_request_is_logged_by_default(tmp_path: Path) -> None:
    """A line for each callback is for the platform's router to write."""
    with serving(tmp_path) as server:
        server.get()
    assert server.events("request_answered") == []


def test_half_sent_requests_do_not_hold_the_threads(tmp_path: Path) -> None:
    """More stalled clients than threads, and one that behaves is still answered."""
    with serving(tmp_path) as server, ExitStack() as open_ones:
        for _ in range(40):
            client = open_ones.enter_context(server.connect())
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Le")
        assert b"200 OK" in server.get()
    assert len(server.events("client_stalled")) >= 32
    assert server.events("client_stalled")[0]["level"] == "info"


def test_a_connection_that_keeps_its_thread_takes_none_from_another(tmp_path: Path) -> None:
    """More kept connections than threads, each asked again and again in turn: nobody waits for one that is idle."""
    with serving(tmp_path) as server, ExitStack() as open_ones:
        clients = [open_ones.enter_context(server.connect()) for _ in range(40)]
        for _ in range(3):
            for client in clients:
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert b"200 OK" in _answer(client)
    assert server.events("client_stalled") == [], "no thread has waited for an idle one until it was dropped"


def _answer(client: socket.socket) -> bytes:
    received = b""
    while not received.endswith(b"0\r\n\r\n") and (more := client.recv(4096)):
        received += more
    return received


def test_peers_that_do_not_hang_up_hold_nobody(tmp_path: Path) -> None:
    """Ours is the last word on a connection; whoever keeps its own end open delays no other's request, and be it waited for without end."""
    patient = tmp_path / "gunicorn.conf.py"
    patient.write_text(PATIENT)
    with serving(tmp_path, "-c", str(patient)) as server, ExitStack() as open_ones:
        for _ in range(10):
            client = open_ones.enter_context(server.connect())
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert b"200 OK" in client.recv(4096)
        assert b"200 OK" in server.get()


def test_faults_of_the_configuration_are_told_at_the_start(tmp_path: Path) -> None:
    """All of them, by name, instead of a traceback."""
    with serving(tmp_path, SECRET_KEY="", PORT="many") as server:
        assert server.process.wait(20) == 1
    assert "SECRET_KEY" in server.said
    assert "PORT" in server.said
    assert "Traceback" not in server.said
