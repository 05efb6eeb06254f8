"""Own what a provider's statement says: which column is which, what a row means, and whether the totals hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from relay.core.adapters import Adapter
from relay.core.amounts import LARGEST, format_micros
from relay.core.answers import LONGEST, read_amount, read_moment
from relay.core.callbacks import Status
from relay.core.calls import MAPPED
from relay.core.facts import ProviderFact
from relay.core.sections import Section

COLUMNS = ("orderid", "amount", "status", "provider_order_id", "tx_hash", "occurred_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementMap:
    """How a provider writes its list of orders as CSV.

    `columns` gives the title of the column for each of our words (COLUMNS).
    A row whose column for the order bears `total_label` is no order but the
    total of the rows above it. Without a column for the status every row has `status`.
    """

    columns: Mapping[str, str]
    statuses: Mapping[str, Status]
    status: Status | None
    amount_form: str
    unit_micros: int
    delimiter: str
    encoding: str
    total_label: str


@dataclass(slots=True)
class Totals:
    """What the rows of a statement come to, and what its own total line said (micro-USDT)."""

    rows: int = 0
    micros: int = 0
    stated: list[int] = field(default_factory=list)


def parse_statement(section: Section, adapter: Adapter) -> StatementMap:
    """Return the map that a source's table `statement` declares; statuses and amounts are the adapter's own by default."""
    amount, named = section.section("amount"), section.section("statuses")
    columns = section.section("columns").mapping()
    constant = section.choice("status", MAPPED, "succeeded") if "status" in section else ""
    found = StatementMap(
        columns=columns,
        statuses={word: Status(named.choice(word, MAPPED)) for word in named} or adapter.statuses,
        status=Status(constant) if constant else adapter.status if "status" not in columns else None,
        amount_form=amount.choice("form", ("integer", "decimal"), adapter.amount_form),
        unit_micros=amount.whole("unit_micros", adapter.unit_micros, least=1, most=1_000_000),
        delimiter=section.choice("delimiter", (",", ";", "\t", "|"), ","),
        encoding=section.choice("encoding", ("utf-8", "gb18030", "latin-1", "utf-16"), "utf-8"),
        total_label=section.text("total_label", ""),
    )
    amount.close()
    section.close()
    _judge(found, section)
    return found


def _judge(found: StatementMap, section: Section) -> None:
    for word in ("orderid", "amount"):
        if word not in found.columns:
            section.fault(f"columns.{word}", "is missing")
    for word in found.columns:
        if word not in COLUMNS:
            section.fault(f"columns.{word}", f"is not known; there are {', '.join(COLUMNS)}")
    if ("status" in found.columns) == (found.status is not None):
        section.fault("status", "give either columns.status or a constant status")
    if "status" in found.columns and not found.statuses:
        section.fault("statuses", "is missing: it maps the provider's words to ours")


def missing_columns(found: StatementMap, titles: Sequence[str]) -> list[str]:
    """Return the titles that the first line of a statement lacks."""
    return [title for title in found.columns.values() if title not in titles]


def read_row(
    found: StatementMap, row: Mapping[str, str], totals: Totals, *, source: str, namespace: str
) -> ProviderFact | None:
    """Return the fact of a row, None for a total line; either is counted in `totals`. ValueError says what is wrong."""
    told = {word: row[title].strip() for word, title in found.columns.items()}
    micros = _amount(found, told["amount"])
    if found.total_label and told["orderid"] == found.total_label:
        totals.stated.append(micros)
        return None
    if not told["orderid"]:
        raise ValueError("names no order")
    long = next((word for word, text in told.items() if len(text) > LONGEST or "\0" in text), None)
    if long is not None:
        raise ValueError(f"{found.columns[long]} holds NUL or more than {LONGEST} characters")
    if totals.micros + micros > LARGEST:
        raise ValueError(f"{found.columns['amount']} brings the sum beyond what there is")
    totals.rows += 1
    totals.micros += micros
    raw = told.get("status", "")
    return ProviderFact(
        source=source,
        namespace=namespace,
        orderid=told["orderid"],
        via="statement",
        raw_status=raw,
        status=found.status or found.statuses.get(raw),
        amount_micros=micros,
        amount_raw=told["amount"],
        unit_micros=found.unit_micros,
        provider_order_id=told.get("provider_order_id") or None,
        tx_hash=told.get("tx_hash") or None,
        occurred_at=read_moment(told["occurred_at"]) if told.get("occurred_at") else None,
    )


def disagreements(totals: Totals, *, rows: int | None, micros: int | None) -> list[str]:
    """Return how the rows differ from what a person said they come to, and from the statement's own total lines."""
    found = []
    if rows is not None and rows != totals.rows:
        found.append(f"it has {totals.rows} orders, not {rows}")
    stated = totals.stated if micros is None else [micros, *totals.stated]
    come_to = format_micros(totals.micros)
    return found + [
        f"its amounts come to {come_to} USDT, not {format_micros(other)}" for other in stated if other != totals.micros
    ]


def _amount(found: StatementMap, raw: str) -> int:
    try:
        return read_amount(raw, form=found.amount_form, unit_micros=found.unit_micros)
    except ValueError as error:
        raise ValueError(f"{found.columns['amount']} {error}") from None
