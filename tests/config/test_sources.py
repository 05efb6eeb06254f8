"""Sources: the TOML of the operator, its references, its limits and its faults."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config import sources as sources_module
from config.sources import parse_sources
from relay.core.adapters import Ack
from relay.core.sources import Brake, Source
from tests.core.examples import PRESETS

CHOICES = ", ".join(f'"{name}"' for name in PRESETS)
VARIABLES = {"UPSTREAM_APPID": "VunT0000h1l8", "UPSTREAM_SECRET": "new", "QUOTE": '"\nmode = "observe"'}
MINIMAL = {"adapter": '"crossingpay-v1"', "appid": '"VunT0000h1l8"', "secrets": '["s"]'}
OWN = """
[sources.house]
body = "json"
secrets = ["s"]
amount = { form = "decimal" }
status = "succeeded"
fields = { orderid = { pattern = "[a-z]+" }, amount = { pattern = "[0-9.]+" } }
signature = { name = "sign", digest = "DIGEST", place = "suffix" }
"""


def parse(text: str) -> tuple[dict[str, Source], list[str]]:
    """The sources of a text, and its faults."""
    faults: list[str] = []
    return parse_sources(text, lambda name: VARIABLES.get(name, ""), faults), faults


def crossing(**lines: str) -> tuple[Source | None, list[str]]:
    """One minimal source with these lines of TOML added or changed."""
    text = "\n".join(f"{key} = {value}" for key, value in {**MINIMAL, **lines}.items() if value)
    sources, faults = parse(f"[sources.crossing]\n{text}")
    return sources.get("crossing"), faults


def test_sources_of_a_namespace_have_their_chains_in_common():
    """One that names none is beside those of the others, and one of another namespace is not."""
    minimal = "\n".join(f"{key} = {value}" for key, value in MINIMAL.items())
    more = {"one": 'namespace = "shop"\nchains = ["tron"]', "two": 'namespace = "shop"', "three": ""}
    sources, faults = parse("\n".join(f"[sources.{name}]\n{minimal}\n{added}" for name, added in more.items()))
    assert not faults
    assert {name for name, source in sources.items() if source.is_beside_chains} == {"one", "two"}


@pytest.mark.parametrize("named", ["[]", '["tron"]'])
def test_the_file_names_the_defaults_as_they_are(named: str):
    """Whoever takes the # from a line has changed nothing by that, also where a chain is named."""
    told = (Path(sources_module.__file__).parent / "sources.toml").read_text()
    every, faults = parse(
        re.sub("^# ([a-z_]+ = )", r"\1", told, flags=re.MULTILINE).replace("chains = []", f"chains = {named}")
    )
    few, more_faults = parse(f"{told}\nchains = {named}")
    assert (faults, more_faults) == ([], [])
    # The one line that is an example narrows the adapter.
    assert replace(every["crossing"], adapter=few["crossing"].adapter) == few["crossing"]


def test_a_source_needs_three_lines():
    """The rest is at its default."""
    source, faults = crossing()
    assert not faults
    assert source is not None
    assert (source.name, source.namespace, source.mode, source.amount_policy) == (
        "crossing",
        "crossing",
        "live",
        "as_received",
    )
    assert (source.minimum_micros, source.hold_above_micros, source.live_from, source.unknown_orders) == (
        0,
        None,
        None,
        "accept",
    )
    assert (source.allow_ips, source.max_age_s, source.grace_s, source.ack) == ((), 0, 300, Ack(200, "success"))


def test_every_key_that_works_is_read():
    """One value other than the default for each."""
    source, faults = crossing(
        namespace='"shop"',
        mode='"observe"',
        live_from='"2026-11-23T00:00:00Z"',
        minimum='"0.5"',
        hold_above='"30.5"',
        unknown_orders='"hold"',
        allow_ips='["198.51.100.7", "2001:db8::/32"]',
        max_age_s="60",
        grace_s="15",
        ack='{ body = "ok" }',
        patterns='{ orderid = "sh-[0-9a-f]{22}" }',
        base_url='"https://api.crossingpay.com/"',
        upstream_handler='"http://old.internal:8080/index.php?route=callback/"',
        chains='["tron", "tron"]',
        amount_policy='"tolerance"',
        tolerance='"0.5"',
        evidence='["signature", "chain"]',
        recover='"chain"',
        hold_above_hourly='"1000"',
        late_after_s="60",
        brake='{ count = 3, usdt = "100" }',
        address_kind='"shared"',
    )
    assert not faults
    assert source is not None
    assert (source.namespace, source.mode, source.credits) == ("shop", "observe", False)
    assert source.live_from == datetime(2026, 11, 23, tzinfo=UTC)
    assert (source.minimum_micros, source.hold_above_micros, source.unknown_orders) == (500_000, 30_500_000, "hold")
    assert (source.allow_ips, source.max_age_s, source.grace_s) == (("198.51.100.7", "2001:db8::/32"), 60, 15)
    assert source.ack == Ack(200, "ok", "text/plain")
    assert source.adapter.patterns["orderid"].pattern == "sh-[0-9a-f]{22}"
    assert (source.base_url, source.chains) == ("https://api.crossingpay.com", ("tron",))
    assert source.upstream_handler == "http://old.internal:8080/index.php?route=callback/"
    assert (source.amount_policy, source.tolerance_micros) == ("tolerance", 500_000)
    assert (source.evidence, source.recover) == (frozenset({"signature", "chain"}), "chain")
    assert (source.hold_above_hourly_micros, source.late_after_s) == (1_000_000_000, 60)
    assert source.brake == Brake(count=3, micros=100_000_000, window_s=3600)
    assert source.address_kind == "shared"


def test_what_today_does_may_be_written_down():
    """The value that says what happens anyway is not refused."""
    assert not crossing(
        evidence='["signature"]', recover='"off"', upstream_handler='""', amount_policy='"as_received"'
    )[1]


def test_references_are_replaced():
    """From the environment, or by their default; empty secrets are dropped, equal ones are one."""
    source, faults = crossing(
        appid='"${UPSTREAM_APPID}"',
        secrets='["${UPSTREAM_SECRET}", "${UPSTREAM_SECRET_PREVIOUS:-}", "x-${GONE:-old}", "new"]',
    )
    assert not faults
    assert source is not None
    assert source.appid == "VunT0000h1l8"
    assert [secret.value for secret in source.secrets] == ["new", "x-old"]


def test_a_value_cannot_change_the_structure():
    """References are replaced after the TOML was read."""
    source, _ = crossing(secrets='["${QUOTE}"]')
    assert source is not None
    assert (source.mode, source.secrets[0].value) == ("live", VARIABLES["QUOTE"])


def test_a_source_may_bring_its_own_adapter():
    """The same reader, the same checks."""
    sources, faults = parse(OWN.replace("DIGEST", "sha256"))
    assert not faults
    assert sources["house"].adapter.scheme.digest == "sha256"
    assert sources["house"].appid is None


FAULTS = {
    "typing error": ({"mdoe": '"live"'}, 'sources.crossing.mdoe: is not known; did you mean "mode"?'),
    "no adapter": (
        {"adapter": ""},
        f"sources.crossing.adapter: must be one of {CHOICES}; or leave it out and write [sources.crossing.signature]",
    ),
    "adapter of no kind": (
        {"adapter": '"v1"'},
        f"sources.crossing.adapter: must be one of {CHOICES}; or leave it out and write [sources.crossing.signature]",
    ),
    "preset and own": (
        {"body": '"json"'},
        'sources.crossing.adapter: is a preset; it cannot be changed by "body", only narrowed by "patterns"',
    ),
    "no appid": ({"appid": ""}, "sources.crossing.appid: is needed: callbacks name it"),
    "odd appid": ({"appid": '"a b"'}, "sources.crossing.appid: is not of the form the adapter expects"),
    "no secrets": ({"secrets": ""}, "sources.crossing.secrets: names no secret; an empty one counts for none"),
    "empty secrets": (
        {"secrets": '["", "${GONE:-}"]'},
        "sources.crossing.secrets: names no secret; an empty one counts for none",
    ),
    "unset variable": ({"secrets": '["${GONE}"]'}, "sources.crossing.secrets: GONE is not set"),
    "odd reference": (
        {"secrets": '["${no-name}"]'},
        "sources.crossing.secrets: ${no-name} is not a reference such as ${NAME} or ${NAME:-default}",
    ),
    "mode of no kind": ({"mode": '"on"'}, 'sources.crossing.mode: must be one of "live", "observe", not "on"'),
    "moment without offset": (
        {"live_from": '"2026-11-23"'},
        "sources.crossing.live_from: must be a moment with its offset, such as 2026-11-23T00:00:00Z",
    ),
    "no moment": (
        {"live_from": '"soon"'},
        "sources.crossing.live_from: must be a moment with its offset, such as 2026-11-23T00:00:00Z",
    ),
    "float": ({"minimum": "0.5"}, "sources.crossing.minimum: must be a text in quotes"),
    "odd amount": (
        {"hold_above": '"1e3"'},
        'sources.crossing.hold_above: must be a plain decimal number such as 30.5; write USDT in quotes, such as "30.5"',
    ),
    "negative age": ({"max_age_s": "-1"}, "sources.crossing.max_age_s: must be a whole number from 0 to 31622400"),
    "odd address": ({"allow_ips": '["10.0.0.1/8"]'}, "sources.crossing.allow_ips: 10.0.0.1/8 has host bits set"),
    "odd namespace": (
        {"namespace": '"Shop"'},
        "sources.crossing.namespace: a name is lower-case letters, digits, - and _, at most 63",
    ),
    "policy of no kind": (
        {"amount_policy": '"exakt"'},
        'sources.crossing.amount_policy: must be one of "as_received", "exact", "tolerance", "accumulate", not "exakt"',
    ),
    "accumulate without transactions": (
        {"amount_policy": '"accumulate"'},
        'sources.crossing.amount_policy: "accumulate" needs to tell payments apart: this provider names no transaction, so add "chain" to evidence',
    ),
    "tolerance without its policy": (
        {"tolerance": '"1"'},
        'sources.crossing.tolerance: is needed by amount_policy = "tolerance", and by no other',
    ),
    "policy without its tolerance": (
        {"amount_policy": '"tolerance"'},
        'sources.crossing.tolerance: is needed by amount_policy = "tolerance", and by no other',
    ),
    "evidence the source has not": (
        {"evidence": '["signature", "chain"]'},
        'sources.crossing.evidence: "chain" names a witness that this source does not have (chains); the choices are "signature"',
    ),
    "evidence misspelt": (
        {"evidence": '["signature", "chian"]', "chains": '["tron"]'},
        'sources.crossing.evidence: "chian" is not known; did you mean "chain"?',
    ),
    "evidence without the signature": (
        {"evidence": '["chain"]', "chains": '["tron"]'},
        'sources.crossing.evidence: must name "signature": no callback is believed without',
    ),
    "recovery the source has not": (
        {"recover": '"chain"'},
        'sources.crossing.recover: "chain" names a witness that this source does not have (chains); the choices are "off"',
    ),
    "handler beside a live source": (
        {"upstream_handler": '"https://shop.example/old"'},
        'sources.crossing.upstream_handler: only works with mode = "observe": two would credit',
    ),
    "handler of no web": (
        {"upstream_handler": '"ftp://x"', "mode": '"observe"'},
        "sources.crossing.upstream_handler: must be an http or https URL, without user and fragment",
    ),
    "base in the clear": (
        {"base_url": '"http://api.example"'},
        "sources.crossing.base_url: must be an https URL, or one of http on this machine, without user, query and fragment",
    ),
    "brake of no count": (
        {"brake": "{ count = 0 }"},
        "sources.crossing.brake.count: must be a whole number from 1 to 1000000",
    ),
    "brake misspelt": ({"brake": "{ coutn = 1 }"}, 'sources.crossing.brake.coutn: is not known; did you mean "count"?'),
    "address of no kind": (
        {"address_kind": '"own"'},
        'sources.crossing.address_kind: must be one of "dedicated", "shared", "provider", not "own"',
    ),
    "pattern of no field": (
        {"patterns": '{ tx_hash = "x" }'},
        'sources.crossing.patterns.tx_hash: is not known; known are "amount", "appid", "occurred_at", "orderid", "user_ref"',
    ),
}


@pytest.mark.parametrize(("lines", "fault"), FAULTS.values(), ids=FAULTS)
def test_a_mistake_is_one_fault_under_its_place(lines: dict[str, str], fault: str):
    """It is told once, says what would work, and the source is left out."""
    source, faults = crossing(**lines)
    assert faults == [fault]
    assert source is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "RELAY_SOURCES: names no source; write a section such as [sources.crossing]"),
        ("[sources]", "RELAY_SOURCES: names no source; write a section such as [sources.crossing]"),
        ("sources = 1", "RELAY_SOURCES: names no source; write a section such as [sources.crossing]"),
        ("[sources", "RELAY_SOURCES: is not TOML: "),
        ("[source.crossing]", 'RELAY_SOURCES.source: is not known; did you mean "sources"?'),
        ("[sources]\ncrossing = 1", "sources.crossing: must be a table"),
        ("[sources.Crossing]", "sources.Crossing: a name is lower-case letters, digits, - and _, at most 63"),
    ],
)
def test_a_file_that_holds_no_sources_is_a_fault(text: str, fault: str):
    """Nothing starts without a source."""
    sources, faults = parse(text)
    assert not sources
    assert any(told.startswith(fault) for told in faults)


def test_md5_must_be_accepted_by_name():
    """A live source on MD5 alone has to say so; an observed one credits nothing anyway."""
    text = OWN.replace("DIGEST", "md5")
    [fault] = parse(text)[1]
    assert fault.startswith("sources.house.evidence: MD5 proves too little")
    assert fault.endswith('accept it with evidence = ["signature"], or use mode = "observe"')
    assert not parse(text.replace("body =", 'evidence = ["signature"]\nbody ='))[1]
    assert not parse(text.replace("body =", 'mode = "observe"\nbody ='))[1]


@pytest.mark.parametrize("line", ['live_from = "2026-11-23T00:00:00Z"', "max_age_s = 60"])
def test_rules_of_time_need_a_time(line: str):
    """A provider that sends no time cannot be judged by it."""
    [fault] = parse(OWN.replace("DIGEST", "sha256").replace("body =", f"{line}\nbody ="))[1]
    assert fault.endswith("cannot work: this provider's callbacks bear no time")


def test_a_faulty_adapter_is_told_with_the_rest_of_its_source():
    """Nothing hides behind the first mistake, nothing follows from it."""
    text = OWN.replace("DIGEST", "sha3").replace("body =", 'mode = "on"\nbody =') + "\n[sources.crossing]\n"
    assert {fault.partition(":")[0] for fault in parse(text)[1]} == {
        "sources.house.signature.digest",
        "sources.house.mode",
        "sources.crossing.adapter",
        "sources.crossing.secrets",
    }
