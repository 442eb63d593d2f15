"""The rows that fail a check: samples and keyset pages."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import connection
from django.http import Http404
from django.urls import reverse

from churnguard.api import decode_cursor, encode_cursor
from churnguard.errors import ConfigError
from churnguard.models import Organization
from monitoring.quality import relations
from monitoring.quality.catalog import (
    BY_CODE,
    REPEAT_CODES,
    has_rows,
    refusal_of,
    scope_of,
)
from monitoring.quality.check import SAMPLES, Check

_PAGE = """
SELECT r.key, r.external_id, src.name, c.public_id, c.name
FROM ({rows}) r JOIN cg_source src ON src.id = r.source_id
LEFT JOIN cg_customer c ON c.id = r.customer_id
WHERE (%(after)s::{kind} IS NULL OR r.key > %(after)s::{kind}) {beyond}
ORDER BY r.key LIMIT %(limit)s
"""
_QUARANTINE = """
SELECT q.id, q.external_id, src.name FROM cg_quarantine q
JOIN cg_source src ON src.id = q.source_id
WHERE q.organization_id = %(org)s AND q.record_type = %(entity)s AND q.state = 'open'
    AND (q.code = ANY(%(codes)s)) = %(is_repeat)s
    AND (%(source)s::bigint IS NULL OR q.source_id = %(source)s)
    AND (%(after)s::bigint IS NULL OR q.id > %(after)s)
ORDER BY q.id LIMIT %(limit)s
"""


def sample(cur: Any, code: str, scope: dict[str, Any], source_id: int) -> list[str]:
    """External ids of the first failing rows of a source."""
    found = _read(cur, code, {**scope, "source": source_id}, None, SAMPLES)
    return [str(row["external_id"]) for row in found]


def list_failing(
    organization: Organization,
    code: str,
    *,
    source: str = "",
    cursor: str | None = None,
    limit: int = 50,
) -> tuple[list[dict[str, Any]], str | None]:
    """A page of rows that fail a check now: {external_id, source, customer_id,
    customer_name, url}, oldest first, and the next cursor.

    Raises Http404 for an unknown check or source, ConfigError for a foreign cursor.
    """
    if not has_rows(code):
        raise Http404("No such check.")
    source_id = None
    if source:
        found = organization.source_set.filter(name=source.replace("\x00", "")).first()
        if found is None:
            raise Http404("No such source.")
        source_id = found.pk
    after = _after(code, cursor)
    with connection.cursor() as cur:
        scope = {**scope_of(cur, organization.pk), "source": source_id}
        rows = _read(cur, code, scope, after, limit + 1)
    more = len(rows) > limit
    rows = rows[:limit]
    following = encode_cursor([str(rows[-1]["key"])]) if more else None
    for row in rows:
        del row["key"]
    return rows, following


def _read(
    cur: Any, code: str, scope: dict[str, Any], after: int | str | None, limit: int
) -> list[dict[str, Any]]:
    given = {**scope, "after": after, "limit": limit}
    if refusal_of(code):
        return _read_quarantine(cur, code, given)
    check = BY_CODE[code]
    if check.entity == "event" and scope["first_batch"] is None:
        return []
    cur.execute(_statement(check), given)
    return [
        {
            "key": key,
            "external_id": external_id,
            "source": source,
            "customer_id": customer_id,
            "customer_name": name,
            "url": reverse("customer", args=[customer_id]) if customer_id else "",
        }
        for key, external_id, source, customer_id, name in cur.fetchall()
    ]


def _statement(check: Check) -> str:
    key = relations.row_key(check.entity)
    picked = f"{key} AS key, t.external_id, t.source_id, o.customer_id"
    source = "AND (%(source)s::bigint IS NULL OR t.source_id = %(source)s)"
    relation = f"{relations.relation(check.entity)} {source}"
    if check.unique_key:
        rows = (
            f"SELECT {picked}, row_number() OVER (PARTITION BY t.source_id, "
            f"{check.unique_key} ORDER BY {key}) AS nr {relation} "
            f"AND ({check.unique_key}) IS NOT NULL"
        )
        beyond = "AND r.nr > 1"
    else:
        rows = f"SELECT {picked} {relation} AND ({check.applies}) AND ({check.fails})"
        beyond = ""
    kind = "uuid" if check.entity == "event" else "bigint"
    return _PAGE.format(rows=rows, kind=kind, beyond=beyond)


def _read_quarantine(
    cur: Any, code: str, given: dict[str, Any]
) -> list[dict[str, Any]]:
    cur.execute(
        _QUARANTINE,
        {
            **given,
            "entity": code.partition(".")[0],
            "codes": list(REPEAT_CODES),
            "is_repeat": refusal_of(code) == "id.unique",
        },
    )
    return [
        {
            "key": key,
            "external_id": external_id,
            "source": source,
            "customer_id": None,
            "customer_name": None,
            "url": reverse("quarantine-record", args=[key]),
        }
        for key, external_id, source in cur.fetchall()
    ]


def _after(code: str, cursor: str | None) -> int | str | None:
    if not cursor:
        return None
    (value,) = decode_cursor(cursor, 1)
    is_uuid = code.startswith("event.") and not refusal_of(code)
    try:
        if is_uuid:
            return str(uuid.UUID(value))
        number = int(value)
    except (ValueError, TypeError, AttributeError):
        number = -1
    if not 0 <= number < 2**62:
        raise ConfigError("This cursor is not valid.", code="invalid_cursor")
    return number
