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
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

from relay.core.webhooks import new_secret
from relay.sandbox.book import V1, V2
from relay.sandbox.chain import CHAIN_ID, CONTRACT, FINE
from relay.sandbox.dialects import DIALECTS, REFUNDING, STORE, VOICES, Account

SOURCE = V1
CHAIN = "sandbox"
# Where the days before the first start come from: callbacks alone, neither provider to ask nor chain.
TILL = "till"
# Whose orders are to be paid on a network that nobody here reads.
ABROAD, FOREIGN = "abroad", "ethereum"
# Whose callbacks credit only what the chain shows too.
CAREFUL = "careful"
SUBSCRIBERS = ("wallet", "ledger", "billing")
HOLD_ABOVE_USDT = "1000"
GRACE_S = 15
# The least that a source takes for late.
DELIVER_WITHIN_S = 60
# Two persons, because a day needs two; each by role.
PEOPLE = {"pat": "preparer", "alex": "approver"}

# How a status is asked for at V1 is not published; the sandbox's provider answers to this.
_QUERY = f"""
[sources.{V1}.query]
path = "/api/merchant/orderstatus"
fields = {{ appid = "{{appid}}", orderid = "{{orderid}}", t = "{{now}}" }}
signature = "sign"
amount = {{ form = "decimal", unit_micros = 1 }}
ok = {{ path = "status", values = ["1"] }}
error = "err"
absent = ["no such order"]
statuses = {{ "0" = "pending", "1" = "succeeded", "2" = "failed" }}

[sources.{V1}.query.answers]
orderid = "data.orderid"
provider_order_id = "data.ordersn"
status = "data.status"
amount = "data.amount"
tx_hash = "data.txid"
occurred_at = "data.t"
"""
_STATEMENT = f"""
[sources.{TILL}.statement]
columns = {{ orderid = "Order", amount = "Amount", occurred_at = "Paid at" }}
status = "succeeded"
amount = {{ form = "decimal", unit_micros = 1 }}
"""
# The watched addresses grow with every order, so all transfers of the token are read, and sorted by the relay.
_CHAIN = f"""
[chains.{CHAIN}]
chain_id = {CHAIN_ID}
finality = "finalized"
block_ms = 1000
window = 64
rate = 100
grace_s = {GRACE_S}
measure_s = 60
filter_above = 0
tokens = [{{ contract = "{CONTRACT}", decimals = 6 }}, {{ contract = "{FINE}", decimals = 18 }}]
"""


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
    # A plan of an earlier version has none of these.
    relay_url: str = ""
    chain_port: int = 0
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

    @property
    def chain_url(self) -> str:
        """Where the chain's node answers."""
        return f"http://127.0.0.1:{self.chain_port}"

    @property
    def account(self) -> Account:
        """The merchant's account at the provider."""
        return Account(self.appid, self.source_secret)

    def environment(self) -> dict[str, str]:
        """The settings the relay runs with in the sandbox."""
        return {
            "RELAY_SANDBOX": "1",
            "SECRET_KEY": self.secret_key,
            "RELAY_ADMIN_KEY": self.admin_key,
            # Its provider calls what it is told to call, on this machine.
            "PUBLIC_URL": self.relay_url,
            "RELAY_ENDPOINT_ALLOW_CIDRS": "127.0.0.0/8",
            "RELAY_SOURCES": "\n".join(map(self._source, DIALECTS))
            + _QUERY
            + self._blind(TILL, V1)
            + _STATEMENT
            + self._blind(ABROAD, V2)
            + self._blind(REFUNDING, REFUNDING)
            + self._blind(CAREFUL, V2, evidence=f'["signature", "chain"]\nchains = ["{CHAIN}"]'),
            "RELAY_CHAINS": _CHAIN,
            f"CHAIN_{CHAIN.upper()}_RPC_URLS": self.chain_url,
            # For the greeting alone.
            "RELAY_SANDBOX_PEOPLE": f"{', '.join(f'{name} ({role})' for name, role in PEOPLE.items())}: {self.password}",
        }

    def _source(self, dialect: str) -> str:
        """The source of one dialect; all share one namespace, so that an order is one whoever tells of it."""
        return f"""
[sources.{dialect}]
namespace = "{SOURCE}"
adapter = "{DIALECTS[dialect]}"
appid = "{self.appid}"
secrets = ["{self.source_secret}"]
base_url = "{self.provider_url}"
account = {{ username = "sandbox", store = "{STORE}", api_key = "{self.source_secret}" }}
chains = ["{CHAIN}"]
evidence = ["signature"]
grace_s = {GRACE_S}
deliver_within_s = {DELIVER_WITHIN_S}
hold_above = "{HOLD_ABOVE_USDT}"
"""

    def _blind(self, name: str, dialect: str, *, evidence: str = '["signature"]') -> str:
        """A source with no provider to ask, and no chain unless its evidence names one."""
        return f"""
[sources.{name}]
adapter = "{VOICES[dialect]}"
appid = "{self.appid}"
secrets = ["{self.source_secret}"]
evidence = {evidence}
recover = "off"
grace_s = {GRACE_S}
hold_above = "{HOLD_ABOVE_USDT}"
"""


def prepare(path: Path, relay_url: str = "http://127.0.0.1:8000") -> Plan:
    """Return the plan of an earlier start with ports that are free now, or make one; `relay_url` is where the relay answers."""
    plan = Plan.read(path) if path.exists() else _made()
    plan = replace(
        plan,
        relay_url=relay_url,
        provider_port=free_port(plan.provider_port),
        subscribers_port=free_port(plan.subscribers_port),
        chain_port=free_port(plan.chain_port),
        password=plan.password or secrets.token_urlsafe(9),
    )
    plan.write(path)
    return plan


def free_port(wanted: int) -> int:
    """Return the wanted port of 127.0.0.1 when nobody listens there, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            # Connections of the last run may linger on the port, and do not keep a server from it.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")


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
    parser.add_argument("--relay", required=True, help="where the relay answers")
    given = parser.parse_args()
    json.dump(prepare(given.plan, given.relay).environment(), sys.stdout)


if __name__ == "__main__":
    main()
