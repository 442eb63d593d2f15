"""Notices: what a person should know, kept in PostgreSQL and shown live.

A notice is open until its cause ends; while it is open the same key opens no second
one. Opening and resolving also publish a note on the channel "alerts", in the same
transaction, so a socket never shows what a rollback took back.
"""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

from churnguard.stream import notes

SEVERITIES = ("info", "warning", "critical")


def open_notice(
    conn: Any,
    org_id: int,
    kind: str,
    severity: str,
    key: str,
    title: str,
    detail: str = "",
    url: str = "",
    data: dict[str, Any] | None = None,
) -> int | None:
    """Open a notice; returns its id, or None when one of `key` is open already.

    `conn` is what `stream.notes.publish` takes, and its rule on order applies here.
    `severity` is info, warning or critical. Raises ValueError for another one.
    """
    if severity not in SEVERITIES:
        raise ValueError(f"Severity {severity!r} is none of {', '.join(SEVERITIES)}.")
    row = _one(
        conn,
        "INSERT INTO cg_notice (organization_id, kind, severity, key, title, detail, "
        "url, data, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s::jsonb, "
        "clock_timestamp()) "
        "ON CONFLICT (organization_id, key) WHERE resolved_at IS NULL DO NOTHING "
        "RETURNING id",
        [
            org_id,
            kind,
            severity,
            key[:200],
            title[:300],
            detail,
            url[:300],
            json.dumps(data or {}, default=str),
        ],
    )
    if row is None:
        return None
    _publish(conn, org_id, row[0], "open", kind, severity, key, title, detail, url)
    return int(row[0])


def resolve_notice(conn: Any, org_id: int, key: str) -> bool:
    """Close the open notice of `key`; False when there is none."""
    row = _one(
        conn,
        "UPDATE cg_notice SET resolved_at = clock_timestamp() "
        "WHERE organization_id = %s AND key = %s AND resolved_at IS NULL "
        "RETURNING id, kind, severity, title, detail, url",
        [org_id, key[:200]],
    )
    if row is None:
        return False
    notice_id, kind, severity, title, detail, url = row
    _publish(
        conn, org_id, notice_id, "resolved", kind, severity, key, title, detail, url
    )
    return True


def _publish(
    conn: Any,
    org_id: int,
    notice_id: int,
    state: str,
    kind: str,
    severity: str,
    key: str,
    title: str,
    detail: str,
    url: str,
) -> None:
    note = {
        "type": "notice",
        "id": notice_id,
        "state": state,
        "kind": kind,
        "severity": severity,
        "key": key,
        "title": title,
        "detail": detail,
        "url": url,
    }
    notes.publish(conn, org_id, "alerts", [note])


def _one(conn: Any, query: str, params: list[Any]) -> tuple[Any, ...] | None:
    is_cursor = hasattr(conn, "fetchone")
    with nullcontext(conn) if is_cursor else conn.cursor() as cur:
        cur.execute(query, params)
        row = cur.fetchone()
    return tuple(row) if row is not None else None
