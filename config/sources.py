"""Own the reading of sources.toml: from its text to checked Sources, every fault under its place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from config.witnesses import evidence_of, recover_of
from relay.core import adapters, amounts
from relay.core.adapters import Adapter, parse_ack, parse_adapter, with_patterns
from relay.core.addresses import networks
from relay.core.public_keys import read_public_key
from relay.core.sections import Section
from relay.core.signatures import PUBLIC_KEYED, Secret
from relay.core.sources import Brake, Source
from relay.core.statements import parse_statement
from relay.errors import ConfigError

PRESETS = Path(__file__).parent / "adapters.toml"
POLICIES = ("as_received", "exact", "tolerance", "accumulate")
ADDRESS_KINDS = ("dedicated", "shared", "provider")

# Stands where a variable is missing: the start is stopped anyway, and the same fault is not told twice.
_UNSET = "unset"
_YEAR_S = 366 * 86_400
LOOPBACK = ("127.0.0.1", "::1", "localhost")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.ASCII | re.DOTALL)


def parse_sources(text: str, variable: Callable[[str], str], faults: list[str]) -> dict[str, Source]:
    """Return the sources of a TOML text by name, adding what is wrong to `faults`.

    `${NAME}` and `${NAME:-default}` in strings become what `variable` returns
    for the name; it returns "" for one that is not set. With a fault there
    are no sources.
    """
    before = len(faults)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        faults.append(f"RELAY_SOURCES: is not TOML: {error}")
        return {}
    root = Section(
        {key: _replaced(value, key, variable, faults) for key, value in document.items()}, "RELAY_SOURCES", faults
    )
    tables = root.value("sources")
    root.close()
    if not isinstance(tables, Mapping) or not tables:
        faults.append("RELAY_SOURCES: names no source; write a section such as [sources.crossing]")
        return {}
    every = Section(tables, "sources", faults)
    found = {name: _source(name, every.section(name), preset_tables()) for name in every}
    if len(faults) > before:
        return {}
    seen = {source.namespace for source in found.values() if source.chains}
    return {name: replace(source, is_beside_chains=source.namespace in seen) for name, source in found.items()}


@cache
def preset_tables() -> Mapping[str, Mapping[str, object]]:
    """Return the tables of the adapters that come with us, by name; a process reads them once."""
    return tomllib.loads(PRESETS.read_text(encoding="utf-8"))


def _replaced(value: object, path: str, variable: Callable[[str], str], faults: list[str]) -> object:
    """Replace the references in every string; after the TOML was read, so that no value can change its structure."""
    if isinstance(value, dict):
        return {key: _replaced(inner, f"{path}.{key}", variable, faults) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, path, variable, faults) for inner in value]
    if not isinstance(value, str):
        return value

    def resolve(reference: re.Match[str]) -> str:
        found = _VARIABLE.fullmatch(reference.group(1))
        if found is None:
            faults.append(f"{path}: {reference.group()} is not a reference such as ${{NAME}} or ${{NAME:-default}}")
            return _UNSET
        given = variable(found.group(1)) or found.group(2)
        if given is None:
            faults.append(f"{path}: {found.group(1)} is not set")
        return _UNSET if given is None else given

    return _REFERENCE.sub(resolve, value)


def _source(name: str, section: Section, presets: Mapping[str, Mapping[str, object]]) -> Source:
    before = len(section.faults)
    adapter = _adapter(name, section, presets)
    adapter_is_sound = len(section.faults) == before
    source = Source(
        name=name,
        namespace=section.text("namespace", name),
        adapter=adapter,
        secrets=_secrets(section),
        appid=section.text("appid", "") or None,
        base_url=_url(section, "base_url", _is_safe, "an https URL, or one of http on this machine"),
        mode=section.choice("mode", ("live", "observe"), "live"),
        upstream_handler=_handler(section),
        live_from=_moment(section, "live_from"),
        chains=tuple(dict.fromkeys(section.texts("chains"))),
        amount_policy=section.choice("amount_policy", POLICIES, "as_received"),
        minimum_micros=_usdt(section, "minimum") or 0,
        tolerance_micros=_usdt(section, "tolerance") or 0,
        unknown_orders=section.choice("unknown_orders", ("accept", "hold"), "accept"),
        hold_above_micros=_usdt(section, "hold_above"),
        hold_above_hourly_micros=_usdt(section, "hold_above_hourly"),
        brake=_brake(section.section("brake")),
        address_kind=section.choice("address_kind", ADDRESS_KINDS, "dedicated"),
        allow_ips=_addresses(section),
        max_age_s=section.whole("max_age_s", 0, most=_YEAR_S),
        late_after_s=section.whole("late_after_s", 15, least=0, most=_YEAR_S),
        grace_s=section.whole("grace_s", 300, least=1, most=_YEAR_S),
        # From a minute on, so that what is acknowledged later than that is looked at again (relay.store.tables.triggers).
        deliver_within_s=section.whole("deliver_within_s", 900, least=60, most=_YEAR_S),
        ack=parse_ack(section.section("ack"), adapter.ack),
        account=section.section("account").mapping(),
        statement=parse_statement(section.section("statement"), adapter) if "statement" in section else None,
    )
    _judge_names(source, section)
    if adapter_is_sound:
        _judge_against_adapter(source, section)
        source = replace(source, evidence=evidence_of(section, source), recover=recover_of(section, source))
        _judge_policy(source, section)
        _judge_calls(source, section)
    else:
        # Who can testify is judged with a sound adapter only; until then these are at least known.
        section.value("evidence")
        section.value("recover")
    section.close()
    return source


def _adapter(name: str, section: Section, presets: Mapping[str, Mapping[str, object]]) -> Adapter:
    """Return the preset or the source's own adapter; in place of a faulty one some adapter, for the other keys to be judged."""
    preset, own = section.text("adapter", ""), {key: section.value(key) for key in adapters.KEYS if key in section}
    # How a provider is called is often known to its customers only, so these two replace the preset's.
    calls = {key: own.pop(key) for key in adapters.CALLS if key in own} if preset else {}
    patterns = section.section("patterns")
    if own and not preset:
        try:
            return with_patterns(parse_adapter(name, own, path=section.path), patterns)
        except ConfigError as error:
            section.faults.extend(error.faults)
    elif own:
        section.fault(
            "adapter", f'is a preset; it cannot be changed by "{next(iter(own))}", only narrowed by "patterns"'
        )
    elif preset not in presets:
        choices = ", ".join(f'"{choice}"' for choice in presets)
        section.fault("adapter", f"must be one of {choices}; or leave it out and write [{section.path}.signature]")
    else:
        try:
            return with_patterns(parse_adapter(preset, {**presets[preset], **calls}, path=section.path), patterns)
        except ConfigError as error:
            section.faults.extend(error.faults)
    fallback = next(iter(presets))
    return parse_adapter(fallback, presets[fallback])


def _secrets(section: Section) -> tuple[Secret, ...]:
    # The order stays: the first one signs. The same secret twice is one.
    values = dict.fromkeys(filter(None, section.texts("secrets")))
    if not values:
        section.fault("secrets", "names no secret; an empty one counts for none")
    return tuple(map(Secret.of, values))


def _moment(section: Section, key: str) -> datetime | None:
    text = section.text(key, "")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        section.fault(key, "must be a moment with its offset, such as 2026-11-23T00:00:00Z")
    return moment


def _usdt(section: Section, key: str) -> int | None:
    """Return micros, or None for "" and for what is not there."""
    text = section.text(key, "")
    try:
        return amounts.parse_usdt(text) if text else None
    except ValueError as error:
        section.fault(key, f'{error}; write USDT in quotes, such as "30.5"')
        return None


def _addresses(section: Section) -> tuple[str, ...]:
    given = section.texts("allow_ips")
    for address in given:
        try:
            networks([address])
        except ValueError as error:
            section.fault("allow_ips", str(error))
    return given


def _url(section: Section, key: str, is_allowed: Callable[[str, str], bool], wanted: str) -> str:
    """Return an address without a slash at its end, "" for none."""
    text = section.text(key, "")
    parts = _parts(text)
    if text and (parts is None or parts.query or not is_allowed(parts.scheme, parts.hostname or "")):
        section.fault(key, f"must be {wanted}, without user, query and fragment")
    return text.rstrip("/")


def _handler(section: Section) -> str:
    """Return where the old handler stands, to the last slash and with its query: some answer there only.

    It is the merchant's own and may be in a private network; whether it may
    be spoken to in the clear is judged by the address it turns out to have.
    """
    text = section.text("upstream_handler", "")
    parts = _parts(text)
    if text and (parts is None or parts.scheme not in ("https", "http")):
        section.fault("upstream_handler", "must be an http or https URL, without user and fragment")
    return text


def _parts(text: str) -> SplitResult | None:
    """Return the parts of a URL, None for one that names no host or says more than where something is."""
    try:
        parts = urlsplit(text)
        sound = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    if not sound or parts.fragment or parts.username or parts.password or not text.isascii() or " " in text:
        return None
    return parts


def _is_safe(scheme: str, host: str) -> bool:
    """Keys and orders travel encrypted, or not at all off this machine."""
    return scheme == "https" or (scheme == "http" and host in LOOPBACK)


def _brake(section: Section) -> Brake:
    usual = Brake()
    micros = _usdt(section, "usdt")
    brake = Brake(
        count=section.whole("count", usual.count, least=1, most=1_000_000),
        # A brake of 0 is one that lets nothing through; only what is left out is as usual.
        micros=usual.micros if micros is None else micros,
        window_s=section.whole("window_s", usual.window_s, least=1, most=_YEAR_S),
    )
    section.close()
    return brake


def _judge_policy(source: Source, section: Section) -> None:
    if (source.amount_policy == "tolerance") != bool(source.tolerance_micros):
        section.fault("tolerance", 'is needed by amount_policy = "tolerance", and by no other')
    if (
        source.amount_policy == "accumulate"
        and "tx_hash" not in source.adapter.names
        and "chain" not in source.evidence
    ):
        section.fault(
            "amount_policy",
            '"accumulate" needs to tell payments apart: this provider names no transaction, so add "chain" to evidence',
        )
    if source.upstream_handler and source.credits:
        section.fault("upstream_handler", 'only works with mode = "observe": two would credit')


def _judge_calls(source: Source, section: Section) -> None:
    """Where the provider can be asked, whatever the question names of the account must be there."""
    query = source.adapter.query
    if source.base_url and query is not None:
        for word in query.missing(source.own_words):
            section.fault(word, "is needed to ask the provider at base_url")


def _judge_names(source: Source, section: Section) -> None:
    for path, text in ((section.path, source.name), (f"{section.path}.namespace", source.namespace)):
        if not _NAME.fullmatch(text):
            section.faults.append(f"{path}: a name is lower-case letters, digits, - and _, at most 63")


def _judge_public_keys(source: Source, section: Section) -> None:
    for secret in source.secrets:
        try:
            read_public_key(secret.value)
        except ValueError as error:
            section.fault("secrets", str(error))


def _judge_against_adapter(source: Source, section: Section) -> None:
    adapter, appid = source.adapter, source.adapter.names.get("appid")
    if appid is not None and not adapter.patterns[appid].fullmatch(source.appid or ""):
        section.fault(
            "appid", "is not of the form the adapter expects" if source.appid else "is needed: callbacks name it"
        )
    if adapter.scheme.digest in PUBLIC_KEYED:
        _judge_public_keys(source, section)
    if "occurred_at" not in adapter.names and (source.live_from is not None or source.max_age_s):
        section.fault(
            "live_from" if source.live_from else "max_age_s", "cannot work: this provider's callbacks bear no time"
        )
