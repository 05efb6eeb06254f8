"""No secret leaks: each is a word that nothing else would say, and everything that the real processes leave behind is searched for it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import redis

from benchmarks.callbacks import signature
from relay.store.engine import make_engine
from tests.rows import a_session
from tests.system import ADMIN_KEY, APPID, ROOT, Subscribers, System, eventually, free_port, signed

SOURCE_KEY = "canary-source-key-4f1c"
SOURCES = f"""
[sources.crossing]
adapter = "crossingpay-v1"
appid = "{APPID}"
secrets = ["{SOURCE_KEY}", "canary-source-old-0d2e"]
chains = ["ethereum"]
"""
ENVIRONMENT = {
    "RELAY_SOURCES": SOURCES,
    "SECRET_KEY": "canary-secret-key-8a53-of-enough-characters,canary-secret-old-77b0-of-enough-characters",
    "PROVIDER_PROXY_URL": "http://proxy:canary-proxy-password-91de@127.0.0.1:9",
    "CHAIN_ETHEREUM_RPC_URLS": "http://127.0.0.1:9/v3/canary-node-path-c3a8#X-Api-Key=canary-node-header-6e44",
    "LOG_LEVEL": "DEBUG",
}
PAGES = (
    *("/docs", "/openapi.json", "/events/catalogue", "/metrics", "/readyz", "/version", "/sign-in", "/console"),
    *(
        "/console/search?q=sh-nobody",
        "/finance/orders/crossing/sh-canary",
        "/finance/breaks",
        "/finance/orders",
        "/finance/runs",
        "/finance/audit",
        "/account",
    ),
    *(f"/console/{page}" for page in ("events", "deliveries", "deliveries/1", "dead", "endpoints", "replays")),
    *("/console/callbacks", "/console/callbacks/1", "/console/callbacks/rejected"),
    *("/v1/endpoints", "/v1/events", "/v1/deliveries", "/v1/callbacks", "/v1/sources", "/v1/orders", "/v1/replays"),
    "/v1/orders/crossing/sh-canary",
)


def test_no_secret_reaches_a_log_a_job_a_page_or_a_table(sqlite_url: str, tmp_path: Path) -> None:
    """Of the environment, of an endpoint, of a key, of a person; through success, failure and refusal."""
    subscribers = Subscribers()
    system = System(sqlite_url, tmp_path, **ENVIRONMENT, WEB_CONCURRENCY="1")
    try:
        system.start("redis", "web", "worker", "clock")
        secrets = {**_use(system, subscribers), **_of_the_environment()}
        pages = {path: _page(system, path, sqlite_url) for path in PAGES}
        places = {**pages, **dict(_logs(system)), **dict(_jobs(system)), "the database": _tables(sqlite_url)}
    finally:
        system.stop()
        subscribers.close()
    found = [(what, where) for what, secret in secrets.items() for where, text in places.items() if secret in text]
    assert found == []
    assert all(len(text) > 0 for text in pages.values())
    assert "sh-canary" in places["the database"], "the search finds what is there"
    assert any("work" in name for name in places if name.startswith("redis ")), "there were jobs to search"


def _of_the_environment() -> dict[str, str]:
    return {
        "the source's key": SOURCE_KEY,
        "the source's old key": "canary-source-old-0d2e",
        "SECRET_KEY": "canary-secret-key-8a53",
        "SECRET_KEY's old part": "canary-secret-old-77b0",
        "the proxy's password": "canary-proxy-password-91de",
        "the node's path": "canary-node-path-c3a8",
        "the node's header": "canary-node-header-6e44",
        "RELAY_ADMIN_KEY": ADMIN_KEY,
    }


def _use(system: System, subscribers: Subscribers) -> dict[str, str]:
    """Let everything happen that handles a secret; return those that were made on the way."""
    header = {"Authorization": "Bearer canary-endpoint-header-b90f"}
    url = f"http://127.0.0.1:{subscribers.port}"
    made = system.api("POST", "/v1/endpoints", {"url": f"{url}/well", "headers": header})
    rotated = system.api("POST", f"/v1/endpoints/{made['id']}/rotate-secret")
    subscribers.secrets["well"] = rotated["secret"]
    system.api("POST", "/v1/endpoints", {"url": f"http://127.0.0.1:{free_port()}/ill", "headers": header})
    key = json.loads(_shell(system, "keys", "create", "canary", "--roles", "service", "--json"))["key"]
    _shell(
        system, "users", "create", "canary", "--roles", "auditor", said="canary-password-5d21\ncanary-password-5d21\n"
    )
    fields = {
        "orderid": "sh-canary",
        "amount": "30000",
        "localusermark": "1",
        "appid": APPID,
        "t": str(int(time.time())),
    }
    body = "&".join(f"{name}={value}" for name, value in fields.items()) + f"&sign={signature(fields, SOURCE_KEY)}"
    assert system.call_back(body.encode())[0] == 200
    assert system.call_back(body.encode())[0] == 200
    assert system.call_back(signed(fields))[0] == 401
    assert system.request("GET", "/v1/events", authorization=f"Bearer {key}")[0] == 200
    assert system.request("GET", "/v1/events", authorization=f"Bearer {key}x")[0] == 401
    eventually(lambda: len(subscribers.records["well"]) == 1, within_s=30, what="the well one is told")
    eventually(lambda: "refused" in _failures(system), within_s=30, what="the ill one fails")
    eventually(lambda: "chain" in system.log("worker"), within_s=40, what="the nodes were asked")
    return {
        "an endpoint's first secret": made["secret"].removeprefix("whsec_"),
        "its second": rotated["secret"].removeprefix("whsec_"),
        "an endpoint's header": "canary-endpoint-header-b90f",
        "an API key": key,
        "a password": "canary-password-5d21",
    }


def _failures(system: System) -> str:
    return json.dumps(system.api("GET", "/v1/deliveries?undelivered=true"))


def _shell(system: System, *words: str, said: str = "") -> str:
    command = [sys.executable, "-m", "relay", *words]
    done = subprocess.run(
        command, cwd=ROOT, env=system.environment, input=said, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def _page(system: System, path: str, database_url: str) -> str:
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    if path.startswith(("/console", "/finance", "/account")):
        engine = make_engine(database_url)
        headers = {"cookie": f"relay={a_session(engine, f'p{len(path)}{path[-3:]}', 'admin')}"}
        engine.dispose()
    status, body = system.request("GET", path, None, **headers)
    assert status == 200, path
    return body.decode()


def _logs(system: System) -> Iterator[tuple[str, str]]:
    for name in ("redis", "web", "worker", "clock"):
        yield f"the log of {name}", system.log(name)


def _jobs(system: System) -> Iterator[tuple[str, str]]:
    """Everything that Redis holds, names and values, of whatever type."""
    client = redis.Redis(port=system.redis_port)
    for key in client.scan_iter():
        yield f"redis {key.decode()}", repr((key, _value(client, key)))


def _value(client: redis.Redis, key: bytes) -> object:
    match client.type(key):
        case b"string":
            return client.get(key)
        case b"list":
            return client.lrange(key, 0, -1)
        case b"hash":
            return client.hgetall(key)
        case b"set":
            return client.smembers(key)
        case b"zset":
            return client.zrange(key, 0, -1)
    return client.dump(key)


def _tables(database_url: str) -> str:
    """The bytes of the database's files, so that nothing that is stored is missed."""
    path = Path(database_url.removeprefix("sqlite:///"))
    return b"\n".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*")).decode("latin-1")
