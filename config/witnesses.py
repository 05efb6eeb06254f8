"""Own which witnesses a source has: what its evidence and its recovery may name, and what they are when nothing is said."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

from relay.core.sections import Section
from relay.core.sources import Source

WITNESSES = ("signature", "provider", "chain")
RECOVERIES = ("provider+chain", "provider", "chain", "off")
# Collisions of MD5 are made at will.
WEAK_DIGESTS = frozenset({"md5"})


def evidence_of(section: Section, source: Source) -> frozenset[str]:
    """Return what must agree before this source credits; a witness that it does not have is a fault with the choices."""
    has = _witnesses(source)
    if "evidence" not in section:
        return _usual_evidence(section, source, has)
    named = section.texts("evidence")
    if "signature" not in named:
        section.fault("evidence", 'must name "signature": no callback is believed without')
    for word in named:
        if word not in has:
            section.fault("evidence", _refusal(word, WITNESSES, has))
    return frozenset(named)


def recover_of(section: Section, source: Source) -> str:
    """Return which witnesses a recovery asks: all that the source has, when nothing is said."""
    has = _witnesses(source)
    possible = [choice for choice in RECOVERIES if set(choice.split("+")) <= has | {"off"}]
    given = section.text("recover", "")
    if not given:
        return possible[0] if source.credits else "off"
    if given not in possible:
        section.fault("recover", _refusal(given, RECOVERIES, possible))
    return given


def _witnesses(source: Source) -> set[str]:
    has = {"signature"}
    # Who is asked must name a sum: a status alone agrees with any amount that a forger writes.
    if source.base_url and source.adapter.query is not None and "amount" in source.adapter.query.answers:
        has.add("provider")
    if source.chains:
        has.add("chain")
    return has


def _usual_evidence(section: Section, source: Source, has: Collection[str]) -> frozenset[str]:
    """A strong signature is enough by itself; beside a weak one another witness has to agree."""
    if source.adapter.scheme.digest not in WEAK_DIGESTS or not source.credits:
        return frozenset({"signature"})
    second = next((witness for witness in ("provider", "chain") if witness in has), None)
    if second is None:
        section.fault(
            "evidence",
            "MD5 proves too little; give it a second witness by base_url or chains, "
            'accept it with evidence = ["signature"], or use mode = "observe"',
        )
        return frozenset({"signature"})
    return frozenset({"signature", second})


def _refusal(given: str, known: Collection[str], has: Collection[str]) -> str:
    choices = ", ".join(f'"{choice}"' for choice in known if choice in has)
    if given in known:
        return (
            f'"{given}" names a witness that this source does not have ({_missing(given)}); the choices are {choices}'
        )
    near = get_close_matches(given, known, n=1)
    return f'"{given}" is not known' + (f'; did you mean "{near[0]}"?' if near else f"; the choices are {choices}")


def _missing(given: str) -> str:
    needs = {"provider": "an adapter with a status query, and base_url", "chain": "chains"}
    return " and ".join(need for witness, need in needs.items() if witness in given.split("+"))
