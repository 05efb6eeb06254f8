"""Every noun and verb: what it prints, what it changes, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import click
import pytest
from sqlalchemy import Engine, select, text

from config.settings import load
from relay.__main__ import NOUNS, main
from relay.core.actors import hash_of
from relay.core.signatures import sign
from relay.edge.redis import BELL, connect, eviction_policy
from relay.store import audit, keys
from relay.store.engine import reading, writing
from relay.store.migrate import downgrade
from relay.store.rows import replays
from tests.cli.conftest import CommandLine
from tests.rows import (
    a_delivery,
    a_heartbeat,
    a_provider_fact,
    a_stored_callback,
    a_stored_order,
    an_endpoint,
    an_event,
)
from tests.system import running
from tests.web.conftest import ENVIRONMENT

URL = "https://shop.example/hook"
SOURCES = """
[sources.crossing]
adapter = "crossingpay-v1"
appid = "VunT0000h1l8"
secrets = ["uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"]
allow_ips = []
"""


def acts(engine: Engine) -> list[tuple[str, str]]:
    """What was audited, oldest first, and by whom; the chain must be whole."""
    with reading(engine) as connection:
        assert audit.verify(connection) is None
        rows = audit.page(connection, after=None, limit=50).rows
    return [(row["act"], row["actor"].split(":")[0]) for row in reversed(rows)]


def test_a_key_is_shown_once_and_opens_what_it_says(relay: CommandLine, engine: Engine) -> None:
    """Only its hash is stored; revoked, it opens nothing."""
    (made,) = relay.json("keys", "create", "shop", "--roles", "service", "--sources", "crossing", "--json")
    assert re.fullmatch(r"rly_[A-Za-z0-9_-]{43}", made["key"])
    with reading(engine) as connection:
        holder = keys.actor_by_hash(connection, hash_of(made["key"]))
    assert holder is not None
    assert (holder.name, holder.roles) == ("shop", frozenset({"service"}))
    assert holder.sources == frozenset({"crossing"})
    (listed,) = relay.json("keys", "list", "--json")
    assert not {"hash", "key"} & set(listed)
    relay("keys", "revoke", made["id"])
    with reading(engine) as connection:
        assert keys.actor_by_hash(connection, hash_of(made["key"])) is None
    relay("keys", "revoke", made["id"], code=1)
    assert acts(engine) == [("key.create", "cli"), ("key.revoke", "cli")]


@pytest.mark.parametrize(
    "options",
    [
        ("--roles", "root"),
        ("--roles", ""),
        ("--roles", "operator", "--sources", "crossing"),
        ("--sources", "nowhere"),
        ("--sources", ""),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(relay: CommandLine, engine: Engine, options: tuple[str, ...]) -> None:
    """Exit code 2, and nothing is stored."""
    relay("keys", "create", "shop", *options, code=2)
    assert acts(engine) == []


@pytest.mark.parametrize("name", ["", "  ", "\udcff"])
def test_a_key_has_a_name_that_can_be_read(relay: CommandLine, engine: Engine, name: str) -> None:
    """Bytes that are no UTF-8 reach a program as surrogates."""
    relay("keys", "create", name, code=2)
    assert acts(engine) == []


def test_an_endpoint_lives_its_life_from_the_shell(relay: CommandLine, engine: Engine) -> None:
    """Made, tested, disabled, enabled, its secret changed; each act is audited."""
    (made,) = relay.json("endpoints", "create", URL, "--types", "recharge.succeeded,relay.test", "--json")
    assert made["secret"].startswith("whsec_")
    assert "secrets" not in made
    assert "delivery 1 is on its way" in relay("endpoints", "test", made["id"]).stdout
    relay("endpoints", "disable", made["id"])
    relay("endpoints", "test", made["id"], code=1)
    assert "1 waited, the oldest since" in relay("endpoints", "enable", made["id"]).stdout
    (rotated,) = relay.json("endpoints", "rotate-secret", made["id"], "--json")
    assert rotated["secret"] not in {made["secret"], None}
    (listed,) = relay.json("endpoints", "list", "--json")
    assert not {"secret", "secrets"} & set(listed)
    names = ["create", "test", "disable", "enable", "rotate-secret"]
    assert acts(engine) == [(f"endpoint.{name}", "cli") for name in names]


def test_an_endpoint_is_looked_at_changed_paused_and_deleted(relay: CommandLine, engine: Engine) -> None:
    """Only what is named changes, and it is gone when one has said yes."""
    (made,) = relay.json("endpoints", "create", URL, "--header", "X-Key: k", "--json")
    wishes = ("--concurrency", "2", "--rate", "5", "--ordered", "--filter", "flag=late")
    (changed,) = relay.json("endpoints", "change", made["id"], *wishes, "--json")
    assert (changed["concurrency"], changed["rate"], changed["ordered"], changed["url"]) == (2, 5, True, URL)
    assert (changed["filters"]["flags"], changed["header_names"]) == (["late"], ["x-key"])
    relay("endpoints", "change", made["id"], code=2)
    relay("endpoints", "change", made["id"], "--url", "https://user@shop.example/", code=2)
    relay("endpoints", "pause", made["id"])
    (shown,) = relay.json("endpoints", "show", made["id"], "--json")
    assert (shown["state"], shown["failures_in_row"]) == ("paused", 0)
    relay("endpoints", "delete", made["id"], code=1)
    relay("endpoints", "delete", made["id"], "--yes")
    relay("endpoints", "show", made["id"], code=1)
    names = ["create", "change", "pause", "delete"]
    assert acts(engine) == [(f"endpoint.{name}", "cli") for name in names]


def test_what_has_not_arrived_and_what_nobody_was_to_be_told_is_listed(relay: CommandLine, engine: Engine) -> None:
    """In whatever state it is."""
    endpoint = an_endpoint(engine)
    for sequence, state in enumerate(("dead", "delivered", "paused"), start=1):
        an_event(engine, sequence)
        a_delivery(engine, sequence, endpoint, state=state)
    an_event(engine, 4)
    found = relay.json("deliveries", "list", "--undelivered", "--json")
    assert [one["state"] for one in found] == ["paused", "dead"]
    assert [one["sequence"] for one in relay.json("events", "list", "--unsent", "--json")] == [4]


def test_an_endpoints_filters_are_named_one_by_one(relay: CommandLine, engine: Engine) -> None:
    """Those that take several may come several times."""
    wishes = ["source=crossing", "user_prefix=a=b", "amount_max=10", "flag=late", "flag=clock"]
    given = [word for wish in wishes for word in ("--filter", wish)]
    (made,) = relay.json("endpoints", "create", URL, *given, "--json")
    assert made["filters"] == {
        "sources": ["crossing"],
        "appid": None,
        "user_prefix": "a=b",
        "amount_min": None,
        "amount_max": "10.000000",
        "flags": ["late", "clock"],
    }
    for wrong in ("users=1", "late", "flags=late", "appid", "amount_min=x", "flag=early", "source=nowhere"):
        relay("endpoints", "create", URL, "--filter", wrong, code=2)
    relay("endpoints", "create", URL, "--filter", "appid=a", "--filter", "appid=b", code=2)
    assert len(acts(engine)) == 1


def test_an_endpoints_headers_are_not_shown(relay: CommandLine, engine: Engine) -> None:
    """Their names are."""
    given = [
        "--header",
        "Authorization: Bearer x:y",
        "--header",
        "X-Tenant:7",
        "--concurrency",
        "4",
        "--rate",
        "9",
        "--ordered",
    ]
    (made,) = relay.json("endpoints", "create", URL, *given, "--json")
    assert (made["header_names"], "headers" in made) == (["authorization", "x-tenant"], False)
    assert (made["concurrency"], made["rate"], made["ordered"]) == (4, 9, True)
    for wrong in (["--header", "Host: a"], ["--header", "X-A"], ["--header", "X-A: 1", "--header", "X-A: 2"]):
        relay("endpoints", "create", URL, *wrong, code=2)
    assert len(acts(engine)) == 1


def test_a_new_endpoint_is_filled_from_a_day(relay: CommandLine, engine: Engine) -> None:
    """By a replay, which is audited beside it."""
    for day in ("2026-11-23", "2026-11-23T12:00:00+01:00"):
        relay("endpoints", "create", URL, "--backfill-from", day)
    for wrong in ("yesterday", "2026-11", "2026-11-23T12:00:00", "0001-01-01T00:00:00+23:00"):
        relay("endpoints", "create", URL, "--backfill-from", wrong, code=2)
    with reading(engine) as connection:
        since = sorted(connection.scalars(select(replays.c.since)))
    assert since == [datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 23, 11, tzinfo=UTC)]
    assert [act for act, _ in acts(engine)] == ["endpoint.create", "replay.start"] * 2


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "nonsense"])
def test_a_url_we_may_not_call_is_refused(relay: CommandLine, url: str) -> None:
    """Exit code 2, and the reason."""
    assert (
        "https://" in relay("endpoints", "create", url, code=2).stderr
        or "loopback" in relay("endpoints", "create", url, code=2).stderr
    )


def test_lists_are_tables_for_people_and_json_for_programs(relay: CommandLine, engine: Engine) -> None:
    """The same rows, over more than one page."""
    endpoint = an_endpoint(engine)
    for sequence in range(1, 261):
        an_event(engine, sequence)
    a_delivery(engine, 1, endpoint, state="dead")
    assert [one["sequence"] for one in relay.json("events", "list", "--limit", "260", "--json")] == list(range(1, 261))
    assert [one["sequence"] for one in relay.json("events", "list", "--after", "258", "--json")] == [259, 260]
    table = relay("events", "list", "--limit", "2").stdout.splitlines()
    assert table[0].split() == ["sequence", "created_at", "type", "source", "orderid", "id"]
    assert len(table) == 3
    assert [one["state"] for one in relay.json("deliveries", "list", "--state", "dead", "--json")] == ["dead"]
    assert relay.json("deliveries", "list", "--state", "held", "--json") == []


def test_what_came_from_outside_cannot_paint_the_terminal(relay: CommandLine, engine: Engine) -> None:
    """Control characters become question marks."""
    a_stored_callback(engine, source="evil\x1b[2J")
    assert "evil?[2J" in relay("callbacks", "list").stdout


def test_an_event_is_printed_as_it_is_sent(relay: CommandLine, engine: Engine) -> None:
    """Its body; an unknown one fails."""
    event = an_event(engine, 1)
    assert json.loads(relay("events", "show", event).stdout)["data"] == {"sequence": 1}
    relay("events", "show", "evt_none", code=1)


def test_a_delivery_is_retried_from_the_shell(relay: CommandLine, engine: Engine) -> None:
    """A dead one; a delivered one is refused."""
    endpoint = an_endpoint(engine)
    an_event(engine, 1)
    an_event(engine, 2)
    dead = a_delivery(engine, 1, endpoint, state="dead")
    relay("deliveries", "retry", str(dead))
    delivered = a_delivery(engine, 2, endpoint, state="delivered")
    assert "it was delivered" in relay("deliveries", "retry", str(delivered), code=1).stderr
    assert acts(engine) == [("delivery.retry", "cli")]


def test_rejected_requests_are_looked_at_again(relay: CommandLine, engine: Engine) -> None:
    """One by its number, or all of a reason, over more than one page."""
    stored = [a_stored_callback(engine) for _ in range(103)]
    a_stored_callback(engine, reason="other")
    again = ("callbacks", "reprocess", "--reason", "bad_signature", "--dry-run", "--json")
    outcomes = relay.json(*again)
    assert [one["id"] for one in outcomes] == stored
    assert {one["result"] for one in outcomes} == {"rejected"}
    assert relay(*again).stderr == "103 looked at: 103 rejected\n"
    assert "stopped at --limit 102" in relay(*again, "--limit", "102").stderr
    assert relay.json("callbacks", "reprocess", str(stored[0]), "--json")[0]["id"] == stored[0]
    relay("callbacks", "reprocess", "999999", code=1)


def test_a_rejected_request_that_is_right_today_is_credited(relay: CommandLine, engine: Engine) -> None:
    """Through the same door: a dry run tells it, then it is done, then it is a repeat; deliverers are rung for."""
    an_endpoint(engine)
    with closing(connect(relay.environment["REDIS_URL"], tls_verify=True)) as client:
        stored = a_stored_callback(engine, reason="unknown_source", body=_paid_today())
        again = ("callbacks", "reprocess", str(stored), "--json")
        assert relay.json(*again, "--dry-run")[0]["result"] == "passes"
        assert relay.json("events", "list", "--json") == []
        client.delete(BELL)
        assert relay.json(*again)[0]["result"] == "accepted"
        assert client.llen(BELL)
    assert [one["type"] for one in relay.json("events", "list", "--json")] == ["recharge.succeeded"]
    assert [one["state"] for one in relay.json("deliveries", "list", "--json")] == ["pending"]
    assert relay.json(*again)[0]["result"] == "duplicate"
    assert acts(engine) == [("callback.reprocess", "cli")] * 3


def _paid_today() -> bytes:
    fields = {"appid": ENVIRONMENT["UPSTREAM_APPID"], "orderid": "sh-1", "amount": "30000", "localusermark": "1"}
    fields["t"] = "1662299838"
    source = load(ENVIRONMENT).sources["crossing"]
    return urlencode(fields | {"sign": sign(source.adapter.scheme, source.secrets[0].value, fields)}).encode()


def test_a_source_is_paused_and_resumed(relay: CommandLine, engine: Engine) -> None:
    """And its callback URL is told."""
    assert relay.json("sources", "list", "--json")[0]["callback_url"] == "https://relay.example/callbacks/crossing"
    relay("sources", "pause", "crossing")
    assert relay.json("sources", "list", "--json")[0]["paused_by"].startswith("cli:")
    relay("sources", "resume", "crossing")
    relay("sources", "pause", "nowhere", code=1)
    assert acts(engine) == [("source.pause", "cli"), ("source.resume", "cli")]


def test_the_audit_is_verified(relay: CommandLine, engine: Engine) -> None:
    """0 while it is whole and holds the head that was written down; 1 otherwise."""
    relay("sources", "pause", "crossing")
    relay("sources", "resume", "crossing")
    newest, first = relay.json("audit", "list", "--json")
    assert f"2 acts, whole; head {newest['hash']}" in relay("audit", "verify").stdout
    with reading(engine) as connection:
        head = audit.head(connection).hash
    relay("audit", "verify", "--head", head)
    with writing(engine) as connection:
        connection.execute(text("DELETE FROM audit WHERE sequence = 2"))
    relay("audit", "verify")
    assert "cut off" in relay("audit", "verify", "--head", head, code=1).stderr
    with writing(engine) as connection:
        connection.execute(text("UPDATE audit SET actor = 'nobody'"))
    assert f"breaks at {first['sequence']}" in relay("audit", "verify", code=1).stderr


def verdicts(relay: CommandLine, code: int) -> dict[str, Any]:
    """What the doctor found, the graver word winning."""
    found: dict[str, Any] = {}
    for line in relay("doctor", "--json", code=code).stdout.splitlines():
        check = json.loads(line)
        if check["verdict"] != "ok" or check["what"] not in found:
            found[check["what"]] = check["verdict"]
    return found


def test_the_doctor_finds_a_healthy_house(relay: CommandLine, engine: Engine) -> None:
    """Exit code 0; a doubt is no fault."""
    for kind in ("worker", "clock"):
        a_heartbeat(engine, kind, datetime.now(UTC))
    found = verdicts(relay, code=0)
    parts = ("configuration", "database", "revision", "redis", "worker", "clock")
    assert {name: found[name] for name in parts} == dict.fromkeys(parts, "ok")
    assert found["source crossing"] == "warning"


def test_the_doctor_names_everything_that_is_wrong(relay: CommandLine, engine: Engine) -> None:
    """In one go, with exit code 1."""
    a_heartbeat(engine, "clock", datetime.now(UTC) - timedelta(minutes=2))
    relay.environment["REDIS_URL"] = "redis://127.0.0.1:1/0"
    found = verdicts(relay, code=1)
    assert (found["redis"], found["worker"], found["clock"]) == ("fault", "fault", "fault")


@pytest.mark.parametrize(
    ("environment", "what"),
    [
        ({"PUBLIC_URL": "http://127.0.0.1:8000"}, "public url"),
        ({"PUBLIC_URL": "http://relay.example"}, "public url"),
        ({"TRUSTED_PROXY_HOPS": "0"}, "proxy hops"),
        ({"PUBLIC_URL": "http://localhost:8000", "TRUSTED_PROXY_HOPS": "1"}, "proxy hops"),
    ],
)
def test_the_doctor_doubts_how_the_world_reaches_us(
    relay: CommandLine, engine: Engine, environment: dict[str, str], what: str
) -> None:
    """Providers must find us, and we must know who calls; that is worth a warning, but no failure."""
    for kind in ("worker", "clock"):
        a_heartbeat(engine, kind, datetime.now(UTC))
    relay.environment |= environment
    assert verdicts(relay, code=0)[what] == "warning"


def test_the_doctor_doubts_what_a_source_believes(relay: CommandLine, engine: Engine) -> None:
    """`allow_ips` sees the proxy where hops are not counted; digits wander where nothing parts fields and nobody else is asked."""
    for kind in ("worker", "clock"):
        a_heartbeat(engine, kind, datetime.now(UTC))
    relay.environment["RELAY_SOURCES"] = SOURCES.replace("[]", '["203.0.113.0/24"]')
    told = relay("doctor").stdout
    assert ("without separators" in told, "allow_ips" in told) == (True, False)
    relay.environment["RELAY_SOURCES"] += 'evidence = ["signature", "chain"]\nchains = ["tron"]\n'
    relay.environment["TRUSTED_PROXY_HOPS"] = "0"
    told = relay("doctor").stdout
    assert ("without separators" in told, "allow_ips" in told) == (False, True)


def test_the_doctor_names_a_namespace_that_moved(relay: CommandLine) -> None:
    """Before the next release does, and stops."""
    relay("migrate")
    relay.environment["RELAY_SOURCES"] = SOURCES + 'namespace = "other"\n'
    assert verdicts(relay, code=1)["namespace"] == "fault"


def test_the_doctor_asks_for_a_migration(relay: CommandLine, engine: Engine) -> None:
    """And reads no table before it."""
    downgrade(engine, "base")
    assert "python -m relay migrate" in relay("doctor", code=1).stdout
    assert "python -m relay migrate" in relay("keys", "list", code=1).stderr


def test_the_doctor_needs_no_database_to_speak(relay: CommandLine) -> None:
    """That it does not answer is the finding."""
    relay.environment["DATABASE_URL"] = "postgresql://postgres@127.0.0.1:1/none"
    assert verdicts(relay, code=1)["database"] == "fault"


def test_the_eviction_policy_is_told(redis_url: str) -> None:
    """None where nobody answers."""
    client = connect(redis_url, tls_verify=True)
    assert eviction_policy(client) == "noeviction"
    assert eviction_policy(connect("redis://127.0.0.1:1/0", tls_verify=True)) is None


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own, with nothing but this environment."""
    command = [sys.executable, "-m", "relay", *arguments]
    given = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("keys", "create"), 2),
        (("deliveries", "retry", "x"), 2),
        (("deliveries", "retry", "9" * 30), 2),
        (("callbacks", "reprocess", "9" * 30), 2),
        (("events", "list", "--after", "9" * 30), 2),
        (("nonsense",), 2),
        (("--help",), 0),
    ],
)
def test_exit_codes_are_those_we_promise(relay: CommandLine, arguments: tuple[str, ...], code: int) -> None:
    """0 done, 1 failed, 2 usage or configuration."""
    relay(*arguments, code=code)


@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        (("--help",), {}, 0),
        (("doctor",), {}, 2),
        (("keys", "list"), ENVIRONMENT | {"DATABASE_URL": "postgresql://postgres@127.0.0.1:1/none"}, 1),
    ],
)
def test_a_command_that_fails_shows_no_traceback(
    arguments: tuple[str, ...], environment: dict[str, str], code: int
) -> None:
    """Whatever the reason."""
    done = run(*arguments, **environment)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_a_noun_is_listed_with_what_it_says_of_itself(relay: CommandLine) -> None:
    """The list is written apart, so that it is shown without loading what it lists."""
    said = {noun: relay(noun, "--help").stdout.split("\n\n")[1] for noun in NOUNS}
    assert {noun: " ".join(words.split()) for noun, words in said.items()} == NOUNS


def test_all_faults_of_a_configuration_are_told_together() -> None:
    """By name."""
    told = run("keys", "list", PORT="eighty").stderr
    assert all(name in told for name in ("SECRET_KEY", "PORT", "UPSTREAM_SECRET"))


def test_the_tail_begins_with_the_newest(relay: CommandLine, engine: Engine) -> None:
    """Oldest first, and no more than asked for; without --follow it ends."""
    for sequence in range(1, 15):
        an_event(engine, sequence)
    assert [one["sequence"] for one in relay.json("events", "tail", "--json")] == list(range(5, 15))
    assert [line.split()[0] for line in relay("events", "tail", "--limit", "2").stdout.splitlines()] == ["13", "14"]
    assert relay.json("events", "tail", "--type", "recharge.held", "--json") == []


def test_a_followed_tail_prints_what_is_committed_until_it_is_interrupted(
    database_url: str, redis_url: str, engine: Engine
) -> None:
    """With a limit of none only what is new; Ctrl-C is no failure."""
    an_event(engine, 1)
    environment = {"PATH": os.environ["PATH"], **ENVIRONMENT, "DATABASE_URL": database_url, "REDIS_URL": redis_url}
    options = ("--type", "recharge.succeeded", "--limit", "0", "--follow", "--json")
    command = [sys.executable, "-u", "-m", "relay", "events", "tail", *options]
    with running(command, environment) as tail:
        assert tail.stderr is not None
        assert tail.stdout is not None
        assert "following" in tail.stderr.readline()
        an_event(engine, 2, type="recharge.held")
        an_event(engine, 3)
        assert json.loads(tail.stdout.readline())["sequence"] == 3
        tail.send_signal(signal.SIGINT)
        assert tail.wait(30) == 0


def test_a_reader_that_goes_away_is_no_failure_worth_words(database_url: str, redis_url: str, engine: Engine) -> None:
    """As `| head` does."""
    for sequence in range(1, 3):
        an_event(engine, sequence)
    environment = {"PATH": os.environ["PATH"], **ENVIRONMENT, "DATABASE_URL": database_url, "REDIS_URL": redis_url}
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-u", "-m", "relay", "events", "list", "--json"]
    with os.fdopen(write, "w") as pipe:
        done = subprocess.run(
            command, env=environment, stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (1, "")


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    """Every command by its words."""
    if not isinstance(command, click.Group):
        return {path: command}
    context = click.Context(command)
    below = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {words: leaf for name, one in below.items() if one for words, leaf in leaves(one, (*path, name)).items()}


# What starts something that goes on, or hands everything to another command.
WITHOUT_JSON = {("run",), ("sandbox", "order"), ("sandbox", "make"), ("sandbox", "do")}


def test_every_command_answers_in_json() -> None:
    """By the same option."""
    found = leaves(main)
    lacking = {words for words, one in found.items() if not any("--json" in option.opts for option in one.params)}
    assert lacking == WITHOUT_JSON


def test_an_act_is_told_as_a_sentence_or_as_facts(relay: CommandLine, engine: Engine) -> None:
    """The same act, for a person and for a program; a run that finds breaks ends with 3 in both, one that saw less than all with 1."""
    assert relay("sources", "pause", "crossing").stdout.startswith("crossing is paused;")
    (resumed,) = relay.json("sources", "resume", "crossing", "--json")
    assert (resumed["source"], resumed["said"].startswith("crossing goes on;")) == ("crossing", True)
    relay.environment["CHAIN_TRON_RPC_URLS"] = "http://127.0.0.1:1"
    assert "incomplete; 0 recovered; 0 breaks are open\ntron not read yet" in relay("reconcile", "run", code=1).stdout
    del relay.environment["CHAIN_TRON_RPC_URLS"]
    an_unmet_promise(engine)
    (told,) = (json.loads(line) for line in relay("reconcile", "run", "--json", code=3).stdout.splitlines())
    assert (told["state"], told["recovered"], told["open"]) == ("complete", 0, 1)
    assert "1 breaks are open" in relay("reconcile", "run", code=3).stdout
    assert acts(engine)[-2:] == [("reconciliation.run", "cli")] * 2
    (found,) = relay.json("reconcile", "status", "--json")
    assert (found["run"]["state"], found["open"]["missing_callback"]["count"]) == ("complete", 1)
    assert "missing_callback: 1, 3.000000 USDT" in relay("reconcile", "status").stdout


def an_unmet_promise(engine: Engine) -> None:
    """An order that its provider says is paid."""
    a_stored_order(engine, "sh-lost", state="created", credited_micros=0)
    a_provider_fact(engine, "sh-lost")


def test_an_event_is_sent_again(relay: CommandLine, engine: Engine) -> None:
    """Counted first; what is meant by nothing is an error in one line."""
    event, endpoint = an_event(engine, 1), an_endpoint(engine)
    a_delivery(engine, 1, endpoint, state="dead")
    (counted,) = relay.json("events", "replay", event, "--dry-run", "--json")
    assert (counted["state"], counted["sent"]) == ("counted", 1)
    narrowed = ("--endpoint", endpoint, "--source", "crossing", "--since", "2026-11-01", "--rate", "7")
    (begun,) = relay.json("events", "replay", *narrowed, "--json")
    assert begun["id"].startswith("rpl_")
    with reading(engine) as connection:
        assert connection.execute(select(replays.c.id, replays.c.rate)).one() == (begun["id"], 7)
    for wrong in (("--until", "2026-11-01"), ("--since", "yesterday"), ("--rate", "0")):
        relay("events", "replay", "--since", "2026-11-01", *wrong, code=2)
    assert relay("events", "replay", "evt_none", code=1).stderr == "Error: no such event\n"
