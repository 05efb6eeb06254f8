"""Files of orders and addresses: what is told, what is stored, how the command ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relay.core.address_book import ROLES
from tests.cli.conftest import CommandLine

TRON = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
CSV = f"orderid,amount,chain,address,user_ref\nsh-1,3,tron,{TRON},1\nsh-2,x,,,\nsh-3,4,tron,{TRON},2\n"


def a_file(tmp_path: Path, name: str, text: str) -> str:
    """A file to import."""
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_a_file_of_orders_is_registered_line_by_line(relay: CommandLine, tmp_path: Path) -> None:
    """Refused lines are named with their reasons, and make the command fail; the others are in."""
    done = relay("orders", "import", a_file(tmp_path, "orders.csv", CSV), "--source", "crossing", code=1)
    assert done.stdout.splitlines() == [
        "line 3: sh-2: amount must be a plain decimal number such as 30.5",
        "line 4: sh-3: address belongs to another user",
        "3 lines: 1 accepted, 0 unchanged, 2 refused",
    ]
    (order,) = relay.json("orders", "list", "--json")
    assert (order["orderid"], order["expected_amount"], order["address"]) == ("sh-1", "3.000000", TRON)
    (entry,) = relay.json("addresses", "list", "--role", "deposit", "--json")
    assert (entry["address"], entry["owner"]) == (TRON, "1")


def test_a_file_may_be_imported_again(relay: CommandLine, tmp_path: Path) -> None:
    """Nothing changes, and nothing failed; programs read the same in JSON."""
    line = {"source": "crossing", "orderid": "sh-1", "amount": "3", "state": "credited"}
    path = a_file(tmp_path, "orders.jsonl", json.dumps(line) + "\n")
    assert relay.json("orders", "import", path, "--json") == [{"lines": 1, "accepted": 1, "unchanged": 0, "refused": 0}]
    assert relay.json("orders", "import", path, "--json")[-1]["unchanged"] == 1
    (order, *steps) = relay.json("orders", "show", "crossing", "sh-1", "--json")
    assert (order["state"], order["amount"]) == ("succeeded", "3.000000")
    assert [step["what"] for step in steps] == ["created"]


def test_addresses_come_from_a_file_too(relay: CommandLine, tmp_path: Path) -> None:
    """Of any role."""
    entry = {"chain": "tron", "address": TRON, "role": "collection"}
    relay("addresses", "import", a_file(tmp_path, "book", json.dumps(entry)), "--format", "jsonl")
    assert [one["role"] for one in relay.json("addresses", "list", "--json")] == ["collection"]
    assert f"role ({', '.join(ROLES)})" in " ".join(relay("addresses", "import", "--help").output.split())


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--source", "nobody"), 2),
        (("--format", "xml"), 2),
        (("--format", "csv"), 2),
    ],
)
def test_an_import_without_sense_changes_nothing(
    relay: CommandLine, tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    """An unknown source, an unknown form, a file of another form."""
    path = a_file(tmp_path, "orders.jsonl", '{"source": "crossing", "orderid": "sh-1"}')
    relay("orders", "import", path, *arguments, code=code)
    assert relay.json("orders", "list", "--json") == []


def test_orders_are_found_by_what_is_known_of_them(relay: CommandLine, tmp_path: Path) -> None:
    """State, user and address in any spelling; a mistyped address is said so."""
    relay("orders", "import", a_file(tmp_path, "orders.csv", CSV), "--source", "crossing", code=1)
    for option, value in (("--state", "created"), ("--user", "1"), ("--address", TRON)):
        assert [one["orderid"] for one in relay.json("orders", "list", option, value, "--json")] == ["sh-1"]
    assert relay.json("orders", "list", "--user", "2", "--json") == []
    assert "wrong checksum" in relay("orders", "list", "--address", TRON[:-1] + "u", code=2).stderr
    relay("orders", "show", "crossing", "sh-9", code=1)
