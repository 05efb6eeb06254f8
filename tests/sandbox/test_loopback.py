from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest

from relay.sandbox.loopback import Call, Reply, ask, is_loopback_name, post, serve
from tests.sandbox.served import serving


def echo(call: Call) -> Reply:
    return Reply(200, {"said": call.value()})


def raw(url: str, method: str, headers: dict[str, str], body: bytes = b"{}") -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.putrequest(method, "/echo", skip_host=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(body if method == "POST" else None)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_control_route_answers_the_sandbox() -> None:
    """A value goes there and comes back."""
    with serving(serve({"POST /echo": echo, "GET /echo": echo}, port=0)) as url:
        assert ask(f"{url}/echo", {"a": 1}) == {"said": {"a": 1}}
        assert ask(f"{url}/echo") == {"said": {}}


STRANGERS = {
    "a form of a web page": ({"Host": "127.0.0.1", "Content-Length": "2"}, 403),
    "a name rebound to this machine": ({"Host": "evil.example", "X-Sandbox": "1", "Content-Length": "2"}, 403),
    "a body without a length": ({"Host": "127.0.0.1", "X-Sandbox": "1"}, 413),
    "a body that is too large": ({"Host": "127.0.0.1", "X-Sandbox": "1", "Content-Length": "1048577"}, 413),
    "one of ours": ({"Host": "127.0.0.1", "X-Sandbox": "1", "Content-Length": "2"}, 200),
}


@pytest.mark.parametrize(("headers", "status"), STRANGERS.values(), ids=STRANGERS)
def test_only_the_sandbox_may_turn_its_knobs(headers: dict[str, str], status: int) -> None:
    """Pages of other origins can post to this machine, but cannot send that header."""
    with serving(serve({"POST /echo": echo}, port=0)) as url:
        assert raw(url, "POST", headers, b"" if status == 413 else b"{}") == status


def test_what_is_not_there_is_404_and_nothing_useful() -> None:
    """Asking for it gives None, as an absent process does."""
    with serving(serve({}, port=0)) as url:
        assert post(f"{url}/x", b"", content_type="text/plain", timeout_s=5)[0] == 404
        assert ask(f"{url}/x") is None
    assert ask(f"{url}/x") is None
    assert post(f"{url}/x", b"", content_type="text/plain", timeout_s=5) == (None, "URLError")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:8000", True),
        ("localhost", True),
        ("[::1]:80", True),
        ("evil.example", False),
        ("", False),
        ("127.0.0.1.evil.example", False),
    ],
)
def test_names_of_this_machine(host: str, *, expected: bool) -> None:
    """A name that merely resolves to it is none."""
    assert is_loopback_name(host) is expected
