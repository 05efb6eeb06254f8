"""Own the callbacks that the load is made of: unique, signed as the provider signs, ready to be sent."""

from __future__ import annotations

import hashlib
import time
from urllib.parse import urlencode

SOURCE = "bench"
APPID = "benchmark01"
SECRET = "benchmark-signing-secret"
PATH = f"/callbacks/{SOURCE}"


def signature(fields: dict[str, str], secret: str) -> str:
    """Sign as the provider does: names sorted, name and value joined without separators, the key behind, SHA-1, upper hex.

    Written apart from the product's own engine, so that a fault there cannot hide behind itself.
    """
    text = "".join(name + fields[name] for name in sorted(fields)) + secret
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().upper()


def signed_body(orderid: str, *, at: int) -> bytes:
    """Return the form body of one callback of 3 USDT; `at` is in unix seconds."""
    fields = {"orderid": orderid, "localusermark": "1", "amount": "30000", "appid": APPID, "t": str(at)}
    return urlencode(fields | {"sign": signature(fields, SECRET)}).encode()


def requests(run: str, count: int, *, host: str) -> list[tuple[str, bytes]]:
    """Return `count` pairs of an order's id and the whole HTTP request; `run` keeps the orders of two runs apart."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: "
    )
    at = int(time.time())
    return [_request(head, f"{run}-{number}", at) for number in range(count)]


def _request(head: str, orderid: str, at: int) -> tuple[str, bytes]:
    body = signed_body(orderid, at=at)
    return orderid, f"{head}{len(body)}\r\n\r\n".encode() + body
