"""Verify the evidence of a closed day, with the standard library alone: python -I verify.py [evidence.zip].

Checks the seal's signature (Ed25519, RFC 8032), the manifest it names, the
SHA-256, rows and totals of every file, and the chain of the audit's acts. With
`--key` the public key is compared with one that you had from elsewhere: the
keys in the archive prove only that it is whole, not whose it is. With `--rpc
URL` (or `--rpc CHAIN=URL`, once for each chain) each transfer is read again from
a node of your own: its block by number and hash, its time, the token, sender,
recipient and amount. Prints one line a check; exits 0 when all hold, 1 when one fails.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import json
import sys
import urllib.request
import zipfile
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

# RFC 8032, section 5.1 and appendix A: edwards25519 in affine terms, plain and slow, for one signature is enough.
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
OWN = ("manifest.json", "seal.json", "keys.json", "verify.py")
TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"


def recover_x(y: int, odd: int) -> int:
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (not x and odd):
        raise ValueError("no point of the curve")
    return P - x if x & 1 != odd else x


def add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    k = D * a[0] * b[0] * a[1] * b[1] % P
    x = (a[0] * b[1] + b[0] * a[1]) * pow(1 + k, P - 2, P) % P
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - k, P - 2, P) % P
    return x, y


def times(number: int, point: tuple[int, int]) -> tuple[int, int]:
    result = (0, 1)
    while number:
        if number & 1:
            result = add(result, point)
        point, number = add(point, point), number >> 1
    return result


def read_point(data: bytes) -> tuple[int, int]:
    whole = int.from_bytes(data, "little")
    y = whole & ((1 << 255) - 1)
    return recover_x(y, whole >> 255), y


def signature_holds(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether an Ed25519 signature is that of a message."""
    if len(public) != 32 or len(signature) != 64 or int.from_bytes(signature[32:], "little") >= L:
        return False
    base_y = 4 * pow(5, P - 2, P) % P
    base = (recover_x(base_y, 0), base_y)
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    try:
        key, r = read_point(public), read_point(signature[:32])
    except ValueError:
        return False
    s, h = int.from_bytes(signature[32:], "little"), int.from_bytes(digest, "little") % L
    return times(s, base) == add(r, times(h, key))


class Report:
    """Prints each check, and remembers whether one failed."""

    failed = False

    def check(self, name: str, holds: bool, why: str = "") -> None:
        print(f"{'ok  ' if holds else 'BAD '} {name}{'' if holds or not why else f': {why}'}")
        self.failed = self.failed or not holds


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def check_seal(report: Report, read: dict[str, bytes], expected: str | None) -> dict[str, Any]:
    seal = json.loads(read["seal.json"])
    manifest: dict[str, Any] = json.loads(read["manifest.json"])
    keys = {key["id"]: base64.b64decode(key["public_key"]) for key in json.loads(read["keys.json"])["keys"]}
    public = base64.b64decode(expected) if expected else keys.get(seal["key_id"], b"")
    report.check(f"key {seal['key_id']}", sha256(public)[:16] == seal["key_id"], "the seal names another key")
    holds = signature_holds(public, seal["sealed"].encode(), base64.b64decode(seal["signature"]))
    report.check("seal", holds, "the signature is not that of the sealed text")
    sealed = json.loads(seal["sealed"])
    report.check("manifest", sealed["manifest_sha256"] == sha256(read["manifest.json"]), "not the one that was sealed")
    same = (sealed["day"], sealed["version"]) == (manifest["day"], manifest["version"])
    report.check(f"day {manifest['day']}, version {manifest['version']}", same, "the seal is that of another day")
    if around := sealed.get("closed_around"):
        same = (around["because"], around["incomplete"]) == (manifest["closed_around"], manifest["incomplete"])
        why = f"closed around {'; '.join(around['incomplete'])}, because: {around['because']}"
        report.check(why, same, "the manifest says something else")
    two = sealed["prepared"][0] != sealed["approved"][0]
    report.check(f"prepared by {sealed['prepared'][0]}, approved by {sealed['approved'][0]}", two, "one person")
    return manifest


def check_files(report: Report, read: dict[str, bytes], manifest: dict[str, Any]) -> None:
    for name, told in manifest["files"].items():
        content = read.get(name)
        report.check(name, content is not None and sha256(content) == told["sha256"], "missing, or changed")
        if content is None or not name.endswith(".csv"):
            continue
        rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
        report.check(f"{name}: {told['rows']} rows", len(rows) == told["rows"], f"has {len(rows)}")
        for column, total in told["totals"].items():
            found = sum((Decimal(row[column]) for row in rows if row[column]), Decimal(0))
            report.check(f"{name}: {column} {total}", found == Decimal(total), f"comes to {found}")
    known = {*manifest["files"], *OWN}
    report.check("nothing was added", set(read) <= known, ", ".join(sorted(set(read) - known)))


def check_bridge(report: Report, manifest: dict[str, Any]) -> None:
    bridge = manifest["bridge"]
    lines = sum((Decimal(line["amount"]) for line in bridge["lines"].values()), Decimal(0))
    foots = Decimal(bridge["provider"]["amount"]) - Decimal(bridge["relay"]["amount"]) - lines
    report.check("bridge: provider less relay is explained to zero", not foots, f"{foots} are left")


def check_cash(report: Report, manifest: dict[str, Any], content: bytes) -> None:
    """Every row and every column of the proof of cash foots, and it is the one of the manifest."""
    columns = ("opening", "received", "sent", "closing", "measured", "difference")
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    for row in rows:
        opening, received, sent, closing, measured, left = (Decimal(row[name]) for name in columns)
        foots = opening + received - sent == closing and measured - closing == left
        report.check(
            f"cash: {row['chain']} {row['contract']} foots, {left} is left", foots, "opening + received - sent"
        )
    for name in columns:
        total = Decimal(manifest.get("cash_total", {}).get(name, "0"))
        found = sum((Decimal(row[name]) for row in rows), Decimal(0))
        report.check(f"cash: {name} {total}", found == total, f"comes to {found}")


def check_audit(report: Report, content: bytes) -> None:
    last = None
    for line in content.decode().splitlines():
        act = json.loads(line)
        named = ("sequence", "actor", "act", "subject")
        signed = {name: act[name] for name in named} | {"detail": canonical(act["detail"]), "at": act["at"]}
        whole = sha256((act["previous_hash"] + canonical(signed)).encode()) == act["hash"]
        follows = last is None or (act["previous_hash"] == last["hash"] and act["sequence"] == last["sequence"] + 1)
        if not (whole and follows):
            report.check(f"audit: act {act['sequence']}", False, "changed, or one before it is missing")
            return
        last = act
    report.check("audit: the chain of acts is whole", True)


def check_transfers(report: Report, content: bytes, nodes: dict[str, str]) -> None:
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    for chain in sorted({row["chain"] for row in rows}):
        mine, url = [row for row in rows if row["chain"] == chain], nodes.get(chain, nodes.get(""))
        if url is None:
            print(f"     {chain}: {len(mine)} transfers, not read again; give --rpc {chain}=URL")
            continue
        node = Node(url)
        for row in mine:
            name = f"{chain} {row['tx_hash']} log {row['log_index']}, block {row['block_number']}"
            try:
                why = difference(node, row)
            except (OSError, ValueError, KeyError, TypeError) as error:
                why = f"the node does not answer ({type(error).__name__}: {error})"
            report.check(name, not why, why)


class Node:
    """An auditor's own node, asked by JSON-RPC; what it said of a block or a token is asked once."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.known: dict[str, Any] = {}

    def ask(self, method: str, *params: Any) -> Any:
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        request = urllib.request.Request(self.url, json.dumps(asked).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            told = json.load(answer)
        if "error" in told:
            raise ValueError(str(told["error"].get("message", told["error"]))[:200])
        return told["result"]

    def once(self, method: str, *params: Any) -> Any:
        key = json.dumps([method, params])
        if key not in self.known:
            self.known[key] = self.ask(method, *params)
        return self.known[key]

    def decimals(self, contract: str) -> int:
        return int(self.once("eth_call", {"to": contract, "data": "0x313ce567"}, "latest"), 16)


def difference(node: Node, row: dict[str, str]) -> str:
    """Return in what the node's own words about a transfer differ from the evidence; "" where they agree."""
    receipt = node.ask("eth_getTransactionReceipt", row["tx_hash"])
    if not receipt:
        return "the node knows no such transaction"
    if int(receipt.get("status", "0x1"), 16) != 1:
        return "the transaction failed"
    block = node.once("eth_getBlockByNumber", hex(int(row["block_number"])), False)
    told = {
        "block": (plain(receipt["blockHash"]), plain(row["block_hash"])),
        "block number": (int(receipt["blockNumber"], 16), int(row["block_number"])),
        "block of that number": (plain(block["hash"]) if block else "none", plain(row["block_hash"])),
        "block time": (int(block["timestamp"], 16) if block else "none", seconds(row["block_time_utc"])),
    }
    logs = [log for log in receipt["logs"] if int(log["logIndex"], 16) == int(row["log_index"])]
    if not logs or not logs[0]["topics"] or plain(logs[0]["topics"][0]) != plain(TRANSFER):
        return "no transfer is logged at that place"
    (log, *_) = logs
    units = Decimal(row["amount"]) * 10 ** node.decimals(log["address"]) + int(row["rest"] or 0)
    told |= {
        "contract": (address(log["address"]), address(row["contract"])),
        "sender": (address(log["topics"][1]), address(row["sender"])),
        "recipient": (address(log["topics"][2]), address(row["recipient"])),
        "amount": (int(log["data"], 16), units),
    }
    wrong = [f"{name} is {theirs} there, {ours} here" for name, (theirs, ours) in told.items() if theirs != ours]
    return "; ".join(wrong)


def plain(text: str) -> str:
    return text.lower().removeprefix("0x")


def address(text: str) -> str:
    return plain(text)[-40:]


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def nodes_of(given: list[str]) -> dict[str, str]:
    """Read CHAIN=URL, or a URL alone, which stands for every chain that is not named."""
    named = (one.partition("=") if "=" in one.split("://", 1)[0] else ("", "=", one) for one in given)
    return {chain: url for chain, _, url in named}


def main() -> int:
    parser = argparse.ArgumentParser(description="Verify the evidence of a closed day.")
    parser.add_argument(
        "evidence", nargs="?", default="evidence.zip", help="the archive, or the folder it was unpacked to"
    )
    parser.add_argument("--key", help="the public key, in base64, as you had it from elsewhere")
    parser.add_argument(
        "--rpc", action="append", default=[], metavar="[CHAIN=]URL", help="read transfers again from this node"
    )
    given = parser.parse_args()
    report = Report()
    try:
        read = files_of(Path(given.evidence))
        manifest = check_seal(report, read, given.key)
        check_files(report, read, manifest)
        check_bridge(report, manifest)
        check_cash(report, manifest, read.get("cash.csv", b""))
        check_audit(report, read.get("audit.jsonl", b""))
        check_transfers(report, read.get("transfers.csv", b""), nodes_of(given.rpc))
    except (KeyError, ValueError, TypeError, OSError, zipfile.BadZipFile) as error:
        report.check("evidence", False, f"cannot be read ({type(error).__name__}: {error})")
    print("The evidence does not hold." if report.failed else "The evidence holds.")
    return 1 if report.failed else 0


def files_of(path: Path) -> dict[str, bytes]:
    if path.is_dir():
        # A folder may hold anything beside what was unpacked to it.
        told = json.loads((path / "manifest.json").read_bytes())["files"]
        return {name: (path / name).read_bytes() for name in (*OWN, *told) if (path / name).is_file()}
    with zipfile.ZipFile(path) as zipped:
        names = zipped.namelist()
        # We would read the last of two, and whoever unpacks or lists the archive may see the first.
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{', '.join(sorted(twice))} is there twice")
        return {name: zipped.read(name) for name in names}


if __name__ == "__main__":
    sys.exit(main())
