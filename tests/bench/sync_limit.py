"""The hand-written limit of `sync_sources`: fetch, decode, COPY to staging, merge.

One connection to the source, one to the database, one transaction a page, nothing
checked: no ledger, no quarantine, no deletes, no resuming.
"""

from __future__ import annotations

import csv
import http.client
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from tests.bench.sync_provider import PAGE

COLUMNS = {
    "id": "text PRIMARY KEY",
    "account_id": "text",
    "email": "text",
    "full_name": "text",
    "phone": "text",
    "job_title": "text",
    "role": "text",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
    "is_subscribed": "boolean",
    "login_count": "bigint",
    "balance": "double precision",
    "city": "text",
    "country": "text",
    "zip": "text",
    "note": "text",
}


class Address(msgspec.Struct):
    """Part of a contact."""

    city: str
    country: str
    zip: str


class Contact(msgspec.Struct):
    """A contact as the provider and the table have it; times stay texts for COPY."""

    id: str
    account_id: str
    email: str
    full_name: str
    phone: str
    job_title: str
    role: str
    created_at: str
    updated_at: str
    is_subscribed: bool
    login_count: int
    balance: float
    address: Address
    note: str


class Known(msgspec.Struct):
    """What raw rows are merged by."""

    id: str
    updated_at: str


class Answer(msgspec.Struct):
    """A page of the provider."""

    rows: list[msgspec.Raw]
    next: int | None


def load(source: str, target: str, *, shape: str, table: str) -> int:
    """Read everything from `source` ("http:PORT", "file:PATH" of a CSV file, or the
    DSN of a database) and merge it into `table` of the database `target`. shape: raw
    (id, time and the object as jsonb) or mapped (a column for each field). Returns how
    many records there were."""
    columns = COLUMNS if shape == "mapped" else RAW_COLUMNS
    row_of: Callable[[Any], Sequence[Any]] = _mapped if shape == "mapped" else _raw
    if source.startswith("file:"):
        pages, row_of = _lines(source[5:]), tuple
    elif source.startswith("http:"):
        pages = _fetch(int(source[5:]))
    else:
        pages = _select(source)
    merge = _merge(table, list(columns))
    count = 0
    with psycopg.connect(target, autocommit=True) as conn:
        typed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        conn.execute(f"CREATE TABLE IF NOT EXISTS {table} ({typed})")
        conn.execute(f"CREATE TEMP TABLE stage (LIKE {table}) ON COMMIT DELETE ROWS")
        for rows in pages:
            with conn.transaction():
                with conn.cursor().copy("COPY stage FROM STDIN") as copy:
                    for raw in rows:
                        copy.write_row(row_of(raw))
                conn.execute(merge)
            count += len(rows)
    return count


RAW_COLUMNS = {"id": "text PRIMARY KEY", "updated_at": "timestamptz", "raw": "jsonb"}

_known = msgspec.json.Decoder(Known)
_contact = msgspec.json.Decoder(Contact)
_answer = msgspec.json.Decoder(Answer)


def _fetch(port: int) -> Iterator[list[Any]]:
    conn = http.client.HTTPConnection("127.0.0.1", port)
    after: int | None = 0
    while after is not None:
        conn.request("GET", f"/contacts?limit={PAGE}&after={after}")
        answer = _answer.decode(conn.getresponse().read())
        yield answer.rows
        after = answer.next
    conn.close()


def _select(dsn: str) -> Iterator[list[Any]]:
    query = "SELECT row_to_json(q)::text FROM (SELECT * FROM contacts ORDER BY id) q"
    with psycopg.connect(dsn) as conn, conn.cursor(name="limit") as cur:
        cur.execute(query)
        while rows := cur.fetchmany(PAGE):
            yield [row[0].encode() for row in rows]


def _lines(path: str) -> Iterator[list[Any]]:
    with Path(path).open(newline="") as file:
        rows = csv.reader(file)
        next(rows)
        while page := list(islice(rows, PAGE)):
            yield page


def _raw(raw: Any) -> tuple[Any, ...]:
    found = _known.decode(raw)
    return found.id, found.updated_at, bytes(raw).decode()


def _mapped(raw: Any) -> tuple[Any, ...]:
    c = _contact.decode(raw)
    return (
        c.id,
        c.account_id,
        c.email,
        c.full_name,
        c.phone,
        c.job_title,
        c.role,
        c.created_at,
        c.updated_at,
        c.is_subscribed,
        c.login_count,
        c.balance,
        c.address.city,
        c.address.country,
        c.address.zip,
        c.note,
    )


def _merge(table: str, columns: list[str]) -> str:
    rest = [name for name in columns if name != "id"]
    new = ", ".join(f"excluded.{name}" for name in rest)
    old = ", ".join(f"t.{name}" for name in rest)
    changes = ", ".join(f"{name} = excluded.{name}" for name in rest)
    return (
        f"INSERT INTO {table} AS t SELECT * FROM stage ON CONFLICT (id) DO UPDATE SET "
        f"{changes} WHERE ({old}) IS DISTINCT FROM ({new})"
    )
