"""`signatures probe`: from a capture and a key to the TOML, without ever showing the key."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relay.__main__ import main
from relay.core.signatures import Scheme, sign
from tests.core.examples import FIELDS, KEY, form, paid, preset, sent, signed


def probe(*arguments: str, given: bytes = b"", code: int = 0) -> Result:
    """Run it with the key in the environment unless the arguments name one."""
    key = () if any(argument.startswith("--key") for argument in arguments) else ("--key-env", "PROBED_KEY")
    done = CliRunner().invoke(main, ["signatures", "probe", *arguments, *key], input=given, env={"PROBED_KEY": KEY})
    assert done.exit_code == code, (done.output, done.exception)
    assert KEY not in done.output
    return done


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """The guide's callback in a file, and the key in another."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    path = tmp_path / "callback.http"
    head = b"POST /callbacks/crossing HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n"
    path.write_bytes(head + form(signed(preset(), FIELDS)).body)
    return path


def test_one_match_is_printed_with_its_toml(capture: Path) -> None:
    """Ready to paste; no database and no settings are needed."""
    said = probe(str(capture), "--key-file", str(capture.with_name("key"))).stdout
    assert "matches: crossingpay-v1\n" in said
    assert 'adapter = "crossingpay-v1"' in said.splitlines()


def test_two_matches_are_said_plainly() -> None:
    """The requests of epusdt and BEpusdt mostly look alike."""
    said = probe(given=sent(preset("epusdt"), paid(preset("epusdt"))).body).stdout
    assert "2 presets match, and this request cannot tell them apart: epusdt, bepusdt" in said


def test_a_scheme_of_no_preset_is_printed_as_a_section() -> None:
    """TOML that the configuration reads."""
    fields = {"zeta": "9", "order": "o-1", "nothing": ""}
    scheme = Scheme(name="sign", digest="sha256", place="prefix", place_text="&")
    said = probe(given=form({**fields, "sign": sign(scheme, KEY, fields)}).body).stdout
    table = tomllib.loads(said[said.index("[sources") :])["sources"]["NAME"]["signature"]
    assert table == {"name": "sign", "digest": "sha256", "place": "prefix", "place_text": "&"}


def test_none_is_said_plainly_and_fails(capture: Path) -> None:
    """With what to look at next."""
    (capture.with_name("wrong")).write_text("wrong")
    done = probe(str(capture), "--key-file", str(capture.with_name("wrong")), code=1)
    assert "nothing matches" in done.stdout
    assert "the fields are those of crossingpay-v1" in done.stdout


def test_programs_get_json(capture: Path) -> None:
    """The same, whole."""
    found = json.loads(probe(str(capture), "--json").stdout)
    assert found["presets"] == [{"name": "crossingpay-v1", "reason": ""}]
    assert found["matches"][0]["signature"]["digest"] == "sha1"


@pytest.mark.parametrize(
    ("arguments", "given", "said"),
    [
        ((), b"", "nothing was captured"),
        (("/nowhere/at/all",), b"", "No such file"),
        (("--key-env", "NOT_SET"), b"a=1", "the key is empty"),
    ],
)
def test_a_wrong_call_is_told_as_one(arguments: tuple[str, ...], given: bytes, said: str) -> None:
    """Exit code 2, one line."""
    assert said in probe(*arguments, given=given, code=2).stderr


def test_without_a_terminal_the_key_must_be_named() -> None:
    """It is never taken from the arguments."""
    done = CliRunner().invoke(main, ["signatures", "probe"], input=b"a=1")
    assert done.exit_code == 2
    assert "--key-file or --key-env" in done.stderr
