"""Own the reading of sources.toml: from its text to checked Sources, every fault under its place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

from relay.core import adapters, amounts
from relay.core.adapters import Adapter, parse_ack, parse_adapter, with_patterns
from relay.core.addresses import networks
from relay.core.sections import Section
from relay.core.signatures import Secret
from relay.core.sources import Source
from relay.errors import ConfigError

PRESETS = Path(__file__).parent / "adapters.toml"
# What the configuration will know one day, and the values that already say what happens today.
NOT_YET: Mapping[str, tuple[object, ...]] = {
    "upstream_handler": ("",),
    "tolerance": ("",),
    "hold_above_hourly": ("",),
    "recover": ("off",),
    "brake": (),
    "base_url": (),
    "chains": ([],),
    "address_kind": (),
    "late_after_s": (),
}

# Stands where a variable is missing: the start is stopped anyway, and the same fault is not told twice.
_UNSET = "unset"
_YEAR_S = 366 * 86_400
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
    every, presets = Section(tables, "sources", faults), tomllib.loads(PRESETS.read_text(encoding="utf-8"))
    found = {name: _source(name, every.section(name), presets) for name in every}
    return {} if len(faults) > before else found


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
        mode=section.choice("mode", ("live", "observe"), "live"),
        live_from=_moment(section, "live_from"),
        amount_policy=section.choice("amount_policy", ("as_received",), "as_received"),
        minimum_micros=_usdt(section, "minimum") or 0,
        unknown_orders=section.choice("unknown_orders", ("accept", "hold"), "accept"),
        hold_above_micros=_usdt(section, "hold_above"),
        allow_ips=_addresses(section),
        max_age_s=section.whole("max_age_s", 0, most=_YEAR_S),
        grace_s=section.whole("grace_s", 300, least=1, most=_YEAR_S),
        ack=parse_ack(section.section("ack"), adapter.ack),
    )
    _judge_names(source, section)
    if adapter_is_sound:
        _judge_against_adapter(source, section)
    _refuse_not_yet(section)
    section.close()
    return source


def _adapter(name: str, section: Section, presets: Mapping[str, Mapping[str, object]]) -> Adapter:
    """Return the preset or the source's own adapter; in place of a faulty one some adapter, for the other keys to be judged."""
    preset, own = section.text("adapter", ""), {key: section.value(key) for key in adapters.KEYS if key in section}
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
        return with_patterns(parse_adapter(preset, presets[preset]), patterns)
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


def _judge_names(source: Source, section: Section) -> None:
    for path, text in ((section.path, source.name), (f"{section.path}.namespace", source.namespace)):
        if not _NAME.fullmatch(text):
            section.faults.append(f"{path}: a name is lower-case letters, digits, - and _, at most 63")


def _judge_against_adapter(source: Source, section: Section) -> None:
    adapter, appid = source.adapter, source.adapter.names.get("appid")
    if appid is not None and not adapter.patterns[appid].fullmatch(source.appid or ""):
        section.fault(
            "appid", "is not of the form the adapter expects" if source.appid else "is needed: callbacks name it"
        )
    if "occurred_at" not in adapter.names and (source.live_from is not None or source.max_age_s):
        section.fault(
            "live_from" if source.live_from else "max_age_s", "cannot work: this provider's callbacks bear no time"
        )
    evidence = section.texts("evidence")
    if evidence not in ((), ("signature",)):
        section.fault("evidence", 'only ["signature"] is supported yet')
    if adapter.scheme.digest == "md5" and source.credits and not evidence:
        section.fault(
            "evidence", 'MD5 proves too little; accept it with evidence = ["signature"], or use mode = "observe"'
        )


def _refuse_not_yet(section: Section) -> None:
    for key, today in NOT_YET.items():
        if key in section and section.value(key) not in today:
            works = "leave it out" if not today or today[0] in ("", []) else f'what works is "{today[0]}"'
            section.fault(key, f"is not supported yet; {works}")
