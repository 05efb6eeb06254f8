"""Own the worker (`python -m jobs.worker`): processes that are kept alive, some that deliver and one that works."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence

from config import logs
from config.settings import load
from jobs.pulse import Pulse
from jobs.stopping import REMIND_EVERY_S, STOP
from relay.errors import ConfigError
from relay.store.engine import make_engine

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2
# Platforms kill 30 s after the first signal. An exchange takes 15 s at most, a job is given 20 s.
PATIENCE_S = 24.0
LONGEST_WAIT_S = 30.0
# A child that lived this long had started well; its next death begins the back-off anew.
SETTLED_S = 60.0


class Child:
    """A module of ours in a process of its own, started again when it dies, each time in a row a little later."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._deaths = 0
        self._due_at = 0.0

    @property
    def is_alive(self) -> bool:
        """Whether its process runs."""
        # Asked from two threads: the process may be forgotten between two looks.
        process = self._process
        return process is not None and process.poll() is None

    def look_after(self, at: float) -> None:
        """Note its death, or start it when that is due; `at` is monotonic."""
        if self._process is not None and not self.is_alive:
            self._bury(self._process, at)
        if self._process is None and at >= self._due_at:
            # The pipe is never written to: its end tells the child that we are gone.
            self._process = subprocess.Popen([sys.executable, "-m", self._module], stdin=subprocess.PIPE)
            self._started_at = at

    def _bury(self, process: subprocess.Popen[bytes], at: float) -> None:
        self._deaths = 1 if at - self._started_at > SETTLED_S else self._deaths + 1
        self._due_at = at + min(LONGEST_WAIT_S, 0.5 * 2 ** (self._deaths - 1))
        log.error("child_died", extra={"child": self._module, "status": process.returncode, "deaths": self._deaths})
        _close(process)
        self._process = None

    def ask_to_stop(self) -> None:
        """Send SIGTERM, however often."""
        if self._process is not None and self.is_alive:
            self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def main() -> int:
    """Keep all alive until asked to stop; return the exit status, 0 when all ended by themselves."""
    STOP.install()
    try:
        settings = load(os.environ)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    logs.configure(settings)
    children = [*(Child("jobs.deliver") for _ in range(settings.deliverers)), Child("jobs.work")]
    pulse = Pulse(
        make_engine(settings.database_url), "worker", is_well=lambda: all(child.is_alive for child in children)
    )
    while not STOP.asked:
        for child in children:
            child.look_after(time.monotonic())
        time.sleep(LOOK_EVERY_S)
    status = _stop(children)
    pulse.end()
    STOP.deafen()
    return status


def _stop(children: Sequence[Child]) -> int:
    """Ask again and again: a child that was just starting may not have heard the first time."""
    started = time.monotonic()
    log.info("worker_stopping")
    reminded = 0.0
    while any(child.is_alive for child in children):
        at = time.monotonic()
        if at - started > PATIENCE_S:
            log.error("worker_killed", extra={"patience_s": PATIENCE_S})
            for child in children:
                child.kill()
            return 1
        if at - reminded > REMIND_EVERY_S:
            reminded = at
            for child in children:
                child.ask_to_stop()
        time.sleep(LOOK_EVERY_S / 4)
    log.info("worker_stopped")
    return 0


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


if __name__ == "__main__":
    sys.exit(main())
