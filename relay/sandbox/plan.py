"""Own the sandbox's plan: keys that are made once, ports that stay where they can, and the settings that follow.

It lives in one file under `var/`, readable by its owner only, and every
process of the sandbox reads it from there; nothing secret is on a command line.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import sys
import tomllib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

from relay.core.adapters import Adapter, parse_adapter
from relay.core.webhooks import new_secret

SOURCE = "crossing"
SUBSCRIBERS = ("wallet", "ledger", "billing")
ADAPTER = "crossingpay-v1"
HOLD_ABOVE_USDT = "1000"
GRACE_S = 15
# Two persons, because a day needs two; each by role.
PEOPLE = {"pat": "preparer", "alex": "approver"}

_ADAPTERS = Path(__file__).resolve().parents[2] / "config" / "adapters.toml"


@dataclass(frozen=True, slots=True)
class Plan:
    """What the sandbox's processes agree on. `endpoint_secrets` has one for each subscriber, `password` is everybody's in PEOPLE."""

    appid: str
    source_secret: str = field(repr=False)
    secret_key: str = field(repr=False)
    admin_key: str = field(repr=False)
    provider_port: int
    subscribers_port: int
    endpoint_secrets: dict[str, str] = field(repr=False)
    password: str = field(repr=False, default="")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the plan that `prepare` wrote."""
        return cls(**json.loads(path.read_text()))

    def write(self, path: Path) -> None:
        """Replace the file in one step; nobody else may ever have been able to read it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(self), file, indent=1)
        fresh.replace(path)

    @property
    def provider_url(self) -> str:
        """Where the provider's control routes are."""
        return f"http://127.0.0.1:{self.provider_port}"

    @property
    def subscribers_url(self) -> str:
        """Where the subscribers listen, and show their ledgers."""
        return f"http://127.0.0.1:{self.subscribers_port}"

    def environment(self) -> dict[str, str]:
        """The settings the relay runs with in the sandbox."""
        return {
            "RELAY_SANDBOX": "1",
            "SECRET_KEY": self.secret_key,
            "RELAY_ADMIN_KEY": self.admin_key,
            "RELAY_ENDPOINT_ALLOW_CIDRS": "127.0.0.0/8",
            "RELAY_SOURCES": self._sources(),
            # For the greeting alone.
            "RELAY_SANDBOX_PEOPLE": f"{', '.join(f'{name} ({role})' for name, role in PEOPLE.items())}: {self.password}",
        }

    def _sources(self) -> str:
        return "\n".join(
            (
                f"[sources.{SOURCE}]",
                f'adapter = "{ADAPTER}"',
                f'appid = "{self.appid}"',
                f'secrets = ["{self.source_secret}"]',
                f"grace_s = {GRACE_S}",
                f'hold_above = "{HOLD_ABOVE_USDT}"',
            )
        )


def prepare(path: Path) -> Plan:
    """Return the plan of an earlier start with ports that are free now, or make one."""
    plan = Plan.read(path) if path.exists() else _made()
    plan = replace(plan, provider_port=free_port(plan.provider_port), subscribers_port=free_port(plan.subscribers_port))
    plan = replace(plan, password=plan.password or secrets.token_urlsafe(9))
    plan.write(path)
    return plan


def free_port(wanted: int) -> int:
    """Return the wanted port of 127.0.0.1 when nobody listens there, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")


def adapter() -> Adapter:
    """Return the preset by which the sandbox's provider signs."""
    return parse_adapter(ADAPTER, tomllib.loads(_ADAPTERS.read_text())[ADAPTER])


def _made() -> Plan:
    return Plan(
        appid="Sandbox" + secrets.token_hex(4),
        source_secret=secrets.token_urlsafe(24),
        secret_key=secrets.token_urlsafe(32),
        admin_key="rly_" + secrets.token_urlsafe(32),
        provider_port=0,
        subscribers_port=0,
        endpoint_secrets={name: new_secret(secrets.token_bytes(32)) for name in SUBSCRIBERS},
    )


def main() -> None:
    """Prepare the plan and print the settings that follow from it, as JSON for the supervisor alone."""
    parser = argparse.ArgumentParser(description="Prepare the sandbox's keys and ports.")
    parser.add_argument("--plan", type=Path, required=True)
    json.dump(prepare(parser.parse_args().plan).environment(), sys.stdout)


if __name__ == "__main__":
    main()
