"""docs/adapters.md, followed: what it shows works, and nothing that exists is missing from it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from click.testing import CliRunner

from config.sources import parse_sources
from relay.__main__ import main
from relay.core import adapters, signatures
from relay.core.bodies import BODIES
from relay.core.callbacks import Status
from relay.core.captures import read_capture
from relay.core.parsing import read_callback
from tests.core.examples import PRESETS

PAGE = (Path(__file__).parents[1] / "docs" / "adapters.md").read_text(encoding="utf-8")
KEY = "sunflower-secret"


def block(opening: str, beginning: str) -> str:
    """The fenced block with this opening and beginning."""
    blocks = [block.partition("\n") for block in PAGE.split("```")[1::2]]
    (found,) = [text for kind, _, text in blocks if kind == opening and text.startswith(beginning)]
    return found


def test_the_probe_of_the_page_says_what_the_page_says(tmp_path: Path) -> None:
    """Word by word."""
    capture = tmp_path / "callback.http"
    capture.write_text(block("http", "POST"))
    done = CliRunner().invoke(main, ["signatures", "probe", str(capture), "--key-env", "K"], env={"K": KEY})
    assert (done.exit_code, done.stdout) == (0, block("", "seen"))


def test_the_source_of_the_page_reads_the_callback_of_the_page() -> None:
    """The invented provider works without a line of code."""
    faults: list[str] = []
    text = block("toml", "[sources.sunpay]")
    sources = parse_sources(text, {"SUNPAY_SECRET": KEY}.get, faults)  # type: ignore[arg-type] # a plain mapping
    assert faults == []
    raw = read_capture(block("http", "POST").encode())
    callback = read_callback(sources["sunpay"], raw, now=datetime(2026, 1, 2, 3, 5, tzinfo=UTC))
    assert (callback.orderid, callback.amount_micros, callback.status) == ("order-1001", 12_500_000, Status.SUCCEEDED)
    assert callback.occurred_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert (callback.tx_hash, callback.appid, callback.flags) == ("ab" * 32, "sun-77", frozenset())


def test_the_table_of_presets_is_whole() -> None:
    """Each preset has its line, and each but the generic one says that nobody tried it live."""
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|.*\| ([^|]+) \|$", PAGE[: PAGE.index("Good to know")], re.MULTILINE)
    assert [name for name, _ in rows] == sorted(PRESETS, key=[name for name, _ in rows].index)
    assert {name for name, held in rows if "no live account tried" not in held} == {"md5-upper-key"}


def test_every_key_and_every_choice_is_explained() -> None:
    """Whatever a table may say stands on the page in code."""
    words = {
        *adapters.KEYS,
        *adapters.WORDS,
        *adapters.NEEDED,
        *adapters.TIMES,
        *adapters.COUNTS,
        *adapters.CHECKS,
        *BODIES,
        *signatures.DIGESTS,
        *signatures.ENVELOPES,
        *signatures.ORDERS,
        *signatures.ENCODINGS,
        *signatures.PLACES,
        *signatures.PAIRS,
        *signatures.Scheme.__slots__,
    }
    assert [
        word for word in sorted(words) if not re.search(rf"`(?:[^`\n]*\W)?{re.escape(word)}(?:\W[^`\n]*)?`", PAGE)
    ] == []
