"""Own how the web process serves. gunicorn runs this file; what the platform or the command line says comes after it."""

from __future__ import annotations

import gc
import os
import select
import socket
import struct
import sys
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.util import close_graceful
from gunicorn.workers.gthread import ThreadWorker

from config import logs
from config.settings import load
from relay.errors import ConfigError
from relay.web.context import EXTENSION

STALLED_AFTER_S = 5
CLOSING_S = 0.5
LINGER_MS = 20


def _settings() -> Any:
    try:
        return load(os.environ)
    except ConfigError as error:
        raise SystemExit("\n".join(("The configuration cannot be used:", *error.faults))) from error


def _address(port: int, *, local: bool) -> str:
    """Return where to listen: on all addresses of both families, of one where the machine has no IPv6."""
    # The sandbox has no sign-in.
    if local:
        return f"127.0.0.1:{port}"
    # Private networks of some platforms know IPv6 only.
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
    except OSError:
        return f"0.0.0.0:{port}"
    return f"[::]:{port}"


class _Log(Logger):
    """gunicorn's events in our log, and requests without their query, which may hold a signature."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        logs.configure(_loaded)

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        if not self.access_log_enabled:
            return
        status = resp.status.split(None, 1)[0] if isinstance(resp.status, str) else resp.status
        took = round(request_time.total_seconds() * 1000)
        fields = {"method": req.method, "path": req.path, "status": status, "bytes": resp.sent, "latency_ms": took}
        self.access_log.info("request_answered", extra=fields)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        # A receive that timed out (see _drop_the_silent) is the client's doing: no traceback for each.
        if isinstance(sys.exc_info()[1], BlockingIOError):
            self.error_log.info("client_stalled")
        else:
            super().exception(msg, *args, **kwargs)


class _Worker(ThreadWorker):
    """The threaded worker, but a connection stays with the thread that served it while there is one for each, and is closed by it.

    gunicorn would hand it back, after each request, to the one thread that
    accepts for all, and close it there, waiting up to two seconds for each
    peer that does not hang up. Measured with 32 connections on SQLite: 2,040 us
    of CPU a callback against 2,600, in four interleaved runs on a busy machine.
    """

    def handle(self, conn: Any) -> Any:
        goes_on = super().handle(conn)
        while goes_on is True and self._stays(conn):
            goes_on = super().handle(conn)
        if not goes_on:
            # Closed here, where it holds up one thread: ten peers that do not hang up held the accepting one for 20 s.
            close_graceful(conn.sock, timeout=CLOSING_S)
            conn.close = _is_closed
        return goes_on

    def _stays(self, conn: Any) -> bool:
        """Tell whether the next request comes soon; not waited for when there are more connections than threads."""
        if not self.alive or self.nr_conns > self.cfg.threads:
            return False
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        return bool(poll.poll(LINGER_MS))


def _is_closed(*, graceful: bool = False) -> None:
    """Stand in for closing a connection again."""


def post_fork(server: Any, worker: Any) -> None:
    """Forget connections that were opened before the fork: two processes must never speak on one."""
    runtime = getattr(server.app.wsgi(), "extensions", {}).get(EXTENSION)
    if runtime is not None:
        runtime.engine.dispose(close=False)
    _stay_on_one_core(worker.age)


def _stay_on_one_core(number: int) -> None:
    """Keep the threads of a worker on one core: only one of them runs at a time, and handing over to another core costs.

    Measured on two cores: 1,149 callbacks a second against 890, in four
    interleaved runs. The parent's id spreads several services over one host.
    """
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[(number + os.getppid()) % len(cores)]})


def when_ready(server: Any) -> None:
    """Prepare what all workers share, before the first is forked."""
    _drop_the_silent(server)
    # What starting has made is no garbage: to go through it each time held every request for 250 ms.
    gc.collect()
    gc.freeze()


def _drop_the_silent(server: Any) -> None:
    """Drop a client that sends nothing for a while; half-sent requests would hold every thread for ever.

    Accepted connections take the limit over from the listening socket. A
    client that sends a byte at a time is for the proxy in front to stop.
    """
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", STALLED_AFTER_S, 0))


_loaded = _settings()

bind = _address(_loaded.port, local=_loaded.sandbox)
worker_class = _Worker
workers = _loaded.web_concurrency
# A request mostly waits for the commit that it shares, and the more wait, the more share it.
threads = 32
preload_app = True
# Under gthread only a heartbeat of the worker; requests have deadlines of their own.
timeout = 30
# Platforms kill 30 s after the first signal.
graceful_timeout = 20
# Longer than the idle time of the proxies in front, so that it is never us who close a connection they reuse.
keepalive = 95
# No header of a request says where it is mounted or how it came, not even a neighbour's on this machine; so nobody has to be
# looked up among those who may say so. Proxies in front are counted by TRUSTED_PROXY_HOPS.
forwarded_allow_ips = "*"
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
limit_request_line = 4094
limit_request_fields = 64
control_socket_disable = True
# The worker's heartbeat is a file; on a disk, a slow one would look like a dead worker.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  # memory, and only an empty file in it
logger_class = _Log
# A line for each callback is for the platform's router to write.
accesslog = None
