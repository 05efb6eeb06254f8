"""Witnesses: which ones a source has, and what is asked of it when nothing is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from config.witnesses import evidence_of, recover_of
from relay.core.sections import Section
from tests.builders import a_source
from tests.core.calling import a_called_source
from tests.core.examples import preset

STRONG = preset()
WEAK = replace(STRONG, scheme=replace(STRONG.scheme, digest="md5"))
# Whether there is one is all that is asked here.
A_CALL = a_called_source().adapter.query


def asked(*, weak: bool = False, query: bool = False, **settings: Any) -> tuple[frozenset[str], str, list[str]]:
    """What is asked of a source that says nothing about it."""
    faults: list[str] = []
    adapter = replace(WEAK if weak else STRONG, query=A_CALL if query else None)
    section = Section({}, "sources.crossing", faults)
    source = a_source(adapter=adapter, **settings)
    return evidence_of(section, source), recover_of(section, source), faults


CASES = [
    ("strong", {}, {"signature"}, "off"),
    (
        "strong, with both",
        {"query": True, "base_url": "https://x", "chains": ("tron",)},
        {"signature"},
        "provider+chain",
    ),
    ("a query without an address", {"query": True}, {"signature"}, "off"),
    (
        "weak, with a query",
        {"weak": True, "query": True, "base_url": "https://x"},
        {"signature", "provider"},
        "provider",
    ),
    ("weak, with a chain", {"weak": True, "chains": ("tron",)}, {"signature", "chain"}, "chain"),
    ("weak, only observed", {"weak": True, "mode": "observe", "chains": ("tron",)}, {"signature"}, "off"),
]


@pytest.mark.parametrize(("settings", "evidence", "recover"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_the_defaults_follow_from_the_scheme_and_the_witnesses(
    settings: dict[str, Any], evidence: set[str], recover: str
) -> None:
    """A weak scheme gets a second witness, recovery all there are."""
    assert asked(**settings) == (frozenset(evidence), recover, [])


def test_a_weak_scheme_without_a_second_witness_is_a_fault() -> None:
    """It can still be accepted by name."""
    [fault] = asked(weak=True)[2]
    assert fault.startswith("sources.crossing.evidence: MD5 proves too little")
