"""The probe of our own callback URLs: only ours, only there, only now."""

from __future__ import annotations

import pytest

from relay.core.probes import VALID_S, is_probe, sign_probe

KEY, OLD, NOW = b"k" * 32, b"o" * 32, 1_795_000_000
PROBE = sign_probe(KEY, "crossing", at=NOW)


@pytest.mark.parametrize("later", [-VALID_S, 0, VALID_S])
def test_a_probe_is_known_for_a_minute(later: int) -> None:
    """By any key that is still read, whatever clock is a little off."""
    assert is_probe([OLD, KEY], "crossing", PROBE, now=NOW + later)
    assert not is_probe([OLD, KEY], "crossing", PROBE, now=NOW + later + 3 * VALID_S)


@pytest.mark.parametrize(
    "value",
    [
        "",
        ".",
        PROBE[:-1],
        PROBE + "0",
        PROBE.replace(str(NOW), str(NOW + 1)),
        "x" + PROBE,
        "\u0661." + "0" * 64,
        "1.\udcff",
    ],
)
def test_nothing_else_is_one(value: str) -> None:
    """Nor one for another URL, nor one by another key."""
    assert not is_probe([KEY], "crossing", value, now=NOW)
    assert not is_probe([KEY], "other", PROBE, now=NOW)
    assert not is_probe([OLD], "crossing", PROBE, now=NOW)
