from __future__ import annotations

import json
import socket
import stat
from pathlib import Path

from config.settings import load
from relay.sandbox.chain import CHAIN_ID, CONTRACT, FINE
from relay.sandbox.dialects import DIALECTS, VOICES
from relay.sandbox.plan import ABROAD, CAREFUL, TILL, Plan, free_port, prepare


def test_keys_are_made_once_and_are_the_owners_alone(tmp_path: Path) -> None:
    """A second start finds the same keys; nobody else may read them."""
    path = tmp_path / "var" / "sandbox.json"
    first = prepare(path)
    assert prepare(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert first.secret_key not in repr(first)
    assert first.source_secret not in repr(first)


def test_a_port_that_is_taken_is_replaced(tmp_path: Path) -> None:
    """Everything else of the plan stays."""
    path = tmp_path / "sandbox.json"
    first = prepare(path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first.provider_port))
        taken.listen()
        second = prepare(path)
    assert second.provider_port != first.provider_port
    assert (second.admin_key, second.subscribers_port) == (first.admin_key, first.subscribers_port)


def test_a_free_port_is_kept() -> None:
    """So that registered endpoints stay where they are."""
    port = free_port(0)
    assert free_port(port) == port


def test_the_settings_of_the_sandbox_are_settings_of_the_relay(tmp_path: Path) -> None:
    """They pass every check of a real start."""
    plan = prepare(tmp_path / "sandbox.json")
    settings = load(plan.environment())
    assert settings.sandbox
    assert settings.endpoint_allow_cidrs == ("127.0.0.0/8",)
    assert settings.sources["crossing"].hold_above_micros == 1_000_000_000
    assert settings.sources["crossing"].grace_s == 15
    assert settings.admin_key == plan.admin_key
    assert settings.public_url == plan.relay_url
    assert set(settings.sources) == {*VOICES, TILL, ABROAD, CAREFUL}
    assert {(settings.sources[name].namespace, settings.sources[name].base_url) for name in DIALECTS} == {
        ("crossing", plan.provider_url)
    }
    chain = settings.chains["sandbox"]
    assert (chain.chain_id, chain.is_on, [token.contract for token in chain.tokens]) == (
        CHAIN_ID,
        True,
        [CONTRACT, FINE],
    )


def test_a_plan_of_an_earlier_version_gets_a_chain(tmp_path: Path) -> None:
    """It is kept otherwise."""
    path = tmp_path / "sandbox.json"
    first = prepare(path)
    old = json.loads(path.read_text())
    del old["chain_port"]
    path.write_text(json.dumps(old))
    second = prepare(path)
    assert second.chain_port
    assert second.admin_key == first.admin_key


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Secrets of endpoints included."""
    plan = Plan("A", "s", "k", "a", 1, 2, {"wallet": "whsec_x"}, relay_url="http://127.0.0.1:8001", chain_port=3)
    plan.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == plan
