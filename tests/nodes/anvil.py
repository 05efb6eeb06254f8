"""Own a real EVM node for tests: Foundry's anvil from its npm package, kept under `var/` once installed."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.system import free_port

VERSION = "1.7.1"
HOME = Path(__file__).parents[2] / "var" / f"anvil-{VERSION}"
PROGRAM = HOME / "node_modules" / ".bin" / "anvil"
READY_S = 20


class Missing(Exception):
    """The node cannot be had on this machine; the text says why."""


@contextmanager
def anvil() -> Iterator[str]:
    """Run a fresh chain that mines on every transaction, and yield its URL. Raise `Missing` without node or npm."""
    _install()
    port = free_port()
    process = subprocess.Popen([PROGRAM, "--host", "127.0.0.1", "--port", str(port), "--silent"])
    try:
        url = f"http://127.0.0.1:{port}"
        _await(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _install() -> None:
    if not (shutil.which("node") and shutil.which("npm")):
        raise Missing("anvil comes as an npm package, and this machine has no node or npm")
    if PROGRAM.exists():
        return
    package = f"@foundry-rs/anvil@{VERSION}"
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(HOME), package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise Missing(f"npm could not install {package}: {done.stderr.strip()[-200:]}")


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            requests.post(url, json={"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}, timeout=1)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("anvil did not start")
