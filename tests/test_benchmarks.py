"""The harness measures what it says: its client counts, its sink counts, its signature is the provider's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import callbacks, load, machine, report
from benchmarks.chain.node import Node, serve
from benchmarks.chain.reading import WAYS
from benchmarks.parts import PARTS
from tests.sandbox.served import serving

README = Path(report.__file__).with_name("README.md").read_text()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of a sink that runs as its own process, as in the benchmarks."""
    process = machine.Process("sink", ["-m", "benchmarks.sink"], environment={}, directory=tmp_path, talks=True)
    yield int(process.line())
    process.stop()


def test_the_load_signs_as_the_provider_documents():
    """The provider's routine over the sample callback, as published test vector A has it."""
    fields = {
        "orderid": "sh-56073d0000008a2ff5521a",
        "localusermark": "1",
        "amount": "30000",
        "appid": "VunT0000h1l8",
        "t": "1662299838",
    }
    assert callbacks.signature(fields, "relay-test-secret") == "704117F4A13B6B938D0445F03CCC99A0FD8411FF"


def test_every_request_is_a_callback_of_its_own():
    """A repeated order would be answered from memory and flatter the figures."""
    requests = callbacks.requests("run", 100, host="127.0.0.1")
    assert len({body for _, body in requests}) == len({orderid for orderid, _ in requests}) == 100


@pytest.mark.parametrize(("path", "ok", "other"), [("ok/1", 100, {}), ("fail-4/1", 75, {"500": 25})])
def test_the_client_counts_every_answer_once(port: int, path: str, ok: int, other: dict[str, int]):
    """Accepted and refused answers of a server that knows how many of each it gave."""
    with closing(load.Load(("127.0.0.1", port), connections=8)) as client:
        load.closed_loop(client, webhooks(path, 100, port), seconds=30)
        result = load.summary(client, cpu_s=0.0, with_times=False)
    assert (result["ok"], result["other"], result["unanswered"]) == (ok, other, 0)


def test_the_client_keeps_its_pace(port: int):
    """Ten requests at a hundred a second take the nine gaps between them."""
    with closing(load.Load(("127.0.0.1", port), connections=2)) as client:
        load.open_loop(client, webhooks("ok/1", 10, port), rate=100)
        result = load.summary(client, cpu_s=0.0, with_times=True)
    assert len(result["times"]) == 10
    assert result["ended"] - result["started"] >= 0.08


def test_the_sink_tells_first_arrivals_from_duplicates(port: int):
    """The same webhook-ids twice on one path are duplicates, on another path they are not."""
    with closing(load.Load(("127.0.0.1", port), connections=4)) as client:
        for path in ("ok/1", "ok/1", "delay-1/2"):
            load.closed_loop(client, webhooks(path, 10, port), seconds=30)
    totals = machine.get(f"http://127.0.0.1:{port}/control/totals")
    assert totals == b'{"requests": 30, "accepted": 30, "refused": 0, "hanging": 0, "duplicates": 10, "distinct": 20}'


@pytest.mark.parametrize("part", [*PARTS, "chain", "search", "finance"])
def test_every_part_is_described(part: str):
    """A part that the README does not name is not found by anyone."""
    assert f"`{part}`" in README


def test_every_figure_reads_a_case_that_exists():
    """A figure of a renamed case would silently vanish from the table."""
    keys = {case.key for cases in PARTS.values() for case in cases}
    for figure in report.FIGURES:
        assert {where[0] for where in (figure.of, figure.beside) if where} <= keys


@pytest.fixture
def chain_url() -> Iterator[str]:
    """A chain of the reader's benchmark: every tenth block pays one of ten addresses, others pay each other."""
    server = serve(Node(watched=10, every=10, noise=2))
    with serving(server) as url:
        yield url


def test_both_readers_of_a_chain_find_the_same(chain_url: str, tmp_path: Path):
    """Else the one that reads less would look better."""
    taken = {way: WAYS[way](chain_url, 10, 300, tmp_path) for way in ("ours", "scanner")}
    assert {way: one["found"] for way, one in taken.items()} == {"ours": 30, "scanner": 30}
    assert taken["ours"]["requests"] < taken["scanner"]["requests"]


def test_a_missed_promise_is_named():
    """The table says so in words, and the right way round."""
    rates = {"ingest/ours": {"rate": 1100.0}, "ingest/naive": {"rate": 100.0}}
    assert "| 11 x | **missed** |" in report.table(rates)
    assert "| 13 x | kept |" in report.table(rates | {"ingest/ours": {"rate": 1300.0}})


def webhooks(path: str, count: int, port: int) -> list[load.Request]:
    head = f"POST /{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 2\r\nwebhook-id: "
    return [(str(number), f"{head}{number}\r\n\r\n{{}}".encode()) for number in range(count)]


def test_what_could_not_be_measured_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Of the parts that stand alone too: no traceback."""

    def vain(_: object) -> int:
        raise machine.BenchmarkError("waited 90 s in vain: web")

    monkeypatch.setattr("benchmarks.__main__._run", vain)
    monkeypatch.setattr("sys.argv", ["benchmarks", "search"])
    assert command.main() == 1
    assert capsys.readouterr().err == "waited 90 s in vain: web\n"
