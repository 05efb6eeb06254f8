"""Sources whose provider can be called, as TOML and read, for whatever calls it."""

from __future__ import annotations

from typing import Any

from config.sources import parse_sources
from relay.core.sources import Source

SECRET = "relay-test-secret"
QUERY = """
[sources.crossing.query]
path = "/api/merchant/orderstatus"
fields = { appid = "{appid}", orderid = "{orderid}", t = "{now}" }
signature = "sign"
ok = { path = "status", values = ["1"] }
error = "err"
absent = ["no such order"]
statuses = { "0" = "pending", "1" = "succeeded", "2" = "failed" }

[sources.crossing.query.answers]
orderid = "data.orderid"
provider_order_id = "data.ordersn"
status = "data.status"
amount = "data.amount"
tx_hash = "data.txid"
occurred_at = "data.t"

[sources.crossing.query.amount]
form = "decimal"
unit_micros = 1
"""
STATEMENT = """
[sources.crossing.statement]
columns = { orderid = "Order No", amount = "Amount", status = "State", provider_order_id = "Serial", occurred_at = "Paid at" }
statuses = { paid = "succeeded", waiting = "pending" }
amount = { form = "decimal", unit_micros = 1 }
total_label = "TOTAL"
"""


def sources_toml(base_url: str = "https://api.example", *, query: bool = True, more: str = "") -> str:
    """A crossingpay-v1 account that orders are made at."""
    return f"""
[sources.crossing]
adapter = "crossingpay-v1"
appid = "VunT0000h1l8"
secrets = ["{SECRET}"]
base_url = "{base_url}"
chains = ["tron"]
account = {{ username = "shop" }}
{more}
{QUERY if query else ""}
"""


def a_called_source(base_url: str = "https://api.example", **wishes: Any) -> Source:
    """The same, read."""
    faults: list[str] = []
    found = parse_sources(sources_toml(base_url, **wishes), lambda _: "", faults)
    assert faults == []
    return found["crossing"]
