"""The SQL of entities: which record goes into which table, and what wins there.

A row keeps two places in the order of its source: of its values (source_version,
source_updated_at) and of its tombstone (deleted_version, deleted_at). A record
replaces values it is not older than; it revives a row when it is newer than the
tombstone; a tombstone leaves the values in place. So any order of arrival of the same
records ends in the same row.
"""

from __future__ import annotations

import types
import typing
from datetime import datetime
from functools import lru_cache
from typing import Any

from churnguard.records import ENTITY_TYPES, Record

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
EMPTY = {"lines": "[]", "links": "{}"}
"""What a JSON column holds where a record has none."""
_EMPTY = {name: f"'{value}'" for name, value in EMPTY.items()}
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
            version bigint, custom jsonb, raw json{", " if typed else ""}{typed}),
        unnest(%(stored_ids)s::text[]), unnest(%(content)s::bigint[]),
        unnest(%(refs)s::bigint[]), unnest(%(places)s::int[])
    ) AS s(id_in_source, source_updated_at, source_version, custom, raw
        {", " if names else ""}{names}, external_id, content_hash, ref, place)"""


# What arrives later in a page counts as later: `place` makes the arrival times differ.
_ARRIVED = "%(received)s + s.place * interval '1 microsecond'"


@lru_cache
def upsert_statement(record_type: str) -> str:
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
def stub_statement(record_type: str) -> str:
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
def bury_statement(record_type: str) -> str:
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
