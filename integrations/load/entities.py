"""Upsert of entities in the order of their source, not of their arrival.

A row keeps two places in that order: of its values (source_version,
source_updated_at) and of its tombstone (deleted_version, deleted_at). A record
replaces values it is not older than; it revives a row when it is newer than the
tombstone; a tombstone leaves the values in place. So any order of arrival of the same
records ends in the same row.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec
from psycopg import Cursor

from churnguard.records import ENTITY_TYPES, Record
from integrations.load import wire
from integrations.load.copying import EMPTY, Owner, Shape, copy_new
from integrations.load.lots import Entry

TABLES = {
    "customer": "cg_customer_source",
    "contact": "cg_contact",
    "subscription": "cg_subscription",
    "invoice": "cg_invoice",
    "deal": "cg_deal",
    "ticket": "cg_ticket",
    "conversation": "cg_conversation",
    "survey_response": "cg_survey_response",
    "campaign_engagement": "cg_campaign_engagement",
    "object": "cg_source_object",
}
"""Record type -> table; also the order in which a transaction writes them."""

INFERRED = -(2**63)
"""deleted_version of a tombstone nobody dated: the object was missing, or only its id
was named. Any record that arrives later revives the row."""

_SQL_TYPES = {
    str: "text",
    int: "bigint",
    float: "double precision",
    bool: "boolean",
    datetime: "timestamptz",
}
_SHARED = frozenset(Record.__struct_fields__) | {"customer_id"}
_CHUNK = 5_000
_EMPTY = {name: f"'{value}'" for name, value in EMPTY.items()}
_encoder = msgspec.json.Encoder()

_MANY = 50
"""Entries from which on it pays to ask what is stored before sending them."""
_STORED = """
SELECT external_id, CASE WHEN deleted_at IS NULL THEN content_hash END FROM {table}
WHERE source_id = %s AND external_id = ANY(%s)
"""

_LIVE_WINS = """CASE
    WHEN t.content_hash IS NULL THEN true
    WHEN coalesce({new}.source_version, -9223372036854775808)
        <> coalesce(t.source_version, -9223372036854775808)
    THEN coalesce({new}.source_version, -9223372036854775808)
        > coalesce(t.source_version, -9223372036854775808)
    WHEN {new}.source_updated_at IS NULL AND t.source_updated_at IS NULL THEN true
    ELSE coalesce({new}.source_updated_at, {new}.updated_at)
        >= coalesce(t.source_updated_at, t.updated_at)
    END"""
_REVIVES = """CASE
    WHEN t.deleted_at IS NULL OR t.deleted_version = -9223372036854775808 THEN true
    WHEN t.deleted_version <> {new}.source_version
    THEN {new}.source_version > t.deleted_version
    ELSE coalesce({new}.source_updated_at, {new}.updated_at) > t.deleted_at
    END"""
_TOMBSTONE_WINS = """(t.content_hash IS NULL OR CASE
        WHEN s.deleted_version <> t.source_version
        THEN s.deleted_version > t.source_version
        ELSE s.deleted_at >= coalesce(t.source_updated_at, t.updated_at)
    END) AND (t.deleted_at IS NULL OR s.dated AND CASE
        WHEN t.deleted_version = -9223372036854775808 THEN true
        WHEN s.deleted_version <> t.deleted_version
        THEN s.deleted_version > t.deleted_version
        ELSE s.deleted_at > t.deleted_at
    END)"""


class Change(typing.NamedTuple):
    """One row that was written. is_new: it had no values before; old_ref: the
    identity it belonged to before."""

    stored_id: str
    is_new: bool
    ref: int | None
    old_ref: int | None


def upsert(
    cur: Cursor,
    record_type: str,
    entries: list[Entry],
    *,
    org_id: int,
    source_id: int,
    refs: dict[tuple[int, str], int],
    received_at: datetime,
    stored: Mapping[str, int | None] | None = None,
) -> list[Change]:
    """Write live records (each stored id once); returns what was written.

    stored: `stored_contents` of the entries, where the caller has it already.

    Entries without a change in the answer were older than or equal to what is stored.
    """
    changes: list[Change] = []
    for chunk in _chunked(entries):
        new, changed = _split(cur, record_type, chunk, source_id, stored)
        if new and copy_new(
            cur,
            TABLES[record_type],
            _copied(record_type),
            new,
            Owner(org_id, source_id, received_at, refs),
        ):
            changes += [
                Change(
                    e.stored_id,
                    True,
                    refs.get((source_id, ref_of(e.record) or "")),
                    None,
                )
                for e in new
            ]
        else:
            changed += new
        if changed:
            cur.execute(
                _upsert_statement(record_type),
                _parameters(changed, org_id, source_id, refs, received_at),
            )
            changes += [Change(*row) for row in cur.fetchall()]
    return changes


def bury(
    cur: Cursor,
    record_type: str,
    entries: list[Entry],
    *,
    org_id: int,
    source_id: int,
    refs: dict[tuple[int, str], int],
    received_at: datetime,
) -> list[Change]:
    """Write tombstones (records with deleted=True, each stored id once).

    An unknown id gets a row without values, so that an older record which arrives
    later does not bring it to life.
    """
    statements = [_bury_statement(record_type)]
    if record_type != "customer":
        # An identity is there already: refs were found or created before.
        statements.insert(0, _stub_statement(record_type))
    changes: list[Change] = []
    for chunk in _chunked(entries):
        values = _parameters(chunk, org_id, source_id, refs, received_at)
        for statement in statements:
            cur.execute(statement, values)
            changes += [Change(*row) for row in cur.fetchall()]
    return changes


@lru_cache
def _copied(record_type: str) -> Shape:
    return Shape.of(columns_of(record_type))


def ref_of(record: Record) -> str | None:
    """The id, inside the source, of the customer a record belongs to."""
    if record.TYPE == "customer":
        return record.external_id
    customer_id: str | None = getattr(record, "customer_id", None)
    return customer_id


@lru_cache
def columns_of(record_type: str) -> dict[str, str]:
    """Column -> SQL type of the fields that only this record type has."""
    hints = typing.get_type_hints(ENTITY_TYPES[record_type])
    return {
        name: _sql_type(hints[name])
        for name in ENTITY_TYPES[record_type].__struct_fields__
        if name not in _SHARED
    }


def staged(record_type: str) -> str:
    """FROM item that turns the parameters of `_parameters` into rows."""
    columns = columns_of(record_type)
    typed = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
    names = ", ".join(f'"{name}"' for name in columns)
    return f"""ROWS FROM (
        json_to_recordset(%(rows)s::json) AS (external_id text, updated_at timestamptz,
            version bigint, custom jsonb, raw jsonb{", " if typed else ""}{typed}),
        unnest(%(stored_ids)s::text[]), unnest(%(content)s::bigint[]),
        unnest(%(refs)s::bigint[]), unnest(%(places)s::int[])
    ) AS s(id_in_source, source_updated_at, source_version, custom, raw
        {", " if names else ""}{names}, external_id, content_hash, ref, place)"""


def encode_records(entries: list[Entry]) -> str:
    """The parameter `rows` of `staged`."""
    return _encoder.encode([e.record for e in entries]).decode()


def _parameters(
    entries: list[Entry],
    org_id: int,
    source_id: int,
    refs: dict[tuple[int, str], int],
    received_at: datetime,
) -> dict[str, Any]:
    return {
        "org": org_id,
        "source": source_id,
        "received": received_at,
        "rows": encode_records(entries),
        "stored_ids": [e.stored_id for e in entries],
        "content": [e.content for e in entries],
        "refs": [refs.get((source_id, ref_of(e.record) or "")) for e in entries],
        "places": [e.index for e in entries],
    }


# What arrives later in a page counts as later: `place` makes the arrival times differ.
_ARRIVED = "%(received)s + s.place * interval '1 microsecond'"


@lru_cache
def _upsert_statement(record_type: str) -> str:
    if record_type == "customer":
        return _customer_statement()
    table = TABLES[record_type]
    own = [f'"{name}"' for name in columns_of(record_type)]
    fields = ["customer_source_id", "source_version", "source_updated_at"]
    fields += ["content_hash", "custom", "raw", "updated_at", *own]
    revives = _REVIVES.format(new="excluded")
    return f"""
WITH s AS MATERIALIZED (SELECT * FROM {staged(record_type)}),
old AS (
    SELECT t.external_id, t.customer_source_id FROM s
    JOIN {table} t ON t.source_id = %(source)s AND t.external_id = s.external_id
), written AS (
    INSERT INTO {table} AS t (organization_id, source_id, external_id, created_at,
        {", ".join(fields)})
    SELECT %(org)s, %(source)s, s.external_id, {_ARRIVED}, s.ref, s.source_version,
        s.source_updated_at, s.content_hash, s.custom, s.raw,
        {", ".join([_ARRIVED, *(f"{_filled(record_type, name)}" for name in own)])}
    FROM s ORDER BY s.external_id
    ON CONFLICT (source_id, external_id) DO UPDATE SET
        {", ".join(f"{name} = excluded.{name}" for name in fields)},
        deleted_at = CASE WHEN {revives} THEN NULL ELSE t.deleted_at END,
        deleted_version = CASE WHEN {revives} THEN NULL ELSE t.deleted_version END
    WHERE {_LIVE_WINS.format(new="excluded")}
        AND (t.content_hash IS DISTINCT FROM excluded.content_hash
             OR (t.deleted_at IS NOT NULL AND {revives}))
    RETURNING t.external_id, xmax = 0 AS is_new, t.customer_source_id
)
SELECT w.external_id, w.is_new, w.customer_source_id, old.customer_source_id
FROM written w LEFT JOIN old USING (external_id)"""


def stored_contents(
    cur_or_conn: Any, *, record_type: str, source_id: int, ids: Iterable[str]
) -> dict[str, int | None]:
    """Content hash by stored id; None for a row that is deleted or has no values."""
    cur = wire.open_cursor(cur_or_conn)
    cur.execute(
        _STORED.format(table=TABLES[record_type]), [source_id, wire.text_array(ids)]
    )
    return dict(cur.fetchall())


def _split(
    cur: Cursor,
    record_type: str,
    entries: list[Entry],
    source_id: int,
    stored: Mapping[str, int | None] | None,
) -> tuple[list[Entry], list[Entry]]:
    """(new, changed); those stored and alive with the same content are left out. The
    general statement would find that out as well, but after taking in every value and
    locking the rows."""
    if len(entries) < _MANY:
        return [], entries
    if stored is None:
        stored = stored_contents(
            cur,
            record_type=record_type,
            source_id=source_id,
            ids=(e.stored_id for e in entries),
        )
    other = [e for e in entries if stored.get(e.stored_id) != e.content]
    if record_type == "customer":
        # Identities are there already: they were found or created before.
        return [], other
    return (
        [e for e in other if e.stored_id not in stored],
        [e for e in other if e.stored_id in stored],
    )


def _filled(record_type: str, column: str) -> str:
    name = column.strip('"')
    if columns_of(record_type)[name] == "jsonb":
        return f"coalesce(s.{column}, {_EMPTY[name]})"
    return f"s.{column}"


@lru_cache
def _customer_statement() -> str:
    own = [f'"{name}"' for name in columns_of("customer")]
    fields = ["source_version", "source_updated_at", "content_hash", "custom", "raw"]
    fields += own
    revives = _REVIVES.format(new="s")
    return f"""
WITH s AS MATERIALIZED (
    SELECT t.id, t.is_stub, s.*, {_ARRIVED} AS updated_at
    FROM {staged("customer")}
    JOIN cg_customer_source t
        ON t.source_id = %(source)s AND t.external_id = s.external_id
    ORDER BY t.external_id FOR NO KEY UPDATE OF t
)
UPDATE cg_customer_source t SET is_stub = false, updated_at = s.updated_at,
    {", ".join(f"{name} = s.{name}" for name in fields)},
    deleted_at = CASE WHEN {revives} THEN NULL ELSE t.deleted_at END,
    deleted_version = CASE WHEN {revives} THEN NULL ELSE t.deleted_version END
FROM s WHERE t.id = s.id AND {_LIVE_WINS.format(new="s")}
    AND (t.content_hash IS DISTINCT FROM s.content_hash
         OR (t.deleted_at IS NOT NULL AND {revives}))
RETURNING t.external_id, s.is_stub, t.id, t.id"""


@lru_cache
def _stub_statement(record_type: str) -> str:
    lists = [n for n, kind in columns_of(record_type).items() if kind == "jsonb"]
    if record_type == "object":
        lists.append("kind")
    values = {**_EMPTY, "kind": "s.kind"}
    return f"""
INSERT INTO {TABLES[record_type]} AS t (organization_id, source_id, external_id,
    customer_source_id, custom, raw, created_at, updated_at, deleted_at,
    deleted_version
    {"".join(f", {name}" for name in lists)})
SELECT %(org)s, %(source)s, s.external_id, s.ref, '{{}}', '{{}}', {_ARRIVED},
    {_ARRIVED}, coalesce(s.source_updated_at, {_ARRIVED}), s.source_version
    {"".join(f", {values[name]}" for name in lists)}
FROM {staged(record_type)} ORDER BY s.external_id
ON CONFLICT (source_id, external_id) DO NOTHING
RETURNING t.external_id, true, t.customer_source_id, NULL::bigint"""


@lru_cache
def _bury_statement(record_type: str) -> str:
    ref = "t.id" if record_type == "customer" else "t.customer_source_id"
    return f"""
WITH s AS MATERIALIZED (
    SELECT t.id, s.source_version AS deleted_version, {_ARRIVED} AS arrived,
        coalesce(s.source_updated_at, {_ARRIVED}) AS deleted_at,
        coalesce(s.source_version::text, s.source_updated_at::text) IS NOT NULL AS dated
    FROM {staged(record_type)}
    JOIN {TABLES[record_type]} t
        ON t.source_id = %(source)s AND t.external_id = s.external_id
    ORDER BY t.external_id FOR NO KEY UPDATE OF t
)
UPDATE {TABLES[record_type]} t SET deleted_at = s.deleted_at,
    deleted_version = s.deleted_version, updated_at = s.arrived
FROM s WHERE t.id = s.id AND {_TOMBSTONE_WINS}
RETURNING t.external_id, false, {ref}, {ref}"""


def _sql_type(hint: Any) -> str:
    if isinstance(hint, types.UnionType):
        (hint,) = (arg for arg in typing.get_args(hint) if arg is not type(None))
    return _SQL_TYPES.get(hint, "jsonb")


def _chunked(entries: list[Entry]) -> Iterator[list[Entry]]:
    for start in range(0, len(entries), _CHUNK):
        yield entries[start : start + _CHUNK]


def refs_of(changes: Iterable[Change]) -> set[int]:
    """Identities whose facts changed, before or after."""
    return {ref for change in changes for ref in (change.ref, change.old_ref) if ref}
